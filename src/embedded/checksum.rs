//! Receiving a body and holding it against every digest the client gave, before anything is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{ChecksumType, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, TrailingHeaders, s3_error};

use super::body::{Body, Shelf};
use super::fault::Kind;

/// The algorithms of `x-amz-checksum-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(super) fn parse(name: &str) -> S3Result<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."))
    }

    fn hasher(self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        match self {
            Self::Crc32 => hasher.crc32 = Some(Crc32::new()),
            Self::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            Self::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Self::Sha1 => hasher.sha1 = Some(Sha1::new()),
            Self::Sha256 => hasher.sha256 = Some(Sha256::new()),
        }
        hasher
    }

    fn digest(self, hasher: ChecksumHasher) -> String {
        let sums = hasher.finalize();
        let value = match self {
            Self::Crc32 => sums.checksum_crc32,
            Self::Crc32c => sums.checksum_crc32c,
            Self::Crc64Nvme => sums.checksum_crc64nvme,
            Self::Sha1 => sums.checksum_sha1,
            Self::Sha256 => sums.checksum_sha256,
        };
        value.unwrap_or_default()
    }
}

/// One checksum in S3's form: base64, with `-N` behind it if it is a checksum of part checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) algorithm: Algorithm,
    pub(super) value: String,
}

impl Sum {
    pub(super) fn composite(&self) -> bool {
        self.value.contains('-')
    }

    pub(super) fn kind(&self) -> ChecksumType {
        let kind = if self.composite() { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
        ChecksumType::from_static(kind)
    }
}

/// Puts an `Option<&Sum>` into the fields that every S3 answer with checksums has.
macro_rules! put_sum {
    ($output:expr, $sum:expr) => {
        if let Some(sum) = $sum {
            use $crate::embedded::checksum::Algorithm;
            let value = Some(sum.value.clone());
            match sum.algorithm {
                Algorithm::Crc32 => $output.checksum_crc32 = value,
                Algorithm::Crc32c => $output.checksum_crc32c = value,
                Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
                Algorithm::Sha1 => $output.checksum_sha1 = value,
                Algorithm::Sha256 => $output.checksum_sha256 = value,
            }
        }
    };
}
pub(super) use put_sum;

/// The value for `algorithm` among the fields that every S3 input with checksums has.
macro_rules! get_sum {
    ($input:expr, $algorithm:expr) => {
        match $algorithm {
            Algorithm::Crc32 => $input.checksum_crc32.as_deref(),
            Algorithm::Crc32c => $input.checksum_crc32c.as_deref(),
            Algorithm::Crc64Nvme => $input.checksum_crc64nvme.as_deref(),
            Algorithm::Sha1 => $input.checksum_sha1.as_deref(),
            Algorithm::Sha256 => $input.checksum_sha256.as_deref(),
        }
    };
}
pub(super) use get_sum;

/// What a client says of the body it sends.
#[derive(Default)]
pub(super) struct Claim {
    md5: Option<[u8; 16]>,
    algorithm: Option<Algorithm>,
    value: Option<String>,
    /// The value comes behind the body.
    trailer: bool,
}

impl Claim {
    pub(super) fn of(headers: &HeaderMap, kinds: &[Kind]) -> S3Result<Self> {
        let ignored = |name: &str| kinds.iter().any(|kind| matches!(kind, Kind::Ignore(it) if *it == name));
        let text =
            |name: &str| headers.get(name).filter(|_| !ignored(name)).and_then(|value| value.to_str().ok());
        let mut claim = Self::default();
        if let Some(md5) = text("content-md5") {
            let md5 = STANDARD.decode(md5).ok().and_then(|md5| md5.try_into().ok());
            claim.md5 = Some(md5.ok_or_else(|| s3_error!(InvalidDigest))?);
        }
        for algorithm in Algorithm::ALL {
            if let Some(value) = text(algorithm.header()) {
                if claim.algorithm.replace(algorithm).is_some() {
                    return Err(s3_error!(
                        InvalidRequest,
                        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
                    ));
                }
                claim.value = Some(value.to_owned());
            }
        }
        if claim.algorithm.is_none()
            && let Some(names) = text("x-amz-trailer")
        {
            claim.algorithm = Algorithm::ALL.into_iter().find(|algorithm| {
                names.split(',').any(|name| name.trim().eq_ignore_ascii_case(algorithm.header()))
            });
            claim.trailer = claim.algorithm.is_some();
        }
        if claim.algorithm.is_none()
            && let Some(name) = text("x-amz-sdk-checksum-algorithm")
        {
            claim.algorithm = Some(Algorithm::parse(name)?);
        }
        Ok(claim)
    }

    /// Computes this algorithm if the client named none.
    pub(super) fn or_algorithm(mut self, algorithm: Option<Algorithm>) -> Self {
        self.algorithm = self.algorithm.or(algorithm);
        self
    }

    /// Does it hold the body to anything?
    pub(super) fn vouches(&self) -> bool {
        self.md5.is_some() || self.algorithm.is_some()
    }

    /// Does the request carry a checksum of its body in any form?
    pub(super) fn present(headers: &HeaderMap) -> bool {
        headers.contains_key("x-amz-trailer")
            || Algorithm::ALL.iter().any(|algorithm| headers.contains_key(algorithm.header()))
    }

    /// Compares what was computed with what was claimed.
    fn check(&self, received: &Received, trailers: Option<&TrailingHeaders>) -> S3Result<()> {
        if self.md5.is_some_and(|md5| md5 != received.md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let Some(sum) = &received.sum else { return Ok(()) };
        let trailing = trailers.filter(|_| self.trailer).and_then(|trailers| {
            let header = sum.algorithm.header();
            trailers
                .read(|trailers| trailers.get(header)?.to_str().ok().map(|value| value.trim().to_owned()))?
        });
        match self.value.as_ref().or(trailing.as_ref()) {
            Some(value) if *value != sum.value => Err(S3Error::with_message(
                S3ErrorCode::BadDigest,
                format!("The {} you specified did not match the calculated checksum.", sum.algorithm.name()),
            )),
            None if self.trailer => {
                Err(s3_error!(InvalidRequest, "The announced checksum trailer did not come."))
            }
            _ => Ok(()),
        }
    }
}

/// A body that was received whole and matches its claims.
pub(super) struct Received {
    pub(super) body: Body,
    pub(super) md5: [u8; 16],
    pub(super) sum: Option<Sum>,
}

/// How a body is received: the first three are faults.
#[derive(Clone, Copy, Default)]
pub(super) struct Manner {
    pub(super) unchecked: bool,
    pub(super) framed: bool,
    pub(super) flipped: bool,
    /// What Content-Length promised, without chunk framing.
    pub(super) length: Option<u64>,
}

/// The most that one request may bring, in bytes: 5 GiB.
const MOST: u64 = 5 << 30;

/// Receives a body. Nothing of it remains if this fails.
pub(super) async fn receive(
    shelf: &Shelf,
    stream: Option<StreamingBlob>,
    claim: Claim,
    trailers: Option<&TrailingHeaders>,
    manner: Manner,
) -> S3Result<Received> {
    if manner.length.is_some_and(|length| length > MOST) {
        return Err(s3_error!(EntityTooLarge));
    }
    let claim = if manner.unchecked || manner.framed { Claim::default() } else { claim };
    let mut sink = shelf.sink(manner.length);
    let mut md5 = Md5::new();
    let mut sum = claim.algorithm.map(|algorithm| (algorithm, algorithm.hasher()));
    if manner.framed {
        let head = format!("{:x}\r\n", manner.length.unwrap_or(0));
        md5.update(head.as_bytes());
        sink.write(head.as_bytes()).await.map_err(S3Error::internal_error)?;
    }
    let before = sink.len();
    if let Some(mut stream) = stream {
        while let Some(bytes) = stream.next().await {
            let mut bytes = bytes.map_err(broken)?;
            if manner.flipped && sink.len() == before && !bytes.is_empty() {
                bytes = [&[bytes[0] ^ 1], &bytes[1..]].concat().into();
            }
            md5.update(&bytes);
            if let Some((_, hasher)) = &mut sum {
                hasher.update(&bytes);
            }
            sink.write(&bytes).await.map_err(S3Error::internal_error)?;
        }
    }
    if manner.length.is_some_and(|length| length != sink.len() - before) {
        return Err(s3_error!(IncompleteBody));
    }
    if manner.framed {
        const TAIL: &[u8] = b"\r\n0\r\n\r\n";
        md5.update(TAIL);
        sink.write(TAIL).await.map_err(S3Error::internal_error)?;
    }
    let sum = sum.map(|(algorithm, hasher)| Sum { algorithm, value: algorithm.digest(hasher) });
    let body = sink.finish().await.map_err(S3Error::internal_error)?;
    let received = Received { body, md5: md5.finalize(), sum };
    claim.check(&received, trailers)?;
    Ok(received)
}

/// Digests a body that is already here.
pub(super) async fn digest(body: Body, algorithm: Option<Algorithm>) -> S3Result<Received> {
    let mut md5 = Md5::new();
    let mut sum = algorithm.map(|algorithm| (algorithm, algorithm.hasher()));
    let mut stream = body.stream();
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|error| S3Error::with_source(S3ErrorCode::InternalError, error))?;
        md5.update(&bytes);
        if let Some((_, hasher)) = &mut sum {
            hasher.update(&bytes);
        }
    }
    let sum = sum.map(|(algorithm, hasher)| Sum { algorithm, value: algorithm.digest(hasher) });
    Ok(Received { body, md5: md5.finalize(), sum })
}

/// The checksum of a multipart object from its parts' (each with its size), as S3 forms it.
///
/// # Errors
/// `InvalidRequest` for a full-object SHA: that cannot be told from the parts'.
pub(super) fn of_parts(algorithm: Algorithm, full: bool, parts: &[(&str, u64)]) -> S3Result<Sum> {
    let raw = |value: &str| STANDARD.decode(value).unwrap_or_default();
    if !full {
        let mut hasher = algorithm.hasher();
        for (value, _) in parts {
            hasher.update(&raw(value));
        }
        return Ok(Sum { algorithm, value: format!("{}-{}", algorithm.digest(hasher), parts.len()) });
    }
    let (crc, width) = match algorithm {
        Algorithm::Crc32 => (crc_fast::CrcAlgorithm::Crc32IsoHdlc, 4),
        Algorithm::Crc32c => (crc_fast::CrcAlgorithm::Crc32Iscsi, 4),
        Algorithm::Crc64Nvme => (crc_fast::CrcAlgorithm::Crc64Nvme, 8),
        Algorithm::Sha1 | Algorithm::Sha256 => {
            return Err(s3_error!(InvalidRequest, "The FULL_OBJECT checksum type cannot be used with SHA."));
        }
    };
    let number = |value: &str| raw(value).iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let combined = parts
        .iter()
        .map(|(value, size)| (number(value), *size))
        .reduce(|(left, before), (right, size)| {
            (crc_fast::checksum_combine(crc, left, right, size), before + size)
        })
        .map_or(0, |(value, _)| value);
    Ok(Sum { algorithm, value: STANDARD.encode(&combined.to_be_bytes()[8 - width..]) })
}

/// Tells what went wrong while a body came in; s3s hides the types, so their names must do.
fn broken(error: StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    } else if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch)
    } else {
        S3Error::with_source(S3ErrorCode::IncompleteBody, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::body::Bodies;

    async fn sum(algorithm: Algorithm, bytes: &[u8]) -> Sum {
        let shelf = Shelf::new(Bodies::Memory);
        let mut sink = shelf.sink(None);
        sink.write(bytes).await.unwrap();
        digest(sink.finish().await.unwrap(), Some(algorithm)).await.unwrap().sum.unwrap()
    }

    #[tokio::test]
    async fn the_crc_of_parts_is_the_crc_of_the_whole() {
        let (left, middle, right) = (vec![7u8; 10_000], vec![9u8; 3], b"tail".to_vec());
        let whole = [left.clone(), middle.clone(), right.clone()].concat();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let sums = [
                (sum(algorithm, &left).await.value, left.len() as u64),
                (sum(algorithm, &middle).await.value, 3),
                (sum(algorithm, &right).await.value, 4),
            ];
            let parts: Vec<(&str, u64)> = sums.iter().map(|(value, size)| (value.as_str(), *size)).collect();
            assert_eq!(of_parts(algorithm, true, &parts).unwrap(), sum(algorithm, &whole).await);
            assert!(of_parts(algorithm, false, &parts).unwrap().value.ends_with("-3"));
        }
        assert!(of_parts(Algorithm::Sha256, true, &[]).is_err());
    }
}
