//! GET: the bytes of an object, or some of them, as they come.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>

use super::{
    S3,
    error::{chain, fault, what},
    head,
};
use crate::model::{Class, ETag, Fault, Head, Key};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_object::{GetObjectError, GetObjectOutput},
        head_object::HeadObjectOutput,
    },
    primitives::ByteStream,
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::{fmt, ops::Range, sync::Arc};

const GET: &str = "GetObject";

/// An object, or one version of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spot {
    /// Below the prefix, or in the trash.
    pub key: Key,
    /// The id of the version; `None`: what is there now.
    pub version: Option<Arc<str>>,
}

impl From<Key> for Spot {
    fn from(key: Key) -> Self {
        Self { key, version: None }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// An object on its way.
#[derive(Debug)]
pub struct Fetch {
    /// What it is; of a part of it, with the part's size.
    pub head: Head,
    full: String,
    body: ByteStream,
    /// Bytes that are still to come.
    left: u64,
}

impl Fetch {
    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// `Transient` if it breaks off before its end, or gives more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let broken = |cause: String| Fault::new(Class::Transient, what(GET, &self.full), cause);
        let Some(bytes) = self.body.try_next().await.map_err(|e| broken(chain(&e)))? else {
            return match self.left {
                0 => Ok(None),
                left => Err(broken(format!("the body was cut short: {left} bytes are missing"))),
            };
        };
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(broken("the body is longer than it was to be".to_owned())),
        }
        Ok(Some(bytes))
    }

    /// All that is still to come.
    ///
    /// # Errors
    /// As [`Fetch::next`].
    pub async fn rest(mut self) -> Result<Bytes, Fault> {
        let mut all = Vec::with_capacity(usize::try_from(self.left).unwrap_or_default());
        while let Some(bytes) = self.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.into())
    }
}

/// SHA-256 of what comes, or of the SHA-256s of its parts.
struct Sum {
    part: Sha256,
    /// The size of a part, and what is left of this one.
    parts: Option<(u64, u64)>,
    sums: Sha256,
}

impl Sum {
    fn new(part_size: Option<u64>) -> Self {
        let parts = part_size.filter(|size| *size > 0).map(|size| (size, size));
        Self { part: Sha256::new(), parts, sums: Sha256::new() }
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some((size, left)) = &mut self.parts else { return self.part.update(bytes) };
            if *left == 0 {
                self.sums.update(self.part.finalize_reset());
                *left = *size;
            }
            let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            self.part.update(&bytes[..here]);
            *left -= here as u64;
            bytes = &bytes[here..];
        }
    }

    fn end(mut self) -> [u8; 32] {
        match self.parts {
            None => self.part.finalize().into(),
            Some(_) => {
                self.sums.update(self.part.finalize());
                self.sums.finalize().into()
            }
        }
    }
}

impl S3 {
    /// See [`Store::digest`](super::Store::digest).
    pub(super) async fn digest_of(
        &self,
        key: &Key,
        etag: &ETag,
        part_size: Option<u64>,
    ) -> Result<[u8; 32], Fault> {
        let (mut fetch, mut sum) = (self.fetch(&key.clone().into(), etag, None).await?, Sum::new(part_size));
        while let Some(bytes) = fetch.next().await? {
            sum.add(&bytes);
            tokio::task::consume_budget().await;
        }
        Ok(sum.end())
    }

    /// Asks for the object that has this tag, or for a part of it: not empty, and within it.
    ///
    /// # Errors
    /// `Missing` if it is gone, `Changed` if its tag is another; `Permanent` if it is archived.
    pub async fn fetch(&self, spot: &Spot, etag: &ETag, part: Option<Range<u64>>) -> Result<Fetch, Fault> {
        let full = self.full(GET, &spot.key)?;
        let range = part.as_ref().map(|part| format!("bytes={}-{}", part.start, part.end - 1));
        let get = self.client().get_object().bucket(self.bucket()).key(&full);
        let get = get.if_match(etag.quoted()).set_range(range);
        let get = get.set_version_id(spot.version.as_deref().map(str::to_owned));
        let answer = self.send(0, || get.clone().send()).await.map_err(|e| of_one(&full, &e))?;
        let from = answer.content_range().and_then(begin);
        let (head, body) = split(answer);
        let head = head::shown(GET, &full, &head)?;
        let came = head.meta.size;
        let changed = |cause: String| Fault::new(Class::Changed, what(GET, &full), cause);
        // not every store heeds the condition, and not every one a range
        if head.meta.etag != *etag {
            return Err(changed(format!("another object is there: {} instead of {etag}", head.meta.etag)));
        }
        if let Some(part) = part {
            let want = part.end - part.start;
            if came != want || from.is_some_and(|from| from != part.start) {
                return Err(changed(format!(
                    "{came} bytes from {from:?} came instead of {want} from {}",
                    part.start
                )));
            }
        }
        Ok(Fetch { head, full, body, left: came })
    }
}

/// A key of the key service that cannot be used is the matter of those that it seals.
fn of_one(full: &str, error: &SdkError<GetObjectError, HttpResponse>) -> Fault {
    let is_sealed = error.code().is_some_and(|code| code.starts_with("KMS."));
    let fault = fault(GET, full, error);
    if is_sealed { Fault { class: Class::Permanent, ..fault } } else { fault }
}

/// Where `bytes 8-15/100` begins.
fn begin(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// What the answer says of the object, in the words of HEAD, and its body.
fn split(answer: GetObjectOutput) -> (HeadObjectOutput, ByteStream) {
    let head = HeadObjectOutput::builder()
        .set_content_length(answer.content_length)
        .set_e_tag(answer.e_tag)
        .set_last_modified(answer.last_modified)
        .set_metadata(answer.metadata)
        .set_checksum_sha256(answer.checksum_sha256)
        .set_checksum_crc64_nvme(answer.checksum_crc64_nvme)
        .set_checksum_type(answer.checksum_type)
        .set_server_side_encryption(answer.server_side_encryption)
        .set_sse_customer_algorithm(answer.sse_customer_algorithm)
        .build();
    (head, answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_whole_or_of_its_parts_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..100).collect();
        let sha = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
        for (part_size, want) in [
            (None, sha(&bytes)),
            (Some(40), sha(&[sha(&bytes[..40]), sha(&bytes[40..80]), sha(&bytes[80..])].concat())),
            (Some(50), sha(&[sha(&bytes[..50]), sha(&bytes[50..])].concat())),
            (Some(100), sha(&sha(&bytes))),
            (Some(1000), sha(&sha(&bytes))),
        ] {
            for piece in [1, 7, 40, 99, 100] {
                let mut sum = Sum::new(part_size);
                bytes.chunks(piece).for_each(|piece| sum.add(piece));
                assert_eq!(sum.end(), want, "{part_size:?} {piece}");
            }
        }
        assert_eq!(Sum::new(None).end(), sha(b""));
    }
}
