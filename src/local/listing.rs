//! One directory, read whole, and then given out in key order.
//!
//! A small one stays in memory. Of a large one a sorted run is written whenever the names held are too many,
//! and the runs are merged as they are given out: a flat directory of a million names costs no more
//! memory than one of fifty thousand.

use super::{
    entries::{self, enumerate},
    names::{Name, Names},
    spill::{Reader, Run, Spill, pack, same, unpack},
    warnings::Why,
};
use crate::model::{Kind, LINK};
use rustix::{fd::BorrowedFd, ffi::CStr, io::Errno};
use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque, binary_heap::PeekMut},
    mem::MaybeUninit,
    path::Path,
};

/// Memory for the names of the directories that are being walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of names held of one directory, and as many of those above it together.
    pub(super) names: usize,
    /// Runs merged at a time.
    pub(super) fan: usize,
    /// Bytes read at a time from each of them.
    pub(super) read: usize,
}

/// Why a directory was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// It cannot be listed.
    Read(Errno),
    /// What was read cannot be kept on disk.
    Spill(Errno),
}

impl From<Errno> for Halt {
    fn from(errno: Errno) -> Self {
        Self::Read(errno)
    }
}

impl Halt {
    /// As the operator is told of it.
    pub(super) fn warning(self) -> Why {
        match self {
            Self::Read(errno) => Why::Unread(errno),
            Self::Spill(errno) => Why::Unkept(errno),
        }
    }
}

/// What it takes to read a directory.
pub(super) struct Desk {
    pub(super) buffer: Vec<MaybeUninit<u8>>,
    pub(super) spill: Spill,
    pub(super) limits: Limits,
    /// Links have keys of their own.
    pub(super) links: bool,
}

impl Desk {
    /// With `aside` for what memory is not to hold.
    pub(super) fn new(aside: &Path, limits: Limits) -> Self {
        Self { buffer: entries::buffer(), spill: Spill::new(aside, limits.read), limits, links: false }
    }

    /// With links under keys of their own.
    pub(super) fn with_links(self, links: bool) -> Self {
        Self { links, ..self }
    }
}

/// The entries of one directory, given out in key order.
#[derive(Default)]
pub(super) struct Listing {
    source: Source,
    /// The one given last, packed, if `source` does not hold it any more.
    given: Vec<u8>,
    /// Files that turned out to be directories or links, packed as such. The next one to be given is the last: whatever
    /// comes between `a` and `a/` begins with `a`, so each begins with the one before it.
    late: Vec<Vec<u8>>,
}

enum Source {
    /// In memory, and the position of the next one.
    Held(Names, usize),
    /// On disk, not being read now.
    Put(Vec<Run>),
    /// On disk. The reader on top is at the next one.
    Merged(BinaryHeap<Reader>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Held(Names::default(), 0)
    }
}

impl Listing {
    /// Reads `dir`, whose path below the root is `path`. Beside what was read, why it ended early.
    /// Nothing is given of a directory whose names could not be kept.
    pub(super) fn read(dir: BorrowedFd<'_>, path: &[u8], desk: &mut Desk) -> (Self, Option<Halt>) {
        let Desk { buffer, spill, limits, links } = desk;
        let mut gathered = Gathered::default();
        gathered.names.links = *links;
        let read = enumerate(dir, buffer, |name, kind| gathered.push(path, name, kind, spill, limits));
        gathered.finish(read, spill, limits)
    }

    fn of(source: Source) -> Self {
        Self { source, ..Self::default() }
    }

    /// Bytes of memory that the names take.
    pub(super) fn held(&self) -> usize {
        match &self.source {
            Source::Held(names, _) => names.held(),
            Source::Put(_) => 0,
            Source::Merged(readers) => readers.len() * readers.peek().map_or(0, Reader::held),
        }
    }

    /// The next entry in key order.
    ///
    /// # Errors
    /// Of reading back what was written to disk: then nothing is known of the rest.
    pub(super) fn next(&mut self) -> Result<Option<Name<'_>>, Errno> {
        if let Source::Put(runs) = &mut self.source {
            self.source = Source::Merged(open(std::mem::take(runs))?);
        }
        if let Some(late) = self.late.last() {
            let late = unpack(late)?;
            let first = match self.peek()? {
                Some(next) => late.order(&next),
                None => Ordering::Less,
            };
            match first {
                Ordering::Less => {
                    self.given = self.late.pop().unwrap_or_default();
                    return unpack(&self.given).map(Some);
                }
                // The listing shows it too.
                Ordering::Equal => drop(self.late.pop()),
                Ordering::Greater => {}
            }
        }
        match &mut self.source {
            Source::Held(names, next) => {
                let name = names.get(*next);
                *next += usize::from(name.is_some());
                Ok(name)
            }
            Source::Put(_) => Ok(None),
            Source::Merged(readers) => take(readers, &mut self.given),
        }
    }

    fn peek(&self) -> Result<Option<Name<'_>>, Errno> {
        match &self.source {
            Source::Held(names, next) => Ok(names.get(*next)),
            Source::Put(_) => Ok(None),
            Source::Merged(readers) => readers.peek().map(Reader::name).transpose(),
        }
    }

    /// The entry given last turns out to be of this kind, whose keys come later: it comes again, at its place as one.
    pub(super) fn again_as(&mut self, kind: Kind) -> Result<(), Errno> {
        let name = match &self.source {
            Source::Held(names, next) => next.checked_sub(1).and_then(|at| names.get(at)),
            _ => Some(unpack(&self.given)?),
        };
        if let Some(name) = name {
            let end = if kind == Kind::Link { LINK } else { "" };
            let encoded = [name.encoded, end].concat();
            let mut late = Vec::new();
            pack(&Name { kind, encoded: &encoded, ..name }, &mut late);
            self.late.push(late);
        }
        Ok(())
    }

    /// Puts to disk what memory holds of it.
    ///
    /// # Errors
    /// Of writing; then it is as before.
    pub(super) fn put(&mut self, spill: &mut Spill) -> Result<(), Errno> {
        let runs = match &mut self.source {
            Source::Held(names, next) => {
                let mut rest = names.from(*next);
                vec![spill.write(|out| Ok(rest.next().inspect(|name| pack(name, out)).is_some()))?]
            }
            Source::Put(_) => return Ok(()),
            Source::Merged(readers) => std::mem::take(readers).into_iter().map(Reader::close).collect(),
        };
        self.source = Source::Put(runs);
        Ok(())
    }
}

/// What was read so far.
#[derive(Default)]
struct Gathered {
    names: Names,
    /// Oldest first.
    runs: VecDeque<Run>,
}

impl Gathered {
    fn push(
        &mut self,
        dir: &[u8],
        name: &CStr,
        kind: Kind,
        spill: &mut Spill,
        limits: &Limits,
    ) -> Result<(), Halt> {
        self.names.push(dir, name, kind)?;
        if self.names.held() >= limits.names {
            self.runs.push_back(put(&mut self.names, spill).map_err(Halt::Spill)?);
        }
        Ok(())
    }

    fn finish(
        mut self,
        read: Result<(), Halt>,
        spill: &mut Spill,
        limits: &Limits,
    ) -> (Listing, Option<Halt>) {
        if let Err(halt @ Halt::Spill(_)) = read {
            return (Listing::default(), Some(halt));
        }
        if self.runs.is_empty() {
            self.names.sort();
            return (Listing::of(Source::Held(self.names, 0)), read.err());
        }
        let rest = put(&mut self.names, spill).and_then(|run| {
            self.runs.push_back(run);
            fold(self.runs, spill, limits.fan)
        });
        match rest {
            Ok(runs) => (Listing::of(Source::Put(runs)), read.err()),
            Err(errno) => (Listing::default(), Some(Halt::Spill(errno))),
        }
    }
}

/// Sorts the names and writes them to disk.
fn put(names: &mut Names, spill: &mut Spill) -> Result<Run, Errno> {
    names.sort();
    let mut all = names.from(0);
    let run = spill.write(|out| Ok(all.next().inspect(|name| pack(name, out)).is_some()))?;
    drop(all);
    names.clear();
    Ok(run)
}

/// Merges the oldest runs into one until there are no more than `fan`.
fn fold(mut runs: VecDeque<Run>, spill: &mut Spill, fan: usize) -> Result<Vec<Run>, Errno> {
    while runs.len() > fan {
        let mut readers = open(runs.drain(..fan).collect())?;
        let mut given = Vec::new();
        runs.push_back(spill.write(|out| {
            let more = take(&mut readers, &mut given)?.is_some();
            out.extend_from_slice(if more { &given } else { &[] });
            Ok(more)
        })?);
    }
    Ok(runs.into())
}

fn open(runs: Vec<Run>) -> Result<BinaryHeap<Reader>, Errno> {
    runs.into_iter().filter_map(|run| run.open().transpose()).collect()
}

/// Takes the next name of all, leaving it in `given`. A directory that changes while it is read may show a
/// name twice: it is taken once.
fn take<'a>(readers: &mut BinaryHeap<Reader>, given: &'a mut Vec<u8>) -> Result<Option<Name<'a>>, Errno> {
    let Some(first) = readers.peek() else { return Ok(None) };
    given.clear();
    given.extend_from_slice(first.packed());
    while let Some(mut next) = readers.peek_mut()
        && same(next.packed(), given)
    {
        if !next.advance()? {
            PeekMut::pop(next);
        }
    }
    unpack(given).map(Some)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::fs::File;

    /// So little memory that a handful of names is too much.
    pub(in crate::local) const TINY: Limits = Limits { names: 100, fan: 2, read: 2048 };

    pub(in crate::local) fn listing(dir: &[u8], entries: &[(&CStr, Kind)], desk: &mut Desk) -> Listing {
        let (mut gathered, Desk { spill, limits, .. }) = (Gathered::default(), desk);
        for (name, kind) in entries {
            gathered.push(dir, name, *kind, spill, limits).expect("kept");
        }
        let (listing, halt) = gathered.finish(Ok(()), spill, limits);
        assert_eq!(halt, None);
        listing
    }

    fn desk(limits: Limits) -> Desk {
        Desk::new(&std::env::temp_dir(), limits)
    }

    fn names(listing: &mut Listing) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(name) = listing.next().expect("readable") {
            out.push(format!("{}{}", name.encoded, if name.kind == Kind::Directory { "/" } else { "" }));
        }
        out
    }

    const ROOMY: Limits = Limits { names: 1 << 20, fan: 64, read: 4096 };

    #[test]
    fn c77_runs_on_disk_are_given_in_order_each_name_once() {
        let name = |n: u64| std::ffi::CString::new(format!("{:04}", n * 7919 % 5000)).expect("no NUL");
        let made: Vec<_> = (0..5000).chain(0..500).map(name).collect();
        // The last ones come twice, replaced by links meanwhile.
        let kind = |at| if at < 5000 { Kind::File } else { Kind::Link };
        let entries: Vec<_> = made.iter().enumerate().map(|(at, name)| (&**name, kind(at))).collect();
        let want: Vec<String> = (0..5000).map(|n| format!("{n:04}")).collect();
        for limits in [TINY, ROOMY, Limits { names: 10_000, ..TINY }] {
            let mut desk = desk(limits);
            let mut found = listing(b"", &entries, &mut desk);
            assert!(found.held() <= 10_000 || limits.names == ROOMY.names, "{}", found.held());
            assert_eq!(
                found.next().expect("readable").map(|name| name.encoded.to_owned()),
                Some("0000".into())
            );
            found.put(&mut desk.spill).expect("kept");
            assert_eq!(found.held(), 0, "what was in memory is on disk");
            assert_eq!(names(&mut found), want[1..], "and goes on where it was, {limits:?}");
        }
    }

    #[test]
    fn a_file_that_became_a_directory_comes_again_at_its_place() {
        let (file, dir) = (Kind::File, Kind::Directory);
        let entries = [
            (c"a", file),
            (c"a-", file),
            (c"a--", dir),
            (c"a-x", file),
            (c"a.", file),
            (c"a.", dir),
            (c"b", file),
        ];
        for limits in [TINY, ROOMY, Limits { names: 1, ..TINY }] {
            let mut found = listing(b"", &entries, &mut desk(limits));
            let mut seen = Vec::new();
            while let Some(name) = found.next().expect("readable") {
                let (text, kind) = (name.encoded.to_owned(), name.kind);
                if kind == file && text != "b" {
                    found.again_as(dir).expect("at one");
                }
                seen.push(format!("{text}{}", if kind == dir { "/" } else { "" }));
            }
            let want = ["a", "a-", "a--/", "a-/", "a-x", "a-x/", "a.", "a./", "a/", "b"];
            assert_eq!(seen, want, "{limits:?}");
        }
    }

    #[test]
    fn c77_what_cannot_be_kept_or_read_back_is_never_a_shorter_directory() {
        let temp = tempfile::tempdir().expect("a directory");
        for n in 0..50 {
            std::fs::write(temp.path().join(n.to_string()), "").expect("write");
        }
        let open = || File::open(temp.path()).expect("open");
        let mut nowhere = Desk::new(&temp.path().join("none"), TINY);
        let (mut found, halt) = Listing::read(open().as_fd(), b"", &mut nowhere);
        assert_eq!(halt, Some(Halt::Spill(Errno::NOENT)));
        assert_eq!(names(&mut found), [""; 0]);

        let mut desk = Desk::new(temp.path(), Limits { read: 20, ..TINY });
        let (mut found, halt) = Listing::read(open().as_fd(), b"", &mut desk);
        assert_eq!(halt, None);
        assert_eq!(std::fs::read_dir(temp.path()).expect("read").count(), 50, "nobody sees the file");
        assert!(found.next().is_ok_and(|name| name.is_some()));
        desk.spill.damage();
        let end = loop {
            match found.next() {
                Ok(Some(_)) => {}
                end => break end.map(|_| ()),
            }
        };
        assert_eq!(end, Err(Errno::IO), "not an end");
    }
}
