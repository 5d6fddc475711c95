//! An open file whose reads are counted.

use crate::{
    engine::Report,
    model::{Fault, LocalMeta, Source},
};
use bytes::Bytes;

/// Adds what is read to the sums.
pub(super) struct Counted<F> {
    file: F,
    report: Report,
}

impl<F> Counted<F> {
    pub(super) fn new(file: F, report: Report) -> Self {
        Self { file, report }
    }
}

impl<F: Source> Source for Counted<F> {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        self.file.stat().await
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        let bytes = self.file.read_at(at, len).await?;
        self.report.with(|status| status.sums.bytes_read += bytes.len() as u64);
        Ok(bytes)
    }
}
