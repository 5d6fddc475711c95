//! Files that were one under several names are one again: what comes second is linked to what came first, if both are alike.
//!
//! Which files were one is told by their objects, and believed only where size, bytes and all that is beside them agree.
//! The bytes do if the store tells of both objects the very thing that the first was proven by: what else it tells of the
//! first may be wrong. And the first is known by its inode, so that whatever takes its name meanwhile is not linked to.

use super::bring::Bringer;
use crate::{
    local::Placed,
    model::{Fault, Head, RelPath, Said, There},
    plan::{Witness, witnesses},
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
    /// What it was proven by.
    agreed: Witness,
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

    /// Places a file that is whole, unless it can be linked by now; the next ones of its group may be linked to it if
    /// something `agreed`.
    pub(super) async fn placed(
        &self,
        head: &Head,
        agreed: Option<Witness>,
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
        if let Some(agreed) = agreed {
            first.get_or_insert_with(|| First { path: path.clone(), placed, head: head.clone(), agreed });
        }
        Ok(())
    }

    async fn joined(
        &self,
        first: Option<&First>,
        head: &Head,
        path: &RelPath,
        there: There,
    ) -> Result<bool, Fault> {
        match first.filter(|first| first.is_alike(head)) {
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

impl First {
    /// True if the file of this object is the same in all that comes back.
    fn is_alike(&self, other: &Head) -> bool {
        let First { head, agreed, .. } = self;
        let same_bytes = match agreed {
            // a tag is compared with the bytes by what it is made of, and is no digest where that is not told
            Witness::Md5 | Witness::Md5OfParts(_) => head.meta.etag == other.meta.etag && !other.opaque,
            digest => witnesses(other).contains(digest),
        };
        same_bytes
            && head.meta.size == other.meta.size
            && Said::by(head) == Said::by(other)
            && head.extra == other.extra
    }
}
