//! What the kernel lists of a directory.

use super::stat::Stat;
use rustix::{
    fd::BorrowedFd,
    ffi::CStr,
    fs::{FileType, RawDir},
    io::Errno,
};
use std::mem::MaybeUninit;

/// What an entry is, as far as the way of going on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// To be asked with stat.
    File,
    Link,
    /// A FIFO, socket or device.
    Special,
}

impl Kind {
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::Directory => Self::Directory,
            FileType::RegularFile | FileType::Unknown => Self::File,
            FileType::Symlink => Self::Link,
            _ => Self::Special,
        }
    }
}

/// Reads the entries of `dir`, but `.` and `..`, and gives each to `each`.
///
/// # Errors
/// Of reading, wherever it stopped; `ENOENT` if the directory was removed. Those of `each`.
pub(super) fn enumerate<E: From<Errno>>(
    dir: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
    mut each: impl FnMut(&CStr, Kind) -> Result<(), E>,
) -> Result<(), E> {
    let mut entries = RawDir::new(dir, buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not keep the kind in the directory.
            FileType::Unknown => match Stat::at(dir, name) {
                Ok(stat) => Kind::of(stat.kind()),
                Err(Errno::NOENT) => continue,
                Err(_) => Kind::File,
            },
            known => Kind::of(known),
        };
        each(name, kind)?;
    }
    Ok(())
}

/// Bytes for [`enumerate`]: what one call to the kernel fills.
pub(super) fn buffer() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); 64 * 1024]
}
