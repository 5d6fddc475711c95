//! The database's errors, classed.

use crate::model::{Class, Fault};
use redb::Error;
use std::io::{self, ErrorKind};

/// An I/O error: it may pass.
pub(super) fn io(what: impl Into<String>, error: &io::Error) -> Fault {
    let fault = Fault::new(Class::Transient, what, error);
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            fault.remedy("free some space there; nothing is lost, it is tried again")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            fault.remedy("make it writable for the user that s3mirrord runs as")
        }
        _ => fault,
    }
}

/// An error while the ledger `name` was in use.
pub(super) fn of(what: &str, name: &str, error: &Error) -> Fault {
    let what = format!("{what} {name}");
    match error {
        _ if is_damage(error) => damaged(what, name, error),
        Error::Io(e) => io(what, e),
        _ => Fault::new(Class::Transient, what, error),
    }
}

/// The database under us gave up on what it read.
pub(super) fn panicked(what: &str, name: &str, cause: &str) -> Fault {
    damaged(format!("{what} {name}"), name, cause)
}

fn damaged(what: String, name: &str, cause: impl std::fmt::Display) -> Fault {
    Fault::new(Class::Fatal, what, cause).remedy(format!(
        "stop s3mirrord, move {name} away and start it again: the proofs are taken anew, no data is lost"
    ))
}

/// True if the file, not the disk or the moment, is what is wrong.
pub(super) fn is_damage(error: &Error) -> bool {
    match error {
        Error::Io(e) => matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        Error::Corrupted(_)
        | Error::UpgradeRequired(_)
        | Error::RepairAborted
        | Error::LockPoisoned(_)
        | Error::TableTypeMismatch { .. }
        | Error::TypeDefinitionChanged { .. }
        | Error::TableIsMultimap(_)
        | Error::TableIsNotMultimap(_)
        | Error::TableDoesNotExist(_) => true,
        _ => false,
    }
}

/// True if the database refuses every call from now on, until it is opened again.
pub(super) fn needs_reopening(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::Backend(_) | Error::PreviousIo | Error::DatabaseClosed)
}

#[cfg(test)]
mod tests {
    use super::super::{Database, Ledger, medium::Medium};
    use super::*;
    use crate::model::{Change, Key, Record};
    use redb::{Builder, StorageBackend, backends::FileBackend};
    use std::{
        fs::File,
        path::PathBuf,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    /// A file on a disk that is full now and then.
    #[derive(Debug)]
    struct Disk {
        file: FileBackend,
        full: Arc<AtomicBool>,
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.full.load(Ordering::Relaxed) {
                return Err(ErrorKind::StorageFull.into());
            }
            self.file.write(offset, data)
        }
    }

    struct Place(File, Arc<AtomicBool>);

    impl Medium for Place {
        fn open(&self, cache_bytes: usize) -> Result<redb::Database, Error> {
            let file = FileBackend::new(self.0.try_clone().map_err(Error::Io)?)?;
            let disk = Disk { file, full: Arc::clone(&self.1) };
            Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(disk)?)
        }

        fn set_aside(&self, kind: &str) -> io::Result<Option<PathBuf>> {
            panic!("a full disk is no reason to set it aside as {kind}")
        }

        fn name(&self) -> String {
            "L".into()
        }
    }

    #[tokio::test]
    async fn c64_a_full_disk_writes_nothing_and_passes() {
        let full = Arc::new(AtomicBool::new(false));
        let file = tempfile::tempfile().expect("a file");
        let place = Place(file, Arc::clone(&full));
        let ledger = Database::start(Box::new(place), 1 << 20, None).expect("opened").ledger;
        let record = |n: u64| Record::bare(n, "1");
        let proofs = |n| (0..1000).map(|i| Change::Proof(Key::raw(format!("{i}")), record(n))).collect();
        ledger.commit(proofs(1)).await.expect("there is space");
        full.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            let fault = ledger.commit(proofs(2)).await.expect_err("there is none");
            assert_eq!(fault.class, Class::Transient, "{fault}");
            assert!(fault.to_string().contains("free some space"), "{fault}");
            assert_eq!(ledger.now(), 1);
        }
        full.store(false, Ordering::Relaxed);
        let found = ledger.get(&Key::raw("7")).await.expect("read").expect("there");
        assert_eq!((found.size, ledger.now()), (1, 1));
        assert_eq!(ledger.commit(proofs(3)).await, Ok(2));
        let found = ledger.get(&Key::raw("7")).await.expect("read").expect("there");
        assert_eq!((found.size, found.seq), (3, 2));
    }

    #[test]
    fn a_full_disk_passes_and_a_damaged_file_does_not() {
        for (error, class, remedy) in [
            (Error::Io(ErrorKind::StorageFull.into()), Class::Transient, Some("free some space")),
            (Error::Io(ErrorKind::QuotaExceeded.into()), Class::Transient, Some("free some space")),
            (Error::Io(ErrorKind::Other.into()), Class::Transient, None),
            (Error::PreviousIo, Class::Transient, None),
            (Error::Io(ErrorKind::UnexpectedEof.into()), Class::Fatal, Some("move L away")),
            (Error::Corrupted("x".into()), Class::Fatal, Some("move L away")),
        ] {
            let fault = of("read", "L", &error);
            assert_eq!(fault.class, class, "{fault}");
            assert_eq!(fault.remedy.is_some(), remedy.is_some(), "{fault}");
            assert!(fault.to_string().contains(remedy.unwrap_or("")), "{fault}");
        }
    }
}
