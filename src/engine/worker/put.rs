//! Uploading: stage, look at the file once more, only then make it visible (promise I3).

use super::{Held, Work, leftover::settle};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Change, Did, Digest, Fault, Only, Outcome, Sameness},
    store::Store,
};

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// Sends the file on the condition `only`.
    pub(super) async fn put(&self, held: &Held<T::File>, only: Only) -> Result<Outcome, Fault> {
        let (ctx, key) = (self.ctx, &self.job.key);
        let bytes = held.meta.print.size;
        if ctx.options.dry_run {
            return Ok(self.done(Did::Put { bytes }, vec![]));
        }
        // under another root nothing is replaced, whatever a listing left out and whether conditions are honoured or not
        if ctx.root == Sameness::Changed && ctx.store.head(key).await?.is_some() {
            return Ok(Outcome::Stale);
        }
        ctx.claim().await?;
        let parts = ctx.store.part_size(bytes);
        let (staged, digest) = match parts {
            Some(part_size) => self.stage_parts(held, part_size).await?,
            None => {
                if ctx.is_unsettled(key) {
                    settle(ctx, key).await?;
                }
                ctx.store.stage(key, &held.file, &ctx.spec(key, &held.meta)).await?
            }
        };
        Ok(match self.land(held, (staged, digest), only, parts.is_some()).await? {
            Some(changes) => self.done(Did::Put { bytes: held.file.given() }, changes),
            None => Outcome::Stale,
        })
    }

    /// Makes visible what is staged, if the file is still what it was: what there is to be recorded of it.
    pub(super) async fn land(
        &self,
        held: &Held<T::File>,
        (staged, digest): (S::Staged, Digest),
        only: Only,
        parts: bool,
    ) -> Result<Option<Vec<Change>>, Fault> {
        let (ctx, key) = (self.ctx, &self.job.key);
        if !self.unchanged(held).await? {
            if parts {
                settle(ctx, key).await?;
            }
            return Ok(None);
        }
        let remote = ctx.store.commit(staged, only).await.inspect_err(|_| ctx.stumble(key))?;
        let mut changes = vec![self.proof(held, remote, digest)];
        if parts {
            ctx.settled(key);
            changes.push(Change::Settled(key.clone()));
        }
        Ok(Some(changes))
    }
}
