//! GetObject and HeadObject.

use std::ops::Range;
use std::sync::Arc;

use s3s::dto::{ChecksumMode, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput};
use s3s::{S3Request, S3Result};

use super::condition::ReadConditions;
use super::fault::{Kind, kinds};
use super::object::{Object, head_output};
use super::state::State;

/// GetObject.
pub(super) fn object(state: &State, request: S3Request<GetObjectInput>) -> S3Result<GetObjectOutput> {
    let (object, extent, mut output) = open(state, &request.input, kinds(&request.extensions))?;
    object.check_readable(request.input.sse_customer_key_md5.as_deref())?;
    let whole = extent.end - extent.start == object.body.len();
    let body = if whole { object.body.clone() } else { object.body.slice(extent) };
    output.body = Some(body.stream());
    Ok(output)
}

/// HeadObject.
pub(super) fn head(state: &State, request: S3Request<HeadObjectInput>) -> S3Result<HeadObjectOutput> {
    let input = request.input;
    let input = GetObjectInput {
        bucket: input.bucket,
        checksum_mode: input.checksum_mode,
        if_match: input.if_match,
        if_modified_since: input.if_modified_since,
        if_none_match: input.if_none_match,
        if_unmodified_since: input.if_unmodified_since,
        key: input.key,
        part_number: input.part_number,
        range: input.range,
        sse_customer_key_md5: input.sse_customer_key_md5,
        version_id: input.version_id,
        ..GetObjectInput::default()
    };
    let (_, _, output) = open(state, &input, kinds(&request.extensions))?;
    Ok(head_output(output))
}

/// GET and HEAD, up to the body: the object, and the answer without it.
fn open(
    state: &State,
    input: &GetObjectInput,
    kinds: &[Kind],
) -> S3Result<(Arc<Object>, Range<u64>, GetObjectOutput)> {
    let (object, version) = state.bucket(&input.bucket)?.get(&input.key, input.version_id.as_deref())?;
    object.check_key(input.sse_customer_key_md5.as_deref())?;
    if !kinds.contains(&Kind::IgnoreConditions) {
        ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        }
        .check(&object)?;
    }
    let (extent, shown) = object.extent(input.range, input.part_number)?;
    let with_sum = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let mut output = object.get_output(&extent, with_sum);
    output.content_range = shown;
    output.version_id = version;
    if input.part_number.is_some() {
        output.parts_count = object.parts.as_ref().and_then(|parts| i32::try_from(parts.len()).ok());
    }
    Ok((object, extent, output))
}
