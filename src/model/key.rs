//! The object key of a file, and the codec between the two.
//!
//! The spelling is rclone's S3 encoding (`InvalidUtf8,Slash,Dot` of its `lib/encoder`), so that
//! rclone, and any tool for all but the rarest names, sees the names it expects: bytes that are not
//! UTF-8 become `‛XX`, and a character that would be read as an escape is preceded by `‛` (U+201B).
//! Reversible and injective. Control characters stay as they are: listings ask for
//! `encoding-type=url`.

use super::{BadPath, RelPath};
use std::{borrow::Borrow, fmt, sync::Arc};

/// The first component, under the prefix, that belongs to this program: it holds the owner record.
pub const RESERVED: &str = ".s3mirrord/";

/// The longest key S3 takes, in bytes, prefix included (S3 user guide, *Naming Amazon S3 objects*).
pub const MAX_KEY_BYTES: usize = 1024;

/// What the name of a symbolic link's object ends in, as rclone's `--links` has it. It holds the link's target.
pub const LINK: &str = ".rclonelink";

const QUOTE: char = '\u{201B}';
const NUL_SYMBOL: char = '\u{2400}';
const WIDE_SLASH: char = '\u{FF0F}';
const WIDE_DOT: char = '\u{FF0E}';

/// A key below the mirror's prefix. Any string a listing shows can be one; those that are the image
/// of a valid path have a [`Key::path`]. Ordered by bytes, as S3 lists. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// The key of the file at `path`.
    pub fn of(path: &RelPath) -> Self {
        let mut out = String::with_capacity(path.as_bytes().len());
        for (i, part) in path.components().enumerate() {
            if i > 0 {
                out.push('/');
            }
            encode(part, i == 0, &mut out);
        }
        Self(out.into())
    }

    /// The key of the symbolic link at `path`. A file may have the same one: it is the file's then.
    pub fn of_link(path: &RelPath) -> Self {
        Self::of(&path.link_name())
    }

    /// A key as a listing shows it (below the prefix, already percent-decoded).
    pub fn raw(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }

    /// The text below the prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file this key stands for, or `None` for a key that no file can have: `a//b`, `../x`, a
    /// directory marker (`a/`), the prefix itself, a reserved key, a spelling that is not the
    /// codec's own.
    pub fn path(&self) -> Option<RelPath> {
        if self.0.is_empty() || self.is_reserved() {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.0.len());
        for (i, part) in self.0.split('/').enumerate() {
            if i > 0 {
                bytes.push(b'/');
            }
            decode(part, &mut bytes);
        }
        let path: Result<RelPath, BadPath> = RelPath::new(&bytes);
        path.ok().filter(|p| !p.is_root() && Self::of(p) == *self)
    }

    /// True for keys under [`RESERVED`].
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED)
    }

    /// The symbolic link whose object this may be.
    pub fn link(&self) -> Option<RelPath> {
        if self.0.ends_with(LINK) { self.path()?.linked() } else { None }
    }

    /// The directory whose marker (`a/`) this is, if a file system can have it.
    pub fn marked(&self) -> Option<RelPath> {
        Self::raw(self.0.strip_suffix('/')?).path()
    }

    /// True for what ends in `/`: no file, and with any right only a directory's marker.
    pub fn is_directory(&self) -> bool {
        self.0.ends_with('/')
    }

    /// True for a directory marker, `a/`, of a directory a file system can have.
    pub fn is_directory_marker(&self) -> bool {
        self.marked().is_some()
    }

    /// True if this is `place`, the key of a file or a directory, or lies below it.
    pub fn is_at_or_below(&self, place: &Self) -> bool {
        let place = place.as_str().trim_end_matches('/');
        let rest = self.as_str().strip_prefix(place);
        place.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Where to look for what this key stands for: the path of the file, or of the directory. A link is found by the name
    /// of its object.
    pub fn place(&self) -> Option<RelPath> {
        self.marked().or_else(|| self.path())
    }

    /// The key of `dir` with `/` appended: where the keys below it begin. Empty for the root.
    pub fn directory(dir: &RelPath) -> Self {
        if dir.is_root() {
            return Self(Arc::from(""));
        }
        Self(format!("{}/", Self::of(dir).0).into())
    }
}

/// Control characters escaped: safe to print on a terminal and in a log line.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The keys that begin with a text: all of them, those of one directory, or just one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRange {
    /// Just this key.
    One(Key),
    /// Every key that begins with this (a directory's `a/`, or empty for all).
    Under(Key),
}

impl KeyRange {
    /// True if `key` lies in the range.
    pub fn contains(&self, key: &Key) -> bool {
        self.holds(key.as_str())
    }

    /// [`KeyRange::contains`], of a key's text: where keys are looked at and not kept.
    pub fn holds(&self, key: &str) -> bool {
        match self {
            Self::One(one) => *one.0 == *key,
            Self::Under(prefix) => key.starts_with(&*prefix.0),
        }
    }
}

fn encode(part: &[u8], first: bool, out: &mut String) {
    let start = out.len();
    let mut lone_dots = true;
    for chunk in part.utf8_chunks() {
        for c in chunk.valid().chars() {
            lone_dots &= c == WIDE_DOT;
            if matches!(c, QUOTE | NUL_SYMBOL | WIDE_SLASH) {
                out.push(QUOTE);
            }
            out.push(c);
        }
        for byte in chunk.invalid() {
            lone_dots = false;
            out.push(QUOTE);
            out.push_str(&format!("{byte:02X}"));
        }
    }
    let name = &out[start..];
    if lone_dots && matches!(name.chars().count(), 1 | 2) {
        // `．` and `．．` are rclone's spelling of `.` and `..`
        let quoted: String = name.chars().flat_map(|c| [QUOTE, c]).collect();
        out.replace_range(start.., &quoted);
    } else if first && name == RESERVED.trim_end_matches('/') {
        out.replace_range(start..start + 1, "\u{201B}2E");
    }
}

fn decode(part: &str, out: &mut Vec<u8>) {
    match part {
        "\u{FF0E}" => return out.push(b'.'),
        "\u{FF0E}\u{FF0E}" => return out.extend_from_slice(b".."),
        _ => {}
    }
    let mut rest = part;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            NUL_SYMBOL => out.push(0),
            WIDE_SLASH => out.push(b'/'),
            QUOTE => {
                if let Some(byte) = rest.get(..2).and_then(|h| u8::from_str_radix(h, 16).ok()) {
                    out.push(byte);
                    rest = &rest[2..];
                } else if let Some(next) = rest.chars().next() {
                    out.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[next.len_utf8()..];
                }
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(path: &[u8]) -> String {
        Key::of(&RelPath::new(path).expect("valid path")).as_str().to_owned()
    }

    #[test]
    fn names_are_spelled_as_rclone_spells_them() {
        for (path, want) in [
            (&b"a/b c+%#?&\"'"[..], "a/b c+%#?&\"'"),
            (b"x\ny\x01", "x\ny\x01"),
            (b"caf\xe9/\xff\xfe", "caf\u{201B}E9/\u{201B}FF\u{201B}FE"),
            ("\u{201B}41".as_bytes(), "\u{201B}\u{201B}41"),
            ("a\u{FF0F}b\u{2400}".as_bytes(), "a\u{201B}\u{FF0F}b\u{201B}\u{2400}"),
            ("\u{FF0E}/\u{FF0E}\u{FF0E}".as_bytes(), "\u{201B}\u{FF0E}/\u{201B}\u{FF0E}\u{201B}\u{FF0E}"),
            ("\u{FF0E}x".as_bytes(), "\u{FF0E}x"),
            (b".s3mirrord/owner", "\u{201B}2Es3mirrord/owner"),
            (b"a/.s3mirrord", "a/.s3mirrord"),
            (b".s3mirrord2", ".s3mirrord2"),
        ] {
            assert_eq!(key(path), want);
            assert_eq!(Key::raw(want).path().expect("an image").as_bytes(), path);
        }
    }

    #[test]
    fn what_lies_below_a_place_is_what_follows_a_slash() {
        for (key, place, want) in [
            ("a", "a", true),
            ("a/", "a", true),
            ("a/b/c", "a/", true),
            ("a-b", "a", false),
            ("ab/", "a/", false),
            ("a", "a/b", false),
            ("a/b", "", true),
        ] {
            assert_eq!(Key::raw(key).is_at_or_below(&Key::raw(place)), want, "{key} {place}");
        }
    }

    #[test]
    fn keys_that_no_file_can_have_are_told_apart() {
        for raw in [
            "",
            "a//b",
            "/a",
            "a/",
            "../x",
            "a/./b",
            "\u{FF0E}",
            "a/\u{FF0E}\u{FF0E}",
            "\u{FF0F}",
            "\u{2400}",
            "\u{201B}41",
            "\u{201B}zz",
            "\u{201B}",
            ".s3mirrord/owner",
            "\u{201B}ff",
        ] {
            assert_eq!(Key::raw(raw).path(), None, "{raw:?}");
        }
        assert!(Key::raw("a/").is_directory_marker() && !Key::raw("a//").is_directory_marker());
        assert!(!Key::raw("/").is_directory_marker() && !Key::raw("a").is_directory_marker());
    }

    #[test]
    fn keys_are_shown_without_control_characters() {
        let key = Key::raw("é\n\u{1b}[2J");
        assert_eq!(key.to_string(), "é\\n\\u{1b}[2J");
        assert_eq!(format!("{key:?}"), format!("\"{key}\""));
    }

    #[test]
    fn what_is_below_our_own_component_is_reserved() {
        for (key, want) in
            [(".s3mirrord/", true), (".s3mirrord/a", true), (".s3mirrord", false), ("a/.s3mirrord/", false)]
        {
            assert_eq!(Key::raw(key).is_reserved(), want, "{key}");
        }
    }

    #[test]
    fn a_range_is_one_key_or_all_that_begin_with_a_text() {
        let [one, below] = [KeyRange::One(Key::raw("a/")), KeyRange::Under(Key::raw("a/"))];
        for (key, is, is_below) in
            [("a/", true, true), ("a/b", false, true), ("a", false, false), ("b", false, false)]
        {
            let key = Key::raw(key);
            assert_eq!((one.contains(&key), below.contains(&key)), (is, is_below), "{key}");
        }
    }

    fn any_path() -> impl Strategy<Value = RelPath> {
        let odd = prop_oneof![
            Just("\u{201B}".as_bytes().to_vec()),
            Just("\u{FF0E}".as_bytes().to_vec()),
            Just("\u{FF0F}".as_bytes().to_vec()),
            Just("\u{2400}".as_bytes().to_vec()),
            Just(b"41".to_vec()),
            Just(b".s3mirrord".to_vec()),
            Just(vec![0xE2, 0x80]),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        let part = proptest::collection::vec(odd, 1..5).prop_map(|v| v.concat());
        proptest::collection::vec(part, 1..4)
            .prop_filter_map("a valid path", |v| RelPath::new(&v.join(&b'/')).ok().filter(|p| !p.is_root()))
    }

    proptest! {
        #[test]
        fn every_path_comes_back(p in any_path()) {
            prop_assert_eq!(Key::of(&p).path(), Some(p));
        }

        #[test]
        fn no_two_paths_share_a_key(a in any_path(), b in any_path()) {
            prop_assert_eq!(a == b, Key::of(&a) == Key::of(&b));
        }
    }
}
