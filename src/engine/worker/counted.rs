//! An open file whose reads are counted.

use crate::{
    engine::Report,
    model::{Fault, LocalMeta, Source},
};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Adds what is read to the sums.
pub(super) struct Counted<F> {
    file: F,
    report: Report,
    /// What is read now is sent.
    sent: AtomicBool,
}

impl<F> Counted<F> {
    pub(super) fn new(file: F, report: Report) -> Self {
        Self { file, report, sent: AtomicBool::new(false) }
    }

    /// What is read from now on is given to the store.
    pub(super) fn send(&self) {
        self.sent.store(true, Relaxed);
    }
}

impl<F: Source> Source for Counted<F> {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        self.file.stat().await
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        let bytes = self.file.read_at(at, len).await?;
        let live = self.report.live();
        live.bytes_read.add(bytes.len() as u64);
        if self.sent.load(Relaxed) {
            live.given.add(bytes.len() as u64);
        }
        Ok(bytes)
    }
}
