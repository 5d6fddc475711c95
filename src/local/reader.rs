//! Reading an open file, and leaving the page cache to others. A backup reads everything once, and what it reads would
//! push out what the host is working with. So of large files the pages are given back: those far behind what was
//! read last, and all when the file is closed.
//!
//! The kernel does not tell whose pages they were: of a large file that somebody else reads as well, those that are not
//! dirty are given back, too, and have to be read again. Small files stay: they are not worth a call, and likelier in use.

use super::buffers;
use bytes::Bytes;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Advice, fadvise},
    io,
};
use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Bytes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Larger files leave nothing.
    large: u64,
    /// What stays behind while the file is open: a part that was hashed is sent soon, and read once more.
    stays: u64,
    /// What is given back at a time.
    step: u64,
}

const LIMITS: Limits = Limits { large: 64 << 20, stays: 128 << 20, step: 8 << 20 };

/// An open file.
#[derive(Debug)]
pub(super) struct Reader {
    fd: OwnedFd,
    /// Of a large one.
    limits: Option<Limits>,
    read: AtomicBool,
    /// Up to here its pages were given back.
    given: AtomicU64,
}

impl Reader {
    /// `size` in bytes, as it is now.
    pub(super) fn new(fd: OwnedFd, size: u64) -> Self {
        Self::within(LIMITS, fd, size)
    }

    fn within(limits: Limits, fd: OwnedFd, size: u64) -> Self {
        let limits = (size > limits.large).then_some(limits);
        Self { fd, limits, read: AtomicBool::new(false), given: AtomicU64::new(0) }
    }

    /// `len` bytes from `at`; fewer only at the end.
    pub(super) fn read_at(&self, at: u64, len: usize) -> io::Result<Bytes> {
        let bytes = buffers::filled(len, |to| {
            let mut got = 0;
            while got < to.len() {
                let from = at.saturating_add(got as u64);
                match io::retry_on_intr(|| io::pread(&self.fd, &mut to[got..], from))? {
                    0 => break,
                    more => got += more,
                }
            }
            Ok(got)
        })?;
        if let Some(limits) = self.limits {
            self.passed(limits, at, at.saturating_add(bytes.len() as u64));
        }
        Ok(bytes)
    }

    /// Bytes from `at` to `end` were read.
    fn passed(&self, limits: Limits, at: u64, end: u64) {
        self.read.store(true, Relaxed);
        // whoever goes back brings pages in again
        let from = self.given.fetch_min(at, Relaxed).min(at);
        let to = end.saturating_sub(limits.stays);
        if to >= from.saturating_add(limits.step) {
            self.give_back(from, NonZeroU64::new(to - from));
            self.given.fetch_max(to, Relaxed);
        }
    }

    /// True if it leaves nothing, which has to be seen to.
    pub(super) fn is_large(&self) -> bool {
        self.limits.is_some()
    }

    /// It is not going to be read any more.
    pub(super) fn leave(&self) {
        if self.read.swap(false, Relaxed) {
            self.give_back(0, None);
        }
    }

    /// `None`: to the end. A hint: where it is not taken, the pages stay.
    fn give_back(&self, from: u64, len: Option<NonZeroU64>) {
        let _hint = fadvise(&self.fd, from, len, Advice::DontNeed);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.leave();
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tests::skipped;
    use std::{fs::File, path::Path, process::Command};

    const KIB: u64 = 1 << 10;
    const SIZE: u64 = 8 << 20;
    const SMALL: Limits = Limits { large: SIZE - 1, stays: 1 << 20, step: 256 * KIB };

    /// Bytes of the file that are in the page cache.
    fn cached(path: &Path) -> Option<u64> {
        let mut ask = Command::new("fincore");
        let told = ask.args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output().ok()?;
        String::from_utf8(told.stdout).ok()?.trim().parse().ok()
    }

    /// A file that is on the disk, and not in the page cache. `None`, said, where that cannot be had.
    fn cold(dir: &Path) -> Option<std::path::PathBuf> {
        let path = dir.join("f");
        std::fs::write(&path, vec![7; SIZE as usize]).expect("write");
        let file = File::open(&path).expect("open");
        file.sync_all().expect("sync");
        fadvise(&file, 0, None, Advice::DontNeed).expect("a hint");
        match cached(&path) {
            Some(0) => Some(path),
            other => {
                skipped(format!("no fincore, or a file system that keeps its pages ({other:?})"));
                None
            }
        }
    }

    #[test]
    fn a_large_file_leaves_nothing_in_the_page_cache_and_little_while_it_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let Some(path) = cold(dir.path()) else { return };
        let reader = Reader::within(SMALL, File::open(&path).expect("open").into(), SIZE);
        for pass in 0..2 {
            for at in (0..SIZE).step_by(64 << 10) {
                assert_eq!(reader.read_at(at, 64 << 10).expect("read").len(), 64 << 10);
            }
            let left = cached(&path).expect("told before");
            assert!((1..=SMALL.stays + SMALL.step).contains(&left), "pass {pass}: {left} bytes are left");
        }
        drop(reader);
        assert_eq!(cached(&path), Some(0));
    }

    #[test]
    fn a_small_file_and_one_that_was_not_read_stay_where_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let Some(path) = cold(dir.path()) else { return };
        let open = |limits| Reader::within(limits, File::open(&path).expect("open").into(), SIZE);
        let reader = open(Limits { large: SIZE, ..SMALL });
        assert_eq!(reader.read_at(0, SIZE as usize).expect("read").len() as u64, SIZE);
        drop(reader);
        assert_eq!(cached(&path), Some(SIZE), "small");
        drop(open(SMALL));
        assert_eq!(cached(&path), Some(SIZE), "not read");
    }
}
