//! Zeros that are left out of what is written: a file with holes comes back with holes.
//!
//! What is written has to lie where nothing was ever written, or was taken out again: there a hole reads as the zeros that
//! it stands for.

use bytes::Bytes;
use rustix::{
    fd::BorrowedFd,
    fs::{FallocateFlags, fallocate},
    io::{Errno, pwrite, retry_on_intr},
};
use std::ops::Range;

/// What is nothing but zeros from one multiple of this many bytes to the next is left out.
pub(super) const HOLE: usize = 64 << 10;
static ZEROS: [u8; HOLE] = [0; HOLE];

/// Writes these bytes, one after another, but for what is to be a hole. Where they begin or end between two multiples, what
/// there is of the block decides: the rest of it comes with other bytes. What is less than a block is written as it is.
pub(super) fn write_but_holes(file: BorrowedFd<'_>, at: u64, all: &[Bytes]) -> rustix::io::Result<()> {
    for (at, bytes) in runs(at, all) {
        write(file, at, bytes)?;
    }
    Ok(())
}

pub(super) fn write(file: BorrowedFd<'_>, mut at: u64, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let written = retry_on_intr(|| pwrite(file, bytes, at))?;
        if written == 0 {
            return Err(Errno::IO);
        }
        at += written as u64;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Takes out what there may be in this range, which leaves a hole. False where that cannot be.
pub(super) fn dig(file: BorrowedFd<'_>, Range { start, end }: Range<u64>) -> bool {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    start >= end || retry_on_intr(|| fallocate(file, flags, start, end - start)).is_ok()
}

/// What is to be written, and where.
fn runs(at: u64, all: &[Bytes]) -> Vec<(u64, &[u8])> {
    let len: usize = all.iter().map(Bytes::len).sum();
    let mut end = at;
    let placed = all.iter().map(|bytes| {
        end += bytes.len() as u64;
        (end - bytes.len() as u64, &bytes[..])
    });
    let placed: Vec<_> = placed.collect();
    if len < HOLE {
        return placed;
    }
    let block = |place: u64| (place / HOLE as u64 - at / HOLE as u64) as usize;
    // up to where its block goes
    let next = |place: u64| HOLE - (place % HOLE as u64) as usize;
    let mut filled = vec![false; block(end - 1) + 1];
    for (at, bytes) in &placed {
        let mut from = 0;
        while from < bytes.len() {
            let here = at + from as u64;
            let part = &bytes[from..bytes.len().min(from + next(here))];
            filled[block(here)] |= part != &ZEROS[..part.len()];
            from += part.len();
        }
    }
    let mut runs = vec![];
    for (at, bytes) in placed {
        let (mut from, is_filled) = (0, |place: usize| filled[block(at + place as u64)]);
        while from < bytes.len() {
            let (begin, is) = (from, is_filled(from));
            while from < bytes.len() && is_filled(from) == is {
                from = bytes.len().min(from + next(at + from as u64));
            }
            if is {
                runs.push((at + begin as u64, &bytes[begin..from]));
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, os::fd::AsFd};

    #[test]
    fn only_whole_blocks_of_zeros_are_left_out() {
        let hole = HOLE as u64;
        let zeros = |len| Bytes::from(vec![0; len]);
        let told = |at, all: &[Bytes]| -> Vec<(u64, usize)> {
            runs(at, all).into_iter().map(|(at, bytes)| (at, bytes.len())).collect()
        };
        assert_eq!(told(0, &[]), []);
        assert_eq!(told(0, &[zeros(7)]), [(0, 7)], "too short");
        assert_eq!(told(0, &[zeros(HOLE)]), []);
        assert_eq!(told(5, &[zeros(HOLE), zeros(HOLE)]), []);
        let one = Bytes::from_static(b"1");
        // in chunks, as it comes
        assert_eq!(told(0, &[zeros(HOLE - 1), one.clone(), zeros(HOLE)]), [(0, HOLE - 1), (hole - 1, 1)]);
        assert_eq!(told(0, &[zeros(HOLE), one.clone(), zeros(9)]), [(hole, 1), (hole + 1, 9)]);
        assert_eq!(told(hole - 1, &[one, zeros(HOLE), zeros(9)]), [(hole - 1, 1)]);
        // what lies beside each other is written at once
        let mut both = vec![1; 3 * HOLE];
        both[2 * HOLE..].fill(0);
        assert_eq!(told(0, &[both.into()]), [(0, 2 * HOLE)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_written_reads_as_what_it_was(
            at in 0..200_000u64,
            chunks in proptest::collection::vec((0..150_000usize, any::<bool>(), any::<proptest::sample::Index>()), 0..6),
        ) {
            let all: Vec<_> = chunks.into_iter().map(|(len, zero, index)| {
                let mut bytes = vec![0_u8; len];
                if !zero && len > 0 {
                    bytes[index.index(len)] = 7;
                }
                Bytes::from(bytes)
            }).collect();
            let file = tempfile::NamedTempFile::new().expect("a file");
            write_but_holes(file.as_file().as_fd(), at, &all).expect("written");
            let want = [vec![0; at as usize], all.concat()].concat();
            file.as_file().set_len(want.len() as u64).expect("room");
            prop_assert!(fs::read(file.path()).expect("read") == want);
        }
    }
}
