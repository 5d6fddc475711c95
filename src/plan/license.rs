//! The licence to delete: what must have been seen before an object may go (promise I2).
//!
//! Only [`License::grant`] makes one, and a delete is made only from one.

use crate::model::{Absence, Condemned, ETag, Key, Local, Sameness};
use std::time::Duration;

/// Proof that one object may be deleted, now.
#[derive(Debug)]
pub struct License {
    key: Key,
    etag: ETag,
    grace: Duration,
    absence: Absence,
}

/// Why a licence is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The root is not proven to be the one that was bound.
    #[error("the root is not proven to be the same")]
    Root,
    /// Grace is not over.
    #[error("its absence was seen too short a while ago")]
    Early,
    /// The file is there again.
    #[error("the file is there")]
    Present,
    /// It cannot be told whether the file is there.
    #[error("it cannot be told whether the file is there")]
    Unknown,
    /// It is there but not stored any more (excluded, a link, a mount).
    #[error("the path is excluded, or of a kind that is not stored")]
    Skipped,
    /// The budget holds deletes.
    #[error("deletes are held")]
    Held,
}

impl License {
    /// Grants a licence for `row`, if `root` is the same, its absence was proven by this process at
    /// least `grace` ago (`absent_for`), `now` proves it again, and deletes are not `held` (which
    /// approved and moved rows never are).
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn grant(
        row: &Condemned,
        root: Sameness,
        absent_for: Option<Duration>,
        grace: Duration,
        now: &Local,
        held: bool,
    ) -> Result<Self, Refusal> {
        if root != Sameness::Same {
            return Err(Refusal::Root);
        }
        if held && !row.approved && !row.moved {
            return Err(Refusal::Held);
        }
        if absent_for.is_none_or(|time| time < grace) {
            return Err(Refusal::Early);
        }
        match now {
            Local::Absent(absence) => {
                Ok(Self { key: row.key.clone(), etag: row.etag.clone(), grace, absence: absence.clone() })
            }
            Local::Present(_) => Err(Refusal::Present),
            Local::Unknown => Err(Refusal::Unknown),
            Local::Skipped(_) => Err(Refusal::Skipped),
        }
    }

    /// The object.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The tag it must still have.
    pub fn etag(&self) -> &ETag {
        &self.etag
    }

    /// The proof, in words.
    pub fn proof(&self) -> String {
        let grace = humantime::format_duration(self.grace);
        match self.absence.ancestor.is_root() {
            true => format!("absent from the root, twice, {grace} apart"),
            false => format!("absent from `{}`, twice, {grace} apart", self.absence.ancestor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Fingerprint, LocalMeta, RelPath, Skip, Stamp};

    #[test]
    fn a_licence_is_for_one_object_and_says_what_it_rests_on() {
        let row = Condemned {
            row: 1,
            key: Key::raw("a/b"),
            etag: ETag::new("e"),
            seen: 1,
            approved: false,
            moved: false,
        };
        let license = |ancestor| {
            let absent = Local::Absent(Absence { ancestor, instead: None });
            let time = Duration::from_secs(10);
            License::grant(&row, Sameness::Same, Some(time), time, &absent, false).expect("a licence")
        };
        let found = license(RelPath::root());
        assert_eq!((found.key(), found.etag()), (&row.key, &row.etag));
        assert_eq!(found.proof(), "absent from the root, twice, 10s apart");
        let below = license(RelPath::new(b"a").expect("a path"));
        assert_eq!(below.proof(), "absent from `a`, twice, 10s apart");
    }

    #[test]
    fn every_part_of_the_proof_is_needed() {
        let row = |approved, moved| Condemned {
            row: 1,
            key: Key::raw("a"),
            etag: ETag::new("e"),
            seen: 1,
            approved,
            moved,
        };
        let absent = Local::Absent(Absence { ancestor: RelPath::root(), instead: None });
        let s = Duration::from_secs;
        let plain = row(false, false);
        let grant = |row: &Condemned, root, time: Option<u64>, now: &Local, held| {
            License::grant(row, root, time.map(s), s(10), now, held).map(|_| ())
        };
        let same = Sameness::Same;
        assert_eq!(grant(&plain, same, Some(10), &absent, false), Ok(()));
        assert_eq!(grant(&row(true, false), same, Some(10), &absent, true), Ok(()));
        assert_eq!(grant(&row(false, true), same, Some(10), &absent, true), Ok(()));
        assert_eq!(grant(&plain, Sameness::Changed, Some(10), &absent, false), Err(Refusal::Root));
        assert_eq!(grant(&plain, Sameness::Unprovable, Some(10), &absent, false), Err(Refusal::Root));
        assert_eq!(
            grant(&row(true, true), Sameness::Unprovable, Some(10), &absent, false),
            Err(Refusal::Root)
        );
        assert_eq!(grant(&plain, same, Some(9), &absent, false), Err(Refusal::Early));
        assert_eq!(grant(&plain, same, None, &absent, false), Err(Refusal::Early));
        assert_eq!(grant(&plain, same, Some(10), &absent, true), Err(Refusal::Held));
        let print = Fingerprint { size: 1, mtime: Stamp::default(), ctime: Stamp::default(), inode: 1 };
        let attributes = Attributes { mode: 0o100_644, uid: 0, gid: 0 };
        let file = Local::Present(LocalMeta { print, attributes });
        assert_eq!(grant(&plain, same, Some(10), &file, false), Err(Refusal::Present));
        assert_eq!(grant(&plain, same, Some(10), &Local::Unknown, false), Err(Refusal::Unknown));
        assert_eq!(grant(&plain, same, Some(10), &Local::Skipped(Skip::Link), false), Err(Refusal::Skipped));
    }
}
