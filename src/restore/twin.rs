//! Files that were one under several names are one again: what comes second is linked to what came first, if both are alike.
//!
//! Which files were one is told by their objects, and believed only where size, digest and all that is beside the bytes
//! agree. Each object is proven, or known by the digest of one that was; and the first is known by its inode, so that
//! whatever takes its name meanwhile is not linked to.

use super::bring::Bringer;
use crate::{
    local::Placed,
    model::{Fault, Head, RelPath, Said, There},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Groups that are remembered: what is of others comes as files of their own.
const MOST: usize = 1 << 14;

/// The files of a group, of which the first is there.
type Group = Arc<tokio::sync::Mutex<Option<First>>>;

/// The groups of a restore.
#[derive(Debug, Default)]
pub(super) struct Twins(Mutex<HashMap<u64, Group>>);

#[derive(Debug)]
struct First {
    path: RelPath,
    placed: Placed,
    head: Head,
}

impl Twins {
    fn group(&self, head: &Head) -> Option<Group> {
        let id = head.extra.links?;
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = groups.len() < MOST;
        groups.get(&id).cloned().or_else(|| room.then(|| Arc::clone(groups.entry(id).or_default())))
    }
}

impl Bringer<'_> {
    /// Links the file to the first of its group, if that is there and alike: then nothing of it need come.
    pub(super) async fn twin(&self, head: &Head, path: &RelPath, there: There) -> Result<bool, Fault> {
        let Some(group) = self.twins.group(head) else { return Ok(false) };
        let first = group.lock().await;
        self.joined(first.as_ref(), head, path, there).await
    }

    /// Places a file that is whole, unless it can be linked by now; the next ones of its group may be linked to it.
    pub(super) async fn placed(
        &self,
        head: &Head,
        path: &RelPath,
        there: There,
        place: impl Future<Output = Result<Placed, Fault>>,
    ) -> Result<(), Fault> {
        let Some(group) = self.twins.group(head) else { return place.await.map(drop) };
        let mut first = group.lock().await;
        if self.joined(first.as_ref(), head, path, there).await? {
            return Ok(());
        }
        let placed = place.await?;
        first.get_or_insert_with(|| First { path: path.clone(), placed, head: head.clone() });
        Ok(())
    }

    async fn joined(
        &self,
        first: Option<&First>,
        head: &Head,
        path: &RelPath,
        there: There,
    ) -> Result<bool, Fault> {
        match first.filter(|first| is_alike(&first.head, head)) {
            Some(First { path: first, placed, .. })
                if self.target.join(path, (first, *placed), there).await? =>
            {
                // what was begun of a file of its own
                self.target.clear(path).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// True if the files of both objects are the same in all that comes back.
fn is_alike(a: &Head, b: &Head) -> bool {
    let digest = |head: &Head| head.sha256.map(|sha256| (sha256, head.part_size));
    let same_bytes = a.meta.etag == b.meta.etag || digest(a).is_some() && digest(a) == digest(b);
    same_bytes && a.meta.size == b.meta.size && Said::by(a) == Said::by(b) && a.extra == b.extra
}
