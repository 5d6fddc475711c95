//! What a store honours, found by trying: some ignore conditions, some do not look at checksums.

use super::{
    S3,
    check::Check,
    delete,
    error::{classify, fault},
    payload::Payload,
    s3::{Condition, condition},
};
use crate::model::{Capabilities, Class, ETag, Fault, Key, Only};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use bytes::Bytes;
use md5::{Digest, Md5};
use std::error::Error;

/// A tag that no object has.
const NOBODYS: &str = "00000000000000000000000000000000";

/// Tries on a key beside `near`, and removes it.
pub(super) async fn probe(store: &S3, near: &Key) -> Result<Capabilities, Fault> {
    let key = Key::raw(format!("{}-probe-{:016x}", near.as_str(), fastrand::u64(..)));
    let full = store.full("PutObject", &key)?;
    let found = attempts(store, &full).await;
    let removed = delete::remove(store, &full).await;
    let found = found?;
    removed?;
    Ok(found)
}

async fn attempts(store: &S3, full: &str) -> Result<Capabilities, Fault> {
    let body = |text, check| Payload::new(Bytes::from_static(text), check);
    // the first one shows whether it may go with a checksum at all
    let first = store.put(full, &body(b"1", store.check()), None, (None, None)).await?;
    let (one, two) = (body(b"1", store.check()), body(b"2", store.check()));
    let only = |only| condition(&only);
    let wrong = ETag::new(NOBODYS);

    // without any of these nothing works, so their faults are the probe's
    let etag_is_md5 = first.to_string().eq_ignore_ascii_case(&hex::encode(Md5::digest(b"1")));

    let (exists, _) = put(store, full, &two, only(Only::New)).await?;
    let (other, _) = put(store, full, &two, only(Only::Match(wrong.clone()))).await?;
    // if either was done, it is no matter what becomes of this
    let (right, _) = put(store, full, &two, only(Only::Match(first))).await?;
    let conditional_put = failed(exists) && failed(other) && done(right);

    let verifies_sha256 = verifies(store, full, Check::Sha256).await?;
    let verifies_crc64 = verifies(store, full, Check::Crc64).await?;
    let verifies_md5 = verifies(store, full, Check::Md5).await?;

    let etag = store.put(full, &one, None, (None, None)).await?;
    let other = status_of_delete(store, full, &wrong).await?;
    let right = status_of_delete(store, full, &etag).await?;
    let (absent, etag) = put(store, full, &one, only(Only::New)).await?;

    let etag = match etag.filter(|_| done(absent)) {
        Some(etag) => etag,
        None => store.put(full, &one, None, (None, None)).await?,
    };
    let conditional_batch = batch(store, full, &wrong, &etag).await;
    Ok(Capabilities {
        conditional_put: conditional_put && done(absent),
        conditional_delete: failed(other) && done(right),
        conditional_batch,
        verifies_sha256,
        verifies_crc64,
        verifies_md5,
        etag_is_md5,
    })
}

/// True if a body is refused that is not what goes with it, and taken if it is.
async fn verifies(store: &S3, full: &str, check: Check) -> Result<bool, Fault> {
    let body = |text| Payload::new(Bytes::from_static(text), check);
    let (lie, _) = put(store, full, &body(b"2").claiming(&body(b"1")), (None, None)).await?;
    if !(400..500).contains(&lie) {
        return Ok(false);
    }
    let (right, _) = put(store, full, &body(b"1"), (None, None)).await?;
    Ok(done(right))
}

fn done(status: u16) -> bool {
    (200..300).contains(&status)
}

fn failed(status: u16) -> bool {
    matches!(status, 409 | 412)
}

/// The status of a PUT of `payload`, and the tag that it has then.
async fn put(
    store: &S3,
    full: &str,
    payload: &Payload,
    condition: Condition,
) -> Result<(u16, Option<ETag>), Fault> {
    let send = || {
        let throttle = store.options().throttle.for_request();
        let request = store.put_request(full, (payload, &throttle), None, condition.clone());
        request.customize().interceptor(payload.signed()).send()
    };
    let answer = store.send(payload.len(), send).await;
    let etag = answer.as_ref().ok().and_then(|answer| answer.e_tag()).map(ETag::new);
    Ok((status("PutObject", full, answer)?, etag.filter(|etag| !etag.is_empty())))
}

/// True if DeleteObjects keeps what has another tag, and says so. `None` if it had no answer of S3's: that may pass,
/// and all else works without.
async fn batch(store: &S3, full: &str, wrong: &ETag, right: &ETag) -> Option<bool> {
    for (etag, failure) in [(wrong, Some(Class::Changed)), (right, None)] {
        let asked = [(full, etag)];
        let said = match store.send(0, || delete::request(store, &asked, None)).await {
            Ok(said) => said,
            Err(refused) => match refused.status {
                408 | 429 => return None,
                // not for want of permission to delete: what is left here is removed one by one
                400..=499 | 501 => return Some(false),
                _ => return None,
            },
        };
        let class = |code| classify("DeleteObject", 200, code, "").0;
        match (said.deleted(), said.errors(), failure) {
            ([], [error], _) if matches!(class(error.code()), Class::Transient | Class::Throttled) => {
                return None;
            }
            ([], [error], Some(want)) if class(error.code()) == want && error.key() == Some(full) => {}
            ([deleted], [], None) if deleted.key() == Some(full) => {}
            _ => return Some(false),
        }
    }
    Some(true)
}

async fn status_of_delete(store: &S3, full: &str, etag: &ETag) -> Result<u16, Fault> {
    let request = store.client().delete_object().bucket(store.bucket()).key(full).if_match(etag.quoted());
    status("DeleteObject", full, store.send(0, || request.clone().send()).await)
}

/// The status of an answer that tells what the store honours; other answers tell nothing, and are faults.
fn status<T, E>(
    operation: &str,
    full: &str,
    result: Result<T, SdkError<E, HttpResponse>>,
) -> Result<u16, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let error = match result {
        Ok(_) => return Ok(200),
        Err(error) => error,
    };
    match error.raw_response().map(|raw| raw.status().as_u16()) {
        Some(status @ (400 | 404 | 405 | 409 | 411 | 412 | 422 | 501)) => Ok(status),
        _ => Err(fault(operation, full, &error)),
    }
}
