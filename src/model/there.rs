//! What stands where a file is to be restored.

use super::Stamp;

/// An entry of the directory that a restore writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Last modification.
        mtime: Stamp,
    },
    /// A directory.
    Directory,
    /// A link, FIFO, socket or device.
    Other,
}
