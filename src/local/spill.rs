//! Names that memory is not to hold: sorted *runs* in a file without a name, which ends with the walk.
//!
//! A walk goes depth first, so the file is used like a stack: runs are written behind the last one that is
//! still in use. It is never larger than the names of the directories on the way down, merged once more.

use super::names::{Name, order, rank};
use crate::model::Kind;
use rustix::{
    ffi::CStr,
    fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat},
    io::{self, Errno},
};
use std::{
    cell::RefCell,
    cmp::Ordering,
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    rc::Rc,
};

/// Bytes written at a time.
const WRITE: usize = 64 * 1024;
/// Bytes of a packed name before its text: kind, and the lengths of both spellings.
const HEAD: usize = 5;

/// Where runs are written to.
pub(super) struct Spill {
    directory: PathBuf,
    file: Option<Rc<Extents>>,
    /// Bytes read at a time from each run.
    read: usize,
}

struct Extents {
    file: File,
    /// Runs in use: where they begin, and where they end.
    used: RefCell<BTreeMap<u64, u64>>,
}

/// A sorted run. What it takes of the file is free again when it goes.
pub(super) struct Run {
    file: Rc<Extents>,
    start: u64,
    /// What has not been read yet.
    at: u64,
    end: u64,
    read: usize,
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.end > self.start {
            self.file.used.borrow_mut().remove(&self.start);
        }
    }
}

impl Spill {
    /// Into `directory`; nothing is opened until it is needed.
    pub(super) fn new(directory: &Path, read: usize) -> Self {
        Self { directory: directory.to_owned(), file: None, read }
    }

    /// Writes a run: `next` packs the next name in key order behind what it is given, until it returns false.
    ///
    /// # Errors
    /// Of writing: `ENOSPC`, `EDQUOT`, `EROFS`, `ENOENT` if there is no such directory. Nothing is kept then.
    /// Those of `next`.
    pub(super) fn write(
        &mut self,
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, Errno>,
    ) -> Result<Run, Errno> {
        let file = Rc::clone(self.file()?);
        let start = file.used.borrow().last_key_value().map_or(0, |(_, end)| *end);
        let (mut at, mut bytes) = (start, Vec::with_capacity(WRITE + HEAD));
        while next(&mut bytes)? {
            if bytes.len() >= WRITE {
                put(&file.file, &mut bytes, &mut at)?;
            }
        }
        put(&file.file, &mut bytes, &mut at)?;
        if at > start {
            file.used.borrow_mut().insert(start, at);
        }
        Ok(Run { file, start, at: start, end: at, read: self.read })
    }

    /// As if the disk had lost it all.
    #[cfg(test)]
    pub(super) fn damage(&self) {
        let file = self.file.as_ref().expect("something was written");
        file.file.set_len(0).expect("truncate");
    }

    fn file(&mut self) -> Result<&Rc<Extents>, Errno> {
        if self.file.is_none() {
            let file = unnamed(&self.directory)?;
            self.file = Some(Rc::new(Extents { file, used: RefCell::default() }));
        }
        self.file.as_ref().ok_or(Errno::BADF)
    }
}

fn put(file: &File, bytes: &mut Vec<u8>, at: &mut u64) -> Result<(), Errno> {
    file.write_all_at(bytes, *at).map_err(|error| errno(&error))?;
    *at += bytes.len() as u64;
    bytes.clear();
    Ok(())
}

fn errno(error: &std::io::Error) -> Errno {
    // what has no number of its own: nothing more could be written, or less was there to be read
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// A file in `directory` that nobody else sees.
fn unnamed(directory: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match io::retry_on_intr(|| openat(CWD, directory, flags | OFlags::TMPFILE, mode)) {
        Ok(file) => Ok(file.into()),
        // Not every file system can, and old kernels take it for the directory itself.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => unlinked(directory, flags, mode),
        Err(errno) => Err(errno),
    }
}

/// The same where every file has a name: it is taken away at once.
fn unlinked(directory: &Path, flags: OFlags, mode: Mode) -> Result<File, Errno> {
    let path = directory.join(format!("names-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let file = io::retry_on_intr(|| {
        openat(CWD, &path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)
    })?;
    unlinkat(CWD, &path, AtFlags::empty())?;
    Ok(file.into())
}

/// Appends `name` to `out`.
pub(super) fn pack(name: &Name<'_>, out: &mut Vec<u8>) {
    let raw = name.raw.to_bytes_with_nul();
    let encoded = if raw.strip_suffix(b"\0") == Some(name.encoded.as_bytes()) { "" } else { name.encoded };
    // names have at most 255 bytes, and five for each of them when spelled out
    let length = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes();
    out.push(name.kind as u8);
    out.extend_from_slice(&length(raw.len()));
    out.extend_from_slice(&length(encoded.len()));
    out.extend_from_slice(raw);
    out.extend_from_slice(encoded.as_bytes());
}

/// How a packed name is laid out.
#[derive(Clone, Copy)]
struct Layout {
    kind: Kind,
    /// Bytes of the name, with its NUL.
    raw: usize,
    /// Bytes of the encoded one; 0 if it is the same.
    encoded: usize,
}

impl Layout {
    /// Of the first name of `bytes`; `None` if they hold no whole one.
    fn of(bytes: &[u8]) -> Result<Option<Self>, Errno> {
        let Some(([kind, r0, r1, e0, e1], text)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let kinds = [Kind::Directory, Kind::File, Kind::Link, Kind::Special];
        let kind = kinds.into_iter().find(|known| *known as u8 == *kind).ok_or(Errno::BADMSG)?;
        let length = |bytes: [u8; 2]| usize::from(u16::from_le_bytes(bytes));
        let layout = Self { kind, raw: length([*r0, *r1]), encoded: length([*e0, *e1]) };
        Ok((layout.raw + layout.encoded <= text.len()).then_some(layout))
    }

    fn length(self) -> usize {
        HEAD + self.raw + self.encoded
    }

    fn encoded(self, bytes: &[u8]) -> &[u8] {
        match self.encoded {
            0 => &bytes[HEAD..][..self.raw.saturating_sub(1)],
            length => &bytes[HEAD + self.raw..][..length],
        }
    }
}

/// The name that `bytes` begin with.
///
/// # Errors
/// `EBADMSG` if there is none: the file is damaged.
pub(super) fn unpack(bytes: &[u8]) -> Result<Name<'_>, Errno> {
    let layout = Layout::of(bytes)?.ok_or(Errno::BADMSG)?;
    let raw = CStr::from_bytes_with_nul(&bytes[HEAD..][..layout.raw]).map_err(|_| Errno::BADMSG)?;
    let encoded = std::str::from_utf8(layout.encoded(bytes)).map_err(|_| Errno::BADMSG)?;
    Ok(Name { raw, encoded, kind: layout.kind })
}

/// True if two packed names are those of one key.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    fn key(packed: &[u8]) -> Option<(&[u8], bool)> {
        let layout = Layout::of(packed).ok()??;
        Some((layout.encoded(packed), layout.kind == Kind::Directory))
    }
    key(left) == key(right)
}

/// A run that is being read, at its first name that has not been taken. Ordered by that, the first
/// in key order being the *greatest*, as heaps want it.
pub(super) struct Reader {
    run: Run,
    buffer: Vec<u8>,
    /// Where in `buffer` that name begins.
    begin: usize,
    layout: Layout,
}

impl Run {
    /// Goes to its first name that has not been read; `None` at its end.
    ///
    /// # Errors
    /// Of reading; `EBADMSG` if the file is damaged.
    pub(super) fn open(self) -> Result<Option<Reader>, Errno> {
        let buffer = Vec::new();
        let layout = Layout { kind: Kind::File, raw: 0, encoded: 0 };
        let mut reader = Reader { run: self, buffer, begin: 0, layout };
        Ok(reader.find()?.then_some(reader))
    }
}

impl Reader {
    /// Goes to the next name; false at the end of the run.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub(super) fn advance(&mut self) -> Result<bool, Errno> {
        self.begin += self.layout.length();
        self.find()
    }

    fn find(&mut self) -> Result<bool, Errno> {
        loop {
            if let Some(layout) = Layout::of(&self.buffer[self.begin..])? {
                self.layout = layout;
                return Ok(true);
            }
            if self.run.at == self.run.end {
                let whole = self.begin == self.buffer.len();
                return if whole { Ok(false) } else { Err(Errno::BADMSG) };
            }
            self.fill()?;
        }
    }

    /// Reads on, behind what is left.
    fn fill(&mut self) -> Result<(), Errno> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let left = usize::try_from(self.run.end - self.run.at).unwrap_or(usize::MAX);
        let have = self.buffer.len();
        let more = left.min(self.run.read.saturating_sub(have).max(self.run.read / 2));
        self.buffer.reserve_exact(more);
        self.buffer.resize(have + more, 0);
        let file = &self.run.file.file;
        file.read_exact_at(&mut self.buffer[have..], self.run.at).map_err(|error| errno(&error))?;
        self.run.at += more as u64;
        Ok(())
    }

    /// The name it is at.
    pub(super) fn name(&self) -> Result<Name<'_>, Errno> {
        unpack(self.packed())
    }

    /// The same, packed. Empty if it could not be read on: the heap it is in may still compare it.
    pub(super) fn packed(&self) -> &[u8] {
        self.buffer[self.begin..].get(..self.layout.length()).unwrap_or_default()
    }

    fn encoded(&self) -> &[u8] {
        match self.packed() {
            [] => &[],
            packed => self.layout.encoded(packed),
        }
    }

    /// Bytes of memory that it takes at most.
    pub(super) fn held(&self) -> usize {
        self.run.read
    }

    /// Gives up its buffer.
    pub(super) fn close(mut self) -> Run {
        self.run.at -= (self.buffer.len() - self.begin) as u64;
        self.run
    }
}

impl Ord for Reader {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = order(other.encoded(), other.layout.kind, self.encoded(), self.layout.kind);
        order.then_with(|| rank(other.layout.kind).cmp(&rank(self.layout.kind)))
    }
}

impl PartialOrd for Reader {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Reader {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Reader {}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(spill: &mut Spill, names: &[&CStr]) -> Run {
        let mut names = names.iter();
        let name = |raw| Name { raw, encoded: raw.to_str().expect("UTF-8"), kind: Kind::File };
        let run = spill.write(|out| Ok(names.next().inspect(|raw| pack(&name(raw), out)).is_some()));
        run.expect("written")
    }

    #[test]
    fn what_is_done_with_makes_room() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut spill = Spill::new(temp.path(), 4096);
        let first = write(&mut spill, &[c"a", c"b"]);
        let empty = write(&mut spill, &[]);
        let second = write(&mut spill, &[c"c"]);
        drop(empty);
        let end = second.end;
        drop(first);
        assert_eq!(write(&mut spill, &[c"d"]).start, end, "behind what is still in use");
        drop(second);
        assert_eq!(write(&mut spill, &[c"e"]).start, 0, "nothing is in use any more");
    }

    #[test]
    fn a_run_that_ends_within_a_name_is_damaged() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut spill = Spill::new(temp.path(), 4096);
        for (cut, want) in [(0, Ok(false)), (1, Err(Errno::BADMSG))] {
            let mut run = write(&mut spill, &[c"a", c"b"]);
            run.end -= cut;
            let mut reader = run.open().expect("readable").expect("not empty");
            let end = std::iter::repeat_with(|| reader.advance()).find(|more| *more != Ok(true));
            assert_eq!(end, Some(want));
        }
    }

    #[test]
    fn a_file_system_without_unnamed_files_does_too() {
        let temp = tempfile::tempdir().expect("a directory");
        let file = unlinked(temp.path(), OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
        file.expect("a file").write_all_at(b"x", 0).expect("written");
        assert_eq!(std::fs::read_dir(temp.path()).expect("read").count(), 0);
    }

    #[test]
    fn names_come_back_as_they_were_and_damage_is_found() {
        let names =
            [(c"a", "a", Kind::Directory), (c"\xff", "\u{201B}FF", Kind::Link), (c"", "", Kind::Special)];
        for (raw, encoded, kind) in names {
            let mut packed = Vec::new();
            pack(&Name { raw, encoded, kind }, &mut packed);
            let name = unpack(&packed).expect("whole");
            assert_eq!((name.raw, name.encoded, name.kind), (raw, encoded, kind));
            assert!(unpack(&packed[..packed.len() - 1]).is_err(), "cut");
            packed[0] = 9;
            assert!(unpack(&packed).is_err(), "no kind");
        }
    }
}
