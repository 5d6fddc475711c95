//! Copies on the server in one request. No bytes are sent; tags go along by themselves.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>

use super::{
    S3,
    error::{fault, what},
    gate::Load,
    metadata, object,
    origin::{Origin, keep},
    page,
    payload::attempt_timeout,
    s3::tag,
};
use crate::model::{Class, ETag, Fault, Key, Only, RemoteMeta, Spec};
use aws_sdk_s3::types::{MetadataDirective, TaggingDirective};

const COPY: &str = "CopyObject";

pub(super) async fn copy(
    store: &S3,
    from: (&Key, &ETag),
    to: &Key,
    spec: &Spec,
    only: Only,
) -> Result<RemoteMeta, Fault> {
    let to = store.full(COPY, to)?;
    let origin = Origin::find(store, COPY, from, &to).await?;
    if origin.size > store.options().one_copy() {
        let cause = "it is too large to be copied in one request";
        return Err(Fault::new(Class::Permanent, what(COPY, &to), cause));
    }
    let mut all = metadata::kept(origin.head.metadata().cloned());
    all.extend(metadata::outgoing(spec, spec.sha256, spec.part_size));
    let (if_none_match, if_match) = store.condition(&only);
    let request = store
        .client()
        .copy_object()
        .bucket(store.bucket())
        .key(&to)
        .copy_source(origin.header(store))
        .copy_source_if_match(from.1.quoted())
        .set_if_none_match(if_none_match)
        .set_if_match(if_match)
        .metadata_directive(MetadataDirective::Replace)
        .set_metadata(Some(all))
        .tagging_directive(TaggingDirective::Copy);
    let request = object::copy(keep!(request, &origin, &to), store.chosen(&to));
    let patience = 10 * store.options().patience;
    let send = || {
        let config = attempt_timeout(store.options(), patience);
        request.clone().customize().config_override(config).send()
    };
    let answer = store.send(Load::Copy(spec.size), send).await.map_err(|e| fault(COPY, &to, &e))?;
    let result = answer.copy_object_result();
    Ok(RemoteMeta {
        size: origin.size,
        etag: tag(COPY, &to, result.and_then(|r| r.e_tag()))?,
        modified: result.and_then(|r| r.last_modified()).map(page::stamp),
    })
}
