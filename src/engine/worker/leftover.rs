//! Uploads in parts that were left open, by a crash or by a fault that may pass: the next upload of the same file
//! goes on with one of them, and those that none will go on with are ended.
//!
//! Ours are those of a journaled key that were begun since. Others are never touched.

use super::{Held, Work};
use crate::{
    engine::context::Context,
    ledger::Ledger,
    local::Tree,
    model::{Begun, Change, Class, Digest, Fault, Intent, Key, KeyRange, Local, LocalMeta, Outcome, Upload},
    plan::richest,
    store::Store,
};

/// Seconds that our clock and the store's may be apart.
const LEEWAY: i64 = 3600;

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// Runs the job. If it finds or makes the object as it should be, no upload of its key is of use any more.
    pub(super) async fn run_and_tidy(&self) -> Result<Outcome, Fault> {
        let outcome = self.run().await?;
        let key = &self.job.key;
        if matches!(outcome, Outcome::Done { .. })
            && self.ctx.is_unsettled(key)
            && let Err(fault) = settle(self.ctx, key).await
        {
            tracing::warn!(%fault, "an upload may be left open; it is ended later");
        }
        Ok(outcome)
    }

    /// Stages a file that goes up in parts of `part_size`. What happens to this task then, the journaled intent has
    /// what it leaves behind gone on with, or ended.
    pub(super) async fn stage_parts(
        &self,
        held: &Held<T::File>,
        part_size: u64,
    ) -> Result<(S::Staged, Digest), Fault> {
        let (ctx, key, spec) = (self.ctx, &self.job.key, self.ctx.spec(&self.job.key, &held.meta));
        let now = intent(ctx, key, &held.meta, part_size);
        if ctx.is_unsettled(key)
            && let Some(begun) = left_open(ctx, &now).await?
        {
            // the intent that it was begun under stays: it is older than the upload
            return ctx.store.resume(begun, &held.file, &spec).await;
        }
        ctx.unsettled(key, true);
        ctx.ledger.commit(vec![Change::Intend(now)]).await?;
        ctx.store.stage(key, &held.file, &spec).await
    }
}

/// An upload of this file as it would be begun now.
fn intent<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    meta: &LocalMeta,
    part_size: u64,
) -> Intent {
    let terms = Some(ctx.store.terms(key, &ctx.spec(key, meta)));
    Intent { key: key.clone(), print: meta.print, part_size, at: (ctx.options.wall)(), terms }
}

async fn journaled<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
) -> Result<Option<Intent>, Fault> {
    Ok(ctx.ledger.intents().await?.into_iter().find(|intent| intent.key == *key))
}

/// The uploads of ours that were begun under this intent, and are open.
async fn ours<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    intent: &Intent,
) -> Result<Vec<Upload>, Fault> {
    let mut uploads = ctx.store.uploads(&KeyRange::One(intent.key.clone())).await?;
    uploads.retain(|upload| upload.initiated.is_none_or(|at| at.sec >= intent.at.sec - LEEWAY));
    Ok(uploads)
}

/// The upload that `now` goes on with, if there is one; the others of ours are ended.
async fn left_open<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    now: &Intent,
) -> Result<Option<Begun>, Fault> {
    let Some(old) = journaled(ctx, &now.key).await?.filter(|old| old.goes_on_as(now)) else {
        settle(ctx, &now.key).await?;
        return Ok(None);
    };
    let mut all = Vec::new();
    for upload in ours(ctx, &old).await? {
        match ctx.store.parts(&upload).await {
            Ok(Some(parts)) => all.push(Begun { upload, parts }),
            // its time is over
            Ok(None) => {}
            Err(fault) if fault.class == Class::Throttled => return Err(fault),
            // it is not allowed, or the store cannot tell: no reason never to send the file. When nothing at all is
            // answered, the upload is not ended either
            Err(fault) => {
                tracing::warn!(%fault, "what was sent of it is not told: it is sent anew");
                ctx.store.abort(&upload).await?;
            }
        }
    }
    let (best, others) = richest(all, now.print.size, now.part_size);
    for other in others {
        ctx.store.abort(&other.upload).await?;
    }
    if let Some(Begun { upload, parts }) = &best {
        tracing::debug!(key = %upload.key, id = upload.id, parts = parts.len(), "going on with an upload");
    }
    Ok(best)
}

/// Ends the uploads of `key` that were begun by us and left open.
pub(super) async fn settle<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
) -> Result<(), Fault> {
    if let Some(intent) = journaled(ctx, key).await? {
        for upload in ours(ctx, &intent).await? {
            ctx.store.abort(&upload).await?;
        }
    }
    ctx.ledger.commit(vec![Change::Settled(key.clone())]).await?;
    ctx.unsettled(key, false);
    Ok(())
}

/// As [`settle`], unless the next upload of the file will go on with them.
pub(in crate::engine) async fn tidy<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
) -> Result<(), Fault> {
    match journaled(ctx, key).await? {
        Some(intent) if is_awaited(ctx, &intent).await? => Ok(()),
        _ => settle(ctx, key).await,
    }
}

/// True if the file is there as it was when the upload was begun, is to be mirrored, and is not in sync yet.
async fn is_awaited<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    old: &Intent,
) -> Result<bool, Fault> {
    let Some(path) = old.key.path().filter(|path| !ctx.prune.excludes(path, false)) else { return Ok(false) };
    let Some(Local::Present(meta)) = ctx.tree.look(vec![path]).await?.pop() else { return Ok(false) };
    let Some(part_size) = ctx.store.part_size(meta.print.size) else { return Ok(false) };
    let record = ctx.ledger.get(&old.key).await?;
    let in_sync = record.is_some_and(|record| record.print == Some(meta.print));
    Ok(!in_sync && old.goes_on_as(&intent(ctx, &old.key, &meta, part_size)))
}
