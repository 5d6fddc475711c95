//! One directory, read whole and put into key order.
//!
//! Order is that of the *encoded* names, with `/` appended to directories: a walk in that order is the
//! order of a flat listing. Names lie one after another in one buffer, with 16 bytes beside each, so
//! that a flat directory of a million names costs some 40 MB and no million allocations.

use super::stat::Stat;
use crate::model::{Key, RelPath};
use rustix::{
    fd::BorrowedFd,
    ffi::CStr,
    fs::{FileType, RawDir},
    io::{self, Errno},
};
use std::{cmp::Ordering, mem::MaybeUninit};

/// What an entry is, as far as the way of going on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// To be asked with stat.
    File,
    Link,
    /// A FIFO, socket or device.
    Special,
}

impl Kind {
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::Directory => Self::Directory,
            FileType::RegularFile | FileType::Unknown => Self::File,
            FileType::Symlink => Self::Link,
            _ => Self::Special,
        }
    }
}

/// Reads the entries of `dir`, but `.` and `..`, and gives each to `each`.
///
/// # Errors
/// Of reading, wherever it stopped; `ENOENT` if the directory was removed.
pub(super) fn enumerate(
    dir: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
    mut each: impl FnMut(&CStr, Kind) -> io::Result<()>,
) -> io::Result<()> {
    let mut entries = RawDir::new(dir, buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not keep the kind in the directory.
            FileType::Unknown => match Stat::at(dir, name) {
                Ok(stat) => Kind::of(stat.kind()),
                Err(Errno::NOENT) => continue,
                Err(_) => Kind::File,
            },
            known => Kind::of(known),
        };
        each(name, kind)?;
    }
    Ok(())
}

/// Bytes for [`enumerate`]: what one call to the kernel fills.
pub(super) fn buffer() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); 64 * 1024]
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

/// The entries of one directory, given out in key order.
#[derive(Default)]
pub(super) struct Listing {
    text: Vec<u8>,
    slots: Vec<Slot>,
    next: usize,
}

/// One entry of a [`Listing`].
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) raw: &'a CStr,
    /// As its key spells it, UTF-8.
    pub(super) encoded: &'a str,
    pub(super) kind: Kind,
}

impl Listing {
    /// Reads `dir`, whose path below the root is `path`. Beside what was read, the error that ended it early.
    pub(super) fn read(
        dir: BorrowedFd<'_>,
        path: &[u8],
        buffer: &mut [MaybeUninit<u8>],
    ) -> (Self, Option<Errno>) {
        let mut listing = Self::default();
        let result = enumerate(dir, buffer, |name, kind| listing.push(path, name, kind));
        listing.sort();
        (listing, result.err())
    }

    fn push(&mut self, dir: &[u8], name: &CStr, kind: Kind) -> io::Result<()> {
        let raw = name.to_bytes();
        let start = self.text.len();
        self.text.extend_from_slice(name.to_bytes_with_nul());
        let (mut encoded, mut encoded_len) = (start, raw.len());
        if !is_plain(raw) {
            let spelling = spelling(dir, raw).ok_or(Errno::BADMSG)?;
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

    fn sort(&mut self) {
        let text = &self.text;
        self.slots.sort_unstable_by(|a, b| order(text, *a, *b));
        // A directory that changes while it is read may show a name twice.
        self.slots.dedup_by(|a, b| order(text, *a, *b).is_eq());
    }

    /// The next entry in key order.
    pub(super) fn next(&mut self) -> Option<Name<'_>> {
        let slot = *self.slots.get(self.next)?;
        self.next += 1;
        Some(self.name(slot))
    }

    /// The entry given last turns out to be a directory: it comes again, at its place as one.
    pub(super) fn again_as_directory(&mut self) {
        let Some(slot) = self.next.checked_sub(1).and_then(|at| self.slots.get(at)) else { return };
        let slot = Slot { kind: Kind::Directory, ..*slot };
        let rest = &self.slots[self.next..];
        match rest.binary_search_by(|other| order(&self.text, *other, slot)) {
            Ok(_) => {}
            Err(at) => self.slots.insert(self.next + at, slot),
        }
    }

    fn name(&self, slot: Slot) -> Name<'_> {
        let raw = &self.text[slot.name as usize..][..usize::from(slot.name_len) + 1];
        let encoded = &self.text[slot.encoded as usize..][..usize::from(slot.encoded_len)];
        Name {
            raw: CStr::from_bytes_with_nul(raw).expect("stored with its NUL"),
            encoded: std::str::from_utf8(encoded).expect("the codec makes UTF-8"),
            kind: slot.kind,
        }
    }
}

/// True for names that are spelled as they are: all that is special to the codec is not ASCII, but
/// for the reserved name.
fn is_plain(name: &[u8]) -> bool {
    name.is_ascii() && name.first().is_some_and(|c| *c != b'.' || name != b".s3mirrord")
}

fn spelling(dir: &[u8], name: &[u8]) -> Option<String> {
    let separator: &[u8] = if dir.is_empty() { b"" } else { b"/" };
    let path = RelPath::new(&[dir, separator, name].concat()).ok()?;
    Key::of(&path).as_str().rsplit('/').next().map(str::to_owned)
}

fn order(text: &[u8], a: Slot, b: Slot) -> Ordering {
    let part = |s: Slot| &text[s.encoded as usize..][..usize::from(s.encoded_len)];
    let (left, right) = (part(a), part(b));
    let common = left.len().min(right.len());
    let tail = |part: &[u8], slot: Slot| {
        part.get(common).copied().or_else(|| (slot.kind == Kind::Directory).then_some(b'/'))
    };
    left[..common].cmp(&right[..common]).then_with(|| tail(left, a).cmp(&tail(right, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(entries: &[(&CStr, Kind)]) -> Listing {
        let mut listing = Listing::default();
        for (name, kind) in entries {
            listing.push(b"", name, *kind).expect("a valid name");
        }
        listing.sort();
        listing
    }

    fn names(listing: &mut Listing) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(name) = listing.next() {
            out.push(format!("{}{}", name.encoded, if name.kind == Kind::Directory { "/" } else { "" }));
        }
        out
    }

    #[test]
    fn directories_sort_as_if_a_slash_followed() {
        let mut found = listing(&[
            (c"a", Kind::Directory),
            (c"a-x", Kind::File),
            (c"a.y", Kind::File),
            (c"a0", Kind::File),
            (c"\xff", Kind::File),
            (c".s3mirrord", Kind::Directory),
            (c".s3", Kind::File),
            (c"a0", Kind::File),
        ]);
        assert_eq!(
            names(&mut found),
            [".s3", "a-x", "a.y", "a/", "a0", "\u{201B}2Es3mirrord/", "\u{201B}FF"],
            "in the order of their keys, each once"
        );
    }

    #[test]
    fn a_file_that_became_a_directory_comes_again_at_its_place() {
        let mut found = listing(&[(c"a", Kind::File), (c"a-x", Kind::File), (c"b", Kind::File)]);
        assert_eq!(found.next().map(|n| n.encoded.to_owned()).as_deref(), Some("a"));
        found.again_as_directory();
        assert_eq!(names(&mut found), ["a-x", "a/", "b"]);
    }
}
