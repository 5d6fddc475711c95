//! Digests of an open file, taken in one read.

use crate::model::{Digest, Fault, Source};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// What was computed so far. A file that has to be read again for another digest is read again; in one
/// read everything that may be asked next is computed beside it.
#[derive(Default)]
pub(super) struct Hashes {
    /// By part size; `None` for the whole.
    sha256: BTreeMap<Option<u64>, [u8; 32]>,
    md5: Option<[u8; 16]>,
    md5_of_parts: BTreeMap<u64, [u8; 16]>,
    /// Bytes read in all.
    pub(super) read: u64,
}

impl Hashes {
    /// True if the file's digest is `want`.
    pub(super) async fn is<F: Source>(&mut self, file: &F, size: u64, want: &Digest) -> Result<bool, Fault> {
        if !self.sha256.contains_key(&want.part_size) {
            self.read(file, size, want.part_size, false, &[]).await?;
        }
        Ok(self.sha256.get(&want.part_size) == Some(&want.sha256))
    }

    /// True if the file's MD5 is `etag`.
    pub(super) async fn is_md5<F: Source>(&mut self, file: &F, size: u64, etag: &str) -> Result<bool, Fault> {
        if self.md5.is_none() {
            self.read(file, size, None, true, &[]).await?;
        }
        Ok(self.md5.is_some_and(|md5| hex::encode(md5).eq_ignore_ascii_case(etag)))
    }

    /// The part size among `sizes` for which the file's multipart ETag is `etag`.
    pub(super) async fn part_size<F: Source>(
        &mut self,
        file: &F,
        size: u64,
        etag: &str,
        sizes: &[u64],
    ) -> Result<Option<u64>, Fault> {
        if sizes.iter().any(|s| !self.md5_of_parts.contains_key(s)) {
            self.read(file, size, None, false, sizes).await?;
        }
        let digest = etag.split('-').next().unwrap_or_default();
        let is = |s: &&u64| {
            self.md5_of_parts.get(s).is_some_and(|md5| hex::encode(md5).eq_ignore_ascii_case(digest))
        };
        Ok(sizes.iter().find(is).copied())
    }

    /// A digest of the whole or of parts, whichever was computed.
    pub(super) fn any(&self) -> Option<Digest> {
        self.sha256.iter().next().map(|(part_size, sha256)| Digest { sha256: *sha256, part_size: *part_size })
    }

    async fn read<F: Source>(
        &mut self,
        file: &F,
        size: u64,
        part_size: Option<u64>,
        md5: bool,
        parts: &[u64],
    ) -> Result<(), Fault> {
        let mut sha = Parts::<Sha256>::new(part_size);
        let mut whole = Md5::new();
        let mut by_parts: Vec<_> = parts.iter().map(|p| (*p, Parts::<Md5>::new(Some(*p)))).collect();
        let mut at = 0;
        while at < size {
            let want = usize::try_from(size - at).map_or(CHUNK, |rest| rest.min(CHUNK));
            let bytes = file.read_at(at, want).await?;
            if bytes.is_empty() {
                break; // it shrank: the look at the file afterwards tells
            }
            sha.update(&bytes);
            if md5 {
                whole.update(&bytes);
            }
            by_parts.iter_mut().for_each(|(_, hasher)| hasher.update(&bytes));
            at += bytes.len() as u64;
            tokio::task::consume_budget().await;
        }
        self.read += at;
        self.sha256.insert(part_size, sha.finish().into());
        if md5 {
            self.md5 = Some(whole.finalize().into());
        }
        self.md5_of_parts.extend(by_parts.into_iter().map(|(p, hasher)| (p, hasher.finish().into())));
        Ok(())
    }
}

/// The digest of the whole or, with a part size, the digest of the parts' digests.
struct Parts<H> {
    size: Option<u64>,
    filled: u64,
    inner: H,
    outer: H,
}

impl<H: sha2::Digest> Parts<H> {
    fn new(size: Option<u64>) -> Self {
        Self { size, filled: 0, inner: H::new(), outer: H::new() }
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
        self.filled = 0;
    }

    fn finish(mut self) -> sha2::digest::Output<H> {
        if self.size.is_none() {
            return self.inner.finalize();
        }
        if self.filled > 0 {
            self.end_part();
        }
        self.outer.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Fingerprint, LocalMeta, Stamp};
    use bytes::Bytes;

    struct Memory(Vec<u8>);

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
            Ok(Bytes::copy_from_slice(&self.0[at.min(self.0.len())..(at + len).min(self.0.len())]))
        }
    }

    #[tokio::test]
    async fn wholes_and_parts_are_hashed_as_s3_does() {
        for len in [0usize, 1, 999, 1000, 1001, 2000, CHUNK, CHUNK + 7] {
            let file = Memory((0..len).map(|i| i as u8).collect());
            let size = len as u64;
            let mut hashes = Hashes::default();
            let md5 = hex::encode(Md5::digest(&file.0));
            assert!(hashes.is_md5(&file, size, &md5).await.expect("reads"));
            assert!(!hashes.is_md5(&file, size, "00").await.expect("reads"));
            let whole = Digest { sha256: Sha256::digest(&file.0).into(), part_size: None };
            assert!(hashes.is(&file, size, &whole).await.expect("reads"));
            assert_eq!((hashes.read, hashes.any()), (size, Some(whole)), "one read gave both");
            // one part is one part, whatever its size
            if len > 1000 {
                let concat: Vec<u8> = file.0.chunks(1000).flat_map(|c| Md5::digest(c).to_vec()).collect();
                let etag = format!("{}-{}", hex::encode(Md5::digest(&concat)), len.div_ceil(1000));
                assert_eq!(
                    hashes.part_size(&file, size, &etag, &[999_999, 1000]).await.expect("reads"),
                    Some(1000)
                );
                let concat: Vec<u8> = file.0.chunks(1000).flat_map(|c| Sha256::digest(c).to_vec()).collect();
                let parts = Digest { sha256: Sha256::digest(&concat).into(), part_size: Some(1000) };
                assert!(hashes.is(&file, size, &parts).await.expect("reads"));
            }
        }
    }
}
