//! Digests of an open file, taken in one read, on few threads.

use crate::model::{Class, Digest, Fault, LocalMeta, Source};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, sync::Arc, thread::available_parallelism};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 256 << 10;
/// How often the end of a growing file is gone after.
const LOOKS: u32 = 64;
/// What is hashed in place: it takes no longer than the way to another thread.
const IN_PLACE: usize = 16 << 10;

/// As many threads as there are processors: those that answer the watcher and the store wait for none of
/// this. Files take turns chunk by chunk, so a small one does not wait for a large one.
#[derive(Clone)]
pub struct Hashing(Arc<Semaphore>);

impl Default for Hashing {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))))
    }
}

impl Hashing {
    async fn update(&self, mut hashers: Box<Hashers>, bytes: Bytes) -> Result<Box<Hashers>, Fault> {
        if bytes.len() <= IN_PLACE {
            hashers.update(&bytes);
            return Ok(hashers);
        }
        self.turn(move || {
            hashers.update(&bytes);
            hashers
        })
        .await
    }

    /// Does this on one of the threads.
    ///
    /// # Errors
    /// `Transient` if it panics.
    pub(super) async fn turn<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Fault> {
        let turn = self.0.clone().acquire_owned().await.expect("it is never closed");
        let done = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|ended| Fault::new(Class::Transient, "hash a file", ended))
    }
}

/// What was computed so far. In one read everything that may be asked next is computed beside what is asked
/// now: our own form of digest, and the CRC that a store may keep.
pub struct Hashes {
    hashing: Hashing,
    size: u64,
    /// The part size of our own digest of such a file.
    own: Option<u64>,
    /// By part size; `None` for the whole.
    sha256: BTreeMap<Option<u64>, [u8; 32]>,
    crc64: Option<u64>,
    md5: Option<[u8; 16]>,
    md5_of_parts: BTreeMap<u64, [u8; 16]>,
    /// How often the file was read.
    #[cfg(test)]
    reads: u32,
}

impl Hashes {
    /// For a file of `size` bytes, which goes up in parts of `own` or, if there is none, as a whole.
    pub fn new(hashing: &Hashing, size: u64, own: Option<u64>) -> Self {
        Self {
            hashing: hashing.clone(),
            size,
            own,
            sha256: BTreeMap::new(),
            crc64: None,
            md5: None,
            md5_of_parts: BTreeMap::new(),
            #[cfg(test)]
            reads: 0,
        }
    }

    /// True if the file's digest is `want`.
    pub async fn is<F: Source>(&mut self, file: &F, want: &Digest) -> Result<bool, Fault> {
        if !self.sha256.contains_key(&want.part_size) {
            self.read(file, Hashers::new(want.part_size)).await?;
        }
        Ok(self.sha256.get(&want.part_size) == Some(&want.sha256))
    }

    /// True if the file's CRC-64/NVME is `want`.
    pub async fn is_crc64<F: Source>(&mut self, file: &F, want: u64) -> Result<bool, Fault> {
        if self.crc64.is_none() {
            self.read(file, Hashers::new(self.own).with_crc64()).await?;
        }
        Ok(self.crc64 == Some(want))
    }

    /// True if the file's MD5 is `etag`.
    pub async fn is_md5<F: Source>(&mut self, file: &F, etag: &str) -> Result<bool, Fault> {
        if self.md5.is_none() {
            self.read(file, Hashers::new(self.own).with_crc64().with_md5()).await?;
        }
        Ok(self.md5.is_some_and(|md5| hex::encode(md5).eq_ignore_ascii_case(etag)))
    }

    /// True if for one of the part sizes `sizes` the file's multipart ETag is `etag`.
    pub async fn is_md5_of_parts<F: Source>(
        &mut self,
        file: &F,
        etag: &str,
        sizes: &[u64],
    ) -> Result<bool, Fault> {
        if sizes.iter().any(|s| !self.md5_of_parts.contains_key(s)) {
            self.read(file, Hashers::new(self.own).with_crc64().with_md5_of_parts(sizes)).await?;
        }
        let digest = etag.split('-').next().unwrap_or_default();
        let is = |s: &u64| {
            self.md5_of_parts.get(s).is_some_and(|md5| hex::encode(md5).eq_ignore_ascii_case(digest))
        };
        Ok(sizes.iter().any(is))
    }

    /// A digest for the ledger, in our own form if there is one.
    pub fn any(&self) -> Option<Digest> {
        let own = self.sha256.get_key_value(&self.own);
        let (part_size, sha256) = own.or_else(|| self.sha256.iter().next())?;
        Some(Digest { sha256: *sha256, part_size: *part_size })
    }

    async fn read<F: Source>(&mut self, file: &F, hashers: Hashers) -> Result<(), Fault> {
        let mut hashers = Box::new(hashers);
        let mut at = 0;
        while at < self.size {
            let want = usize::try_from(self.size - at).map_or(CHUNK, |rest| rest.min(CHUNK));
            let bytes = file.read_at(at, want).await?;
            if bytes.is_empty() {
                break; // it shrank: the look at the file afterwards tells
            }
            at += bytes.len() as u64;
            hashers = self.hashing.update(hashers, bytes).await?;
            tokio::task::consume_budget().await;
        }
        #[cfg(test)]
        {
            self.reads += 1;
        }
        let Hashers { part_size, sha256, crc64, md5, md5_of_parts } = *hashers;
        self.sha256.insert(part_size, sha256.finish().into());
        self.crc64 = crc64.map(|crc| crc.finalize()).or(self.crc64);
        self.md5 = md5.map(|md5| md5.finalize().into()).or(self.md5);
        self.md5_of_parts
            .extend(md5_of_parts.into_iter().map(|(size, hasher)| (size, hasher.finish().into())));
        Ok(())
    }
}

impl Hashing {
    /// Reads a file that may be growing until a look at it says that there was no more than what had been read: its
    /// digest in parts of `part_size`, and how the file was at that moment. `None` if it grows faster than it is
    /// read, or was cut.
    pub async fn catch_up<F: Source>(
        &self,
        file: &F,
        part_size: Option<u64>,
    ) -> Result<Option<(Digest, LocalMeta)>, Fault> {
        let (mut hashers, mut at) = (Box::new(Hashers::new(part_size)), 0);
        for _ in 0..LOOKS {
            let now = file.stat().await?;
            if now.print.size == at {
                let sha256 = hashers.sha256.finish().into();
                return Ok(Some((Digest { sha256, part_size }, now)));
            }
            while at < now.print.size {
                let want = usize::try_from(now.print.size - at).map_or(CHUNK, |rest| rest.min(CHUNK));
                let bytes = file.read_at(at, want).await?;
                if bytes.is_empty() {
                    return Ok(None);
                }
                at += bytes.len() as u64;
                hashers = self.update(hashers, bytes).await?;
                tokio::task::consume_budget().await;
            }
            if now.print.size < at {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// What one read computes.
struct Hashers {
    part_size: Option<u64>,
    sha256: Parts<Sha256>,
    crc64: Option<crc_fast::Digest>,
    md5: Option<Md5>,
    md5_of_parts: Vec<(u64, Parts<Md5>)>,
}

impl Hashers {
    fn new(part_size: Option<u64>) -> Self {
        Self { part_size, sha256: Parts::new(part_size), crc64: None, md5: None, md5_of_parts: vec![] }
    }

    fn with_crc64(self) -> Self {
        Self { crc64: Some(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)), ..self }
    }

    fn with_md5(self) -> Self {
        Self { md5: Some(Md5::new()), ..self }
    }

    fn with_md5_of_parts(self, sizes: &[u64]) -> Self {
        Self { md5_of_parts: sizes.iter().map(|size| (*size, Parts::new(Some(*size)))).collect(), ..self }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(crc) = &mut self.crc64 {
            crc.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.md5_of_parts.iter_mut().for_each(|(_, hasher)| hasher.update(bytes));
    }
}

/// The digest of the whole or, with a part size, the digest of the parts' digests.
struct Parts<H> {
    size: Option<u64>,
    filled: u64,
    ended: bool,
    inner: H,
    outer: H,
}

impl<H: sha2::Digest> Parts<H> {
    fn new(size: Option<u64>) -> Self {
        Self { size, filled: 0, ended: false, inner: H::new(), outer: H::new() }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        let Some(size) = self.size else { return self.inner.update(bytes) };
        while !bytes.is_empty() {
            let room = usize::try_from(size - self.filled).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(room);
            self.inner.update(now);
            self.filled += now.len() as u64;
            bytes = rest;
            if self.filled == size {
                self.end_part();
            }
        }
    }

    fn end_part(&mut self) {
        let part = std::mem::replace(&mut self.inner, H::new()).finalize();
        self.outer.update(part);
        (self.filled, self.ended) = (0, true);
    }

    fn finish(mut self) -> sha2::digest::Output<H> {
        if self.size.is_none() {
            return self.inner.finalize();
        }
        // an upload of nothing has one part
        if self.filled > 0 || !self.ended {
            self.end_part();
        }
        self.outer.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Fingerprint, LocalMeta, Stamp};
    use std::time::Duration;
    use tokio::time::Instant;

    struct Memory(Bytes);

    impl Source for Memory {
        async fn stat(&self) -> Result<LocalMeta, Fault> {
            let print = Fingerprint {
                size: self.0.len() as u64,
                mtime: Stamp::default(),
                ctime: Stamp::default(),
                inode: 1,
            };
            Ok(LocalMeta { print, attributes: Attributes { mode: 0, uid: 0, gid: 0 } })
        }

        async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
            let at = at as usize;
            Ok(self.0.slice(at.min(self.0.len())..(at + len).min(self.0.len())))
        }
    }

    fn hashes(file: &Memory, own: Option<u64>) -> Hashes {
        Hashes::new(&Hashing::default(), file.0.len() as u64, own)
    }

    fn md5_of_parts(bytes: &[u8], part: usize) -> String {
        let mut md5s: Vec<u8> = bytes.chunks(part).flat_map(|c| Md5::digest(c).to_vec()).collect();
        if bytes.is_empty() {
            md5s = Md5::digest([]).to_vec();
        }
        format!("{}-{}", hex::encode(Md5::digest(&md5s)), bytes.len().div_ceil(part).max(1))
    }

    fn sha256_of_parts(bytes: &[u8], part: usize) -> Digest {
        let digests: Vec<u8> = bytes.chunks(part).flat_map(|c| Sha256::digest(c).to_vec()).collect();
        Digest { sha256: Sha256::digest(&digests).into(), part_size: Some(part as u64) }
    }

    #[tokio::test]
    async fn c40_one_read_gives_all_that_a_head_may_ask_next() {
        for len in [0usize, 1, 999, 1000, 1001, 2000, IN_PLACE + 1, CHUNK, CHUNK + 7] {
            let file = Memory((0..len).map(|i| (i * 7) as u8).collect());
            let whole = Digest { sha256: Sha256::digest(&file.0).into(), part_size: None };
            let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &file.0);

            let mut small = hashes(&file, None);
            let md5 = hex::encode(Md5::digest(&file.0));
            assert!(small.is_md5(&file, &md5).await.expect("reads"));
            assert!(!small.is_md5(&file, "00").await.expect("reads"));
            assert!(small.is(&file, &whole).await.expect("reads"));
            assert!(small.is_crc64(&file, crc).await.expect("reads"));
            assert!(!small.is_crc64(&file, crc ^ 1).await.expect("reads"));
            assert_eq!((small.reads, small.any()), (1, Some(whole)));

            let mut large = hashes(&file, Some(1000));
            let etag = md5_of_parts(&file.0, 1000);
            assert!(large.is_md5_of_parts(&file, &etag, &[999_999, 1000]).await.expect("reads"));
            assert!(!large.is_md5_of_parts(&file, &md5_of_parts(b"x", 1), &[1000]).await.expect("reads"));
            assert!(large.is_crc64(&file, crc).await.expect("reads"));
            if len > 0 {
                let digest = sha256_of_parts(&file.0, 1000);
                assert!(large.is(&file, &digest).await.expect("reads"));
                assert_eq!((large.reads, large.any()), (1, Some(digest)));
            }
            // a digest of another form is the only reason for another read
            assert!(large.is(&file, &whole).await.expect("reads"));
            assert_eq!(large.reads, 2);
        }
    }

    #[tokio::test]
    async fn the_ledgers_digest_costs_nothing_beside_it() {
        let file = Memory(Bytes::from(vec![1; 5000]));
        let mut hashes = hashes(&file, None);
        let want = sha256_of_parts(&file.0, 1000);
        assert!(hashes.is(&file, &want).await.expect("reads"));
        assert_eq!((hashes.crc64, hashes.md5, hashes.any()), (None, None, Some(want)));
    }

    /// On one thread: what hashes in place holds up everything else.
    #[tokio::test]
    async fn large_files_hold_up_neither_the_loop_nor_small_ones() {
        const LARGE: usize = 24 << 20;
        let hashing = Hashing::default();
        let bytes = Bytes::from(vec![7; LARGE]);
        let large: Vec<_> = (0..4 * available_parallelism().map_or(1, usize::from))
            .map(|_| {
                let (hashing, file) = (hashing.clone(), Memory(bytes.clone()));
                tokio::spawn(async move {
                    let mut hashes = Hashes::new(&hashing, LARGE as u64, None);
                    hashes.is_md5(&file, "").await.expect("reads")
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let (mut ticks, mut small) = (0, 0);
        while !large.iter().all(|task| task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            ticks += 1;
            let file = Memory(Bytes::from(vec![small as u8; IN_PLACE * 4]));
            let mut hashes = Hashes::new(&hashing, file.0.len() as u64, None);
            hashes.is_md5(&file, "").await.expect("reads");
            small += u32::from(large.iter().any(|task| !task.is_finished()));
        }
        let took = begun.elapsed();
        assert!(ticks > 20 && small > 20, "{ticks} turns of the loop and {small} small files in {took:?}");
    }
}
