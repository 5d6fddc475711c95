//! CopyObject and UploadPartCopy.

use std::sync::Arc;

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, ETag, MetadataDirective,
    Range, TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Request, S3Result, s3_error};

use super::attributes::{Attributes, Encryption};
use super::checksum::{Algorithm, Received, digest, put_sum};
use super::condition::{Conditions, ReadConditions, now};
use super::fault::{Kind, kinds};
use super::object::{Object, parse_tags};
use super::state::State;
use super::{multipart, opaque};

/// The most that one copy moves, in bytes: 5 GiB.
const MOST: u64 = 5 << 30;

/// The object a copy is of, and its version id to answer with.
fn source(state: &State, source: &CopySource) -> S3Result<(Arc<Object>, Option<String>)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(s3_error!(NotImplemented, "Copy sources here are BUCKET/KEY."));
    };
    state.bucket(bucket)?.get(key, version_id.as_deref())
}

/// CopyObject: the bytes are shared, never moved.
pub(super) async fn object(
    state: &State,
    mut request: S3Request<CopyObjectInput>,
) -> S3Result<CopyObjectOutput> {
    let ignore_conditions = kinds(&request.extensions).contains(&Kind::IgnoreConditions);
    let random_etag = kinds(&request.extensions).contains(&Kind::RandomEtag);
    let conditions =
        if ignore_conditions { Conditions::default() } else { Conditions::of_headers(&request.headers) };
    let input = &mut request.input;
    let bucket = state.bucket(&input.bucket)?;
    let (from, source_version) = source(state, &input.copy_source)?;
    if !ignore_conditions {
        ReadConditions {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            if_modified_since: input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        }
        .check_source(&from)?;
    }
    from.check_readable(input.copy_source_sse_customer_key_md5.as_deref())?;
    if from.body.len() > MOST {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size."
        ));
    }
    let replace = input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let asked = Attributes::from(&mut *input);
    asked.check()?;
    refuse_idle(input, &from, &asked, replace)?;
    let tags = match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
        Some(TaggingDirective::REPLACE) => parse_tags(input.tagging.as_deref())?,
        _ => from.tags.clone(),
    };
    let attributes = if replace { asked } else { from.attributes.copied(asked) };
    let algorithm =
        input.checksum_algorithm.as_ref().map(|name| Algorithm::parse(name.as_str())).transpose()?;
    let received = digested(&from, algorithm).await?;
    let etag = match received.md5 {
        Some(md5) if !random_etag && !attributes.opaque_etag() => md5,
        _ => opaque(),
    };
    let object = Object {
        etag,
        body: from.body.clone(),
        modified: now(),
        attributes: Arc::new(attributes),
        sum: received.sum,
        parts: None,
        tags,
    };
    let mut result = CopyObjectResult {
        e_tag: Some(object.tag()),
        last_modified: Some(object.modified.into()),
        ..Default::default()
    };
    put_sum!(result, &object.sum);
    result.checksum_type = object.sum.as_ref().map(super::checksum::Sum::kind);
    let mut output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: source_version,
        server_side_encryption: object.attributes.encryption().server_side_encryption.clone(),
        sse_customer_algorithm: object.attributes.encryption().sse_customer_algorithm.clone(),
        sse_customer_key_md5: object.attributes.encryption().sse_customer_key_md5.clone(),
        ssekms_key_id: object.attributes.encryption().ssekms_key_id.clone(),
        ..CopyObjectOutput::default()
    };
    output.version_id = bucket.put(&input.key, object, &conditions)?;
    Ok(output)
}

/// A copy of an object onto itself must change something.
fn refuse_idle(input: &CopyObjectInput, from: &Object, asked: &Attributes, replace: bool) -> S3Result<()> {
    let CopySource::Bucket { bucket, key, version_id: None } = &input.copy_source else { return Ok(()) };
    let changes = replace
        || asked.class_name() != from.attributes.class_name()
        || *asked.encryption() != Encryption::default()
        || asked.website_redirect_location.is_some()
        || input.checksum_algorithm.is_some();
    if **bucket == *input.bucket && **key == *input.key && !changes {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    Ok(())
}

struct Digested {
    md5: Option<String>,
    sum: Option<super::checksum::Sum>,
}

/// The ETag and checksum of a whole copy: known already, unless the source was made of parts or is encrypted.
async fn digested(from: &Object, asked: Option<Algorithm>) -> S3Result<Digested> {
    let known = from.sum.as_ref().filter(|sum| !sum.composite());
    let wanted = asked.or(from.sum.as_ref().map(|sum| sum.algorithm));
    let plain = from.parts.is_none() && !from.attributes.opaque_etag();
    if plain && known.map(|sum| sum.algorithm) == wanted {
        return Ok(Digested { md5: Some(from.etag.clone()), sum: from.sum.clone() });
    }
    let Received { md5, sum, .. } = digest(from.body.clone(), wanted).await?;
    Ok(Digested { md5: Some(hex::encode(md5)), sum })
}

/// UploadPartCopy.
pub(super) async fn part(
    state: &State,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<UploadPartCopyOutput> {
    let input = &request.input;
    let bucket = state.bucket(&input.bucket)?;
    let terms = multipart::terms(&bucket, &input.key, &input.upload_id, input.part_number)?;
    let (from, source_version) = source(state, &input.copy_source)?;
    if !kinds(&request.extensions).contains(&Kind::IgnoreConditions) {
        ReadConditions {
            if_match: input.copy_source_if_match.as_ref(),
            if_none_match: input.copy_source_if_none_match.as_ref(),
            if_modified_since: input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        }
        .check_source(&from)?;
    }
    from.check_readable(input.copy_source_sse_customer_key_md5.as_deref())?;
    let len = from.body.len();
    let range = match &input.copy_source_range {
        None => 0..len,
        Some(text) => {
            let invalid =
                || s3_error!(InvalidArgument, "The x-amz-copy-source-range value must be bytes=first-last");
            let Ok(Range::Int { first, last: Some(last) }) = Range::parse(text) else {
                return Err(invalid());
            };
            if last >= len || first > last {
                return Err(s3_error!(InvalidRange, "Range specified is not valid for the source object"));
            }
            first..last + 1
        }
    };
    if range.end - range.start > MOST {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size."
        ));
    }
    let received = digest(from.body.slice(range), terms.algorithm).await?;
    let etag = terms.etag(received.md5, kinds(&request.extensions).contains(&Kind::RandomEtag));
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(etag.clone())),
        last_modified: Some(now().into()),
        ..CopyPartResult::default()
    };
    put_sum!(result, &received.sum);
    multipart::keep(&bucket, &input.key, &input.upload_id, input.part_number, etag, received)?;
    Ok(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source_version,
        server_side_encryption: terms.attributes.encryption().server_side_encryption.clone(),
        ssekms_key_id: terms.attributes.encryption().ssekms_key_id.clone(),
        ..UploadPartCopyOutput::default()
    })
}
