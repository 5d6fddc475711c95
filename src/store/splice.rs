//! Copies by parts: what is too large to be copied in one request is put together of ranges of its source, on the
//! server. The object has the parts that the file's digest is made of, so that it is proven later as an upload in parts
//! is, and already now where the store tells what it copied.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>

use super::{
    Options, S3,
    error::{fault, what},
    gate::Load,
    metadata, object,
    options::MIB,
    origin::{Origin, header, keep},
    part::{self, CREATE, MOST_PARTS, Parts, wire},
    payload::attempt_timeout,
    s3::tag,
    upload::{ONE_REQUEST, abort},
};
use crate::model::{Class, ETag, Fault, Key, ObjectOptions, Spec, Upload};
use aws_sdk_s3::types::CompletedPart;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};
use tokio::task::JoinSet;
use tracing::Instrument;

const PART: &str = "UploadPartCopy";

/// The least that a part has, but the last one (S3 user guide, *Multipart upload limits*).
const LEAST: u64 = 5 * MIB;

/// Bytes of each part but the last; `None` for what is copied in one request. The parts of the digest, if an object may
/// have such, else those of an upload.
pub(super) fn part_size(options: &Options, spec: &Spec) -> Option<u64> {
    if spec.size <= options.one_copy() {
        return None;
    }
    let own = part::part_size(spec.size, options.part_size.max(1));
    let may =
        |part: &u64| (LEAST.min(own)..=ONE_REQUEST).contains(part) && spec.size.div_ceil(*part) <= MOST_PARTS;
    Some(spec.part_size.filter(may).unwrap_or(own))
}

/// Begins the upload of a copy of `from`.
pub(super) async fn create(store: &S3, from: (&Key, &ETag), to: &Key, spec: &Spec) -> Result<Upload, Fault> {
    let full = store.full(CREATE, to)?;
    let origin = Origin::find(store, CREATE, from, &full).await?;
    let used = part_size(store.options(), spec);
    // a digest of other parts would be taken for one of these
    let digest = spec.sha256.filter(|_| spec.part_size == used);
    let mut all = metadata::kept(origin.head.metadata().cloned());
    all.extend(metadata::outgoing(spec, digest, used));
    all.extend(origin.since(store, from.0 == to));
    open(store, &origin, (to, &full), all, store.chosen(&full)).await
}

/// Begins an upload with this metadata, what the origin has beside its bytes, and what is chosen over that.
pub(super) async fn open(
    store: &S3,
    origin: &Origin,
    (to, full): (&Key, &str),
    metadata: HashMap<String, String>,
    chosen: Option<Arc<ObjectOptions>>,
) -> Result<Upload, Fault> {
    let tags = match chosen.as_ref().is_some_and(|chosen| chosen.tags.is_some()) {
        true => None,
        false => origin.tags(store).await?,
    };
    let request = store
        .client()
        .create_multipart_upload()
        .bucket(store.bucket())
        .key(full)
        .set_metadata(Some(metadata))
        .set_tagging(tags)
        .set_checksum_algorithm(store.check().algorithm())
        .set_checksum_type(store.check().kind());
    // in the trash it is of the type that it was of
    let named = if to.trash_name().is_some() { origin.full() } else { full };
    let request = object::create(keep!(request, origin, named), chosen);
    part::begin(store, request, PART, to, full).await
}

/// Has the store copy all parts of `from`. If that fails, the upload is taken back, as well as that goes: to begin anew
/// sends nothing again.
pub(super) async fn fill(
    store: &S3,
    upload: Upload,
    from: (&Key, &ETag),
    spec: &Spec,
) -> Result<Parts, Fault> {
    let full = store.full(PART, &upload.key)?;
    let Some(part_size) = part_size(store.options(), spec) else {
        return Err(Fault::new(Class::Permanent, what(PART, &full), "it is copied in one request"));
    };
    let copy = Copy {
        store: store.clone(),
        source: header(store.bucket(), &store.full(PART, from.0)?),
        etag: from.1.quoted(),
        full,
        id: upload.id,
    };
    let mut flying = JoinSet::new();
    let copied = async {
        let parts = copy.all(&mut flying, spec, part_size).await?;
        // not every store honours `x-amz-copy-source-if-match`
        if !copy.is_proven(&parts, spec, part_size)? {
            Origin::find(store, PART, from, &copy.full).await?;
        }
        Ok(parts)
    };
    match copied.await {
        Ok(parts) => Ok(Parts::new(copy.full, copy.id, spec.size, parts)),
        Err(fault) => {
            flying.shutdown().await;
            // if this fails too, the journaled intent has it ended later
            let _ = abort(store, &copy.full, &copy.id).await;
            Err(fault)
        }
    }
}

/// A copy that lacks parts.
#[derive(Clone)]
struct Copy {
    store: S3,
    source: String,
    etag: String,
    full: String,
    id: String,
}

impl Copy {
    async fn all(
        &self,
        flying: &mut JoinSet<Result<CompletedPart, Fault>>,
        spec: &Spec,
        part_size: u64,
    ) -> Result<Vec<CompletedPart>, Fault> {
        let mut parts = Vec::new();
        for (at, number) in (0..spec.size).step_by(part_size as usize).zip(1..) {
            while flying.len() >= self.store.options().concurrency.max(1) {
                parts.extend(landed(flying).await.transpose()?);
            }
            let last = (at + part_size).min(spec.size) - 1;
            let one = self.clone();
            flying.spawn(async move { one.part(number, at, last).await }.in_current_span());
        }
        while let Some(part) = landed(flying).await {
            parts.push(part?);
        }
        parts.sort_by_key(|part| part.part_number());
        Ok(parts)
    }

    /// Bytes `first` to `last` become this part.
    async fn part(&self, number: u32, first: u64, last: u64) -> Result<CompletedPart, Fault> {
        let options = self.store.options();
        let request = self.store.client().upload_part_copy().bucket(self.store.bucket()).key(&self.full);
        let request = request
            .upload_id(&self.id)
            .part_number(wire(number))
            .copy_source(&self.source)
            .copy_source_if_match(&self.etag)
            .copy_source_range(format!("bytes={first}-{last}"));
        let send = || {
            let patience = attempt_timeout(options, 10 * options.patience);
            request.clone().customize().config_override(patience).send()
        };
        let load = Load::Copy(last - first + 1);
        let answer = self.store.send(load, send).await.map_err(|e| fault(PART, &self.full, &e))?;
        let result = answer.copy_part_result();
        Ok(CompletedPart::builder()
            .part_number(wire(number))
            .e_tag(tag(PART, &self.full, result.and_then(|r| r.e_tag()))?.quoted())
            .set_checksum_sha256(result.and_then(|r| r.checksum_sha256()).map(str::to_owned))
            .set_checksum_crc64_nvme(result.and_then(|r| r.checksum_crc64_nvme()).map(str::to_owned))
            .build())
    }

    /// Holds what the store says that it copied against the digest of the file. False if it does not say.
    ///
    /// # Errors
    /// `Permanent` if they differ.
    fn is_proven(&self, parts: &[CompletedPart], spec: &Spec, part_size: u64) -> Result<bool, Fault> {
        let Some(want) = spec.sha256.filter(|_| spec.part_size == Some(part_size)) else { return Ok(false) };
        let sum = |part: &CompletedPart| BASE64_STANDARD.decode(part.checksum_sha256()?).ok();
        let Some(told) = parts.iter().map(sum).collect::<Option<Vec<_>>>() else { return Ok(false) };
        if Sha256::digest(told.concat())[..] == want {
            return Ok(true);
        }
        let cause = "the object that was copied does not hold what the file holds";
        Err(Fault::new(Class::Permanent, what(PART, &self.full), cause))
    }
}

/// The next part to be copied; `None` if none is under way.
async fn landed(flying: &mut JoinSet<Result<CompletedPart, Fault>>) -> Option<Result<CompletedPart, Fault>> {
    let done = flying.join_next().await?;
    Some(done.unwrap_or_else(|e| Err(Fault::new(Class::Transient, PART, e))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Extra, Keep, Stamp};

    #[test]
    fn c56_a_copy_has_the_parts_of_the_digest_if_an_object_may() {
        const GIB: u64 = 1 << 30;
        let options = Options::new("b", "");
        for (size, digest, want) in [
            (5 * GIB, Some(8 * MIB), None),
            (5 * GIB + 1, Some(8 * MIB), Some(8 * MIB)),
            (5 * GIB + 1, Some(512 * MIB), Some(512 * MIB)),
            (5 * GIB + 1, None, Some(8 * MIB)),
            // too small, too large, too many
            (6 * GIB, Some(5 * MIB - 1), Some(8 * MIB)),
            (6 * GIB, Some(5 * GIB + 1), Some(8 * MIB)),
            (100 * GIB, Some(8 * MIB), Some(11 * MIB)),
            (100 * GIB, Some(16 * MIB), Some(16 * MIB)),
        ] {
            let spec = Spec {
                size,
                mtime: Stamp::default(),
                attributes: Attributes { mode: 0, uid: 0, gid: 0 },
                names: None,
                keep: Keep::default(),
                extra: Extra::default(),
                own: String::new(),
                sha256: None,
                part_size: digest,
            };
            assert_eq!(part_size(&options, &spec), want, "{size} {digest:?}");
        }
    }
}
