//! An open file whose reads are counted, and which reads a small one once.

use crate::{
    engine::Report,
    local::CHUNK,
    model::{Extra, Fault, LocalMeta, Source},
};
use bytes::Bytes;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Adds what is read to the sums. What one read gave of a small file, whole, is kept: bytes that were compared
/// and differ are those that are sent. That is no less safe than reading them again: either way they were
/// read between two looks at the file that must say the same.
pub(super) struct Counted<F> {
    file: F,
    size: u64,
    whole: OnceLock<Bytes>,
    report: Report,
    /// Bytes given to the store.
    given: AtomicU64,
}

impl<F> Counted<F> {
    /// `size` is what the file must have, or it is not used.
    pub(super) fn new(file: F, size: u64, report: Report) -> Self {
        Self { file, size, whole: OnceLock::new(), report, given: AtomicU64::new(0) }
    }

    /// The open file.
    pub(super) fn inner(&self) -> &F {
        &self.file
    }

    /// How many of its bytes were given to the store.
    pub(super) fn given(&self) -> u64 {
        self.given.load(Relaxed)
    }
}

impl<F: Source> Source for Counted<F> {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        self.file.stat().await
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        let live = self.report.live();
        // what lies beyond is asked for: the file may have grown
        let kept = self.whole.get().and_then(|whole| {
            let from = usize::try_from(at).ok()?;
            let to = from.checked_add(len).filter(|to| *to <= whole.len())?;
            Some(whole.slice(from..to))
        });
        match kept {
            Some(bytes) => Ok(bytes),
            None => {
                let bytes = self.file.read_at(at, len).await?;
                live.bytes_read.add(bytes.len() as u64);
                if at == 0 && bytes.len() <= CHUNK && bytes.len() as u64 == self.size {
                    // one that another read kept before does as well
                    let _ = self.whole.set(bytes.clone());
                }
                Ok(bytes)
            }
        }
    }

    async fn extra(&self) -> Result<Extra, Fault> {
        self.file.extra().await
    }

    fn sent(&self, bytes: u64) {
        self.given.fetch_add(bytes, Relaxed);
        self.report.live().given.add(bytes);
    }
}
