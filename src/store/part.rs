//! Uploads in parts: read in order, sent side by side, within the memory budget.

use super::{
    S3,
    error::{fault, no_s3},
    metadata, object,
    options::MIB,
    payload::{Payload, attempt_timeout},
    s3::tag,
    upload::{abort, read},
};
use crate::model::{Class, Digest, Fault, Only, RemoteMeta, Source, Spec};
use aws_sdk_s3::{
    config::{Builder, retry::RetryConfig},
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use sha2::Digest as _;
use std::sync::Arc;
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};
use tracing::Instrument;

/// The most parts an upload has (S3 user guide, *Multipart upload limits*).
const MOST_PARTS: u64 = 10_000;

const CREATE: &str = "CreateMultipartUpload";
const PART: &str = "UploadPart";
const COMPLETE: &str = "CompleteMultipartUpload";

/// An upload all of whose parts are in the store.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) full: String,
    pub(super) id: String,
    size: u64,
    parts: Vec<CompletedPart>,
}

/// Bytes of each part but the last: `least`, or what keeps the number of parts in bounds, in whole MiB.
pub(super) fn part_size(size: u64, least: u64) -> u64 {
    if size.div_ceil(least) <= MOST_PARTS {
        return least;
    }
    size.div_ceil(MOST_PARTS).next_multiple_of(MIB).max(least)
}

/// Reads `spec.size` bytes of `file` and sends them. On an error, what was sent is taken back, as well as
/// that goes.
pub(super) async fn send<F: Source>(
    store: &S3,
    full: String,
    file: &Arc<F>,
    spec: &Spec,
) -> Result<(Parts, Digest), Fault> {
    let part_size = part_size(spec.size, store.options().part_size.max(1));
    let request = store
        .client()
        .create_multipart_upload()
        .bucket(store.bucket())
        .key(&full)
        .content_type(metadata::content_type(&full))
        .set_metadata(Some(metadata::outgoing(spec, None, Some(part_size))))
        .checksum_algorithm(ChecksumAlgorithm::Sha256);
    let created = object::create(request, store.chosen(&full))
        .customize()
        // if its reply is lost, another attempt begins another upload, and nobody knows of the first
        .config_override(Builder::new().retry_config(RetryConfig::disabled()))
        .send()
        .await
        .map_err(|e| fault(CREATE, &full, &e))?;
    let id = created.upload_id().ok_or_else(|| no_s3(CREATE, &full, "UploadId"))?.to_owned();
    match send_all(store, &full, &id, &**file, spec.size, part_size).await {
        Ok((parts, sha256)) => {
            let digest = Digest { sha256, part_size: Some(part_size) };
            Ok((Parts { full, id, size: spec.size, parts }, digest))
        }
        Err(fault) => {
            // if this fails too, the journaled intent has it ended later
            let _ = abort(store, &full, &id).await;
            Err(fault)
        }
    }
}

/// Each part in flight is a task of its own: it goes on, and gives back its memory, while the next one waits
/// for memory here. So no upload waits for itself.
async fn send_all<F: Source>(
    store: &S3,
    full: &str,
    id: &str,
    file: &F,
    size: u64,
    part_size: u64,
) -> Result<(Vec<CompletedPart>, [u8; 32]), Fault> {
    let mut flying: JoinSet<Result<CompletedPart, Fault>> = JoinSet::new();
    let mut parts = Vec::new();
    let mut composite = sha2::Sha256::new();
    for (at, number) in (0..size).step_by(part_size as usize).zip(1..) {
        while flying.len() >= store.options().concurrency.max(1) {
            parts.extend(landed(&mut flying).await.transpose()?);
        }
        let len = part_size.min(size - at);
        let memory = store.reserve(len).await;
        let payload = Payload::of(read(file, full, at, len).await?).await;
        composite.update(payload.sha256);
        let part = send_one(store.clone(), full.to_owned(), id.to_owned(), number, payload, memory);
        flying.spawn(part.in_current_span());
    }
    while let Some(part) = landed(&mut flying).await {
        parts.push(part?);
    }
    parts.sort_by_key(|part| part.part_number());
    Ok((parts, composite.finalize().into()))
}

/// The next part to arrive; `None` if none is in flight.
async fn landed(flying: &mut JoinSet<Result<CompletedPart, Fault>>) -> Option<Result<CompletedPart, Fault>> {
    let done = flying.join_next().await?;
    Some(done.unwrap_or_else(|e| Err(Fault::new(Class::Transient, PART, e))))
}

async fn send_one(
    store: S3,
    full: String,
    id: String,
    number: i32,
    payload: Payload,
    _memory: OwnedSemaphorePermit,
) -> Result<CompletedPart, Fault> {
    let answer = store
        .client()
        .upload_part()
        .bucket(store.bucket())
        .key(&full)
        .upload_id(&id)
        .part_number(number)
        .checksum_sha256(payload.checksum())
        .body(payload.body())
        .customize()
        .interceptor(payload.signed())
        .config_override(payload.unhurried(store.options()))
        .send()
        .await
        .map_err(|e| fault(PART, &full, &e))?;
    let etag = tag(PART, &full, answer.e_tag())?;
    Ok(CompletedPart::builder()
        .part_number(number)
        .e_tag(etag.quoted())
        .checksum_sha256(payload.checksum())
        .build())
}

/// Makes the object visible. After a fault that leaves the outcome open (`Transient`, `Throttled`) the upload
/// stays: it may be about to become the object. HEAD tells.
pub(super) async fn complete(store: &S3, staged: Parts, only: Only) -> Result<RemoteMeta, Fault> {
    let Parts { full, id, size, parts } = staged;
    let (if_none_match, if_match) = store.condition(&only);
    let answer = store
        .client()
        .complete_multipart_upload()
        .bucket(store.bucket())
        .key(&full)
        .upload_id(&id)
        .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
        .set_if_none_match(if_none_match)
        .set_if_match(if_match)
        .customize()
        .config_override(attempt_timeout(store.options(), 10 * store.options().patience))
        .send()
        .await;
    match answer.map_err(|e| fault(COMPLETE, &full, &e)) {
        Ok(answer) => {
            let etag = tag(COMPLETE, &full, answer.e_tag())?;
            Ok(RemoteMeta { size, etag, modified: None })
        }
        Err(fault) => {
            if !matches!(fault.class, Class::Transient | Class::Throttled) {
                let _ = abort(store, &full, &id).await;
            }
            Err(fault)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c31_there_are_never_more_than_ten_thousand_parts() {
        const PART: u64 = 8 * MIB;
        for (size, want) in [
            (1, PART),
            (PART + 1, PART),
            (PART * MOST_PARTS - 1, PART),
            (PART * MOST_PARTS, PART),
            (PART * MOST_PARTS + 1, PART + MIB),
            (1 << 40, 105 * MIB),
            (5 << 40, 525 * MIB),
            (48_828 << 30, 5_000 * MIB),
        ] {
            let found = part_size(size, PART);
            assert_eq!(found, want, "{size}");
            assert!(size.div_ceil(found) <= MOST_PARTS, "{size}");
        }
        assert_eq!(part_size(100, 3), 3);
    }
}
