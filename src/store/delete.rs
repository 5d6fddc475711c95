//! DeleteObject and DeleteObjects: an object goes only if it still has the tag that it was condemned with.
//!
//! A store without conditions is asked by HEAD, just before, for one object at a time. DeleteObjects has no such
//! question before it, so it is sent only where the tags in it were seen to be honoured.
//!
//! What is sent on a licence is sent once: another attempt would come minutes after the look that the licence rests on.
//! Whoever asked looks again, and asks anew.

use super::{
    Answers, S3,
    error::{classify, fault, what},
    payload::attempt_timeout,
    refusal::Failure,
    s3::tag,
};
use crate::model::{Class, ETag, Fault, Key};
use aws_sdk_s3::{
    config::{
        Builder, ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
        retry::RetryConfig,
    },
    error::{BoxError, ProvideErrorMetadata},
    operation::delete_objects::DeleteObjectsOutput,
    types::{ChecksumAlgorithm, Delete, Error, ObjectIdentifier},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, stream};
use md5::{Digest, Md5};
use std::collections::BTreeMap;

const ONE: &str = "DeleteObject";
const MANY: &str = "DeleteObjects";
const LOOK: &str = "HeadObject";

/// HEADs at the same time.
const ABREAST: usize = 16;
/// Keys that a store is given as much time for as for a request of any other kind.
const PATIENTLY: u32 = 250;

/// Sent once, as what a licence is for.
fn at_once() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}

/// DELETE of an object of our own making, for which nobody needs a licence.
pub(super) async fn remove(store: &S3, full: &str) -> Result<(), Fault> {
    let gone = || delete(store, full, None, Builder::new());
    store.send(0, gone).await
}

/// DELETE; one that is gone is deleted.
async fn delete(store: &S3, full: &str, if_match: Option<&ETag>, config: Builder) -> Result<(), Fault> {
    let request = store.client().delete_object().bucket(store.bucket()).key(full);
    let request = request.set_if_match(if_match.map(ETag::quoted)).customize().config_override(config);
    match request.send().await.map_err(|e| fault(ONE, full, &e)) {
        Ok(_) => Ok(()),
        Err(gone) if gone.class == Class::Missing => Ok(()),
        Err(other) => Err(other),
    }
}

/// Deletes one object, on the condition or after a HEAD.
pub(super) async fn one(store: &S3, key: &Key, etag: &ETag) -> Result<(), Fault> {
    let full = store.full(ONE, key)?;
    if store.deletes_on_condition() {
        return match store.send_now(delete(store, &full, Some(etag), at_once())).await {
            Err(failed) if failed.class == Class::Changed => unless_gone(store, &full, failed).await,
            other => other,
        };
    }
    let head = store.client().head_object().bucket(store.bucket()).key(&full).customize();
    let head = store.send_now(head.config_override(at_once()).send()).await;
    let head = match head.map_err(|e| fault(LOOK, &full, &e)) {
        Ok(head) => head,
        Err(gone) if gone.class == Class::Missing => return Ok(()),
        Err(other) => return Err(other),
    };
    let found = tag(LOOK, &full, head.e_tag())?;
    if found != *etag {
        let cause = format!("its tag is {found}, not {etag}");
        return Err(Fault::new(Class::Changed, what(ONE, &full), cause));
    }
    store.send_now(delete(store, &full, None, at_once())).await
}

/// Some stores call an object that is gone a failed condition.
async fn unless_gone(store: &S3, full: &str, failed: Fault) -> Result<(), Fault> {
    match store.look(full).await? {
        Some(_) => Err(failed),
        None => Ok(()),
    }
}

/// True if XML 1.0 carries this key, and no parser at either end makes another of it: white space at its ends may be
/// trimmed, and what ends a line may become a newline.
pub(super) fn is_plain(full: &str) -> bool {
    let carried = |c: char| {
        let code = u32::from(c);
        let noncharacter = code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code);
        !(c.is_control() || noncharacter || matches!(c, '\u{2028}' | '\u{2029}'))
    };
    full.trim() == full && full.chars().all(carried)
}

/// Deletes those that still have their tags, in one request.
pub(super) async fn together(store: &S3, objects: &[(Key, ETag)]) -> Answers {
    let (mut answers, mut asked) = (Answers::new(), BTreeMap::new());
    for (key, etag) in objects {
        match store.full(MANY, key) {
            Ok(full) => drop(asked.insert(full, (key, etag))),
            Err(unfit) => drop(answers.insert(key.clone(), Err(unfit))),
        }
    }
    let objects: Vec<_> = asked.iter().map(|(full, (_, etag))| (full.as_str(), *etag)).collect();
    if objects.is_empty() {
        return answers;
    }
    let key = |full: Option<&str>| full.and_then(|full| asked.get(full)).map(|(key, _)| (*key).clone());
    match store.send_now(request(store, &objects, Some(RetryConfig::disabled()))).await {
        Ok(said) => {
            // what it says of keys that were not asked for is ignored; of two answers the one that fails counts
            answers.extend(said.deleted().iter().filter_map(|deleted| Some((key(deleted.key())?, Ok(())))));
            let failed = said.errors.unwrap_or_default().into_iter();
            let failed: Vec<_> = failed.filter_map(|error| Some((key(error.key())?, error))).collect();
            answers.extend(verdicts(store, failed).await);
            if answers.values().any(|said| said.as_ref().is_err_and(Failure::asks_for_less)) {
                store.asked_for_less();
            }
            if asked.values().any(|(key, _)| !answers.contains_key(*key)) {
                store.deletes_one_by_one("an answer to DeleteObjects left out keys that were asked for");
            }
        }
        Err(refused) => {
            let fault = refused.remembered(store);
            answers.extend(asked.values().map(|(key, _)| ((*key).clone(), Err(fault.clone()))));
        }
    }
    answers
}

/// What the errors within a 200 mean.
async fn verdicts(store: &S3, failed: Vec<(Key, Error)>) -> Vec<(Key, Result<(), Fault>)> {
    let verdicts = stream::iter(failed).map(|(key, error)| async move {
        let verdict = verdict(store, &store.below(&key), &error).await;
        (key, verdict)
    });
    verdicts.buffer_unordered(ABREAST).collect().await
}

/// What an error within a 200 says of one key.
async fn verdict(store: &S3, full: &str, error: &Error) -> Result<(), Fault> {
    let (code, message) = (error.code(), error.message().unwrap_or_default());
    let (class, remedy) = classify(ONE, 200, code, message);
    let cause = format!("{}: {message}", code.unwrap_or("an error without a code"));
    let mut failed = Fault::new(class, what(MANY, full), Key::raw(cause.trim_end_matches(": ")));
    failed.remedy = remedy;
    match class {
        Class::Missing => Ok(()),
        Class::Changed => unless_gone(store, full, failed).await,
        // it is said of this key alone
        Class::Fatal => Err(Fault { class: Class::Permanent, ..failed }),
        _ => Err(failed),
    }
}

/// Why a request as a whole had no answer of its keys.
pub(super) struct Refused {
    pub(super) fault: Fault,
    /// Of HTTP; 0: none came.
    pub(super) status: u16,
    code: String,
}

impl Refused {
    /// What is told of every key. A request that is asked for in vain is not sent again.
    fn remembered(self, store: &S3) -> Fault {
        if !self.is_in_vain() {
            return self.fault;
        }
        store.deletes_one_by_one(&self.fault.to_string());
        // what comes next is another request
        Fault { class: Class::Transient, remedy: None, ..self.fault }
    }

    /// The store does not know the request, or not in this form: nothing was done.
    fn is_in_vain(&self) -> bool {
        match &*self.code {
            "NoSuchBucket" => false,
            "MalformedXML" | "NotImplemented" | "MethodNotAllowed" | "InvalidRequest" | "InvalidArgument"
            | "InvalidDigest" | "MissingContentMD5" => true,
            "" => matches!(self.status, 400 | 404 | 405 | 411 | 501),
            _ => matches!(self.status, 404 | 405 | 411 | 501),
        }
    }
}

/// The request. Nothing is known of any key unless it is `Ok`.
pub(super) async fn request(
    store: &S3,
    objects: &[(&str, &ETag)],
    retries: Option<RetryConfig>,
) -> Result<DeleteObjectsOutput, Refused> {
    let named = objects.iter().map(|(full, etag)| {
        ObjectIdentifier::builder().key(*full).e_tag(etag.quoted()).build().expect("it has a key")
    });
    let delete = Delete::builder().set_objects(Some(named.collect())).build().expect("it has objects");
    let patience = store.options().patience * (1 + objects.len() as u32 / PATIENTLY);
    let answer = store.client().delete_objects().bucket(store.bucket()).delete(delete);
    // the one checksum that is sent with everything else; servers from before it want the MD5
    let answer = answer.checksum_algorithm(ChecksumAlgorithm::Sha256).customize().interceptor(ContentMd5);
    let mut config = attempt_timeout(store.options(), patience);
    config.set_retry_config(retries);
    answer.config_override(config).send().await.map_err(|error| Refused {
        status: error.raw_response().map_or(0, |raw| raw.status().as_u16()),
        code: error.code().unwrap_or_default().to_owned(),
        fault: fault(MANY, "", &error),
    })
}

/// Adds the header `Content-MD5`.
#[derive(Debug)]
struct ContentMd5;

impl Intercept for ContentMd5 {
    fn name(&self) -> &'static str {
        "ContentMd5"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request().body().bytes().ok_or("the body is not in memory")?;
        let digest = BASE64_STANDARD.encode(Md5::digest(body));
        context.request_mut().headers_mut().try_insert("content-md5", digest)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c30_c47_keys_that_xml_does_not_carry_go_alone() {
        for plain in
            ["a", "a b/c+%#?&=;:@'\"<>", "caf\u{e9}", "\u{201B}FF", "\u{1F980}", "]]>", "", "a\u{feff}b"]
        {
            assert!(is_plain(plain), "{plain:?}");
        }
        for odd in [
            "a\n",
            "a\rb",
            "a\tb",
            "a\0",
            "a\u{1}",
            "\u{7f}",
            "a\u{85}b",
            "a\u{2028}b",
            "\u{fffe}",
            "\u{ffff}",
            "\u{fdd0}",
            "\u{1fffe}",
            " a",
            "a ",
            "a\u{3000}",
        ] {
            assert!(!is_plain(odd), "{odd:?}");
        }
    }
}
