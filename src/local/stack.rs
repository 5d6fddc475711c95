//! The directories on the way down to the one that is being walked: their descriptors and their names.
//!
//! Descriptors: at most [`OPEN`]; further up they are closed, and opened again by `..` of the one below, if
//! that still leads to the very directory that was read. Names: what memory is not to hold is put to disk,
//! outermost first, since it will be asked for last.

use super::{
    listing::{Limits, Listing},
    spill::Spill,
    stat::{PASS, Place, Stat},
};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{Mode, OFlags, openat},
    io::Errno,
};

/// Directories held open at once.
const OPEN: usize = 64;

/// One directory on the way down.
pub(super) struct Frame {
    /// `None` while far up, and for good if it was moved meanwhile.
    pub(super) fd: Option<OwnedFd>,
    /// Where it was, once it has been closed.
    place: Option<Place>,
    pub(super) listing: Listing,
    /// Bytes of its names in memory, when it was last asked.
    held: usize,
    /// Lengths of its path and key, each with the `/` at its end.
    pub(super) path: usize,
    pub(super) key: usize,
}

/// All of them, the root or where the walk began first.
pub(super) struct Stack {
    limits: Limits,
    frames: Vec<Frame>,
    /// Bytes of names in memory.
    held: usize,
}

impl Frame {
    /// Of a directory that was just read.
    pub(super) fn new(fd: OwnedFd, listing: Listing, path: usize, key: usize) -> Self {
        Self { fd: Some(fd), place: None, held: listing.held(), listing, path, key }
    }

    fn close(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.place = Stat::of(fd.as_fd()).map(|stat| stat.place()).ok();
        }
    }

    /// Opens it again from the directory below it. Stays closed if that has been moved elsewhere:
    /// what is left of it is unknown then.
    fn reopen(&mut self, below: &OwnedFd) {
        if self.fd.is_some() {
            return;
        }
        let fd = openat(below, c"..", PASS | OFlags::CLOEXEC, Mode::empty());
        self.fd = fd.ok().filter(|fd| {
            let place = Stat::of(fd.as_fd()).map(|stat| stat.place()).ok();
            place.is_some() && place == self.place
        });
    }
}

impl Stack {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, frames: Vec::new(), held: 0 }
    }

    /// The one that is being walked.
    pub(super) fn last(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    /// One further down.
    pub(super) fn push(&mut self, frame: Frame) {
        debug_assert!(self.names_held() <= self.limits.names, "{} bytes", self.names_held());
        self.held += frame.held;
        self.frames.push(frame);
        if let Some(far) = self.frames.len().checked_sub(OPEN + 1) {
            self.frames[far].close();
        }
        debug_assert!(self.frames.iter().filter(|frame| frame.fd.is_some()).count() <= OPEN);
    }

    fn names_held(&self) -> usize {
        self.frames.iter().map(|frame| frame.listing.held()).sum()
    }

    /// Back to the one above.
    pub(super) fn pop(&mut self) {
        let Some(below) = self.frames.pop() else { return };
        self.held -= below.held;
        if let (Some(above), Some(below)) = (self.frames.last_mut(), below.fd) {
            above.reopen(&below);
        }
    }

    /// To be called before another directory is read, which may take as much as all of these.
    ///
    /// # Errors
    /// Of writing names to disk.
    pub(super) fn make_room(&mut self, spill: &mut Spill) -> Result<(), Errno> {
        if let Some(last) = self.frames.last_mut() {
            // More, when what is on disk has begun to be read; less, when some of it has come to its end.
            let before = std::mem::replace(&mut last.held, last.listing.held());
            self.held = self.held - before + last.held;
        }
        if self.held <= self.limits.names {
            return Ok(());
        }
        for frame in &mut self.frames {
            frame.listing.put(spill)?;
            self.held -= std::mem::take(&mut frame.held);
            // Not only just enough, or the next directory would find none again.
            if self.held <= self.limits.names / 2 {
                break;
            }
        }
        Ok(())
    }
}
