//! Small objects as a whole, such as the owner record.

use super::{
    S3,
    error::{chain, fault, what},
    options::MIB,
    page,
    payload::Payload,
    s3::{size, tag},
};
use crate::model::{Class, Fault, Key, Only, RemoteMeta};
use bytes::Bytes;

const GET: &str = "GetObject";
/// The largest object that is read whole.
const MOST: u64 = MIB;

/// Its bytes, its tag and Last-Modified; `None` if there is none.
pub(super) async fn read(store: &S3, key: &Key) -> Result<Option<(Bytes, RemoteMeta)>, Fault> {
    let full = store.full(GET, key)?;
    let get = store.client().get_object().bucket(store.bucket()).key(&full);
    let answer = store.send(0, || get.clone().send()).await;
    let answer = match answer.map_err(|e| fault(GET, &full, &e)) {
        Ok(answer) => answer,
        Err(gone) if gone.class == Class::Missing => return Ok(None),
        Err(other) => return Err(other),
    };
    let meta = RemoteMeta {
        size: size(GET, &full, answer.content_length())?,
        etag: tag(GET, &full, answer.e_tag())?,
        modified: answer.last_modified().map(page::stamp),
    };
    if meta.size > MOST {
        let cause = format!("{} bytes are more than this object should have", meta.size);
        return Err(Fault::new(Class::Permanent, what(GET, &full), cause));
    }
    let body = answer.body.collect().await;
    let body = body.map_err(|e| Fault::new(Class::Transient, what(GET, &full), chain(&e)))?.into_bytes();
    if body.len() as u64 != meta.size {
        return Err(Fault::new(Class::Transient, what(GET, &full), "the body was cut short"));
    }
    Ok(Some((body, meta)))
}

/// Writes it as it is, on the condition.
pub(super) async fn write(store: &S3, key: &Key, body: Bytes, only: Only) -> Result<RemoteMeta, Fault> {
    let full = store.full("PutObject", key)?;
    let size = body.len() as u64;
    let etag = store.put(&full, &Payload::new(body, store.check()), None, store.condition(&only)).await?;
    Ok(RemoteMeta { size, etag, modified: None })
}
