//! What is ready to become visible, and making it so: in one request if the file is small, in parts if it is not.

use super::{
    Options, S3,
    error::{fault, what},
    memory::Held,
    part::{self, Parts},
    payload::Payload,
};
use crate::model::{Class, Digest, Fault, Key, Only, RemoteMeta, Source, Spec};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// The most that goes up in one request (S3 user guide, *Uploading objects*).
pub(super) const ONE_REQUEST: u64 = 5 << 30;

/// An upload ready to become visible. Dropping one of parts leaves them in the store: commit it, or abort the upload.
#[derive(Debug)]
pub struct Staged(pub(super) Road);

#[derive(Debug)]
pub(super) enum Road {
    /// The whole, in memory still: nothing was sent.
    Whole(Box<Whole>),
    /// All parts are in the store.
    Parts(Parts),
}

pub(super) struct Whole {
    full: String,
    payload: Payload,
    spec: Spec,
    _memory: Held,
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whole").field("full", &self.full).field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// Bytes of each part but the last; `None` for what goes up in one request.
pub(super) fn part_size(options: &Options, size: u64) -> Option<u64> {
    (size > options.threshold.min(ONE_REQUEST)).then(|| part::part_size(size, options.part_size.max(1)))
}

pub(super) async fn stage<F: Source>(
    store: &S3,
    key: &Key,
    file: &Arc<F>,
    spec: &Spec,
) -> Result<(Staged, Digest), Fault> {
    let full = store.full("PutObject", key)?;
    let memory = store.options().memory.hold(spec.size).await;
    let payload = Payload::of(read(&**file, &full, 0, spec.size).await?, store.check()).await;
    file.sent(spec.size);
    let digest = Digest { sha256: payload.sha256, part_size: None };
    let whole = Whole { full, payload, spec: spec.clone(), _memory: memory };
    Ok((Staged(Road::Whole(Box::new(whole))), digest))
}

pub(super) async fn commit(store: &S3, staged: Staged, only: Only) -> Result<RemoteMeta, Fault> {
    match staged.0 {
        Road::Whole(whole) => {
            let Whole { full, payload, spec, .. } = &*whole;
            let etag = store.put(full, payload, Some(spec), store.condition(&only)).await?;
            Ok(RemoteMeta { size: spec.size, etag, modified: None })
        }
        Road::Parts(parts) => Box::pin(part::complete(store, parts, only)).await,
    }
}

/// Ends an upload; one that is gone is ended.
pub(super) async fn abort(store: &S3, full: &str, id: &str) -> Result<(), Fault> {
    const ABORT: &str = "AbortMultipartUpload";
    let request = store.client().abort_multipart_upload().bucket(store.bucket()).key(full).upload_id(id);
    match store.send(0, || request.clone().send()).await.map_err(|e| fault(ABORT, full, &e)) {
        Ok(_) => Ok(()),
        Err(gone) if gone.class == Class::Missing => Ok(()),
        Err(other) => Err(other),
    }
}

/// Exactly `len` bytes from `at`.
pub(super) async fn read<F: Source>(file: &F, full: &str, at: u64, len: u64) -> Result<Bytes, Fault> {
    let len = usize::try_from(len).expect("a part fits the address space");
    let mut found = file.read_at(at, len).await?;
    if found.len() < len {
        // a source may give less than it could
        let mut all = BytesMut::with_capacity(len);
        while !found.is_empty() && all.len() < len {
            all.extend_from_slice(&found);
            found = file.read_at(at + all.len() as u64, len - all.len()).await?;
        }
        found = all.freeze();
    }
    if found.len() < len {
        let cause = format!("it ends at byte {}: it was cut meanwhile", at + found.len() as u64);
        return Err(Fault::new(Class::Changed, what("read for", full), cause));
    }
    Ok(found)
}
