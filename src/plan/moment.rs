//! What a key was at a moment, by the versions that a bucket keeps of it.
//!
//! | its newest version that is no newer than the moment | was |
//! |---|---|
//! | an object | that |
//! | a delete marker | nothing |
//! | none | nothing |
//! | any, and the version called `null` is newer | unknown: it took the place of another `null`, which is gone |
//!
//! That holds only where the bucket kept versions by then ([`Moment::proves`]). A store counts seconds: the moment is the
//! end of its second.

use crate::model::Version;

/// A moment, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub i64);

/// What a key was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Was {
    /// Not there.
    Nothing,
    /// This object.
    There(Version),
    /// That cannot be told, for this reason.
    Unknown(&'static str),
}

/// What is known of one key so far.
#[derive(Clone, Debug)]
pub struct Seen {
    at: Moment,
    newest: Option<Version>,
    overwritten: bool,
}

impl Moment {
    /// True if this version shows that the bucket kept versions by then.
    pub fn proves(self, version: &Version) -> bool {
        !is_null(version) && self.is_past(version)
    }

    /// True if it was there by then.
    fn is_past(self, version: &Version) -> bool {
        version.modified.sec <= self.0
    }
}

impl Seen {
    /// Nothing yet.
    pub fn new(at: Moment) -> Self {
        Self { at, newest: None, overwritten: false }
    }

    /// One version of the key, in any order; of two of one second what is there now goes first, then an object, then what
    /// came before in the listing.
    pub fn add(&mut self, version: Version) {
        if !self.at.is_past(&version) {
            self.overwritten |= is_null(&version);
            return;
        }
        let rank = |v: &Version| (v.modified, v.latest, v.object.is_some());
        if self.newest.as_ref().is_none_or(|newest| rank(&version) > rank(newest)) {
            self.newest = Some(version);
        }
    }

    /// What the key was, when all its versions were added.
    pub fn was(self) -> Was {
        match self.newest {
            _ if self.overwritten => Was::Unknown(
                "it was written since while the bucket kept no versions: what it was before may be gone",
            ),
            Some(version) if version.object.is_some() => Was::There(version),
            _ => Was::Nothing,
        }
    }
}

fn is_null(version: &Version) -> bool {
    &*version.id == "null"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ETag, RemoteMeta, Stamp};
    use proptest::prelude::*;

    fn version(id: &str, sec: i64, is_object: bool) -> Version {
        let modified = Stamp { sec, nsec: 0 };
        let meta = RemoteMeta { size: 1, etag: ETag::new(id), modified: Some(modified) };
        Version { id: id.into(), latest: false, modified, object: is_object.then_some(meta) }
    }

    fn at(moment: i64, versions: &[Version]) -> Was {
        let mut seen = Seen::new(Moment(moment));
        versions.iter().cloned().for_each(|version| seen.add(version));
        seen.was()
    }

    #[test]
    fn the_newest_that_is_not_newer_counts() {
        let there = |id: &str, sec| Was::There(version(id, sec, true));
        let all = [
            version("v4", 40, true),
            version("v2", 20, true),
            version("v1", 10, true),
            version("v3", 30, false),
        ];
        for (moment, want) in [
            (9, Was::Nothing),
            (10, there("v1", 10)),
            (19, there("v1", 10)),
            (20, there("v2", 20)),
            (29, there("v2", 20)),
            (30, Was::Nothing),
            (39, Was::Nothing),
            (40, there("v4", 40)),
            (99, there("v4", 40)),
        ] {
            assert_eq!(at(moment, &all), want, "{moment}");
            let back: Vec<_> = all.iter().rev().cloned().collect();
            assert_eq!(at(moment, &back), want, "{moment}, backwards");
        }
        assert_eq!(at(5, &[]), Was::Nothing);
    }

    #[test]
    fn of_one_second_what_is_there_now_counts_then_an_object_then_the_first() {
        let latest = |version: Version| Version { latest: true, ..version };
        let (object, other, marker) = (version("a", 5, true), version("b", 5, true), version("c", 5, false));
        assert_eq!(at(5, &[object.clone(), other.clone()]), Was::There(object.clone()));
        assert_eq!(at(5, &[marker.clone(), object.clone()]), Was::There(object.clone()));
        assert_eq!(at(5, &[object.clone(), latest(marker)]), Was::Nothing);
        assert_eq!(at(5, &[object, latest(other.clone())]), Was::There(latest(other)));
    }

    #[test]
    fn what_was_written_without_versions_since_is_not_known() {
        let (old, null) = (version("v1", 10, true), version("null", 30, true));
        assert!(matches!(at(20, &[null.clone(), old.clone()]), Was::Unknown(_)));
        assert!(matches!(at(20, &[version("null", 30, false), old.clone()]), Was::Unknown(_)));
        assert_eq!(at(30, &[null.clone(), old.clone()]), Was::There(null.clone()));
        // from before versions were kept: it was not overwritten since
        let before = version("null", 5, true);
        assert_eq!(at(7, &[old.clone(), before.clone()]), Was::There(before.clone()));
        let moment = Moment(10);
        assert!(moment.proves(&old) && moment.proves(&version("v1", 10, false)));
        assert!(!moment.proves(&before) && !Moment(9).proves(&old) && !moment.proves(&null));
    }

    /// What is done to a key, a second each.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Put,
        Delete,
        Enable,
        Suspend,
        Wait,
    }

    proptest! {
        /// A bucket is played: whatever is told of a moment at which it is proven to have kept versions is true.
        #[test]
        fn what_is_told_is_true(
            acts in proptest::collection::vec(
                prop_oneof![4 => Just(Act::Put), 2 => Just(Act::Delete), 2 => Just(Act::Enable), 1 => Just(Act::Suspend), 1 => Just(Act::Wait)],
                1..30,
            ),
        ) {
            let (mut keeps, mut kept, mut truth) = (None, Vec::<Version>::new(), vec![]);
            for (sec, act) in acts.iter().enumerate() {
                let sec = i64::try_from(sec).unwrap();
                match act {
                    Act::Enable => keeps = Some(true),
                    Act::Suspend => keeps = keeps.map(|_| false),
                    Act::Wait => {}
                    Act::Delete if keeps.is_none() => kept.clear(),
                    Act::Put | Act::Delete => {
                        let id = if keeps == Some(true) { format!("v{sec}") } else { "null".to_owned() };
                        kept.retain(|version| *version.id != *id);
                        kept.insert(0, version(&id, sec, matches!(act, Act::Put)));
                    }
                }
                // that of this second, whatever its version is called
                truth.push(kept.first().filter(|v| v.object.is_some()).map(|v| v.modified.sec));
            }
            for (moment, was) in truth.iter().enumerate() {
                let moment = i64::try_from(moment).unwrap();
                if !kept.iter().any(|version| Moment(moment).proves(version)) {
                    continue;
                }
                match at(moment, &kept) {
                    Was::There(version) => prop_assert_eq!(Some(version.modified.sec), *was),
                    Was::Nothing => prop_assert_eq!(None, *was),
                    Was::Unknown(_) => {
                        prop_assert!(kept.iter().any(|v| &*v.id == "null" && v.modified.sec > moment));
                    }
                }
            }
        }
    }
}
