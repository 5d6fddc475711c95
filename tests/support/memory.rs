//! A file that is only bytes.

use bytes::Bytes;
use s3mirrord::model::{Attributes, Class, Fault, Fingerprint, LocalMeta, Source, Spec, Stamp};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The attributes all test files have.
pub(crate) const ATTRIBUTES: Attributes = Attributes { mode: 0o100_640, uid: 1000, gid: 50 };

/// The modification time all test files have.
pub(crate) const MTIME: Stamp = Stamp { sec: 1_700_000_000, nsec: 123_456_789 };

/// Bytes as an open file. One read gives at most `most` bytes.
pub(crate) struct Memory {
    bytes: Bytes,
    most: usize,
    /// From here on reads fail, and why.
    ends: Option<(u64, Class)>,
    sent: AtomicU64,
}

impl Memory {
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), most: usize::MAX, ends: None, sent: AtomicU64::new(0) }
    }

    /// `size` bytes that differ from place to place and by `seed`.
    pub(crate) fn pattern(size: usize, seed: u8) -> Self {
        Self::new(pattern(size, seed))
    }

    /// The same, but each read gives at most `most` bytes.
    pub(crate) fn in_short_reads(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// The same, but a read beyond `at` fails.
    pub(crate) fn failing(self, at: usize, class: Class) -> Self {
        Self { ends: Some((at as u64, class)), ..self }
    }

    /// How many of its bytes the store said that it sends.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Relaxed) as usize
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// For an upload of all of it.
    pub(crate) fn spec(&self, own: &str) -> Spec {
        Spec {
            size: self.bytes.len() as u64,
            mtime: MTIME,
            attributes: ATTRIBUTES,
            names: None,
            keep: Default::default(),
            extra: Default::default(),
            own: own.to_owned(),
            sha256: None,
            part_size: None,
        }
    }
}

/// `size` bytes that differ from place to place and by `seed`. In blocks: byte by byte is slow unoptimised.
pub(crate) fn pattern(size: usize, seed: u8) -> Vec<u8> {
    let block: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 7) as u8 ^ seed).collect();
    let mut bytes = block.repeat(size.div_ceil(block.len()));
    for (number, block) in (0u64..).zip(bytes.chunks_mut(block.len())) {
        block[..8].copy_from_slice(&number.to_le_bytes());
        block[8] = seed;
    }
    bytes.truncate(size);
    bytes
}

impl Source for Memory {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        let print = Fingerprint { size: self.bytes.len() as u64, mtime: MTIME, ctime: MTIME, inode: 1 };
        Ok(LocalMeta { print, attributes: ATTRIBUTES })
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        if let Some((_, class)) = self.ends.filter(|(ends, _)| at + len as u64 > *ends) {
            return Err(Fault::new(class, "read", "as the test wants it"));
        }
        let start = self.bytes.len().min(at as usize);
        let end = self.bytes.len().min(start + len.min(self.most));
        Ok(self.bytes.slice(start..end))
    }

    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }
}
