//! Takes the objects out of a listing's answer before the SDK's XML decoder sees them.
//!
//! A pass over an unchanged tree does little else than read listings, and the SDK's decoder, which knows any
//! XML and wants all of it at once, costs more than all the rest of it. Objects come one after another in one
//! plain form, so they are read here as they arrive; the decoder gets all else (what is truncated, tokens,
//! common prefixes). An answer of another form is *odd*: it has to be asked for again, for the decoder alone.

use super::plain::{CLOSE, OPEN, Objects, open_after};
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextMut,
    },
    error::BoxError,
    primitives::SdkBody,
};
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame};
use memchr::memmem;
use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

/// The objects of one answer. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sieve(Arc<Mutex<Objects>>);

impl Sieve {
    /// The objects of the last answer.
    pub(super) fn take(&self) -> Objects {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
            let cut = Some(Cut { sieve: self.clone(), ..Cut::default() });
            *answer.body_mut() = SdkBody::from_body_1_x(Sieved { inner, cut });
        }
        Ok(())
    }
}

/// A body without its objects.
struct Sieved {
    inner: SdkBody,
    cut: Option<Cut>,
}

impl Body for Sieved {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.cut.is_some() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let (Some(cut), Ok(data)) = (&mut self.cut, frame.into_data()) {
                        cut.feed(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(self.cut.take().map(|cut| Ok(Frame::data(cut.end())))),
            }
        }
        Poll::Ready(None)
    }
}

/// Cuts the objects out of an answer as it arrives.
#[derive(Default)]
struct Cut {
    sieve: Sieve,
    place: Whereabouts,
    /// What came and was not dealt with.
    held: BytesMut,
    /// All but the objects.
    rest: BytesMut,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Whereabouts {
    #[default]
    Before,
    Among,
    After,
}

impl Cut {
    fn feed(&mut self, data: &[u8]) {
        self.held.extend_from_slice(data);
        let mut objects = self.sieve.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.place == Whereabouts::Before
            && let Some(first) = memmem::find(&self.held, OPEN)
        {
            // what is deeper is another's, and what is outside of the root is nobody's
            objects.odd |= open_after(&self.held[..first]) != Some(1);
            self.rest.extend_from_slice(&self.held.split_to(first));
            self.place = Whereabouts::Among;
        }
        while self.place == Whereabouts::Among {
            self.held.advance(self.held.len() - self.held.trim_ascii_start().len());
            if !self.held.starts_with(OPEN) {
                if !OPEN.starts_with(&self.held) {
                    self.place = Whereabouts::After;
                }
                break;
            }
            let Some(close) = memmem::find(&self.held, CLOSE) else { break };
            let object = self.held.split_to(close + CLOSE.len());
            objects.odd |= objects.take(&object).is_none();
        }
    }

    /// The answer is whole: what is left of it.
    fn end(mut self) -> Bytes {
        let mut objects = self.sieve.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.rest.unsplit(self.held);
        // objects that do not come together, or not all in the plain form: their order would be lost
        let left = |form: &[u8]| memmem::find(&self.rest, form).is_some();
        objects.odd |= self.place != Whereabouts::Before && (left(b"<Contents") || left(b":Contents"));
        self.rest.freeze()
    }
}

/// The objects of an answer that comes in pieces of this many bytes, and what is left of it.
#[cfg(any(test, fuzzing))]
pub(super) fn sieved(answer: &[u8], piece: usize) -> (Objects, Bytes) {
    let sieve = Sieve::default();
    let mut cut = Cut { sieve: sieve.clone(), ..Cut::default() };
    answer.chunks(piece).for_each(|piece| cut.feed(piece));
    let rest = cut.end();
    (sieve.take(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Object = (String, String, Option<u64>);

    fn sieved(answer: &str, piece: usize) -> (Vec<Object>, bool, String) {
        let (objects, rest) = super::sieved(answer.as_bytes(), piece);
        let rest = String::from_utf8(rest.to_vec()).expect("text");
        (objects.iter().map(|o| (o.key.to_owned(), o.etag.to_owned(), o.size)).collect(), objects.odd, rest)
    }

    fn one(key: &str, etag: &str, size: u64) -> Object {
        (key.to_owned(), etag.to_owned(), Some(size))
    }

    #[test]
    fn objects_are_cut_out_and_the_rest_stays() {
        let answer = "<?xml version=\"1.0\"?>\n<R><Name>b</Name><Contents><Key>a%20b</Key>\
            <LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;e-2&quot;</ETag><Size>7</Size>\
            <Owner><ID>Key</ID><DisplayName/></Owner><StorageClass>STANDARD</StorageClass></Contents>\n  \
            <Contents>\n<ETag>&#34;f&#34;</ETag><Key>é</Key><Size>0</Size>\n</Contents>\n<CommonPrefixes><Prefix>p/\
            </Prefix></CommonPrefixes><IsTruncated>false</IsTruncated></R>";
        let rest = "<?xml version=\"1.0\"?>\n<R><Name>b</Name><CommonPrefixes><Prefix>p/</Prefix>\
            </CommonPrefixes><IsTruncated>false</IsTruncated></R>";
        for piece in (1..50).chain([answer.len()]) {
            let want = vec![one("a%20b", "e-2", 7), one("é", "f", 0)];
            assert_eq!(sieved(answer, piece), (want, false, rest.to_owned()), "{piece}");
        }
        let sieve = Sieve::default();
        Cut { sieve: sieve.clone(), ..Cut::default() }.feed(answer.as_bytes());
        let objects = sieve.take();
        let times: Vec<_> =
            objects.iter().map(|o| o.modified.map(|t| (t.secs(), t.subsec_nanos()))).collect();
        assert_eq!(times, [Some((1_767_323_045, 678_000_000)), None]);
    }

    #[test]
    fn numbers_and_times_are_read_as_the_decoder_reads_them() {
        let read = |size: &str, time: &str| {
            let object = format!(
                "<Contents><Key>a</Key><LastModified>{time}</LastModified><Size>{size}</Size></Contents>"
            );
            let (objects, _) = super::sieved(format!("<R>{object}</R>").as_bytes(), 1000);
            let object = objects.iter().next().map(|o| (o.size, o.modified.map(|time| time.secs())));
            assert!(!objects.odd);
            object.expect("an object")
        };
        assert_eq!(read("9223372036854775807", "1970-01-01T00:00:07Z"), (Some((1 << 63) - 1), Some(7)));
        assert_eq!(read("9223372036854775808", "1970-01-01T01:00:07+01:00"), (None, Some(7)));
        assert_eq!(read("-1", "yesterday"), (None, None));
    }

    #[test]
    fn objects_that_are_not_right_below_the_root_are_odd() {
        let good = "<Contents><Key>a</Key></Contents>";
        for (before, odd) in [
            ("<R>", false),
            ("\u{feff}<?xml version=\"1.0\"?>\n<R xmlns=\"http://x/>\" a='\">'>text<A/><B><C/></B>\n", false),
            ("", true),
            ("<R/>", true),
            ("<R></R>", true),
            ("<R><A>", true),
            ("<R><A/><A>", true),
            ("</R><R><A>", true),
            ("<R a=\">", true),
            ("<R a='>", true),
            ("<R a=", true),
            ("<R><!-- -->", true),
            ("<R><?a ?>", true),
            ("<?xml <R>", true),
            ("<R><>", true),
        ] {
            for piece in [1, 1000] {
                assert_eq!(sieved(&format!("{before}{good}</R>"), piece).1, odd, "{before}");
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_told() {
        let good = "<Contents><Key>a</Key></Contents>";
        for odd in [
            "<Contents><Key>a</Contents>",
            "<Contents><Key>a&amp;b</Key></Contents>",
            "<Contents><Key><![CDATA[a]]></Key></Contents>",
            "<Contents><Key a=\"b\">a</Key></Contents>",
            "<Contents><!-- <Key>a</Key> --></Contents>",
            "<Contents><Key>a</Key><Key>b</Key></Contents>",
            "<Contents><Key/></Contents>",
            "<Contents>a</Contents>",
            "<!-- <Contents></Contents> -->",
            "<Contents><Key>a</Key><Size>&#55;</Size></Contents>",
            "<Contents><Key>a</Key><LastModified>&#50;</LastModified></Contents>",
            "<Contents><Key>a</Key><Other>&x;</Other></Contents>",
            "<Contents><Key>a</Key><Owner><ID>b</Owner></Contents>",
            "<Contents><Owner><!-- </Owner><Key>a</Key><Owner> --></Owner></Contents>",
            "<Contents><Owner><ID><A>b</A></ID></Owner></Contents>",
            "<Contents><Owner>&x;<ID>b</ID></Owner></Contents>",
            "<Contents><Owner><ID>b</ID>&x;</Owner></Contents>",
            "<Contents><Owner><ID>b</ID><I D/></Owner></Contents>",
            "<Contents><Owner><ID>b</ID><></></Owner></Contents>",
            "<Contents><Owner><ID>b</ID><</Owner></Contents>",
            "<Contents><Other><ID>b</ID></Other></Contents>",
            "<Contents><Key>a</Key><Owner><Contents></Owner></Contents>",
        ] {
            for answer in
                [format!("<R>{odd}</R>"), format!("<R>{odd}{good}</R>"), format!("<R>{good}{odd}</R>")]
            {
                for piece in [1, 7, answer.len()] {
                    assert!(sieved(&answer, piece).1, "{answer}");
                }
            }
        }
        assert!(sieved(&format!("<R>{good}<x/>{good}</R>"), 3).1);
        for other in ["<Contents x=\"1\">", "<Contents >", "<Contents/>", "<s3:Contents>"] {
            assert!(sieved(&format!("<R>{other}{good}</R>"), 3).1, "its order would be lost: {other}");
            assert!(sieved(&format!("<R>{good}{other}</R>"), 3).1, "its order would be lost: {other}");
        }
        let named = format!("<R>{good}<CommonPrefixes><Prefix>Contents/</Prefix></CommonPrefixes></R>");
        assert!(!sieved(&named, 3).1, "it is a name");
        for plain in ["", "<R/>", "<R>", "<html>", "<R><CommonPrefixes/></R>", "<R><Contents><Key>a</Key>"] {
            let (objects, odd, rest) = sieved(plain, 5);
            assert_eq!((objects.len(), rest.as_str()), (0, plain));
            assert_eq!(odd, plain.contains("<Contents>"), "it breaks off: {plain}");
        }
    }
}
