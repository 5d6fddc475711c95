//! Multipart uploads: parts are kept apart, and nothing is visible before Complete swaps it in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, Part as ListedPart, StorageClass,
};
use s3s::{S3Result, s3_error};

use super::attributes::Attributes;
use super::body::Body;
use super::bucket::Bucket;
use super::checksum::{Algorithm, Received, Sum, get_sum, of_parts, put_sum};
use super::condition::{Conditions, now};
use super::object::{Object, Tags, parse_tags};
use super::{opaque, percent};

/// The highest part number.
const LAST_PART: i32 = 10_000;

/// An upload in progress.
pub(super) struct Upload {
    initiated: SystemTime,
    attributes: Arc<Attributes>,
    tags: Tags,
    algorithm: Option<Algorithm>,
    /// The checksum is that of the whole object, not one of the parts' checksums.
    full: bool,
    parts: BTreeMap<i32, Part>,
}

struct Part {
    etag: String,
    md5: [u8; 16],
    body: Body,
    sum: Option<Sum>,
    modified: SystemTime,
}

/// What a part has to know of its upload before it is received.
pub(super) struct Terms {
    pub(super) algorithm: Option<Algorithm>,
    pub(super) attributes: Arc<Attributes>,
}

impl Terms {
    /// The ETag of a part with this MD5.
    pub(super) fn etag(&self, md5: [u8; 16], random: bool) -> String {
        if random || self.attributes.opaque_etag() { opaque() } else { hex::encode(md5) }
    }
}

/// Starts an upload; its id.
pub(super) fn create(
    bucket: &Bucket,
    mut input: CreateMultipartUploadInput,
) -> S3Result<(String, Arc<Attributes>)> {
    let algorithm =
        input.checksum_algorithm.as_ref().map(|name| Algorithm::parse(name.as_str())).transpose()?;
    let full = match input.checksum_type.as_ref().map(ChecksumType::as_str) {
        Some(kind) => kind == ChecksumType::FULL_OBJECT,
        None => algorithm == Some(Algorithm::Crc64Nvme),
    };
    match algorithm {
        Some(Algorithm::Crc64Nvme) if !full => {
            return Err(s3_error!(
                InvalidRequest,
                "The COMPOSITE checksum type cannot be used with crc64nvme."
            ));
        }
        Some(Algorithm::Sha1 | Algorithm::Sha256) if full => {
            return Err(s3_error!(InvalidRequest, "The FULL_OBJECT checksum type cannot be used with SHA."));
        }
        _ => {}
    }
    let attributes = Arc::new(Attributes::from(&mut input));
    attributes.check()?;
    let upload = Upload {
        initiated: now(),
        attributes: attributes.clone(),
        tags: parse_tags(input.tagging.as_deref())?,
        algorithm,
        full,
        parts: BTreeMap::new(),
    };
    let id = opaque();
    bucket.write().uploads.insert((input.key, id.clone()), upload);
    Ok((id, attributes))
}

/// What holds for the parts of an upload.
///
/// # Errors
/// 404; 400 for a part number out of 1..=10,000.
pub(super) fn terms(bucket: &Bucket, key: &str, id: &str, number: i32) -> S3Result<Terms> {
    if !(1..=LAST_PART).contains(&number) {
        return Err(s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive"
        ));
    }
    let contents = bucket.read();
    let upload = contents.uploads.get(&name(key, id)).ok_or_else(|| s3_error!(NoSuchUpload))?;
    Ok(Terms { algorithm: upload.algorithm, attributes: upload.attributes.clone() })
}

/// Keeps a part that was received whole, in place of one of that number.
///
/// # Errors
/// 404 if the upload ended meanwhile.
pub(super) fn keep(
    bucket: &Bucket,
    key: &str,
    id: &str,
    number: i32,
    etag: String,
    received: Received,
) -> S3Result<()> {
    let part = Part { etag, md5: received.md5, body: received.body, sum: received.sum, modified: now() };
    let mut contents = bucket.write();
    let upload = contents.uploads.get_mut(&name(key, id)).ok_or_else(|| s3_error!(NoSuchUpload))?;
    let replaced = upload.parts.insert(number, part);
    drop(contents);
    drop(replaced);
    Ok(())
}

/// Makes the parts into an object, all at once. Parts that were not named are dropped.
pub(super) fn complete(
    bucket: &Bucket,
    input: CompleteMultipartUploadInput,
    minimum: u64,
    ignore_conditions: bool,
    random_etag: bool,
) -> S3Result<CompleteMultipartUploadOutput> {
    let name = name(&input.key, &input.upload_id);
    let mut conditions = Conditions::default();
    if !ignore_conditions {
        conditions.if_match = input.if_match.clone();
        conditions.if_none_match = input.if_none_match.clone();
    }
    let named =
        input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref()).unwrap_or_default();
    let mut contents = bucket.write();
    let upload = contents.uploads.get(&name).ok_or_else(|| s3_error!(NoSuchUpload))?;
    let parts = chosen(upload, named, minimum)?;
    let body = Body::concat(parts.iter().map(|part| &part.body));
    if input.mpu_object_size.is_some_and(|size| u64::try_from(size) != Ok(body.len())) {
        return Err(s3_error!(InvalidRequest, "The provided 'x-amz-mp-object-size' header does not match."));
    }
    let sum = whole_sum(upload, &parts)?;
    if let Some(sum) = &sum
        && let Some(claimed) = get_sum!(input, sum.algorithm)
        && claimed != sum.value
        && !claimed.eq(sum.value.split('-').next().unwrap_or_default())
    {
        return Err(s3_error!(
            BadDigest,
            "The checksum you specified did not match the calculated checksum."
        ));
    }
    conditions.check_write(contents.current(&input.key))?;
    let object = Object {
        etag: if random_etag || upload.attributes.opaque_etag() {
            format!("{}-{}", opaque(), parts.len())
        } else {
            etag_of(&parts)
        },
        body,
        modified: now(),
        attributes: upload.attributes.clone(),
        sum,
        parts: Some(parts.iter().map(|part| part.body.len()).collect()),
        tags: upload.tags.clone(),
    };
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        e_tag: Some(object.tag()),
        key: Some(input.key.clone()),
        location: Some(format!("/{}/{}", input.bucket, percent::encode(&input.key))),
        server_side_encryption: object.attributes.encryption().server_side_encryption.clone(),
        ssekms_key_id: object.attributes.encryption().ssekms_key_id.clone(),
        ..CompleteMultipartUploadOutput::default()
    };
    put_sum!(output, &object.sum);
    output.checksum_type = object.sum.as_ref().map(Sum::kind);
    let (version, displaced) = contents.place(&input.key, Some(object));
    let ended = contents.uploads.remove(&name);
    drop(contents);
    drop((displaced, ended));
    output.version_id = version;
    Ok(output)
}

/// The parts named, if each is there and all are as they must be.
fn chosen<'a>(upload: &'a Upload, named: &[CompletedPart], minimum: u64) -> S3Result<Vec<&'a Part>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    if !named.is_sorted_by(|left, right| left.part_number < right.part_number) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let mut parts = Vec::with_capacity(named.len());
    for (at, wanted) in named.iter().enumerate() {
        let number = wanted.part_number.ok_or_else(|| s3_error!(MalformedXML))?;
        let part = upload.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
        if wanted.e_tag.as_ref().map(ETag::value) != Some(&part.etag) {
            return Err(s3_error!(InvalidPart));
        }
        if let Some(sum) = &part.sum {
            match get_sum!(wanted, sum.algorithm) {
                Some(claimed) if claimed != sum.value => return Err(s3_error!(InvalidPart)),
                None if upload.algorithm.is_some() && !upload.full => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "The upload was created with a checksum algorithm. The complete request must include the \
                         checksum for each part."
                    ));
                }
                _ => {}
            }
        }
        if at + 1 < named.len() && part.body.len() < minimum {
            return Err(s3_error!(EntityTooSmall));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn whole_sum(upload: &Upload, parts: &[&Part]) -> S3Result<Option<Sum>> {
    let Some(algorithm) = upload.algorithm else { return Ok(None) };
    let sums = parts.iter().map(|part| {
        let sum = part.sum.as_ref().filter(|sum| sum.algorithm == algorithm);
        sum.map(|sum| (sum.value.as_str(), part.body.len()))
    });
    match sums.collect::<Option<Vec<_>>>() {
        Some(sums) => of_parts(algorithm, upload.full, &sums).map(Some),
        // Parts that came by a fault without one.
        None => Ok(None),
    }
}

fn etag_of(parts: &[&Part]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(&part.md5);
    }
    format!("{}-{}", hex::encode(md5.finalize()), parts.len())
}

/// Ends an upload without an object.
///
/// # Errors
/// 404.
pub(super) fn abort(bucket: &Bucket, key: &str, id: &str) -> S3Result<()> {
    let aborted = bucket.write().uploads.remove(&name(key, id));
    aborted.map(drop).ok_or_else(|| s3_error!(NoSuchUpload))
}

/// ListParts.
pub(super) fn list_parts(bucket: &Bucket, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let contents = bucket.read();
    let upload =
        contents.uploads.get(&name(&input.key, &input.upload_id)).ok_or_else(|| s3_error!(NoSuchUpload))?;
    let most = input.max_parts.unwrap_or(1000).clamp(0, 1000);
    let marker = input.part_number_marker.unwrap_or(0).max(0);
    let mut rest = upload.parts.range(marker.saturating_add(1)..);
    let mut parts = Vec::new();
    for (number, part) in rest.by_ref().take(most as usize) {
        let mut listed = ListedPart {
            e_tag: Some(ETag::Strong(part.etag.clone())),
            last_modified: Some(part.modified.into()),
            part_number: Some(*number),
            size: i64::try_from(part.body.len()).ok(),
            ..ListedPart::default()
        };
        put_sum!(listed, &part.sum);
        parts.push(listed);
    }
    let truncated = most > 0 && rest.next().is_some();
    Ok(ListPartsOutput {
        checksum_algorithm: upload.algorithm.map(|algorithm| algorithm.name().to_owned().into()),
        checksum_type: kind(upload),
        is_truncated: Some(truncated),
        max_parts: Some(most),
        next_part_number_marker: parts.last().and_then(|part| part.part_number).filter(|_| truncated),
        part_number_marker: Some(marker),
        parts: (!parts.is_empty()).then_some(parts),
        storage_class: Some(StorageClass::from(upload.attributes.class_name().to_owned())),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    })
}

/// ListMultipartUploads. Common prefixes are not rolled up: a delimiter is refused.
pub(super) fn list_uploads(
    bucket: &Bucket,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(s3_error!(NotImplemented, "ListMultipartUploads takes no delimiter here."));
    }
    let url = input.encoding_type.is_some();
    let text = |name: &str| if url { percent::encode(name) } else { name.to_owned() };
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let most = input.max_uploads.unwrap_or(1000).clamp(0, 1000);
    let after = input.key_marker.as_deref().unwrap_or_default();
    let after_id = input.upload_id_marker.as_deref().unwrap_or_default();
    let contents = bucket.read();
    let follows =
        |key: &str, id: &str| key > after || (key == after && !after_id.is_empty() && id > after_id);
    let from = name(prefix.max(after), "");
    let mut rest = contents
        .uploads
        .range(from..)
        .take_while(|((key, _), _)| key.starts_with(prefix))
        .filter(|((key, id), _)| after.is_empty() || follows(key, id));
    let page: Vec<_> = rest.by_ref().take(most as usize).collect();
    let truncated = most > 0 && rest.next().is_some();
    let last = page.last().filter(|_| truncated).map(|(name, _)| *name);
    let uploads: Vec<MultipartUpload> = page
        .iter()
        .map(|((key, id), upload)| MultipartUpload {
            checksum_algorithm: upload.algorithm.map(|algorithm| algorithm.name().to_owned().into()),
            checksum_type: kind(upload),
            initiated: Some(upload.initiated.into()),
            key: Some(text(key)),
            storage_class: Some(StorageClass::from(upload.attributes.class_name().to_owned())),
            upload_id: Some(id.clone()),
            ..MultipartUpload::default()
        })
        .collect();
    Ok(ListMultipartUploadsOutput {
        is_truncated: Some(truncated),
        key_marker: Some(text(after)),
        max_uploads: Some(most),
        next_key_marker: last.map(|(key, _)| text(key)),
        next_upload_id_marker: last.map(|(_, id)| id.clone()),
        prefix: Some(text(prefix)),
        upload_id_marker: Some(after_id.to_owned()),
        uploads: (!uploads.is_empty()).then_some(uploads),
        encoding_type: input.encoding_type,
        bucket: Some(input.bucket.clone()),
        ..ListMultipartUploadsOutput::default()
    })
}

fn kind(upload: &Upload) -> Option<ChecksumType> {
    let kind = if upload.full { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    upload.algorithm.map(|_| ChecksumType::from_static(kind))
}

fn name(key: &str, id: &str) -> (String, String) {
    (key.to_owned(), id.to_owned())
}
