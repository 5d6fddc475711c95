//! PutObject and UploadPart: a body is received and proven whole, then stored in one step.

use std::sync::Arc;

use s3s::dto::{ETag, PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput};
use s3s::{S3Request, S3Result, s3_error};

use super::attributes::Attributes;
use super::checksum::{Claim, Manner, Received, Sum, put_sum, receive};
use super::condition::{Conditions, now};
use super::fault::{Kind, kinds, linger};
use super::object::{Object, parse_tags};
use super::state::State;
use super::{multipart, opaque};

/// PutObject.
pub(super) async fn object(
    state: &State,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let kinds = kinds(&request.extensions);
    let claim = Claim::of(&request.headers, kinds)?;
    let input = &mut request.input;
    let bucket = state.bucket(&input.bucket)?;
    let attributes = Attributes::from(&mut *input);
    attributes.check()?;
    if attributes.guard().locks() && !claim.vouches() {
        return Err(s3_error!(
            InvalidRequest,
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
        ));
    }
    let tags = parse_tags(input.tagging.as_deref())?;
    let mut conditions = Conditions::default();
    if !kinds.contains(&Kind::IgnoreConditions) {
        conditions.if_match = input.if_match.take();
        conditions.if_none_match = input.if_none_match.take();
    }
    let manner = manner(kinds, input.content_length);
    let trailers = request.trailing_headers.as_ref();
    let Received { body, md5, sum } =
        receive(&state.shelf, input.body.take(), claim, trailers, manner).await?;
    linger(kinds).await;
    let etag = match kinds.contains(&Kind::RandomEtag) || attributes.opaque_etag() {
        _ if kinds.contains(&Kind::OddEtag) => format!("odd.{}", &opaque()[..10]),
        true => opaque(),
        false => hex::encode(md5),
    };
    let object =
        Object { etag, body, modified: now(), attributes: Arc::new(attributes), sum, parts: None, tags };
    let attributes = &object.attributes;
    let mut output = PutObjectOutput {
        e_tag: Some(object.tag()),
        checksum_type: object.sum.as_ref().map(Sum::kind),
        server_side_encryption: attributes.encryption().server_side_encryption.clone(),
        sse_customer_algorithm: attributes.encryption().sse_customer_algorithm.clone(),
        sse_customer_key_md5: attributes.encryption().sse_customer_key_md5.clone(),
        ssekms_key_id: attributes.encryption().ssekms_key_id.clone(),
        ..PutObjectOutput::default()
    };
    put_sum!(output, &object.sum);
    output.version_id = bucket.put(&input.key, object, &conditions)?;
    Ok(output)
}

/// UploadPart.
pub(super) async fn part(
    state: &State,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let kinds = kinds(&request.extensions);
    let input = &mut request.input;
    let bucket = state.bucket(&input.bucket)?;
    let terms = multipart::terms(&bucket, &input.key, &input.upload_id, input.part_number)?;
    let claim = Claim::of(&request.headers, kinds)?.or_algorithm(terms.algorithm);
    let manner = manner(kinds, input.content_length);
    let trailers = request.trailing_headers.as_ref();
    let received = receive(&state.shelf, input.body.take(), claim, trailers, manner).await?;
    linger(kinds).await;
    let etag = terms.etag(received.md5, kinds.contains(&Kind::RandomEtag));
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(etag.clone())),
        server_side_encryption: terms.attributes.encryption().server_side_encryption.clone(),
        ssekms_key_id: terms.attributes.encryption().ssekms_key_id.clone(),
        ..UploadPartOutput::default()
    };
    put_sum!(output, &received.sum);
    multipart::keep(&bucket, &input.key, &input.upload_id, input.part_number, etag, received)?;
    Ok(output)
}

fn manner(kinds: &[Kind], length: Option<i64>) -> Manner {
    Manner {
        unchecked: kinds.contains(&Kind::NoChecksumVerification),
        framed: kinds.contains(&Kind::StoreFraming),
        flipped: kinds.contains(&Kind::FlipBit),
        length: length.and_then(|length| u64::try_from(length).ok()),
    }
}
