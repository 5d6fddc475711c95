//! Listings, a page at a time: each costs what it returns, however many keys there are.

use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object as Listed, ObjectStorageClass, Owner,
};
use s3s::{S3Result, s3_error};

use super::bucket::{Bucket, Keys, Versions};
use super::fault::Kind;
use super::object::Object;
use super::percent;

/// The most entries on a page.
const MOST: i32 = 1000;

/// What is asked of a listing.
pub(super) struct Query<'a> {
    pub(super) prefix: &'a str,
    pub(super) delimiter: Option<&'a str>,
    /// Entries up to this one, or within this common prefix, are left out.
    pub(super) after: Option<&'a str>,
    pub(super) most: usize,
}

/// Goes over the entries of a page: `keep` gets each key and tells how many entries that made, `roll` each common
/// prefix. If more follow, returns the last entry that there was room for (an empty text if there was for none).
pub(super) fn walk<'a>(
    keys: &'a Keys,
    query: &Query<'_>,
    mut keep: impl FnMut(&'a str, &'a Versions) -> usize,
    mut roll: impl FnMut(&'a str),
    visible: impl Fn(&Versions) -> bool,
) -> Option<&'a str> {
    let mut from: Bound<String> = match query.after {
        Some(after) if after >= query.prefix => match common_prefix(after, query) {
            Some(common) if common == after => match beyond(after) {
                Some(next) => Bound::Included(next),
                None => return None,
            },
            _ => Bound::Excluded(after.to_owned()),
        },
        _ => Bound::Included(query.prefix.to_owned()),
    };
    let mut count = 0;
    let mut last = "";
    'seek: loop {
        let range = (from.as_ref().map(String::as_str), Bound::Unbounded);
        for (key, versions) in keys.range::<str, _>(range) {
            if !key.starts_with(query.prefix) {
                return None;
            }
            if !visible(versions) {
                continue;
            }
            if count >= query.most {
                return Some(last);
            }
            let Some(common) = common_prefix(key, query) else {
                count += keep(key, versions);
                last = key;
                continue;
            };
            roll(common);
            count += 1;
            last = common;
            from = Bound::Included(beyond(common)?);
            continue 'seek;
        }
        return None;
    }
}

/// What `key` is rolled up into, up to and with the first delimiter after the prefix.
fn common_prefix<'a>(key: &'a str, query: &Query<'_>) -> Option<&'a str> {
    let delimiter = query.delimiter?;
    let at = key.strip_prefix(query.prefix)?.find(delimiter)?;
    Some(&key[..query.prefix.len() + at + delimiter.len()])
}

/// The least text above all that start with `prefix`.
fn beyond(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // From U+D7FF the next is U+E000: between them lie the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// How names are shown in this answer.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    url: bool,
}

impl Shown {
    pub(super) fn new(encoding: Option<&EncodingType>, kinds: &[Kind]) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: !kinds.contains(&Kind::NoUrlEncoding) }),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    pub(super) fn text(self, name: &str) -> String {
        if self.url { percent::encode(name) } else { name.to_owned() }
    }

    pub(super) fn echo(self) -> Option<EncodingType> {
        self.url.then(|| EncodingType::from_static(EncodingType::URL))
    }

    pub(super) fn prefixes(self, prefixes: &[&str]) -> Option<Vec<CommonPrefix>> {
        let shown = |prefix: &&str| CommonPrefix { prefix: Some(self.text(prefix)) };
        (!prefixes.is_empty()).then(|| prefixes.iter().map(shown).collect())
    }
}

pub(super) fn most(asked: Option<i32>) -> S3Result<i32> {
    match asked.unwrap_or(MOST) {
        asked if asked < 0 => {
            Err(s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647"))
        }
        asked => Ok(asked.min(MOST)),
    }
}

pub(super) fn owner() -> Owner {
    Owner { display_name: Some("owner".to_owned()), id: Some("owner".to_owned()) }
}

fn listed(key: String, object: &Object, with_owner: bool) -> Listed {
    Listed {
        checksum_algorithm: object.sum.as_ref().map(|sum| vec![sum.algorithm.name().to_owned().into()]),
        checksum_type: object.sum.as_ref().map(super::checksum::Sum::kind),
        e_tag: Some(object.tag()),
        key: Some(key),
        last_modified: Some(object.modified.into()),
        owner: with_owner.then(owner),
        size: i64::try_from(object.body.len()).ok(),
        storage_class: Some(ObjectStorageClass::from(object.attributes.class_name().to_owned())),
        ..Listed::default()
    }
}

/// ListObjectsV2.
pub(super) fn objects(
    bucket: &Bucket,
    input: ListObjectsV2Input,
    kinds: &[Kind],
) -> S3Result<ListObjectsV2Output> {
    let shown = Shown::new(input.encoding_type.as_ref(), kinds)?;
    let most = most(input.max_keys)?;
    let token = input.continuation_token.as_deref().map(from_token).transpose()?;
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter: input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()),
        after: token.as_deref().or(input.start_after.as_deref()),
        most: most as usize,
    };
    let mut found: Vec<(&str, Arc<Object>)> = Vec::new();
    let mut prefixes: Vec<&str> = Vec::new();
    let contents = bucket.read();
    let mut next = walk(
        &contents.keys,
        &query,
        |key, versions| {
            if let Some(object) = versions.current() {
                found.push((key, object.clone()));
            }
            1
        },
        |common| prefixes.push(common),
        |versions| versions.current().is_some(),
    )
    // A page of none has nothing to go on from, and none to follow.
    .filter(|last| !last.is_empty())
    .map(to_token);
    let mut truncated = next.is_some();
    found.retain(|(key, _)| {
        !kinds.iter().any(|kind| matches!(kind, Kind::OmitKey(omitted) if omitted == key))
    });
    if kinds.contains(&Kind::UnsortedListing) {
        found.reverse();
    }
    if kinds.contains(&Kind::TruncatedListing) {
        (truncated, next) = (true, None);
    } else if kinds.contains(&Kind::RepeatedToken) && input.continuation_token.is_some() {
        (truncated, next) = (true, input.continuation_token.clone());
    }
    let with_owner = input.fetch_owner == Some(true);
    let listing: Vec<Listed> =
        found.iter().map(|(key, object)| listed(shown.text(key), object, with_owner)).collect();
    let output = ListObjectsV2Output {
        key_count: i32::try_from(listing.len() + prefixes.len()).ok(),
        common_prefixes: shown.prefixes(&prefixes),
        delimiter: query.delimiter.map(|text| shown.text(text)),
        prefix: Some(shown.text(query.prefix)),
        contents: (!listing.is_empty()).then_some(listing),
        encoding_type: shown.echo(),
        is_truncated: Some(truncated),
        max_keys: Some(most),
        name: Some(input.bucket),
        next_continuation_token: next,
        start_after: input.start_after.map(|text| shown.text(&text)),
        continuation_token: input.continuation_token,
        ..ListObjectsV2Output::default()
    };
    Ok(output)
}

/// ListObjects, the older one: the same page, with a marker for a token.
pub(super) fn objects_v1(
    bucket: &Bucket,
    input: ListObjectsInput,
    kinds: &[Kind],
) -> S3Result<ListObjectsOutput> {
    let marker = input.marker.clone();
    let delimited = input.delimiter.is_some();
    let mut input = ListObjectsV2Input::from(input);
    input.fetch_owner = Some(true);
    let page = objects(bucket, input, kinds)?;
    let next = page.next_continuation_token.as_deref().map(from_token).transpose()?;
    let url = page.encoding_type.is_some();
    let text = |name: String| if url { percent::encode(&name) } else { name };
    Ok(ListObjectsOutput {
        common_prefixes: page.common_prefixes,
        contents: page.contents,
        delimiter: page.delimiter,
        encoding_type: page.encoding_type,
        is_truncated: page.is_truncated,
        marker: Some(text(marker.unwrap_or_default())),
        max_keys: page.max_keys,
        name: page.name,
        // Without a delimiter the last key is the marker.
        next_marker: next.filter(|_| delimited).map(text),
        prefix: page.prefix,
        ..ListObjectsOutput::default()
    })
}

/// Tokens are opaque: nobody should come to read a key in one.
fn to_token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

fn from_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::embedded::bucket::Contents;

    #[test]
    fn c70_a_page_costs_what_it_returns() {
        let mut contents = Contents::default();
        for directory in 0..3 {
            for file in 0..5000 {
                contents.place(&format!("d{directory}/{file:05}"), None);
            }
        }
        let seen = Cell::new(0);
        let page = |delimiter: Option<&str>, after: Option<&str>| {
            seen.set(0);
            let query = Query { prefix: "", delimiter, after, most: 100 };
            let (found, rolled) = (Cell::new(0), Cell::new(0));
            let more = walk(
                &contents.keys,
                &query,
                |_, _| {
                    found.set(found.get() + 1);
                    1
                },
                |_| rolled.set(rolled.get() + 1),
                |_| {
                    seen.set(seen.get() + 1);
                    true
                },
            );
            (found.get(), rolled.get(), more.is_some(), seen.get())
        };
        assert_eq!(page(Some("/"), None), (0, 3, false, 3));
        assert_eq!(page(Some("/"), Some("d1/")), (0, 1, false, 1));
        assert_eq!(page(None, Some("d1/04999")), (100, 0, true, 101));
    }

    #[test]
    fn beyond_a_prefix_lies_what_does_not_start_with_it() {
        assert_eq!(beyond("a/").as_deref(), Some("a0"));
        assert_eq!(beyond("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(beyond("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(beyond("\u{10ffff}"), None);
    }
}
