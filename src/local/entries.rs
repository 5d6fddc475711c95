//! What the kernel lists of a directory.

use super::stat::Stat;
use crate::model::Kind;
use rustix::{
    fd::BorrowedFd,
    ffi::CStr,
    fs::{FileType, RawDir},
    io::Errno,
};
use std::mem::MaybeUninit;

/// What the kernel calls so. Of what it does not know the kind it is to be asked with a stat, as of files.
pub(super) fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile | FileType::Unknown => Kind::File,
        FileType::Symlink => Kind::Link,
        _ => Kind::Special,
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
        match entry.file_type() {
            // Some file systems do not keep the kind in the directory.
            FileType::Unknown => {
                let asked = Stat::at(dir, name).map(|stat| stat.kind());
                asked_for(asked).iter().try_for_each(|kind| each(name, *kind))?;
            }
            known => each(name, kind_of(known))?,
        }
    }
    Ok(())
}

/// What an entry may be whose kind a stat was to tell. Both a file and a directory if it cannot: nothing is known of
/// that name, nor of what may lie below it.
fn asked_for(kind: Result<FileType, Errno>) -> &'static [Kind] {
    match kind.map(kind_of) {
        Ok(Kind::Directory) => &[Kind::Directory],
        Ok(Kind::File) => &[Kind::File],
        Ok(Kind::Link) => &[Kind::Link],
        Ok(Kind::Special) => &[Kind::Special],
        Err(Errno::NOENT) => &[],
        Err(_) => &[Kind::File, Kind::Directory],
    }
}

/// Bytes for [`enumerate`]: what one call to the kernel fills.
pub(super) fn buffer() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); 64 * 1024]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_may_be_a_file_or_a_directory() {
        assert_eq!(asked_for(Ok(FileType::Directory)), [Kind::Directory]);
        assert_eq!(asked_for(Ok(FileType::Socket)), [Kind::Special]);
        assert_eq!(asked_for(Err(Errno::NOENT)), []);
        assert_eq!(asked_for(Err(Errno::IO)), [Kind::File, Kind::Directory]);
    }
}
