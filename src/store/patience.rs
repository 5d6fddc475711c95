//! Asking again, for whoever has no queue to come back to.

use super::{Depth, Start, Store};
use crate::model::{Class, Fault, Key, RemoteMeta};
use std::{future::Future, time::Duration};
use tokio::time::sleep;

/// How often it is asked,
pub const TRIES: u32 = 5;
/// and the first pause; each further one is twice the one before.
pub const PAUSE: Duration = Duration::from_millis(500);

/// Does it again when it fails and that may pass, a few times.
///
/// # Errors
/// The last one.
pub async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, Fault> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match ask().await {
            Err(fault) if matches!(fault.class, Class::Transient | Class::Throttled) => sleep(pause).await,
            answer => return answer,
        }
        pause *= 2;
    }
    ask().await
}

/// What a listing shows of one key: no other that begins so comes before it.
///
/// # Errors
/// As of a listing.
pub async fn listed<S: Store>(store: &S, key: &Key) -> Result<Option<RemoteMeta>, Fault> {
    match patiently(|| store.list(key, Depth::Children, Start::First)).await {
        Ok(page) => Ok(page.objects.into_iter().find(|(listed, _)| listed == key).map(|(_, meta)| meta)),
        // a name that is too long for a link's object may well be a file's
        Err(fault) if fault.class == Class::Permanent && key.link().is_some() => Ok(None),
        Err(fault) => Err(fault),
    }
}
