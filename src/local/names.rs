//! Names of one directory, held in memory and put into key order.
//!
//! Order is that of the *encoded* names, with `/` appended to directories: a walk in that order is the
//! order of a flat listing. Names lie one after another in one buffer, with 16 bytes beside each.

use crate::model::{Key, Kind, LINK, RelPath};
use rustix::{ffi::CStr, io::Errno};
use std::cmp::Ordering;

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) raw: &'a CStr,
    /// As its key spells it, without the slash of a directory.
    pub(super) encoded: &'a str,
    pub(super) kind: Kind,
}

impl Name<'_> {
    /// In which order keys come.
    pub(super) fn order(&self, other: &Name<'_>) -> Ordering {
        order(self.encoded.as_bytes(), self.kind, other.encoded.as_bytes(), other.kind)
    }
}

/// The same of encoded names and their kinds.
pub(super) fn order(left: &[u8], of_left: Kind, right: &[u8], of_right: Kind) -> Ordering {
    let common = left.len().min(right.len());
    let tail = |part: &[u8], kind: Kind| {
        part.get(common).copied().or_else(|| (kind == Kind::Directory).then_some(b'/'))
    };
    left[..common].cmp(&right[..common]).then_with(|| tail(left, of_left).cmp(&tail(right, of_right)))
}

#[derive(Clone, Copy)]
struct Slot {
    /// Where the name begins; a NUL follows it.
    name: u32,
    /// Where the encoded name begins; the same for most.
    encoded: u32,
    name_len: u16,
    encoded_len: u16,
    kind: Kind,
}

/// Which of two names with the same key it is that counts, the lesser one: the file, and not the link whose object would
/// be called so.
pub(super) fn rank(kind: Kind) -> bool {
    kind == Kind::Link
}

/// A set of names. Sorted once [`Names::sort`] has been called.
#[derive(Default)]
pub(super) struct Names {
    /// Links have keys of their own.
    pub(super) links: bool,
    text: Vec<u8>,
    slots: Vec<Slot>,
}

impl Names {
    /// Takes the entry `name` of the directory at `dir`.
    ///
    /// # Errors
    /// `EBADMSG` for what no file can be called; `EOVERFLOW` beyond 4 GiB.
    pub(super) fn push(&mut self, dir: &[u8], name: &CStr, kind: Kind) -> Result<(), Errno> {
        let raw = name.to_bytes();
        let start = self.text.len();
        self.text.extend_from_slice(name.to_bytes_with_nul());
        let (mut encoded, mut encoded_len) = (start, raw.len());
        let link = self.links && kind == Kind::Link;
        if link || !is_plain(raw) {
            let spelling = spelling(dir, raw, if link { LINK } else { "" }).ok_or(Errno::BADMSG)?;
            (encoded, encoded_len) = (self.text.len(), spelling.len());
            self.text.extend_from_slice(spelling.as_bytes());
        }
        let place = |at: usize| u32::try_from(at).map_err(|_| Errno::OVERFLOW);
        let length = |len: usize| u16::try_from(len).map_err(|_| Errno::NAMETOOLONG);
        self.slots.push(Slot {
            name: place(start)?,
            encoded: place(encoded)?,
            name_len: length(raw.len())?,
            encoded_len: length(encoded_len)?,
            kind,
        });
        Ok(())
    }

    /// Bytes in use.
    pub(super) fn held(&self) -> usize {
        self.text.len() + self.slots.len() * size_of::<Slot>()
    }

    /// Forgets all, but keeps the memory for the next.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.slots.clear();
    }

    /// Puts them into key order, each once: a directory that changes while it is read may show a name twice.
    pub(super) fn sort(&mut self) {
        let text = &self.text;
        let part = |s: Slot| &text[s.encoded as usize..][..usize::from(s.encoded_len)];
        let order = |a: Slot, b: Slot| order(part(a), a.kind, part(b), b.kind);
        self.slots.sort_unstable_by(|a, b| order(*a, *b).then_with(|| rank(a.kind).cmp(&rank(b.kind))));
        self.slots.dedup_by(|a, b| order(*a, *b).is_eq());
    }

    /// The entry at this position.
    pub(super) fn get(&self, at: usize) -> Option<Name<'_>> {
        let slot = self.slots.get(at)?;
        let raw = &self.text[slot.name as usize..][..usize::from(slot.name_len) + 1];
        let encoded = &self.text[slot.encoded as usize..][..usize::from(slot.encoded_len)];
        Some(Name {
            raw: CStr::from_bytes_with_nul(raw).expect("stored with its NUL"),
            encoded: std::str::from_utf8(encoded).expect("the codec makes UTF-8"),
            kind: slot.kind,
        })
    }

    /// All from this position on.
    pub(super) fn from(&self, at: usize) -> impl Iterator<Item = Name<'_>> {
        (at..self.slots.len()).filter_map(|at| self.get(at))
    }
}

/// True for names that are spelled as they are: all that is special to the codec is not ASCII, but
/// for the reserved name.
fn is_plain(name: &[u8]) -> bool {
    name.is_ascii()
        && name.first().is_some_and(|c| *c != b'.' || name != b".s3mirrord")
        && !name.contains(&b'/')
}

fn spelling(dir: &[u8], name: &[u8], end: &str) -> Option<String> {
    if name.is_empty() || name.contains(&b'/') {
        return None;
    }
    let separator: &[u8] = if dir.is_empty() { b"" } else { b"/" };
    let path = RelPath::new(&[dir, separator, name, end.as_bytes()].concat()).ok()?;
    Key::of(&path).as_str().rsplit('/').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_sort_as_if_a_slash_followed() {
        let mut names = Names::default();
        for (name, kind) in [
            (c"a", Kind::Directory),
            (c"a-x", Kind::File),
            (c"a.y", Kind::File),
            (c"a0", Kind::File),
            (c"\xff", Kind::File),
            (c".s3mirrord", Kind::Directory),
            (c".s3", Kind::File),
            (c"a0", Kind::File),
        ] {
            names.push(b"", name, kind).expect("a valid name");
        }
        names.sort();
        let slash = |name: Name<'_>| if name.kind == Kind::Directory { "/" } else { "" };
        let found: Vec<_> = names.from(0).map(|name| format!("{}{}", name.encoded, slash(name))).collect();
        assert_eq!(
            found,
            [".s3", "a-x", "a.y", "a/", "a0", "\u{201B}2Es3mirrord/", "\u{201B}FF"],
            "in the order of their keys, each once"
        );
    }

    #[test]
    fn what_no_file_can_be_called_is_refused() {
        for name in [c"", c"a/b", c"\xff/b"] {
            for dir in [&b""[..], b"d"] {
                assert_eq!(Names::default().push(dir, name, Kind::File), Err(Errno::BADMSG), "{name:?}");
            }
        }
    }
}
