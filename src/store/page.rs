//! Listings, page by page. A page that cannot be followed or believed is an error, never a short listing:
//! what a listing omits looks deleted.

use super::{
    Depth, Page, S3, Start,
    error::{fault, no_s3, what},
    plain::{Objects, Plain},
    sieve::Sieve,
};
use crate::model::{Class, ETag, Fault, Key, KeyRange, RemoteMeta, Stamp, Upload};
use aws_sdk_s3::{
    primitives::DateTime,
    types::{EncodingType, MultipartUpload, Object},
};
use percent_encoding::percent_decode;
use std::borrow::Cow;

const LIST: &str = "ListObjectsV2";
const UPLOADS: &str = "ListMultipartUploads";

/// Keys of a page as they are: decoded if the server says that it encoded them, and below the prefix.
pub(super) struct Keys<'a> {
    operation: &'static str,
    prefix: &'a str,
    /// What keys begin with instead of the prefix.
    instead: &'static str,
    encoded: bool,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        operation: &'static str,
        (prefix, instead): (&'a str, &'static str),
        echo: Option<&EncodingType>,
    ) -> Self {
        Self { operation, prefix, instead, encoded: echo == Some(&EncodingType::Url) }
    }

    /// The full key.
    pub(super) fn full(&self, key: Option<&str>) -> Result<String, Fault> {
        let key = key.ok_or_else(|| no_s3(self.operation, self.prefix, "key"))?;
        if !self.encoded {
            return Ok(key.to_owned());
        }
        let spaced = if key.contains('+') { Cow::Owned(key.replace('+', " ")) } else { Cow::Borrowed(key) };
        match percent_decode(spaced.as_bytes()).decode_utf8() {
            Ok(key) => Ok(key.into_owned()),
            Err(_) => Err(self.unbelievable(format!("the key {key:?} is not UTF-8"))),
        }
    }

    /// The key below the prefix.
    pub(super) fn below(&self, key: Option<&str>) -> Result<Key, Fault> {
        let full = self.full(key.filter(|key| !key.is_empty()))?;
        match full.strip_prefix(self.prefix) {
            Some(key) if self.instead.is_empty() => Ok(Key::raw(key)),
            Some(key) => Ok(Key::raw(format!("{}{key}", self.instead))),
            None => Err(self.unbelievable(format!("it shows {:?}, which was not asked for", full))),
        }
    }

    fn plain(&self, object: &Plain<'_>) -> Result<(Key, RemoteMeta), Fault> {
        self.listed(Some(object.key), object.size, Some(object.etag), object.modified.as_ref())
    }

    fn object(&self, object: &Object) -> Result<(Key, RemoteMeta), Fault> {
        let size = object.size().and_then(|size| size.try_into().ok());
        self.listed(object.key(), size, object.e_tag(), object.last_modified())
    }

    /// What an entry shows of an object.
    pub(super) fn listed(
        &self,
        key: Option<&str>,
        size: Option<u64>,
        etag: Option<&str>,
        modified: Option<&DateTime>,
    ) -> Result<(Key, RemoteMeta), Fault> {
        let size = size.ok_or_else(|| self.lacks("Size"))?;
        let etag = etag.map(ETag::new).filter(|tag| !tag.is_empty()).ok_or_else(|| self.lacks("ETag"))?;
        Ok((self.below(key)?, RemoteMeta { size, etag, modified: modified.map(stamp) }))
    }

    fn upload(&self, upload: &MultipartUpload) -> Result<Upload, Fault> {
        let id = upload.upload_id().ok_or_else(|| no_s3(self.operation, self.prefix, "UploadId"))?;
        let initiated = upload.initiated().map(stamp);
        Ok(Upload { key: self.below(upload.key())?, id: id.to_owned(), initiated })
    }

    /// It does not show what it must.
    pub(super) fn lacks(&self, lacks: &'static str) -> Fault {
        no_s3(self.operation, self.prefix, lacks)
    }

    fn unbelievable(&self, cause: String) -> Fault {
        Fault::new(Class::Transient, what(self.operation, self.prefix), cause)
    }
}

/// Where the next page begins: `None` at the end. `sent` and `found` are tokens.
pub(super) fn following<T: PartialEq>(
    operation: &str,
    prefix: &str,
    truncated: Option<bool>,
    sent: Option<&T>,
    found: Option<T>,
) -> Result<Option<T>, Fault> {
    // an HTML page parses as an empty listing
    if !truncated.ok_or_else(|| no_s3(operation, prefix, "IsTruncated"))? {
        return Ok(None);
    }
    let found = found.ok_or_else(|| {
        Fault::new(Class::Transient, what(operation, prefix), "it ends in the middle: no token")
    })?;
    if sent == Some(&found) {
        return Err(Fault::new(
            Class::Transient,
            what(operation, prefix),
            "it goes in a circle: the same token",
        ));
    }
    Ok(Some(found))
}

/// A time of the server's.
pub(super) fn stamp(time: &DateTime) -> Stamp {
    Stamp { sec: time.secs(), nsec: time.subsec_nanos() }
}

pub(super) async fn list(store: &S3, prefix: &Key, depth: Depth, start: Start) -> Result<Page, Fault> {
    let full = store.below(prefix);
    let (after, token) = match start {
        Start::First => (None, None),
        Start::After(key) => (Some(store.below(&key)), None),
        Start::Token(token) => (None, Some(token)),
    };
    let ask = || {
        let delimiter = (depth == Depth::Children).then(|| "/".to_owned());
        store
            .client()
            .list_objects_v2()
            .bucket(store.bucket())
            .encoding_type(EncodingType::Url)
            .max_keys(1000)
            .set_delimiter(delimiter)
            .set_prefix(Some(full.clone()).filter(|p| !p.is_empty()))
            .set_start_after(after.clone())
            .set_continuation_token(token.clone())
    };
    let (mut answer, mut plain) = (None, Objects::default());
    if store.lists_plainly() {
        let sieve = Sieve::default();
        let sent = store.send(0, || ask().customize().interceptor(sieve.clone()).send()).await;
        plain = sieve.take();
        if plain.odd {
            plain = Objects::default();
            // one that was cut says nothing of others
            if sent.is_ok() {
                store.lists_oddly();
            }
        } else {
            answer = Some(sent);
        }
    }
    let answer = match answer {
        Some(sent) => sent,
        None => store.send(0, || ask().send()).await,
    };
    let answer = answer.map_err(|e| fault(LIST, &full, &e))?;
    let keys = Keys::new(LIST, store.home(prefix), answer.encoding_type());
    let found = answer.next_continuation_token().filter(|t| !t.is_empty()).map(str::to_owned);
    Ok(Page {
        next: following(LIST, &full, answer.is_truncated(), token.as_ref(), found)?,
        objects: plain
            .iter()
            .map(|object| keys.plain(&object))
            .chain(answer.contents().iter().map(|object| keys.object(object)))
            .collect::<Result<_, _>>()?,
        directories: answer
            .common_prefixes()
            .iter()
            .map(|p| keys.below(p.prefix()))
            .collect::<Result<_, _>>()?,
    })
}

pub(super) async fn uploads(store: &S3, range: &KeyRange) -> Result<Vec<Upload>, Fault> {
    let (KeyRange::One(key) | KeyRange::Under(key)) = range;
    let full = store.below(key);
    let mut all = Vec::new();
    let mut from: Option<(String, Option<String>)> = None;
    loop {
        let (key_marker, id_marker) = from.clone().unzip();
        let request = store
            .client()
            .list_multipart_uploads()
            .bucket(store.bucket())
            .encoding_type(EncodingType::Url)
            .set_prefix(Some(full.clone()).filter(|p| !p.is_empty()))
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker.flatten());
        let answer = store.send(0, || request.clone().send()).await;
        let answer = answer.map_err(|e| fault(UPLOADS, &full, &e))?;
        let keys = Keys::new(UPLOADS, store.home(key), answer.encoding_type());
        for upload in answer.uploads() {
            let upload = keys.upload(upload)?;
            if range.contains(&upload.key) {
                all.push(upload);
            }
        }
        let found = match answer.next_key_marker().filter(|m| !m.is_empty()) {
            Some(marker) => Some((
                keys.full(Some(marker))?,
                answer.next_upload_id_marker().filter(|m| !m.is_empty()).map(str::to_owned),
            )),
            None => None,
        };
        match following(UPLOADS, &full, answer.is_truncated(), from.as_ref(), found)? {
            Some(next) => from = Some(next),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TRASH;

    #[test]
    fn c44_keys_are_decoded_only_if_the_encoding_is_echoed() {
        for (encoded, key, want) in [
            (true, "p/a%20b+c%2B", Some("a b c+")),
            (true, "p/%01%0A", Some("\u{1}\n")),
            (true, "p/caf%C3%A9", Some("café")),
            (true, "p%2Fx", Some("x")),
            (true, "p/%FF", None),
            (true, "p/100%", Some("100%")),
            (false, "p/a%20b+c", Some("a%20b+c")),
            (true, "q/a", None),
            (false, "p/", Some("")),
        ] {
            let echo = encoded.then_some(EncodingType::Url);
            let found = Keys::new(LIST, ("p/", ""), echo.as_ref()).below(Some(key)).ok();
            assert_eq!(found.as_ref().map(Key::as_str), want, "{key}");
        }
        assert!(Keys::new(LIST, ("", ""), None).below(None).is_err());
        let trash = Keys::new(LIST, ("t/", TRASH), None).below(Some("t/a/b")).ok();
        assert_eq!(trash.as_ref().and_then(Key::trash_name), Some("a/b"));
    }

    #[test]
    fn c42_a_page_without_a_way_on_is_an_error() {
        let step = |truncated, sent: Option<&'static str>, found: Option<&'static str>| {
            following(LIST, "", truncated, sent.as_ref(), found).map_err(|f| f.class)
        };
        assert_eq!(step(Some(false), None, None), Ok(None));
        assert_eq!(step(Some(false), Some("a"), Some("a")), Ok(None));
        assert_eq!(step(Some(true), Some("a"), Some("b")), Ok(Some("b")));
        assert_eq!(step(Some(true), Some("a"), Some("a")), Err(Class::Transient));
        assert_eq!(step(Some(true), None, None), Err(Class::Transient));
        assert_eq!(step(None, None, None), Err(Class::Transient));
    }

    #[test]
    fn c45_objects_without_tag_or_size_are_no_listing() {
        let keys = Keys::new(LIST, ("", ""), None);
        let whole = Object::builder().key("a").size(1).e_tag("\"x\"");
        assert!(keys.object(&whole.clone().build()).is_ok());
        assert!(keys.object(&whole.clone().set_e_tag(None).build()).is_err());
        assert!(keys.object(&whole.clone().set_size(None).build()).is_err());
        assert!(keys.object(&whole.clone().size(-1).build()).is_err());
        assert!(keys.object(&whole.clone().e_tag("\"\"").build()).is_err(), "quotes are no tag");
        assert!(keys.object(&whole.key("").build()).is_err(), "no object has no name");
    }
}
