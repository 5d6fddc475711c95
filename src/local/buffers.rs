//! Memory for what is read of large files: pieces of megabytes, got on one thread and given back on another. An
//! allocator keeps such pieces for each of its threads, several times as much as is in use. So they are maps of their
//! own, that the kernel has back when they go; and while any is in use, some that are not wait for the next reader, as
//! new ones cost a fault for each page.

use bytes::Bytes;
use memmap2::MmapMut;
use rustix::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Fewer bytes are the allocator's.
const LEAST: usize = 128 << 10;
/// What is asked for is rounded up to this, so that what comes back fits the next one.
const GRAIN: usize = 256 << 10;

/// So much may be idle whatever is lent: a file that is read piece by piece needs one piece at a time.
const SPARE: usize = 1 << 20;
/// And no more than that: what comes back is taken again soon, or not for long.
const MOST: usize = 16 << 20;

static BUFFERS: Buffers = Buffers(Mutex::new(Shelf { lent: 0, idle: vec![] }));

struct Buffers(Mutex<Shelf>);

/// At most as many bytes are idle as are lent, within bounds.
struct Shelf {
    lent: usize,
    idle: Vec<MmapMut>,
}

/// What was read into memory of our own.
struct Piece {
    map: Option<MmapMut>,
    len: usize,
}

/// Memory for `len` bytes, and how many of them `read` says that it has filled.
///
/// # Errors
/// Those of `read`, and of an allocation that the system refuses.
pub(super) fn filled(len: usize, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Bytes> {
    if len < LEAST {
        let mut bytes = vec![0; len];
        let got = read(&mut bytes)?;
        bytes.truncate(got);
        return Ok(Bytes::from(bytes));
    }
    let mut piece = Piece { map: Some(BUFFERS.take(len)?), len: 0 };
    if let Some(map) = &mut piece.map {
        piece.len = read(&mut map[..len])?.min(len);
    }
    Ok(Bytes::from_owner(piece))
}

impl Buffers {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, len: usize) -> io::Result<MmapMut> {
        let wants = len.next_multiple_of(GRAIN);
        let mut shelf = self.shelf();
        let fits = |map: &MmapMut| (wants..=2 * wants).contains(&map.len());
        let map = match shelf.idle.iter().position(fits) {
            Some(at) => shelf.idle.swap_remove(at),
            None => MmapMut::map_anon(wants)
                .map_err(|error| io::Errno::from_io_error(&error).unwrap_or(io::Errno::NOMEM))?,
        };
        shelf.lent += map.len();
        Ok(map)
    }

    fn give_back(&self, map: MmapMut) {
        let surplus: Vec<_> = {
            let mut shelf = self.shelf();
            shelf.lent -= map.len();
            shelf.idle.push(map);
            let (mut idle, may) =
                (shelf.idle.iter().map(|map| map.len()).sum::<usize>(), shelf.lent.clamp(SPARE, MOST));
            let surplus = shelf.idle.iter().take_while(|map| {
                let over = idle > may;
                idle -= map.len();
                over
            });
            let surplus = surplus.count();
            shelf.idle.drain(..surplus).collect()
        };
        // without the lock: the kernel takes its time
        drop(surplus);
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..self.len])
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(map) = self.map.take() {
            BUFFERS.give_back(map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(buffers: &Buffers) -> (usize, usize) {
        let shelf = buffers.shelf();
        (shelf.lent, shelf.idle.iter().map(|map| map.len()).sum())
    }

    #[test]
    fn as_much_is_idle_as_is_lent_at_the_most_and_little_in_the_end() {
        let buffers = Buffers(Mutex::new(Shelf { lent: 0, idle: vec![] }));
        let take = |len| buffers.take(len).expect("memory");
        let mut lent: Vec<_> = (0..8).map(|_| take(1 << 20)).collect();
        assert_eq!(sizes(&buffers), (8 << 20, 0));
        (0..3).for_each(|_| buffers.give_back(lent.pop().expect("eight")));
        assert_eq!(sizes(&buffers), (5 << 20, 3 << 20));
        // one that fits is taken again, one that is much too large is not
        lent.push(take((1 << 20) - 7));
        assert_eq!(sizes(&buffers), (6 << 20, 2 << 20));
        lent.push(take(GRAIN));
        assert_eq!(sizes(&buffers), ((6 << 20) + GRAIN, 2 << 20));
        while let Some(map) = lent.pop() {
            buffers.give_back(map);
            let (lent, idle) = sizes(&buffers);
            assert!(idle <= lent.max(SPARE), "{idle} of {lent}");
        }
        assert!(sizes(&buffers).1 <= SPARE);
    }

    #[test]
    fn however_much_is_lent_what_is_idle_has_a_bound() {
        let buffers = Buffers(Mutex::new(Shelf { lent: 0, idle: vec![] }));
        let lent: Vec<_> = (0..48).map(|_| buffers.take(1 << 20).expect("memory")).collect();
        lent.into_iter().take(24).for_each(|map| buffers.give_back(map));
        assert_eq!(sizes(&buffers), (24 << 20, MOST));
    }

    #[test]
    fn what_was_read_before_never_shows() {
        for len in [0, 1, LEAST - 1, LEAST, GRAIN, GRAIN + 1, 3 << 20] {
            let full = filled(len, |to| {
                to.fill(7);
                Ok(to.len())
            });
            assert_eq!(full.expect("memory"), vec![7; len]);
            let half = filled(len, |to| {
                to[..len / 2].fill(8);
                Ok(len / 2)
            });
            assert_eq!(half.expect("memory"), vec![8; len / 2]);
            assert_eq!(filled(len, |_| Err(io::Errno::IO)).expect_err("it fails"), io::Errno::IO);
        }
    }
}
