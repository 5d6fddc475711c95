//! What the operator is told of places that the mirror leaves out: of each once in a life at `warn`, then at
//! `debug`, so that an hourly scan does not fill the log.

use super::{
    root::{READ_ALL, shown},
    walk::KEEP,
};
use crate::model::LINK;
use rustix::io::Errno;
use std::{
    collections::HashSet,
    ffi::OsStr,
    hash::{BuildHasher, RandomState},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Places that are remembered. What comes after is told at `debug` only, and that once at `warn`.
const MOST: usize = 100;

/// The places of one root that were told of.
#[derive(Debug)]
pub(super) struct Warnings {
    root: PathBuf,
    /// By hash: at worst a warning is told at `debug`.
    told: Mutex<HashSet<u64>>,
    hash: RandomState,
}

/// What was told of a place. The same place is told of again for another reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    /// Something is mounted there.
    Mount,
    /// It cannot be read.
    Unread(Errno),
    /// Its names could not be kept on disk.
    Unkept(Errno),
    /// It was moved while it was walked.
    Moved,
    /// It has more extended attributes than there is room for.
    TooLarge,
    /// It is a link, and a file has the name of its object.
    Shadowed,
}

impl Warnings {
    /// Of the root at this path.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), told: Mutex::default(), hash: RandomState::new() }
    }

    /// Tells of the place at `path` below the root.
    pub(super) fn tell(&self, path: &[u8], why: Why) {
        let place = shown(&self.root.join(OsStr::from_bytes(path)));
        match self.news(path, why) {
            News::Is => tracing::warn!(path = place, "{}", why.text()),
            News::IsTooMany => tracing::warn!(
                path = place,
                "{}; more than {MOST} places are left out: of others only at debug level",
                why.text()
            ),
            News::IsNot => tracing::debug!(path = place, "{}", why.text()),
        }
    }

    /// Tells of the entry at `path`, which was asked with a stat. Without the right to that it is the directory that
    /// is to blame, for all of its entries.
    pub(super) fn unread(&self, path: &[u8], errno: Errno) {
        let dir = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let place = if errno == Errno::ACCESS { &path[..dir] } else { path };
        self.tell(place, Why::Unread(errno));
    }

    /// Tells which extended attributes of the file at `path` are not kept.
    pub(super) fn too_large(&self, path: &[u8], names: &str) {
        let place = shown(&self.root.join(OsStr::from_bytes(path)));
        match self.news(path, Why::TooLarge) {
            News::IsNot => tracing::debug!(path = place, names, "{}", Why::TooLarge.text()),
            _ => tracing::warn!(path = place, names, "{}", Why::TooLarge.text()),
        }
    }

    fn news(&self, path: &[u8], why: Why) -> News {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST || !told.insert(self.hash.hash_one((path, why))) {
            return News::IsNot;
        }
        if told.len() == MOST { News::IsTooMany } else { News::Is }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    Is,
    IsTooMany,
    IsNot,
}

impl Why {
    fn text(self) -> String {
        match self {
            Self::Mount => "a mount point is not crossed; give it a mirror of its own".into(),
            Self::Unread(errno) => {
                let remedy = match errno {
                    Errno::ACCESS | Errno::PERM => READ_ALL,
                    Errno::MFILE | Errno::NFILE => "raise the limit of open files (systemd: LimitNOFILE=)",
                    _ => "check the file system it lies on (dmesg)",
                };
                format!("it cannot be read, so nothing is deleted there: {errno}; {remedy}")
            }
            Self::Unkept(errno) => format!(
                "it has too many names for memory and they cannot be kept on disk, so nothing is done there: \
                 {errno}; {KEEP}"
            ),
            Self::Shadowed => {
                format!(
                    "the link is not stored: a file is called as its object would be; rename that file, which ends in {LINK}"
                )
            }
            Self::TooLarge => "some of its extended attributes are too large for the metadata of an object: they are not kept".into(),
            Self::Moved => "it was moved while it was walked: nothing is deleted there now".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_news_once_for_each_reason_and_their_number_is_bounded() {
        let warnings = Warnings::new(Path::new("/r"));
        assert_eq!(warnings.news(b"a", Why::Mount), News::Is);
        assert_eq!(warnings.news(b"a", Why::Mount), News::IsNot);
        assert_eq!(warnings.news(b"a", Why::Unread(Errno::ACCESS)), News::Is);
        assert_eq!(warnings.news(b"a", Why::Unread(Errno::IO)), News::Is, "another trouble");
        for n in 3..MOST - 1 {
            assert_eq!(warnings.news(n.to_string().as_bytes(), Why::Mount), News::Is);
        }
        assert_eq!(warnings.news(b"b", Why::Mount), News::IsTooMany);
        assert_eq!(warnings.news(b"c", Why::Mount), News::IsNot);
        assert_eq!(warnings.told.lock().expect("no panic").len(), MOST);
    }
}
