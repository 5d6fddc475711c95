//! Copies on the server. `REPLACE` of the metadata would drop what belongs to the object but is not user
//! metadata: what the operator chose for the target is asked for, and what was not chosen stays as the source has
//! it. Storage class and encryption are sent again; tags go along by themselves. A type that is not the one of the
//! source's extension was chosen, by whomever, and stays, too. What HEAD does not show is not kept: an ACL. Object Lock is of one version: the one that is copied stays retained, the new one is by what was
//! chosen, or by the bucket.

use super::{
    S3,
    error::{fault, what},
    metadata, object, page,
    payload::attempt_timeout,
    s3::{size, tag},
    upload::ONE_REQUEST,
};
use crate::model::{Class, ETag, Fault, Key, Only, RemoteMeta, Spec};
use aws_sdk_s3::{
    primitives::{DateTime, DateTimeFormat as Format},
    types::{MetadataDirective, TaggingDirective},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const COPY: &str = "CopyObject";

/// All but the unreserved characters and `/`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The header `x-amz-copy-source`.
fn source(bucket: &str, full: &str) -> String {
    format!("{bucket}/{}", utf8_percent_encode(full, ESCAPED))
}

/// The type that the object at `to` is to have.
fn content_type<'a>((from, found): (&str, Option<&'a str>), to: &str) -> &'a str {
    match found {
        // what stores say of those without
        None | Some("application/octet-stream" | "binary/octet-stream") => metadata::content_type(to),
        Some(found) if found == metadata::content_type(from) => metadata::content_type(to),
        Some(chosen) => chosen,
    }
}

pub(super) async fn copy(
    store: &S3,
    (from, etag): (&Key, &ETag),
    to: &Key,
    spec: &Spec,
    only: Only,
) -> Result<RemoteMeta, Fault> {
    let from = store.full(COPY, from)?;
    let to = store.full(COPY, to)?;
    let other = |class, cause: String| Fault::new(class, what(COPY, &to), cause);
    let gone = || other(Class::Changed, format!("its source {} is gone", Key::raw(&*from)));
    let head = store.look(&from).await?.ok_or_else(gone)?;
    if tag("HeadObject", &from, head.e_tag())? != *etag {
        return Err(other(Class::Changed, format!("its source {} is another now", Key::raw(&*from))));
    }
    let size = size("HeadObject", &from, head.content_length())?;
    if size > ONE_REQUEST {
        return Err(other(Class::Permanent, "it cannot be copied in one request: over 5 GiB".to_owned()));
    }
    let mut all = metadata::kept(head.metadata().cloned());
    all.extend(metadata::outgoing(spec, spec.sha256, spec.part_size));
    let (if_none_match, if_match) = store.condition(&only);
    let request = store
        .client()
        .copy_object()
        .bucket(store.bucket())
        .key(&to)
        .copy_source(source(store.bucket(), &from))
        .copy_source_if_match(etag.quoted())
        .set_if_none_match(if_none_match)
        .set_if_match(if_match)
        .metadata_directive(MetadataDirective::Replace)
        .set_metadata(Some(all))
        .content_type(content_type((&from, head.content_type()), &to))
        .set_cache_control(head.cache_control().map(str::to_owned))
        .set_content_disposition(head.content_disposition().map(str::to_owned))
        .set_content_encoding(head.content_encoding().map(str::to_owned))
        .set_content_language(head.content_language().map(str::to_owned))
        .set_expires(head.expires_string().and_then(|at| DateTime::from_str(at, Format::HttpDate).ok()))
        .set_website_redirect_location(head.website_redirect_location().map(str::to_owned))
        .tagging_directive(TaggingDirective::Copy)
        .set_storage_class(head.storage_class().cloned())
        .set_server_side_encryption(head.server_side_encryption().cloned())
        .set_ssekms_key_id(head.ssekms_key_id().map(str::to_owned))
        .set_bucket_key_enabled(head.bucket_key_enabled());
    let request = object::copy(request, store.chosen(&to));
    let patience = 10 * store.options().patience;
    let send = || {
        let config = attempt_timeout(store.options(), patience);
        request.clone().customize().config_override(config).send()
    };
    let answer = store.send(0, send).await.map_err(|e| fault(COPY, &to, &e))?;
    let result = answer.copy_object_result();
    Ok(RemoteMeta {
        size,
        etag: tag(COPY, &to, result.and_then(|r| r.e_tag()))?,
        modified: result.and_then(|r| r.last_modified()).map(page::stamp),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_was_chosen_stays() {
        for (from, found, to, want) in [
            ("a.html", Some("text/html"), "a.html", "text/html"),
            ("a.html", Some("text/html"), "a.css", "text/css"),
            ("a.html", Some("text/html; charset=utf-8"), "b.html", "text/html; charset=utf-8"),
            ("a", Some("binary/octet-stream"), "a.png", "image/png"),
            ("a", None, "a", "application/octet-stream"),
            ("a", Some("x/y"), "a.png", "x/y"),
        ] {
            assert_eq!(content_type((from, found), to), want, "{from} {found:?} {to}");
        }
    }

    #[test]
    fn copy_sources_are_encoded() {
        for (key, want) in
            [("a/b-c_d.e~f", "b/a/b-c_d.e~f"), ("a b+c%#?&é\n", "b/a%20b%2Bc%25%23%3F%26%C3%A9%0A")]
        {
            assert_eq!(source("b", key), want);
        }
    }
}
