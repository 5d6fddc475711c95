//! Uploading: stage, look at the file once more, only then make it visible (promise I3).

use super::{Held, How, Work, leftover::settle};
use crate::{
    engine::{overwrite, trash},
    ledger::Ledger,
    local::Tree,
    model::{Change, Class, Did, Digest, Fault, Fingerprint, Only, Op, Outcome, Record, Sameness},
    store::Store,
};

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// Sends the file on the condition `only`.
    pub(super) async fn put(&self, held: &Held<T::File>, only: Only) -> Result<Outcome, Fault> {
        let (ctx, key) = (self.ctx, &self.job.key);
        // of a change of metadata, and of what is put back, the bytes stay as they are
        let same = matches!(self.job.op, Op::Metadata | Op::Scrub { .. }) && !self.manner.restless;
        if let Only::Match(etag) = &only
            && !same
            && !key.is_directory()
            && ctx.root != Sameness::Changed
            && let Some(refrained) = Box::pin(overwrite::judge(ctx, key, etag)).await?
        {
            return Ok(Outcome::Held(refrained));
        }
        if ctx.options.dry_run {
            return Ok(self.done(Did::Put { bytes: held.meta.print.size }, vec![]));
        }
        // under another root nothing is replaced, whatever a listing left out and whether conditions are honoured or not
        if ctx.root == Sameness::Changed && Box::pin(ctx.store.head(key)).await?.is_some() {
            return Ok(Outcome::Stale);
        }
        let can = ctx.claim().await?.capabilities();
        // where no condition keeps it, what has content and the name of a marker would be lost
        if key.is_directory()
            && !can.conditional_put
            && Box::pin(ctx.store.head(key)).await?.is_some_and(|head| head.meta.size > 0)
        {
            return Ok(Outcome::Stale);
        }
        if held.how == How::Grows || held.how == How::Rests && self.manner.restless {
            return Box::pin(self.put_restless(held, only)).await;
        }
        let staged = self.stage(held).await?;
        Ok(self.sent(held, self.land(held, staged, only, self.in_parts(held)).await?))
    }

    /// What became of a file that was sent.
    pub(super) fn sent(&self, held: &Held<T::File>, recorded: Option<Vec<Change>>) -> Outcome {
        match recorded {
            Some(changes) => self.done(Did::Put { bytes: held.file.given() }, changes),
            None => Outcome::Busy,
        }
    }

    /// True if its upload goes in parts.
    pub(super) fn in_parts(&self, held: &Held<T::File>) -> bool {
        self.ctx.store.part_size(held.meta.print.size).is_some()
    }

    /// Reads the file, up to the size that it had when it was seen, and does everything but make it visible.
    pub(super) async fn stage(&self, held: &Held<T::File>) -> Result<(S::Staged, Digest), Fault> {
        let (ctx, key) = (self.ctx, &self.job.key);
        if let Some(part_size) = ctx.store.part_size(held.meta.print.size) {
            return Box::pin(self.stage_parts(held, part_size)).await;
        }
        if ctx.is_unsettled(key) {
            match Box::pin(settle(ctx, key)).await {
                // it stays open, which is no reason not to send what the file is now
                Err(fault) if fault.class == Class::Denied => {
                    tracing::warn!(%fault, "an upload is left open; it is ended later");
                }
                settled => settled?,
            }
        }
        ctx.store.stage(key, &held.file, &ctx.spec(key, &held.meta, &held.extra)).await
    }

    /// Makes visible what is staged, if the file is still what it was: what there is to be recorded of it.
    pub(super) async fn land(
        &self,
        held: &Held<T::File>,
        staged: (S::Staged, Digest),
        only: Only,
        parts: bool,
    ) -> Result<Option<Vec<Change>>, Fault> {
        if !self.rests(held).await? {
            self.drop_staged(parts).await?;
            return Ok(None);
        }
        self.commit(held, staged, only, held.print(), parts).await.map(Some)
    }

    /// The file changed while it was read: nothing of it becomes visible.
    pub(super) async fn drop_staged(&self, parts: bool) -> Result<(), Fault> {
        if parts { Box::pin(settle(self.ctx, &self.job.key)).await } else { Ok(()) }
    }

    /// Makes it visible: what is proven then; of a file that goes on, without a fingerprint.
    pub(super) async fn commit(
        &self,
        held: &Held<T::File>,
        (staged, digest): (S::Staged, Digest),
        only: Only,
        print: Option<Fingerprint>,
        parts: bool,
    ) -> Result<Vec<Change>, Fault> {
        let (ctx, key) = (self.ctx, &self.job.key);
        trash::before(ctx, key, &only, (digest, held.meta.attributes.kind())).await?;
        let remote = ctx.store.commit(staged, only).await.inspect_err(|fault| {
            // what somebody else has to put right says nothing of the upload
            if !matches!(fault.class, Class::Denied | Class::Fatal | Class::Owned) {
                ctx.stumble(key);
            }
        })?;
        ctx.parted(key);
        let mut changes = match self.proof(held, remote, digest) {
            Change::Proof(key, record) => vec![Change::Proof(key, Record { print, ..record })],
            other => vec![other],
        };
        if parts {
            ctx.settled(key);
            changes.push(Change::Settled(key.clone()));
        }
        Ok(changes)
    }
}
