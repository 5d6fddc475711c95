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
    use super::*;

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
