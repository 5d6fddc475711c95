//! An open file, as the store reads it without knowing what a file is.

use super::{Extra, Fault, LocalMeta};
use bytes::Bytes;
use std::future::Future;

/// An open regular file. Every read is of the same open file, never of the path again.
pub trait Source: Send + Sync + 'static {
    /// The file as it is now, by `fstat`.
    ///
    /// # Errors
    /// I/O errors.
    fn stat(&self) -> impl Future<Output = Result<LocalMeta, Fault>> + Send;

    /// `len` bytes from `at`; fewer only at the end of the file.
    ///
    /// # Errors
    /// I/O errors.
    fn read_at(&self, at: u64, len: usize) -> impl Future<Output = Result<Bytes, Fault>> + Send;

    /// What it has beside bytes, time, mode and owner, as far as that is kept.
    ///
    /// # Errors
    /// I/O errors.
    fn extra(&self) -> impl Future<Output = Result<Extra, Fault>> + Send {
        std::future::ready(Ok(Extra::default()))
    }

    /// Tells that so many of the bytes that were read are on their way to the store: for whoever counts. Once for all
    /// attempts of a request.
    fn sent(&self, bytes: u64) {
        let _ = bytes;
    }
}
