//! A digest of a file whose pieces come side by side, in any order: each piece is hashed as it comes, and what came of all
//! is put together at the end.

use crc_fast::{CrcAlgorithm::Crc64Nvme, checksum_combine};
use md5::Md5;
use sha2::{Digest, Sha256, digest::Output};
use std::collections::BTreeMap;

/// A digest that can be taken piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The SHA-256 of the SHA-256 of parts of so many bytes.
    Sha256OfParts(u64),
    /// The MD5 of the MD5 of parts of so many bytes.
    Md5OfParts(u64),
    /// CRC-64/NVME.
    Crc64Nvme,
}

/// What a digest came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// SHA-256.
    Sha256([u8; 32]),
    /// MD5.
    Md5([u8; 16]),
    /// CRC-64/NVME.
    Crc64Nvme(u64),
}

/// The digest of one piece, which begins where a part does.
#[derive(Debug)]
pub(super) struct Share(Hasher);

#[derive(Debug)]
enum Hasher {
    Sha256(Parts<Sha256>),
    Md5(Parts<Md5>),
    Crc { crc: crc_fast::Digest, bytes: u64 },
}

impl Share {
    pub(super) fn new(form: Form) -> Self {
        Self(match form {
            Form::Sha256OfParts(size) => Hasher::Sha256(Parts::new(size)),
            Form::Md5OfParts(size) => Hasher::Md5(Parts::new(size)),
            Form::Crc64Nvme => Hasher::Crc { crc: crc_fast::Digest::new(Crc64Nvme), bytes: 0 },
        })
    }

    /// What comes next of the piece.
    pub(super) fn update(&mut self, next: &[u8]) {
        match &mut self.0 {
            Hasher::Sha256(parts) => parts.update(next),
            Hasher::Md5(parts) => parts.update(next),
            Hasher::Crc { crc, bytes } => {
                crc.update(next);
                *bytes += next.len() as u64;
            }
        }
    }

    fn finish(self) -> Finished {
        match self.0 {
            Hasher::Sha256(parts) => Finished::Sha256(parts.finish()),
            Hasher::Md5(parts) => Finished::Md5(parts.finish()),
            Hasher::Crc { crc, bytes } => Finished::Crc(crc.finalize(), bytes),
        }
    }
}

/// The digest of each part so far.
#[derive(Debug)]
struct Parts<H: Digest> {
    size: u64,
    filled: u64,
    part: H,
    ended: Vec<Output<H>>,
}

impl<H: Digest> Parts<H> {
    fn new(size: u64) -> Self {
        Self { size: size.max(1), filled: 0, part: H::new(), ended: vec![] }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(self.size - self.filled).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(room);
            self.part.update(now);
            self.filled += now.len() as u64;
            bytes = rest;
            if self.filled == self.size {
                self.end_part();
            }
        }
    }

    fn end_part(&mut self) {
        self.ended.push(std::mem::replace(&mut self.part, H::new()).finalize());
        self.filled = 0;
    }

    fn finish(mut self) -> Vec<Output<H>> {
        if self.filled > 0 {
            self.end_part();
        }
        self.ended
    }
}

#[derive(Debug)]
enum Finished {
    Sha256(Vec<Output<Sha256>>),
    Md5(Vec<Output<Md5>>),
    Crc(u64, u64),
}

/// What came of the pieces so far.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<usize, Finished>);

impl Tally {
    /// The piece of this number.
    pub(super) fn add(&mut self, piece: usize, share: Share) {
        self.0.insert(piece, share.finish());
    }

    /// The digest of the file, if all pieces were added. `form` is that of each of them.
    pub fn finish(self, form: Form) -> Sum {
        let (mut sha256, mut md5, mut crc) = (Sha256::new(), Md5::new(), 0);
        for piece in self.0.into_values() {
            match piece {
                Finished::Sha256(parts) => parts.iter().for_each(|part| sha256.update(part)),
                Finished::Md5(parts) => parts.iter().for_each(|part| md5.update(part)),
                Finished::Crc(next, bytes) => crc = checksum_combine(Crc64Nvme, crc, next, bytes),
            }
        }
        match form {
            Form::Sha256OfParts(_) => Sum::Sha256(sha256.finalize().into()),
            Form::Md5OfParts(_) => Sum::Md5(md5.finalize().into()),
            Form::Crc64Nvme => Sum::Crc64Nvme(crc),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc_fast::checksum;

    fn of_parts<H: Digest>(bytes: &[u8], part: usize) -> Output<H> {
        let mut all = H::new();
        bytes.chunks(part).for_each(|part| all.update(H::digest(part)));
        all.finalize()
    }

    #[test]
    fn pieces_in_any_order_come_to_the_digest_of_the_whole() {
        for len in [1usize, 999, 1000, 1001, 2999, 3000, 3001, 10_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            for (form, want) in [
                (Form::Sha256OfParts(500), Sum::Sha256(of_parts::<Sha256>(&bytes, 500).into())),
                (Form::Md5OfParts(1000), Sum::Md5(of_parts::<Md5>(&bytes, 1000).into())),
                (Form::Crc64Nvme, Sum::Crc64Nvme(checksum(Crc64Nvme, &bytes))),
            ] {
                let mut tally = Tally::default();
                let mut pieces: Vec<_> = bytes.chunks(1000).enumerate().collect();
                pieces.reverse();
                for (number, piece) in pieces {
                    let mut share = Share::new(form);
                    piece.chunks(333).for_each(|next| share.update(next));
                    tally.add(number, share);
                }
                assert_eq!(tally.finish(form), want, "{len} bytes, {form:?}");
            }
        }
    }
}
