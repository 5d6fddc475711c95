//! What has to hold for any bytes that answer a listing: the sieve gives what the SDK's decoder gives, or nothing.

use super::{Depth, Options, Page, S3, Start, options::Secret, plain::Objects, sieve::sieved};
use crate::model::{Fault, Key};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use memchr::memmem;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::{Builder, Runtime};

/// The bytes are the body of a 200.
pub(crate) fn holds(data: &[u8]) {
    let (objects, rest) = sieved(data, data.len().max(1));
    for piece in [1, 7] {
        let (others, remains) = sieved(data, piece);
        assert_eq!(objects.odd, others.odd, "in pieces of {piece} it is another answer");
        if !objects.odd {
            assert!(objects.iter().eq(others.iter()), "in pieces of {piece} there are other objects");
            assert_eq!(rest, remains, "in pieces of {piece} something else remains");
        }
    }
    if !objects.odd {
        were_in_the_answer(&objects, &rest, data);
    }
    thread_local!(static STORES: [Canned; 2] = ["", "p/"].map(Canned::new));
    // the answer says to what it is one
    let below = usize::from(memmem::find(data, b"<Prefix>p/</Prefix>").is_some());
    STORES.with(|stores| stores[below].decodes_the_same(data, objects.odd));
}

/// Each object, in its order, and all that remains.
fn were_in_the_answer(objects: &Objects, rest: &[u8], data: &[u8]) {
    let mut at = 0;
    for object in objects.iter() {
        at += memmem::find(&data[at..], b"<Contents>").expect("an object begins");
        let end = at + memmem::find(&data[at..], b"</Contents>").expect("an object ends");
        for text in [object.key, object.etag].into_iter().filter(|text| !text.is_empty()) {
            assert!(memmem::find(&data[at..end], text.as_bytes()).is_some(), "{text:?} is not there");
        }
        at = end;
    }
    assert!(memmem::find(rest, b"<Contents>").is_none(), "an object is left");
    let first = memmem::find(data, b"<Contents>").unwrap_or(data.len());
    assert!(rest.starts_with(&data[..first]) && data.ends_with(&rest[first..]), "it was altered");
}

/// True for what may be text in XML 1.0.
fn is_text(data: &[u8]) -> bool {
    let control = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    let text = std::str::from_utf8(data).ok();
    text.is_some_and(|text| {
        !text.contains(control) && !text.contains(['\u{fffe}', '\u{ffff}']) && !text.contains("]]>")
    })
}

/// A store that gives the same answer to everything.
struct Canned {
    store: S3,
    body: Body,
    runtime: Runtime,
    prefix: &'static str,
}

#[derive(Clone, Debug, Default)]
struct Body(Arc<Mutex<Vec<u8>>>);

impl HttpConnector for Body {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = 200.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Canned {
    fn new(prefix: &'static str) -> Self {
        let body = Body::default();
        let http = SharedHttpConnector::new(body.clone());
        let options = Options {
            endpoint_url: Some("http://canned".to_owned()),
            force_path_style: true,
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some(Secret::new("secret")),
            isolated: true,
            max_attempts: 1,
            ..Options::new("bucket", prefix)
        };
        let store = S3::over(http_client_fn(move |_, _| http.clone()), options).expect("a client");
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { store, body, runtime, prefix }
    }

    fn page(&self, plainly: bool) -> Result<Page, Fault> {
        self.store.lists(plainly);
        self.runtime.block_on(super::page::list(&self.store, &Key::raw(""), Depth::All, Start::First))
    }

    fn decodes_the_same(&self, data: &[u8], odd: bool) {
        *self.body.0.lock().unwrap_or_else(PoisonError::into_inner) = data.to_vec();
        let decoded = self.page(false);
        // one that is odd is the decoder's anyway
        let sieved = if odd { decoded.clone() } else { self.page(true) };
        match (&sieved, &decoded) {
            (Ok(sieved), Ok(decoded)) => assert_eq!(sieved, decoded, "the sieve, and the SDK's decoder"),
            (Err(_), Err(_)) => {}
            // what is no text of XML stands in keys all the same, where a store does not encode them
            (Ok(_), Err(_)) if !is_text(data) => {}
            // a time that cannot be read is none
            (Ok(page), Err(_)) if page.objects.iter().any(|(_, meta)| meta.modified.is_none()) => {}
            _ => panic!("of the sieve and the SDK's decoder one takes it: {sieved:?} {decoded:?}"),
        }
        let Ok(page) = sieved else { return };
        assert!(page.next.as_deref() != Some(""), "the next page begins nowhere");
        for (key, meta) in &page.objects {
            let full = format!("{}{}", self.prefix, key.as_str());
            assert!(!full.is_empty() && !meta.etag.is_empty(), "{key:?} {meta:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_kept_of_fuzzing_listings_holds() {
        crate::fuzzing::replay("listing", super::holds);
    }
}
