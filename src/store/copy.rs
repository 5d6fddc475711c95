//! Copies on the server in one request. No bytes are sent; tags go along by themselves. Not every store honours
//! `x-amz-copy-source-if-match`, so what was copied is looked at.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>

use super::{
    S3, delete,
    error::{fault, what},
    gate::Load,
    metadata, object,
    origin::{Origin, keep},
    page,
    payload::attempt_timeout,
    put::Tagged,
    s3::tag,
};
use crate::model::{Class, ETag, Fault, Key, Only, RemoteMeta, Spec};
use aws_sdk_s3::{
    operation::copy_object::builders::CopyObjectFluentBuilder,
    types::{MetadataDirective, ServerSideEncryption},
};
use std::collections::HashMap;

pub(super) const COPY: &str = "CopyObject";

pub(super) async fn copy(
    store: &S3,
    from: (&Key, &ETag),
    to: &Key,
    spec: &Spec,
    only: Only,
) -> Result<RemoteMeta, Fault> {
    let (key, to) = (to, store.full(COPY, to)?);
    let origin = Origin::find(store, COPY, from, &to).await?;
    if origin.size > store.options().one_copy() {
        let cause = "it is too large to be copied in one request";
        return Err(Fault::new(Class::Permanent, what(COPY, &to), cause));
    }
    let mut all = metadata::kept(origin.head.metadata().cloned());
    all.extend(metadata::outgoing(spec, spec.sha256, spec.part_size));
    all.extend(origin.since(store, from.0 == key));
    let (if_none_match, if_match) = store.condition(&only);
    let request = begun(store, &origin, from.1, &to, all);
    let request = request.set_if_none_match(if_none_match).set_if_match(if_match);
    let request = object::copy(keep!(request, &origin, &to), store.chosen(&to));
    send(store, (from, &origin), (key, &to), request).await
}

/// The copy of all that goes along by itself, with this metadata. Tags do where nothing is said of them (S3 API, *CopyObject*);
/// stores that know no tags refuse a request that names them (501, Cloudflare R2).
pub(super) fn begun(
    store: &S3,
    origin: &Origin,
    etag: &ETag,
    to: &str,
    metadata: HashMap<String, String>,
) -> CopyObjectFluentBuilder {
    store
        .client()
        .copy_object()
        .bucket(store.bucket())
        .key(to)
        .copy_source(origin.header(store))
        .copy_source_if_match(etag.quoted())
        .metadata_directive(MetadataDirective::Replace)
        .set_metadata(Some(metadata))
}

/// Has it made, and looks at what was copied.
pub(super) async fn send(
    store: &S3,
    (from, origin): ((&Key, &ETag), &Origin),
    (key, to): (&Key, &str),
    request: CopyObjectFluentBuilder,
) -> Result<RemoteMeta, Fault> {
    let patience = 10 * store.options().patience;
    let send = || {
        let config = attempt_timeout(store.options(), patience);
        request.clone().customize().config_override(config).send()
    };
    let answer = store.send(Load::Copy(origin.size), send).await.map_err(|e| fault(COPY, to, &e))?;
    let result = answer.copy_object_result();
    let sse = answer.server_side_encryption().map(ServerSideEncryption::as_str);
    let etag = tag(COPY, to, result.and_then(|r| r.e_tag()))?;
    let made = Tagged::new(etag, sse, answer.sse_customer_algorithm());
    if let Err(fault) = confirm(store, (from, origin), (key, to), &made).await {
        // it would say of itself that it is the file's
        if from.0 != key {
            let _ = delete::one(store, key, &made.etag).await;
        }
        return Err(fault);
    }
    Ok(RemoteMeta {
        size: origin.size,
        etag: made.etag,
        modified: result.and_then(|r| r.last_modified()).map(page::stamp),
    })
}

/// What was copied is what was to be: by the tag of the copy, where tags are digests, else by that of the source, which it
/// still has. What is copied onto itself has a new one then, and is on a condition of its own.
///
/// # Errors
/// `Changed` if it was another object.
async fn confirm(
    store: &S3,
    (from, origin): ((&Key, &ETag), &Origin),
    (key, to): (&Key, &str),
    made: &Tagged,
) -> Result<(), Fault> {
    let is_digest = |etag: &ETag| matches!(etag.as_md5(), Some((_, None)));
    let digests = store.can().etag_is_md5 && !made.opaque && !origin.is_opaque();
    if digests && is_digest(from.1) && is_digest(&made.etag) {
        if made.etag == *from.1 {
            return Ok(());
        }
        let cause = format!("what was copied has the MD5 {}, not {}", made.etag, from.1);
        return Err(Fault::new(Class::Changed, what(COPY, to), cause));
    }
    if from.0 != key {
        Origin::find(store, COPY, from, to).await?;
    }
    Ok(())
}
