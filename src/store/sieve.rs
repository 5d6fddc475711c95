//! Takes the objects out of a listing's answer before the SDK's XML decoder sees them.
//!
//! A pass over an unchanged tree does little else than read listings, and the SDK's decoder, which knows any
//! XML, costs more than all the rest of it. Objects come one after another in one plain form, so they are cut
//! out of the answer and read here; all else (what is truncated, tokens, common prefixes) and every answer
//! that is not of the plain form is the decoder's, as before.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextMut,
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat, SdkBody},
};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use memchr::{memchr, memmem};
use std::{
    mem,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

const OPEN: &[u8] = b"<Contents>";
const CLOSE: &[u8] = b"</Contents>";

/// The objects of one answer. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sieve(Arc<Mutex<Objects>>);

/// Objects as they stand in the answer.
#[derive(Debug, Default)]
pub(super) struct Objects {
    text: Bytes,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    key: Range<usize>,
    size: Range<usize>,
    etag: Range<usize>,
    modified: Range<usize>,
}

/// One object; what the answer lacks is empty.
pub(super) struct Plain<'a> {
    pub(super) key: &'a str,
    pub(super) size: &'a str,
    pub(super) etag: &'a str,
    modified: &'a str,
}

impl Plain<'_> {
    /// Its Last-Modified, if that is a time.
    pub(super) fn modified(&self) -> Option<DateTime> {
        DateTime::from_str(self.modified, DateTimeFormat::DateTime).ok()
    }
}

impl Objects {
    pub(super) fn iter(&self) -> impl Iterator<Item = Plain<'_>> {
        // the places were cut out of valid UTF-8, at ASCII
        let text = |place: &Range<usize>| std::str::from_utf8(&self.text[place.clone()]).unwrap_or_default();
        self.places.iter().map(move |place| Plain {
            key: text(&place.key),
            size: text(&place.size),
            etag: text(&place.etag),
            modified: text(&place.modified),
        })
    }
}

impl Sieve {
    /// The objects of the last answer.
    pub(super) fn take(&self) -> Objects {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Cuts the objects out of an answer. One of another form stays whole.
    fn cut(&self, answer: Bytes) -> Bytes {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *objects = Objects::default();
        let Some(from) = memmem::find(&answer, OPEN) else { return answer };
        let Some(places) = plain(&answer, from) else { return answer };
        let Some(upto) = memmem::rfind(&answer, CLOSE) else { return answer };
        let mut rest = BytesMut::from(&answer[..from]);
        rest.extend_from_slice(&answer[upto + CLOSE.len()..]);
        *objects = Objects { text: answer, places };
        rest.freeze()
    }
}

impl Intercept for Sieve {
    fn name(&self) -> &'static str {
        "Sieve"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.take();
        let answer = context.response_mut();
        if answer.status().as_u16() == 200 {
            let inner = mem::replace(answer.body_mut(), SdkBody::taken());
            let sieved = Sieved { inner, held: BytesMut::new(), sieve: Some(self.clone()) };
            *answer.body_mut() = SdkBody::from_body_1_x(sieved);
        }
        Ok(())
    }
}

/// A body that is held until it is whole, and then given without its objects.
struct Sieved {
    inner: SdkBody,
    held: BytesMut,
    sieve: Option<Sieve>,
}

impl Body for Sieved {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.sieve.is_some() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.held.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let whole = mem::take(&mut self.held).freeze();
                    let rest = self.sieve.take().map(|sieve| sieve.cut(whole));
                    return Poll::Ready(rest.map(|rest| Ok(Frame::data(rest))));
                }
            }
        }
        Poll::Ready(None)
    }
}

/// Where the objects are, from the first of them on, if all up to the last are of the plain form: no
/// attributes, no comments, nothing that needs to be decoded in a key, nothing between them.
fn plain(answer: &[u8], from: usize) -> Option<Vec<Place>> {
    std::str::from_utf8(answer).ok()?;
    if memmem::find(&answer[..from], b"<!").is_some() {
        return None; // what comes next may be in a comment
    }
    let last = memmem::rfind(answer, CLOSE)?;
    let mut places = Vec::with_capacity(1000);
    let mut at = from;
    loop {
        let (place, end) = object(answer, at)?;
        places.push(place);
        at = skip_space(answer, end);
        if end == last + CLOSE.len() {
            return Some(places);
        }
    }
}

/// The object at `at`, and where it ends.
fn object(answer: &[u8], at: usize) -> Option<(Place, usize)> {
    let mut place = Place { key: 0..0, size: 0..0, etag: 0..0, modified: 0..0 };
    let mut at = at + answer.get(at..)?.strip_prefix(OPEN).map(|_| OPEN.len())?;
    loop {
        at = skip_space(answer, at);
        let rest = answer.get(at..)?;
        if rest.starts_with(CLOSE) {
            return Some((place, at + CLOSE.len()));
        }
        let name = rest.strip_prefix(b"<")?;
        let name = &name[..memchr(b'>', name)?];
        if name.is_empty() || !name.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let inside = at + name.len() + 2;
        let length = end_of(&answer[inside..], name)?;
        let found = inside..inside + length;
        at = found.end + name.len() + 3;
        let field = match name {
            b"Key" => &mut place.key,
            b"Size" => &mut place.size,
            b"ETag" => &mut place.etag,
            b"LastModified" => &mut place.modified,
            _ => continue,
        };
        let found = if name == b"ETag" { unquoted(answer, found) } else { found };
        if *field != (0..0) || answer[found.clone()].iter().any(|byte| matches!(byte, b'&' | b'<')) {
            return None;
        }
        *field = found;
    }
}

/// Where `</name>` begins.
fn end_of(text: &[u8], name: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memmem::find(&text[at..], b"</")?;
        if text[at + 2..].strip_prefix(name).is_some_and(|rest| rest.starts_with(b">")) {
            return Some(at);
        }
        at += 2;
    }
}

/// Without the quotes of an entity tag.
fn unquoted(answer: &[u8], found: Range<usize>) -> Range<usize> {
    const QUOTE: &[u8] = b"&quot;";
    let text = &answer[found.clone()];
    match text.strip_prefix(QUOTE).and_then(|text| text.strip_suffix(QUOTE)) {
        Some(_) => found.start + QUOTE.len()..found.end - QUOTE.len(),
        None => found,
    }
}

fn skip_space(answer: &[u8], at: usize) -> usize {
    at + answer[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sieved(answer: &str) -> (Vec<[String; 3]>, String) {
        let sieve = Sieve::default();
        let rest = sieve.cut(Bytes::copy_from_slice(answer.as_bytes()));
        let objects = sieve.take();
        let found = objects.iter().map(|o| [o.key, o.size, o.etag].map(str::to_owned)).collect();
        (found, String::from_utf8(rest.to_vec()).expect("text"))
    }

    fn one(key: &str, size: &str, etag: &str) -> [String; 3] {
        [key, size, etag].map(str::to_owned)
    }

    #[test]
    fn objects_are_cut_out_and_the_rest_stays() {
        let answer = "<?xml version=\"1.0\"?>\n<R><Name>b</Name><Contents><Key>a%20b</Key>\
            <LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;e-2&quot;</ETag><Size>7</Size>\
            <Owner><ID>Key</ID><DisplayName/></Owner><StorageClass>STANDARD</StorageClass></Contents>\n  \
            <Contents>\n<ETag>\"f\"</ETag><Key>é</Key><Size>0</Size></Contents><CommonPrefixes><Prefix>p/\
            </Prefix></CommonPrefixes><IsTruncated>false</IsTruncated></R>";
        let (found, rest) = sieved(answer);
        assert_eq!(found, [one("a%20b", "7", "e-2"), one("é", "0", "\"f\"")]);
        assert_eq!(
            rest,
            "<?xml version=\"1.0\"?>\n<R><Name>b</Name><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>\
            <IsTruncated>false</IsTruncated></R>"
        );
        let time = Plain { key: "", size: "", etag: "", modified: "2026-01-02T03:04:05.678Z" }.modified();
        assert_eq!(time.map(|t| (t.secs(), t.subsec_nanos())), Some((1_767_323_045, 678_000_000)));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_decoder() {
        let good = "<Contents><Key>a</Key></Contents>";
        for odd in [
            "<Contents>",
            "<Contents><Key>a</Key>",
            "<Contents><Key>a</Contents>",
            "<Contents><Key>a&amp;b</Key></Contents>",
            "<Contents><Key><![CDATA[a]]></Key></Contents>",
            "<Contents><Key a=\"b\">a</Key></Contents>",
            "<Contents><!-- <Key>a</Key> --></Contents>",
            "<Contents><Key>a</Key><Key>b</Key></Contents>",
            "<Contents><Key/></Contents>",
            "<Contents>a</Contents>",
            "<!-- <Contents></Contents> -->",
        ] {
            let between = format!("<R>{good}{odd}{good}</R>");
            for answer in [format!("<R>{odd}</R>"), format!("<R>{odd}{good}</R>"), between] {
                assert_eq!(sieved(&answer), (vec![], answer.clone()));
            }
        }
        for answer in ["", "<R/>", "<R>", "<html>", "<R><CommonPrefixes/></R>"] {
            assert_eq!(sieved(answer), (vec![], answer.to_owned()));
        }
    }
}
