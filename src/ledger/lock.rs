//! One process at a time: an exclusive lock on a file beside the ledger, which names its holder.
//!
//! `flock(2)` belongs to the open file: the kernel drops it with the process, however that ends. The
//! file itself stays, or two processes could each lock a file of that name.

use super::{fault, heir};
use crate::model::Fault;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The lock's name in the ledger's directory.
pub const LOCK_FILE: &str = "lock";

/// What is read of a holder's text, in bytes.
const LONGEST: u64 = 512;

/// The right to use a ledger's directory; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Another process, or another part of this one, holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is held by {holder}", path.display())]
pub struct Held {
    /// The lock file.
    pub path: PathBuf,
    /// What the holder wrote of itself: process id, host, since when.
    pub holder: String,
}

/// Why a ledger is not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error(transparent)]
    Held(#[from] Held),
    /// The directory or the file cannot be used.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Lock {
    /// Takes the lock of `directory`, which is made (mode 0700) if it is not there. Never waits.
    ///
    /// # Errors
    /// [`OpenError::Held`], or an I/O error.
    pub fn acquire(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(LOCK_FILE);
        let failed = |e: io::Error| OpenError::Fault(fault::io(format!("lock {}", path.display()), &e));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        heir::directory(directory);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        heir::file(&file, &path);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Held { holder: read(&mut file), path }.into()),
            Err(e) => return Err(failed(e.into())),
        }
        // on a full disk it is a lock all the same
        let _: io::Result<()> = sign(&mut file);
        Ok(Self { _file: file })
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let now = jiff::Timestamp::now();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {} on {host} since {now:.0}", std::process::id())
}

/// Somebody else's words: shown on a terminal, so only what is plain.
fn read(file: &mut File) -> String {
    let mut text = Vec::new();
    // a holder that cannot be read is still a holder
    let _: io::Result<usize> = file.take(LONGEST).read_to_end(&mut text);
    let text: String = String::from_utf8_lossy(&text).chars().filter(|c| !c.is_control()).collect();
    if text.is_empty() { "a process that has not signed it".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_second_is_told_who_was_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("state/www");
        let first = Lock::acquire(&below).expect("free");
        let mode = std::fs::metadata(&below).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let Err(OpenError::Held(held)) = Lock::acquire(&below) else { panic!("it is held") };
        assert!(held.holder.starts_with(&format!("process {} on ", std::process::id())), "{held}");
        assert!(held.holder.contains(" since 20") && held.holder.ends_with('Z'), "{held}");
        drop(first);
        drop(Lock::acquire(&below).expect("free again"));
        Lock::acquire(&below).expect("and again");
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_a_fault() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, b"").expect("written");
        let Err(OpenError::Fault(fault)) = Lock::acquire(&file.join("x")) else { panic!("not a directory") };
        assert!(fault.what.contains("lock"), "{fault}");
    }
}
