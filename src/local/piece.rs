//! A large file comes in pieces, side by side, and one that was cut off goes on where it was.
//!
//! How far each piece has come is noted behind the bytes of the file, in the draft itself: so notes and bytes are of one
//! draft, end with it, and are cut off before it takes its name. What they say is no proof: what an earlier restore wrote
//! is read, and hashed as what comes is, so a note that is wrong, or bytes that a power failure took, cost a fetch and never
//! make a wrong file.

use super::{
    draft::{Draft, Sort, draft_name},
    hash::{CHUNK, Hashing},
    hole::{dig, write, write_but_holes},
    stat::Stat,
    tally::{Form, Share, Tally},
    target::{BENEATH, Inner, Target, blocking, fault},
};
use crate::model::{Class, ETag, Fault, LocalMeta, RelPath, Source};
use bytes::Bytes;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, fdatasync, flock, fstat, openat2, unlinkat},
    io::{Errno, pread, retry_on_intr},
    process::geteuid,
};
use sha2::{Digest as _, Sha256};
use std::{ops::Range, sync::Arc};

/// What the notes of this form are known by.
const VERSION: &[u8] = b"s3mirrord restore 1";
/// Bytes of what says which object they are of,
const TAG: usize = 32;
/// and of the note of one piece: how many of its bytes are there, the lowest first.
const NOTE: usize = size_of::<u64>();

/// Which object a file is to be, and how it is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its tag.
    pub etag: ETag,
    /// Its bytes.
    pub size: u64,
    /// Bytes of a piece; the last one may have less.
    pub piece: u64,
}

impl Cut {
    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.piece)).unwrap_or(usize::MAX)
    }

    /// The piece of this number.
    pub fn range(&self, piece: usize) -> Range<u64> {
        let begin = (piece as u64).saturating_mul(self.piece).min(self.size);
        begin..self.size.min(begin.saturating_add(self.piece))
    }

    fn tag(&self) -> [u8; TAG] {
        let numbers = [self.size.to_le_bytes(), self.piece.to_le_bytes()].concat();
        Sha256::new()
            .chain_update(VERSION)
            .chain_update(numbers)
            .chain_update(self.etag.to_string())
            .finalize()
            .into()
    }

    /// Where the note of a piece stands.
    fn note(&self, piece: usize) -> u64 {
        self.size + (TAG + piece * NOTE) as u64
    }

    /// Where the notes end.
    fn end(&self) -> u64 {
        self.note(self.pieces())
    }

    /// Bytes of each piece that a draft is said to have; `None` if it is not of this object.
    fn read(&self, file: &OwnedFd) -> Option<Vec<u64>> {
        let stat = fstat(file).ok()?;
        if u64::try_from(stat.st_size) != Ok(self.end()) {
            return None;
        }
        let mut notes = vec![0; usize::try_from(self.end() - self.size).ok()?];
        let read = fill(file.as_fd(), self.size, &mut notes).ok()?;
        let (tag, notes) = notes[..read].split_at_checked(TAG)?;
        if tag != self.tag() {
            return None;
        }
        let done = notes.as_chunks::<NOTE>().0.iter().map(|note| u64::from_le_bytes(*note)).enumerate();
        let done: Vec<_> = done
            .map(|(piece, done)| {
                let range = self.range(piece);
                done.min(range.end - range.start)
            })
            .collect();
        (done.len() == self.pieces()).then_some(done)
    }
}

impl Target {
    /// Begins a file that comes in pieces or, if a restore of the same object was cut off, goes on with what it left: bytes
    /// of each piece that it says to have. Dropped before it has its name it stays, for the next one.
    ///
    /// # Errors
    /// As [`Target::put`].
    pub async fn go_on(&self, path: &RelPath, cut: &Cut) -> Result<(Draft, Vec<u64>), Fault> {
        let (path, cut) = (path.clone(), cut.clone());
        self.run(move |target| {
            if let Some(mut draft) = target.left(&path)?
                && let Some(done) = cut.read(&draft.file)
            {
                draft.notes = Some(cut.size);
                return Ok((draft, done));
            }
            target.cut(&path, &cut).map(|draft| (draft, vec![0; cut.pieces()]))
        })
        .await
    }

    /// Begins it, whatever was left.
    ///
    /// # Errors
    /// As [`Target::put`].
    pub async fn begin_anew(&self, path: &RelPath, cut: &Cut) -> Result<Draft, Fault> {
        let (path, cut) = (path.clone(), cut.clone());
        self.run(move |target| target.cut(&path, &cut)).await
    }

    /// Removes what a restore that was cut off left of a file, which is there by now.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn clear(&self, path: &RelPath) -> Result<(), Fault> {
        let path = path.clone();
        self.run(move |target| {
            let Some(dir) = target.parent(&path, false)? else { return Ok(()) };
            // where nothing can be removed nothing was left
            for sort in [Sort::File, Sort::Link, Sort::Join, Sort::Node] {
                let _ = unlinkat(&*dir, draft_name(path.name(), sort), AtFlags::empty());
            }
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn cut(&self, path: &RelPath, cut: &Cut) -> Result<Draft, Fault> {
        let mut draft = self.draft(path)?;
        // whoever opened it in between would go on with it; where files are not locked, nobody does
        if flock(&*draft.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            let cause = "somebody else writes where it is written";
            return Err(Fault::new(Class::Permanent, format!("make {path}"), cause));
        }
        let notes = [&cut.tag()[..], &vec![0; cut.pieces() * NOTE]].concat();
        write(draft.file.as_fd(), cut.size, &notes)
            .map_err(|errno| draft.fault(format!("write {path}"), errno))?;
        (draft.notes, draft.kept, draft.bare) = (Some(cut.size), true, true);
        Ok(draft)
    }

    /// What a restore that was cut off left of a file, if nobody else can have written it or is writing it.
    fn left(&self, path: &RelPath) -> Result<Option<Draft>, Fault> {
        let Some(dir) = self.parent(path, false)? else { return Ok(None) };
        let name = draft_name(path.name(), Sort::File);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = retry_on_intr(|| openat2(&*dir, &name, flags, Mode::empty(), BENEATH)) else {
            return Ok(None);
        };
        let is_ours = fstat(&file).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && stat.st_uid == geteuid().as_raw()
                && stat.st_nlink == 1
                && stat.st_mode & 0o077 == 0
        });
        if !is_ours || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        // it stays, whoever it is of: what is begun anew takes its place
        Ok(Some(self.of(dir, file, name, path, true)))
    }
}

/// What was written of a draft, for whoever reads it.
#[derive(Clone, Debug)]
pub struct Written {
    file: Arc<OwnedFd>,
    path: RelPath,
}

/// A piece of a draft on its way.
#[derive(Debug)]
pub struct Piece {
    file: Arc<OwnedFd>,
    device: u64,
    path: RelPath,
    /// What came so far is before this.
    at: u64,
    range: Range<u64>,
    note: u64,
    share: Option<Share>,
    number: usize,
    /// Nothing was ever written from `at` on: zeros need not be, either.
    bare: bool,
}

impl Draft {
    /// Has what came so far written to the disk, so that less is waited for in the end.
    ///
    /// # Errors
    /// `Permanent` if that fails. It is told once, and what was to be written may be gone: so the draft is gone then.
    pub async fn flush(&self) -> Result<(), Fault> {
        let (dir, file) = (Arc::clone(&self.dir), Arc::clone(&self.file));
        let (name, path, device) = (self.name.clone(), self.path.clone(), self.device);
        blocking(move || {
            fdatasync(&*file).map_err(|errno| {
                // whether or not anybody waits for this
                let _ = unlinkat(&*dir, &name, AtFlags::empty());
                let fault = fault_at(file.as_fd(), device, format!("write {path} to the disk"), errno);
                if fault.class == Class::Transient {
                    Fault { class: Class::Permanent, ..fault }
                } else {
                    fault
                }
            })
        })
        .await
    }

    /// Nobody is to go on with it.
    pub fn drop_for_good(mut self) {
        self.kept = false;
    }

    pub(super) fn fault(&self, what: String, errno: Errno) -> Fault {
        fault_at(self.file.as_fd(), self.device, what, errno)
    }

    /// What was written of it so far.
    pub fn written(&self) -> Written {
        Written { file: Arc::clone(&self.file), path: self.path.clone() }
    }

    /// The piece of this number, of which `done` bytes were there before; with `form` these are hashed, and all that comes.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn piece(
        &self,
        hashing: &Hashing,
        cut: &Cut,
        number: usize,
        done: u64,
        form: Option<Form>,
    ) -> Result<Piece, Fault> {
        let (range, note) = (cut.range(number), cut.note(number));
        let (file, path, share) = (Arc::clone(&self.file), self.path.clone(), form.map(Share::new));
        let end = range.end.min(range.start + done);
        let (device, at, bare) = (self.device, range.start, self.bare);
        let mut piece = Piece { file, device, path, at, range, note, share, number, bare };
        if form.is_none() {
            piece.at = end;
        }
        while piece.at < end {
            let (before, len) =
                (piece.at, usize::try_from(end - piece.at).map_or(CHUNK, |left| left.min(CHUNK)));
            piece = hashing.turn(move || piece.again(len)).await??;
            if piece.at == before {
                break;
            }
        }
        if !piece.bare && piece.left().is_some() {
            // what is there beyond what was noted is not known
            piece = blocking(move || {
                let bare = dig(piece.file.as_fd(), piece.at..piece.range.end);
                Ok(Piece { bare, ..piece })
            })
            .await?;
        }
        Ok(piece)
    }
}

impl Piece {
    /// Where it goes on; `None` when it is whole.
    pub fn left(&self) -> Option<Range<u64>> {
        (self.at < self.range.end).then_some(self.at..self.range.end)
    }

    /// Bytes of it that are there.
    pub fn done(&self) -> u64 {
        self.at - self.range.start
    }

    /// Writes what comes next of it.
    ///
    /// # Errors
    /// If there is no room; I/O errors.
    pub async fn add(self, hashing: &Hashing, next: Vec<Bytes>) -> Result<Self, Fault> {
        hashing.turn(move || self.added(&next)).await?
    }

    /// Puts what it came to with the others.
    pub fn end(self, tally: &mut Tally) {
        if let Some(share) = self.share {
            tally.add(self.number, share);
        }
    }

    fn added(mut self, next: &[Bytes]) -> Result<Self, Fault> {
        let failed = |errno| fault_at(self.file.as_fd(), self.device, format!("write {}", self.path), errno);
        if self.bare {
            write_but_holes(self.file.as_fd(), self.at, next).map_err(failed)?;
        }
        for bytes in next {
            if !self.bare {
                write(self.file.as_fd(), self.at, bytes).map_err(failed)?;
            }
            if let Some(share) = &mut self.share {
                share.update(bytes);
            }
            self.at += bytes.len() as u64;
        }
        write(self.file.as_fd(), self.note, &self.done().to_le_bytes()).map_err(failed)?;
        Ok(self)
    }

    /// Takes what was there before for what came.
    fn again(mut self, len: usize) -> Result<Self, Fault> {
        let mut bytes = vec![0; len];
        let read = fill(self.file.as_fd(), self.at, &mut bytes);
        let read = read.map_err(|errno| fault(format!("read {}", self.path), errno))?;
        if let Some(share) = &mut self.share {
            share.update(&bytes[..read]);
        }
        self.at += read as u64;
        Ok(self)
    }
}

impl Source for Written {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        let stat = Stat::of(self.file.as_fd());
        stat.map(|stat| stat.meta()).map_err(|errno| fault(format!("look at {}", self.path), errno))
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        blocking(move || {
            let mut bytes = vec![0; len];
            let read = fill(file.as_fd(), at, &mut bytes);
            bytes.truncate(read.map_err(|errno| fault(format!("read {path}"), errno))?);
            Ok(bytes.into())
        })
        .await
    }
}

/// Where there is no room, or nothing can be written, on another file system than that of the target, that is the matter of
/// the files there.
pub(super) fn fault_at(at: BorrowedFd<'_>, device: u64, what: String, errno: Errno) -> Fault {
    let fault = fault(what, errno);
    let is_elsewhere = || fstat(at).is_ok_and(|stat| stat.st_dev != device);
    if fault.class == Class::Fatal && is_elsewhere() {
        Fault { class: Class::Permanent, ..fault }
    } else {
        fault
    }
}

/// Reads until it is full, or the file ends: how many bytes.
fn fill(file: BorrowedFd<'_>, at: u64, bytes: &mut [u8]) -> rustix::io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match retry_on_intr(|| pread(file, &mut bytes[filled..], at + filled as u64))? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{local::Finish, model::There};
    use std::{
        ffi::OsStr,
        fs,
        os::unix::{ffi::OsStrExt, fs::FileExt},
    };

    #[tokio::test]
    async fn a_hole_in_what_is_gone_on_with_reads_as_zeros() {
        const BLOCK: usize = 64 << 10;
        let dir = tempfile::tempdir().expect("a directory");
        let target = Target::open(dir.path(), true).expect("it can be written to");
        let path = RelPath::new(b"f").expect("valid");
        let size = 4 * BLOCK as u64;
        let (cut, hashing) = (Cut { etag: ETag::new("e"), size, piece: size }, Hashing::default());
        let bytes = Bytes::from([vec![1; BLOCK], vec![0; 2 * BLOCK], vec![2; BLOCK]].concat());
        let (draft, done) = target.go_on(&path, &cut).await.expect("begun");
        let piece = draft.piece(&hashing, &cut, 0, done[0], None).await.expect("a piece");
        drop(piece.add(&hashing, vec![bytes.slice(..BLOCK)]).await.expect("written"));
        // beyond what is noted: whatever the disk made of it
        let left = dir.path().join(OsStr::from_bytes(draft_name(b"f", Sort::File).as_bytes()));
        let file = fs::File::options().write(true).open(left).expect("the draft");
        file.write_all_at(&[7; 3 * BLOCK], BLOCK as u64).expect("written");
        drop(draft);
        let (draft, done) = target.go_on(&path, &cut).await.expect("gone on with");
        assert_eq!(done, [BLOCK as u64]);
        let piece = draft.piece(&hashing, &cut, 0, done[0], None).await.expect("a piece");
        let piece = piece.add(&hashing, vec![bytes.slice(BLOCK..)]).await.expect("written");
        assert_eq!(piece.left(), None);
        draft.place(Finish::default(), There::Nothing).await.expect("placed");
        assert!(fs::read(dir.path().join("f")).expect("read") == bytes);
    }
}
