//! What a copy on the server is made of. `REPLACE` of the metadata would drop what belongs to the object but is not user
//! metadata: what the operator chose for the target is asked for, and what was not chosen stays as the source has
//! it. Storage class and encryption are sent again. A type that is not the one of the source's extension was
//! chosen, by whomever, and stays, too. What HEAD does not show is not kept: an ACL. Object Lock is of one version: the
//! one that is copied stays retained, the new one is by what was chosen, or by the bucket.

use super::{
    S3,
    error::{fault, what},
    metadata, object,
    s3::{size, tag},
};
use crate::model::{Class, ETag, Fault, Key};
use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    operation::head_object::HeadObjectOutput,
    primitives::{DateTime, DateTimeFormat as Format},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters and `/`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The header `x-amz-copy-source`.
pub(super) fn header(bucket: &str, full: &str) -> String {
    format!("{bucket}/{}", utf8_percent_encode(full, ESCAPED))
}

/// An object as it is before it is copied.
pub(super) struct Origin {
    full: String,
    pub(super) size: u64,
    pub(super) head: HeadObjectOutput,
}

impl Origin {
    /// Asks for the object `from`, for a copy of it to the full key `to`.
    ///
    /// # Errors
    /// `Changed` if it is gone, or has another tag.
    pub(super) async fn find(
        store: &S3,
        operation: &str,
        (from, etag): (&Key, &ETag),
        to: &str,
    ) -> Result<Self, Fault> {
        let full = store.full(operation, from)?;
        let other = |how: &str| {
            let cause = format!("its source {} is {how}", Key::raw(&*full));
            Fault::new(Class::Changed, what(operation, to), cause)
        };
        let head = store.look(&full).await?.ok_or_else(|| other("gone"))?;
        if tag("HeadObject", &full, head.e_tag())? != *etag {
            return Err(other("another now"));
        }
        Ok(Self { size: size("HeadObject", &full, head.content_length())?, full, head })
    }

    /// Its full key.
    pub(super) fn full(&self) -> &str {
        &self.full
    }

    /// The header `x-amz-copy-source`.
    pub(super) fn header(&self, store: &S3) -> String {
        header(store.bucket(), &self.full)
    }

    /// What a copy of it `onto itself` says of when its bytes were written: by the time of the store it would be new, and
    /// with a trash what it was at a time is told by that.
    pub(super) fn since(&self, store: &S3, onto_itself: bool) -> Option<(String, String)> {
        metadata::since(&self.head).filter(|_| onto_itself && store.options().trash.is_some())
    }

    /// Its tag is no digest, whatever it looks like.
    pub(super) fn is_opaque(&self) -> bool {
        metadata::is_opaque(&self.head)
    }

    /// The type that the copy at the full key `to` is to have.
    pub(super) fn content_type(&self, to: &str) -> &str {
        content_type((&self.full, self.head.content_type()), to)
    }

    /// When it expires, if that can be read.
    pub(super) fn expires(&self) -> Option<DateTime> {
        self.head.expires_string().and_then(|at| DateTime::from_str(at, Format::HttpDate).ok())
    }

    /// Its tags as the header `x-amz-tagging`, for where they do not go along by themselves.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html>
    ///
    /// # Errors
    /// `Permanent` if they may not be read: a copy would lose them. `Changed` if it is gone.
    pub(super) async fn tags(&self, store: &S3) -> Result<Option<String>, Fault> {
        const TAGS: &str = "GetObjectTagging";
        let request = store.client().get_object_tagging().bucket(store.bucket()).key(&self.full);
        let refused = match store.send(0, || request.clone().send()).await {
            Ok(answer) => {
                let pair = |tag: &aws_sdk_s3::types::Tag| (tag.key().to_owned(), tag.value().to_owned());
                return Ok(object::tagging(&answer.tag_set().iter().map(pair).collect::<Vec<_>>()));
            }
            Err(refused) => refused,
        };
        let status = refused.raw_response().map_or(0, |raw| raw.status().as_u16());
        let code = refused.code().unwrap_or_default();
        let fault = fault(TAGS, &self.full, &refused);
        match (status, code) {
            // it has none, or the store knows of none
            (404, "NoSuchTagSet" | "NoSuchTagSetError") => Ok(None),
            (400, "NotImplemented" | "InvalidRequest") | (405 | 501, _) => Ok(None),
            (404, "NoSuchKey") => Err(Fault { class: Class::Changed, remedy: None, ..fault }),
            (404, "NoSuchBucket") => Err(fault),
            (401 | 403 | 404, _) | (400, "") => Err(Fault { class: Class::Permanent, ..fault }),
            _ => Err(fault),
        }
    }
}

/// Says of a copy what its source has.
macro_rules! keep {
    ($request:expr, $origin:expr, $to:expr) => {{
        let (origin, to): (&$crate::store::origin::Origin, &str) = ($origin, $to);
        let head = &origin.head;
        $request
            .content_type(origin.content_type(to))
            .set_cache_control(head.cache_control().map(str::to_owned))
            .set_content_disposition(head.content_disposition().map(str::to_owned))
            .set_content_encoding(head.content_encoding().map(str::to_owned))
            .set_content_language(head.content_language().map(str::to_owned))
            .set_expires(origin.expires())
            .set_website_redirect_location(head.website_redirect_location().map(str::to_owned))
            .set_storage_class(head.storage_class().cloned())
            .set_server_side_encryption(head.server_side_encryption().cloned())
            .set_ssekms_key_id(head.ssekms_key_id().map(str::to_owned))
            .set_bucket_key_enabled(head.bucket_key_enabled())
    }};
}
pub(super) use keep;

/// The type that the object at `to` is to have.
fn content_type<'a>((from, found): (&str, Option<&'a str>), to: &str) -> &'a str {
    match found {
        // what stores say of those without
        None | Some("application/octet-stream" | "binary/octet-stream") => metadata::content_type(to),
        Some(found) if found == metadata::content_type(from) => metadata::content_type(to),
        Some(chosen) => chosen,
    }
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
            assert_eq!(header("b", key), want);
        }
    }
}
