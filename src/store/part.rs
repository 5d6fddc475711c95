//! Uploads in parts: read in order, sent side by side, within the memory budget.

use super::{
    S3,
    error::{fault, is_full, no_s3, what},
    extent::{Extent, WINDOW},
    memory::Held,
    metadata, object,
    options::MIB,
    payload::{Payload, attempt_timeout},
    put::Tagged,
    refusal::Failure,
    resume::Kept,
    s3::tag,
    upload::{abort, read},
};
use crate::model::{Begun, Class, Digest, ETag, Fault, Key, Only, RemoteMeta, Source, Spec, Upload};
use aws_sdk_s3::{
    config::{Builder, http::HttpResponse, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::create_multipart_upload::{
        CreateMultipartUploadError, builders::CreateMultipartUploadFluentBuilder,
    },
    types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption},
};
use sha2::Digest as _;
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinSet;
use tracing::Instrument;

/// The most parts an upload has (S3 user guide, *Multipart upload limits*).
pub(super) const MOST_PARTS: u64 = 10_000;

pub(super) const CREATE: &str = "CreateMultipartUpload";
const PART: &str = "UploadPart";
const COMPLETE: &str = "CompleteMultipartUpload";

/// An upload all of whose parts are in the store.
#[derive(Debug)]
pub(super) struct Parts {
    full: String,
    id: String,
    size: u64,
    parts: Vec<CompletedPart>,
}

impl Parts {
    /// In the order of their numbers.
    pub(super) fn new(full: String, id: String, size: u64, parts: Vec<CompletedPart>) -> Self {
        Self { full, id, size, parts }
    }
}

/// Bytes of each part but the last: `least`, or what keeps the number of parts in bounds, in whole MiB.
pub(super) fn part_size(size: u64, least: u64) -> u64 {
    if size.div_ceil(least) <= MOST_PARTS {
        return least;
    }
    size.div_ceil(MOST_PARTS).next_multiple_of(MIB).max(least)
}

fn size_of_parts(store: &S3, size: u64) -> u64 {
    part_size(size, store.options().part_size.max(1))
}

/// All that is said of the object before its bytes are sent.
fn creation(store: &S3, full: &str, spec: &Spec) -> CreateMultipartUploadFluentBuilder {
    let part_size = size_of_parts(store, spec.size);
    let request = store
        .client()
        .create_multipart_upload()
        .bucket(store.bucket())
        .key(full)
        .content_type(metadata::content_type(full))
        .set_metadata(Some(metadata::outgoing(spec, None, Some(part_size))))
        .set_checksum_algorithm(store.check().algorithm())
        .set_checksum_type(store.check().kind());
    object::create(request, store.chosen(full))
}

/// A digest of [`creation`], so that none of its fields can be forgotten here. With a retention, which counts from now,
/// no two are equal: such an upload is begun anew.
pub(super) fn terms(store: &S3, key: &Key, spec: &Spec) -> [u8; 32] {
    let request = creation(store, &store.below(key), spec);
    let said = request.as_input();
    // in an order of their own, and what the form for people leaves out
    let metadata: BTreeMap<_, _> = said.get_metadata().iter().flatten().collect();
    let keys = (said.get_ssekms_key_id(), said.get_ssekms_encryption_context(), said.get_sse_customer_key());
    let rest = said.clone().set_metadata(None);
    sha2::Sha256::digest(format!("{rest:?} {metadata:?} {keys:?}")).into()
}

/// Begins an upload.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
pub(super) async fn create(store: &S3, key: &Key, spec: &Spec) -> Result<Upload, Fault> {
    let full = store.full(CREATE, key)?;
    begin(store, creation(store, &full, spec), CREATE, key, &full).await
}

/// Sends what begins an upload for `purpose`: what a failure means is what it means of that operation.
pub(super) async fn begin(
    store: &S3,
    request: CreateMultipartUploadFluentBuilder,
    purpose: &str,
    key: &Key,
    full: &str,
) -> Result<Upload, Fault> {
    let send = || async {
        // if its reply is lost, another attempt begins another upload, and nobody knows of the first
        let once = Builder::new().retry_config(RetryConfig::disabled());
        request.clone().customize().config_override(once).send().await.map_err(Uncreated)
    };
    let created = store.send(0, send).await.map_err(|Uncreated(error)| {
        if error.asks_for_less() && !Uncreated::is_said(&error) {
            store.asked_for_less();
        }
        Fault { what: what(CREATE, full), ..fault(purpose, full, &error) }
    })?;
    let id = created.upload_id().ok_or_else(|| no_s3(CREATE, full, "UploadId"))?.to_owned();
    Ok(Upload { key: key.clone(), id, initiated: None })
}

/// Why no upload is known to be begun.
struct Uncreated(SdkError<CreateMultipartUploadError, HttpResponse>);

impl Uncreated {
    /// The store itself says why. A 503 without a code may be that of a balancer, behind which the upload was begun.
    fn is_said(error: &SdkError<CreateMultipartUploadError, HttpResponse>) -> bool {
        error.code().is_some()
    }
}

impl Failure for Uncreated {
    fn asks_for_less(&self) -> bool {
        self.0.asks_for_less() && Self::is_said(&self.0)
    }
}

/// An upload that lacks parts.
struct Open {
    full: String,
    id: String,
    kept: Kept,
}

/// Reads `spec.size` bytes of `file` and sends those that the upload lacks. After a fault that says nothing against this
/// object it stays open: its parts need not be sent again. After others it is taken back, as well as that goes.
pub(super) async fn fill<F: Source>(
    store: &S3,
    begun: Begun,
    file: &Arc<F>,
    spec: &Spec,
) -> Result<(Parts, Digest), Fault> {
    let full = store.full(PART, &begun.upload.key)?;
    let mut open = Open { full, id: begun.upload.id.clone(), kept: Kept::of(begun) };
    let part_size = size_of_parts(store, spec.size);
    let mut flying = Flying::default();
    match send_all(store, &mut open, &mut flying, file, spec.size, part_size).await {
        Ok((parts, sha256)) => {
            let digest = Digest { sha256, part_size: Some(part_size) };
            Ok((Parts::new(open.full, open.id, spec.size, parts), digest))
        }
        Err(fault) if may_go_on(&fault) => {
            // what is on its way need not be sent again
            while landed(&mut flying).await.is_some() {}
            Err(fault)
        }
        Err(fault) => {
            flying.shutdown().await;
            // if this fails too, the journaled intent has it ended later
            let _ = abort(store, &open.full, &open.id).await;
            Err(fault)
        }
    }
}

/// True if the upload can be gone on with: the fault may pass, or is the mirror's, and is tried again when somebody has
/// dealt with it. What is held open keeps its room: where that is what lacks, it is given back.
fn may_go_on(fault: &Fault) -> bool {
    match fault.class {
        Class::Transient | Class::Throttled | Class::Denied | Class::Owned => true,
        Class::Fatal => !is_full(fault),
        Class::Changed | Class::Missing | Class::Permanent => false,
    }
}

/// Parts on their way.
type Flying = JoinSet<Result<CompletedPart, Fault>>;

/// Each part in flight is a task of its own: it goes on, and gives back its memory, while the next one waits
/// for memory here. So no upload waits for itself.
async fn send_all<F: Source>(
    store: &S3,
    open: &mut Open,
    flying: &mut Flying,
    file: &Arc<F>,
    size: u64,
    part_size: u64,
) -> Result<(Vec<CompletedPart>, [u8; 32]), Fault> {
    let mut parts = Vec::new();
    let mut composite = sha2::Sha256::new();
    for (at, number) in (0..size).step_by(part_size as usize).zip(1..) {
        while flying.len() >= store.options().concurrency.max(1) {
            parts.extend(landed(flying).await.transpose()?);
        }
        let len = part_size.min(size - at);
        let (memory, payload) = load(store, file, &open.full, at, len).await?;
        composite.update(payload.sha256);
        if let Some(kept) = open.kept.same(store, number, &payload).await? {
            parts.push(completed(number, &kept.etag, &payload));
            continue;
        }
        file.sent(len);
        let part = send_one(store.clone(), open.full.clone(), open.id.clone(), number, payload, memory);
        flying.spawn(part.in_current_span());
    }
    while let Some(part) = landed(flying).await {
        parts.push(part?);
    }
    parts.sort_by_key(|part| part.part_number());
    Ok((parts, composite.finalize().into()))
}

/// A part as it is to be sent, and the memory that it takes.
async fn load<F: Source>(
    store: &S3,
    file: &Arc<F>,
    full: &str,
    at: u64,
    len: u64,
) -> Result<(Held, Payload), Fault> {
    let memory = &store.options().memory;
    if memory.is_much(len) {
        let held = memory.hold(WINDOW).await;
        return Ok((held, Payload::streamed(Extent::new(file, full, at, len), store.check()).await?));
    }
    let held = memory.hold(len).await;
    Ok((held, Payload::of(read(&**file, full, at, len).await?, store.check()).await))
}

/// The next part to arrive; `None` if none is in flight.
async fn landed(flying: &mut Flying) -> Option<Result<CompletedPart, Fault>> {
    let done = flying.join_next().await?;
    Some(done.unwrap_or_else(|e| Err(Fault::new(Class::Transient, PART, e))))
}

async fn send_one(
    store: S3,
    full: String,
    id: String,
    number: u32,
    payload: Payload,
    _memory: Held,
) -> Result<CompletedPart, Fault> {
    let send = || {
        let throttle = store.options().throttle.for_request();
        let request = store.client().upload_part().bucket(store.bucket()).key(&full).upload_id(&id);
        let request = request
            .part_number(wire(number))
            .set_checksum_sha256(payload.proof.sha256())
            .set_checksum_crc64_nvme(payload.proof.crc64())
            .set_content_md5(payload.proof.md5())
            .body(payload.body(&throttle))
            .customize()
            .interceptor(payload.signed())
            .config_override(payload.unhurried(store.options(), &throttle));
        payload.watched(store.options(), throttle, request.send())
    };
    let answer = store.send(payload.len(), send).await.map_err(|e| fault(PART, &full, &e))?;
    let etag = tag(PART, &full, answer.e_tag())?;
    let sse = answer.server_side_encryption().map(ServerSideEncryption::as_str);
    let tagged = Tagged::new(etag, sse, answer.sse_customer_algorithm());
    let etag = store.confirm(PART, &full, &payload, tagged)?;
    Ok(completed(number, &etag, &payload))
}

/// A part as it is named when the upload is completed.
fn completed(number: u32, etag: &ETag, payload: &Payload) -> CompletedPart {
    CompletedPart::builder()
        .part_number(wire(number))
        .e_tag(etag.quoted())
        .set_checksum_sha256(payload.proof.sha256())
        .set_checksum_crc64_nvme(payload.proof.crc64())
        .build()
}

/// A part's number as the SDK has it.
pub(super) fn wire(number: u32) -> i32 {
    i32::try_from(number).expect("there are at most 10,000 parts")
}

/// Makes the object visible. After a fault that leaves the outcome open the upload stays: it may be about to become
/// the object, which HEAD tells, or can be completed later.
pub(super) async fn complete(store: &S3, staged: Parts, only: Only) -> Result<RemoteMeta, Fault> {
    let Parts { full, id, size, parts } = staged;
    let (if_none_match, if_match) = store.condition(&only);
    let request = store
        .client()
        .complete_multipart_upload()
        .bucket(store.bucket())
        .key(&full)
        .upload_id(&id)
        .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
        .set_if_none_match(if_none_match)
        .set_if_match(if_match);
    let send = || {
        let config = attempt_timeout(store.options(), 10 * store.options().patience);
        request.clone().customize().config_override(config).send()
    };
    let error = match store.send(0, send).await {
        Ok(answer) => {
            let etag = tag(COMPLETE, &full, answer.e_tag())?;
            return Ok(RemoteMeta { size, etag, modified: None });
        }
        Err(error) => error,
    };
    // what it holds is not what it said, and will not be
    let spoilt = matches!(error.code(), Some("InvalidPart" | "InvalidPartOrder"));
    let fault = fault(COMPLETE, &full, &error);
    if spoilt || !may_go_on(&fault) {
        let _ = abort(store, &full, &id).await;
    }
    Err(fault)
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
