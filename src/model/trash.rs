//! How what lies in the trash is named: `2026-11-29/KEY.115013Z-0123456789abcdef`, the day and the time (UTC) when it
//! went there, the key that it had below the mirror's prefix, and 64 bits of a hash of its tag.
//!
//! Two objects of one name would be of one key, one second and one tag, and so of the same bytes: nothing is lost. Where
//! the name would be too long the hash of the key stands for it, and the key goes with the object as metadata. Since when
//! the object was what it was, and whether it was deleted or replaced, goes along as metadata always: by that, and by when
//! the store says that the copy was made, all that the bucket held at a time can be told.

use super::{ETag, Key, MAX_KEY_BYTES, RESERVED, Stamp};
use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What keys of the trash begin with. A store keeps them elsewhere: below its trash prefix.
pub const TRASH: &str = ".s3mirrord/trash/";

/// The longest part of a key that stores take which keep objects as files.
const PART: usize = 255;
/// Where the hash of a key stands for it.
const LONG: &str = ".long";
/// `.115013Z-0123456789abcdef`
const MARK: usize = 25;
/// `2026-11-29`
const DATE: usize = 10;

/// Where a copy of an object goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// The key of the copy: [`TRASH`] and its name.
    pub key: Key,
    /// The key that it had, if the name does not say it.
    pub said: Option<Key>,
    /// Why it goes there.
    pub went: Went,
}

/// Why an object goes to the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Went {
    /// Another one is about to be put in its place.
    Replaced,
    /// It is about to be deleted.
    Deleted,
}

/// How far back a trash reaches: the owner record tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Where it is in the bucket, ending in `/`.
    pub prefix: String,
    /// Since when all that goes is there, by the store's clock, in seconds since 1970.
    pub since: i64,
    /// For how many seconds it stays there, at least; `None`: for ever.
    pub keep: Option<u64>,
}

impl Reach {
    /// That of a trash at `prefix` which keeps for `keep` seconds from `now` on; `found` is what was told before.
    pub fn renewed(found: Option<&Self>, prefix: &str, keep: Option<u64>, now: i64) -> Self {
        let since = match found.filter(|found| found.prefix == prefix) {
            // what is older may have gone
            Some(found) if found.keep != keep => found.back_to(now),
            Some(found) => found.since,
            None => now,
        };
        Self { prefix: prefix.to_owned(), since, keep }
    }

    /// The first time, in seconds since 1970, since which all that went is still there, if it is `now`.
    pub fn back_to(&self, now: i64) -> i64 {
        let keep = self.keep.map(|keep| i64::try_from(keep).unwrap_or(i64::MAX));
        keep.map_or(self.since, |keep| self.since.max(now.saturating_sub(keep)))
    }
}

impl Trashed {
    /// Of the object `key` with this tag, that goes to the trash at `at`; `prefix` is where that is.
    pub fn new(key: &Key, etag: &ETag, at: Stamp, prefix: &str, went: Went) -> Self {
        let at = Timestamp::from_second(at.sec).unwrap_or_default().to_zoned(TimeZone::UTC);
        let tag = Sha256::digest(etag.to_string());
        let mark = format!(".{}Z-{}", at.strftime("%H%M%S"), hex::encode(&tag[..8]));
        let name = |text: &str| format!("{}/{text}{mark}", at.strftime("%Y-%m-%d"));
        let whole = name(key.as_str());
        let last = whole.rsplit('/').next().unwrap_or_default();
        let fits = prefix.len() + whole.len() <= MAX_KEY_BYTES && last.len() <= PART;
        let (name, said) = match fits {
            true => (whole, None),
            false => {
                let hash = hex::encode(Sha256::digest(key.as_str()));
                (name(&format!("{LONG}/{hash}")), Some(key.clone()))
            }
        };
        Self { key: Key::raw(format!("{TRASH}{name}")), said, went }
    }
}

impl Key {
    /// The name in the trash, for a key of the trash.
    pub fn trash_name(&self) -> Option<&str> {
        self.as_str().strip_prefix(TRASH)
    }

    /// When the object of this key went to the trash, in seconds since 1970; `None` if its name has not the form that
    /// [`Trashed`] gives.
    pub fn trashed_at(&self) -> Option<i64> {
        self.trashed().map(|(at, _)| at)
    }

    /// The key that the object of this key had, if its name says it: that of a long one it does not.
    pub fn trashed_key(&self) -> Option<Self> {
        let (_, key) = self.trashed()?;
        let long = key.strip_prefix(LONG).and_then(|rest| rest.strip_prefix('/'));
        let is_hash = long.is_some_and(|hash| hash.len() == 64 && hash.bytes().all(is_hex));
        (!is_hash).then(|| Self::raw(key))
    }

    /// What a name of the form that [`Trashed`] gives says.
    fn trashed(&self) -> Option<(i64, &str)> {
        let (day, rest) = self.trash_name()?.split_once('/')?;
        let (key, mark) = rest.split_at_checked(rest.len().checked_sub(MARK)?)?;
        let (time, tag) = mark.strip_prefix('.')?.split_once("Z-")?;
        let formed = time.len() == 6
            && time.bytes().all(|b| b.is_ascii_digit())
            && tag.len() == 16
            && tag.bytes().all(is_hex)
            && !key.is_empty();
        let time = Time::strptime("%H%M%S", time).ok().filter(|_| formed)?;
        let at = date(day)?.to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
        Some((at.timestamp().as_second(), key))
    }

    /// The end of the day that a directory of the trash is of, in seconds since 1970; `None` if it is of none.
    pub fn trash_day_ends(&self) -> Option<i64> {
        let next = date(self.trash_name()?.strip_suffix('/')?)?.tomorrow().ok()?;
        Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// A day as [`Trashed`] writes it, and in no other way.
fn date(text: &str) -> Option<Date> {
    let date = Date::strptime("%Y-%m-%d", text).ok()?;
    (text.len() == DATE && date.to_string() == text).then_some(date)
}

const _: () = assert!(TRASH.len() > RESERVED.len());

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-29T11:50:13Z
    const AT: i64 = 1_795_953_013;

    fn trashed(key: &str, at: i64, prefix: &str) -> Trashed {
        Trashed::new(&Key::raw(key), &ETag::new("e"), Stamp { sec: at, nsec: 5 }, prefix, Went::Deleted)
    }

    #[test]
    fn a_name_says_which_key_it_was_and_when() {
        let tag = "3f79bb7b435b0532";
        for (key, at, want) in [
            ("a/b c.txt", AT, format!("2026-11-29/a/b c.txt.115013Z-{tag}")),
            ("\u{201B}FF\n", 0, format!("1970-01-01/\u{201B}FF\n.000000Z-{tag}")),
            ("x", AT + 43_787, format!("2026-11-30/x.000000Z-{tag}")),
        ] {
            let got = trashed(key, at, "t/");
            assert_eq!((got.key.trash_name(), &got.said), (Some(&*want), &None), "{key}");
            assert_eq!((got.key.trashed_at(), got.key.trashed_key()), (Some(at), Some(Key::raw(key))));
            assert_eq!(got.key.path(), None, "no file has it");
        }
        let at = Stamp { sec: AT, nsec: 5 };
        let other = Trashed::new(&Key::raw("x"), &ETag::new("f"), at, "t/", Went::Deleted);
        assert_ne!(other, trashed("x", AT, "t/"), "another content in the same second");
    }

    #[test]
    fn c30_a_name_that_would_be_too_long_is_said_beside_it() {
        let long = |len: usize| vec!["0123456789"; 200].join("/")[..len].to_owned();
        for (key, prefix, fits) in [
            (long(1024 - 11 - 25 - 2), "t/", true),
            (long(1024 - 11 - 25 - 1), "t/", false),
            (long(1024), "t/", false),
            (long(1024 - 11 - 25 - 2), "tt/", false),
            (format!("d/{}", "x".repeat(255 - 25)), "t/", true),
            (format!("d/{}", "x".repeat(255 - 24)), "t/", false),
        ] {
            let got = trashed(&key, AT, prefix);
            assert_eq!(got.said, (!fits).then(|| Key::raw(&*key)), "{key}");
            assert!(got.key.trash_name().unwrap().len() + prefix.len() <= MAX_KEY_BYTES, "{key}");
            assert_eq!(got.key.trashed_at(), Some(AT), "{key}");
            assert_eq!(got.key.trashed_key(), fits.then(|| Key::raw(&*key)));
        }
        assert_ne!(trashed(&long(1000), AT, "t/").key, trashed(&long(1001), AT, "t/").key);
    }

    #[test]
    fn what_has_another_form_was_not_written_by_us() {
        let at = |name: &str| Key::raw(format!("{TRASH}{name}")).trashed_at();
        assert_eq!(at("2026-11-29/a.115013Z-0123456789abcdef"), Some(AT));
        for name in [
            "",
            "2026-11-29",
            "2026-11-29/",
            "2026-11-29/a",
            "2026-11-29/.115013Z-0123456789abcdef",
            "2026-11-29/a.115013Z-0123456789abcdeg",
            "2026-11-29/a.115013Z-0123456789ABCDEF",
            "2026-11-29/a.115013Z-0123456789abcde",
            "2026-11-29/a.115013Z_0123456789abcdef",
            "2026-11-29/a.245013Z-0123456789abcdef",
            "2026-11-29/a.1150 3Z-0123456789abcdef",
            "2026-13-29/a.115013Z-0123456789abcdef",
            "2026-02-30/a.115013Z-0123456789abcdef",
            "2026-1-29/a.115013Z-0123456789abcdef",
            "+2026-1-29/a.115013Z-0123456789abcdef",
            "20261129/a.115013Z-0123456789abcdef",
            "x/2026-11-29/a.115013Z-0123456789abcdef",
            "2026-11-29a.115013Z-0123456789abcdef",
        ] {
            assert_eq!(at(name), None, "{name}");
        }
        assert_eq!(Key::raw("2026-11-29/a.115013Z-0123456789abcdef").trashed_at(), None, "not in the trash");
        let day = |name: &str| Key::raw(format!("{TRASH}{name}")).trash_day_ends();
        assert_eq!(day("2026-11-29/"), Some(AT + 43_787));
        for name in ["", "/", "2026-11-29", "2026-11-31/", "web/", "2026-11-29/a/", "2026-11-9/"] {
            assert_eq!(day(name), None, "{name}");
        }
    }

    #[test]
    fn a_trash_reaches_back_to_when_it_was_turned_on_and_no_further_than_it_keeps() {
        let reach = |since, keep| Reach { prefix: "t/".into(), since, keep };
        for (found, keep, want, back) in [
            (None, Some(50), 1000, 1000),
            (Some(reach(900, Some(50))), Some(50), 900, 950),
            (Some(reach(980, Some(50))), Some(50), 980, 980),
            // what was gone when it came to be kept for longer is gone
            (Some(reach(900, Some(50))), Some(500), 950, 950),
            (Some(reach(900, Some(50))), None, 950, 950),
            (Some(reach(900, None)), Some(50), 900, 950),
            (Some(reach(900, None)), None, 900, 900),
            // another place: what is at that one is not looked for
            (Some(Reach { prefix: "u/".into(), ..reach(900, None) }), None, 1000, 1000),
        ] {
            let got = Reach::renewed(found.as_ref(), "t/", keep, 1000);
            assert_eq!((got.since, got.keep, got.back_to(1000)), (want, keep, back), "{found:?}");
        }
        assert_eq!(reach(5, Some(u64::MAX)).back_to(0), 5);
    }

    proptest! {
        #[test]
        fn every_name_has_the_form_and_the_time(key in "\\PC{1,300}", at in 0..4_000_000_000_i64) {
            prop_assert_eq!(trashed(&key, at, "trash/").key.trashed_at(), Some(at));
        }

        #[test]
        fn no_text_breaks_the_reading_of_names(name in "\\PC{0,60}") {
            let key = Key::raw(format!("{TRASH}{name}"));
            let _ = (key.trashed_at(), key.trash_day_ends());
        }
    }
}
