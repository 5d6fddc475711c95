//! One path: what has its name, as a file, as a link, and as a directory.

use super::{super::context::Context, Survey, listed, listing};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{
        Absence, Against, Class, Fault, Instead, Key, KeyRange, Local, Record, RelPath, RemoteMeta, Skip,
    },
    store::Store,
};
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

impl<T: Tree, S: Store, L: Ledger> Survey<T, S, L> {
    /// What `path` itself is, or was: a file, or a link; true if there is, or was, a directory of that name.
    pub(super) async fn single(&mut self, path: &RelPath, alone: bool) -> Result<bool, Fault> {
        let below = KeyRange::Under(Key::directory(path));
        let had = alone && !self.ctx.ledger.page(&below, None, 1).await?.is_empty();
        let (file, link) = (Key::of(path), Key::of_link(path));
        let record = self.ctx.ledger.get(&file).await?;
        let instead = self.entry(file, record).await?;
        let record = self.ctx.ledger.get(&link).await?;
        if instead == Some(Instead::Link) || record.is_some() {
            self.entry(link, record).await?;
        }
        Ok(instead == Some(Instead::Directory) || had)
    }

    /// Looks at the marker of a directory, and not at what is in it; false if it is not the directory that was marked, or its content
    /// is to be looked at, too.
    pub(super) async fn marker(&mut self, path: &RelPath) -> Result<bool, Fault> {
        let key = Key::directory(path);
        let record = match self.ctx.options.directories {
            true => self.ctx.ledger.get(&key).await?,
            false => None,
        };
        let Some(known) = record.as_ref().and_then(|record| record.print) else { return Ok(false) };
        let there = self.ctx.tree.look(vec![key.clone()]).await?.pop();
        let same = matches!(there, Some(Local::Present(meta)) if meta.print.inode == known.inode);
        // one that can be seen is not one that can be read
        if !same || self.ctx.report.with(|status| status.unreadable.is(&key)) {
            return Ok(false);
        }
        self.entry(key, record).await?;
        Ok(true)
    }

    /// One key; what has its name and another key.
    async fn entry(&mut self, key: Key, record: Option<Record>) -> Result<Option<Instead>, Fault> {
        let unseen = Local::Unknown;
        let local = match key.link().is_none() && self.ctx.prune.excludes_key(&key, &unseen) {
            true => Local::Skipped(Skip::Excluded),
            false => self.ctx.tree.look(vec![key.clone()]).await?.pop().unwrap_or(unseen),
        };
        let local = match self.ctx.prune.excludes_known(&key, &local, record.as_ref()) {
            true => Local::Skipped(Skip::Excluded),
            false => local,
        };
        let instead = match &local {
            Local::Absent(Absence { instead, .. }) => *instead,
            _ => None,
        };
        let remote = match self.against {
            Against::Ledger => record.as_ref().and_then(|record| listed(record, &local)),
            // what never was a file has no object of its own name to ask for
            Against::Bucket if instead.is_some() && record.is_none() => None,
            Against::Bucket => shown(&self.ctx, &key).await?,
        };
        if remote.is_some() || record.is_some() || !matches!(local, Local::Absent(_)) {
            self.triple(key, local, remote, record);
            self.tell_fresh().await?;
        }
        Ok(instead)
    }
}

/// What the bucket shows of one object. A task of its own asks, as for listings: a survey rests while there is no room
/// for what it finds, and must not keep its place among requests from the jobs that would make room.
async fn shown<T: Tree, S: Store, L: Ledger>(
    ctx: &Arc<Context<T, S, L>>,
    key: &Key,
) -> Result<Option<RemoteMeta>, Fault> {
    let (ctx, key) = (ctx.clone(), key.clone());
    let asking = async move {
        match ctx.store.head(&key).await {
            // what is sealed with a key of the customer's tells nothing of itself, and is listed all the same
            Err(fault) if fault.class == Class::Permanent => {
                listing::find(&ctx, &key).await?.map(Some).ok_or(fault)
            }
            // that it may not be asked for says nothing of whether it is there
            Err(fault) if fault.class == Class::Denied => listing::find(&ctx, &key).await,
            head => Ok(head?.map(|head| head.meta)),
        }
    };
    let shown = AbortOnDropHandle::new(tokio::spawn(asking.in_current_span())).await;
    shown.unwrap_or_else(|e| Err(Fault::new(Class::Transient, "look at an object", e)))
}
