//! Uploads in parts that were left open, by a crash or by a fault that may pass: the next upload of the same file
//! goes on with one of them, and those that none will go on with are ended.
//!
//! Ours is the one whose id is journaled. If the answer that would have told the id was lost, ours are those of the key
//! that were begun since; they are ended. Others are never touched.

use super::{Held, Work};
use crate::{
    engine::context::Context,
    ledger::Ledger,
    local::Tree,
    model::{
        Begun, Change, Class, Digest, ETag, Extra, Fault, Intent, Key, KeyRange, Local, LocalMeta, Outcome,
        Sameness, Source, Spec, Upload,
    },
    store::Store,
};

/// Seconds that our clock and the store's may be apart.
const LEEWAY: i64 = 3600;

/// How often a store may fail to tell what an upload holds, or to complete it, until the file is sent anew.
const PATIENCE: u32 = 8;

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// Runs the job. If it finds or makes the object as it should be, no upload of its key is of use any more.
    pub(super) async fn run_and_tidy(&self) -> Result<Outcome, Fault> {
        let outcome = self.run().await?;
        let key = &self.job.key;
        if matches!(outcome, Outcome::Done { .. })
            && self.ctx.is_unsettled(key)
            && let Err(fault) = Box::pin(settle(self.ctx, key)).await
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
        let (ctx, key, spec) =
            (self.ctx, &self.job.key, self.ctx.spec(&self.job.key, &held.meta, &held.extra));
        let now = intent(ctx, key, (&held.meta, &held.extra), part_size);
        let old = if ctx.is_unsettled(key) { left_open(ctx, &now).await? } else { None };
        let begun = match old {
            Some(begun) => begun,
            None => Begun { upload: begin(ctx, now, ctx.store.create(key, &spec)).await?, parts: vec![] },
        };
        ctx.store.fill(begun, &held.file, &spec).await
    }

    /// Stages a copy of `from` in parts of `part_size`. What is left behind is ended, never gone on with: to begin anew
    /// sends no bytes.
    pub(super) async fn stage_copy(
        &self,
        held: &Held<T::File>,
        from: (&Key, &ETag),
        spec: &Spec,
        part_size: u64,
    ) -> Result<S::Staged, Fault> {
        let (ctx, key) = (self.ctx, &self.job.key);
        if ctx.is_unsettled(key) {
            settle(ctx, key).await?;
        }
        let intent = Intent { terms: None, ..intent(ctx, key, (&held.meta, &held.extra), part_size) };
        let upload = begin(ctx, intent, ctx.store.create_copy(from, key, spec)).await?;
        ctx.store.fill_copy(upload, from, spec).await
    }
}

/// Creates the upload that is intended: told before, in case that the answer is lost, and its id after.
async fn begin<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    mut intent: Intent,
    creating: impl Future<Output = Result<Upload, Fault>>,
) -> Result<Upload, Fault> {
    ctx.unsettled(&intent.key);
    ctx.ledger.commit(vec![Change::Intend(intent.clone())]).await?;
    let upload = match creating.await {
        Err(fault) if fault.class == Class::Denied => {
            // nothing was begun
            ctx.ledger.commit(vec![Change::Settled(intent.key.clone())]).await?;
            ctx.settled(&intent.key);
            return Err(fault);
        }
        created => created?,
    };
    intent.upload = Some(upload.id.clone());
    ctx.ledger.commit(vec![Change::Intend(intent)]).await?;
    Ok(upload)
}

/// An upload of this file as it would be begun now.
fn intent<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    (meta, extra): (&LocalMeta, &Extra),
    part_size: u64,
) -> Intent {
    let terms = Some(ctx.store.terms(key, &ctx.spec(key, meta, extra)));
    Intent { key: key.clone(), print: meta.print, part_size, at: (ctx.options.wall)(), terms, upload: None }
}

async fn journaled<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
) -> Result<Option<Intent>, Fault> {
    Ok(ctx.ledger.intents().await?.into_iter().find(|intent| intent.key == *key))
}

/// The uploads of ours that were begun under this intent, and may be open.
async fn ours<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    intent: &Intent,
) -> Result<Vec<Upload>, Fault> {
    if let Some(upload) = named(intent) {
        return Ok(vec![upload]);
    }
    let mut uploads = ctx.store.uploads(&KeyRange::One(intent.key.clone())).await?;
    uploads.retain(|upload| upload.initiated.is_none_or(|at| at.sec >= intent.at.sec - LEEWAY));
    Ok(uploads)
}

/// The upload whose id is journaled.
fn named(intent: &Intent) -> Option<Upload> {
    let (key, id) = (intent.key.clone(), intent.upload.clone()?);
    Some(Upload { key, id, initiated: None })
}

/// The upload that `now` goes on with; if there is none, what is open is ended.
async fn left_open<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    now: &Intent,
) -> Result<Option<Begun>, Fault> {
    let key = &now.key;
    let old = journaled(ctx, key).await?.filter(|old| old.goes_on_as(now) && ctx.stumbles(key) < PATIENCE);
    if let Some(upload) = old.as_ref().and_then(named) {
        match ctx.store.parts(&upload).await {
            Ok(Some(parts)) => {
                tracing::debug!(%key, id = upload.id, parts = parts.len(), "going on with an upload");
                return Ok(Some(Begun { upload, parts }));
            }
            // its time is over
            Ok(None) => {}
            Err(fault) if matches!(fault.class, Class::Transient | Class::Throttled) => {
                ctx.stumble(key);
                return Err(fault);
            }
            // it is not allowed, or the store has no such request: no reason never to send the file
            Err(fault) => {
                tracing::warn!(%key, %fault, "what the store holds of it is not told: it is sent anew")
            }
        }
    }
    settle(ctx, key).await?;
    Ok(None)
}

/// Ends the uploads of `key` that were begun by us and left open.
pub(in crate::engine) async fn settle<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
) -> Result<(), Fault> {
    if let Some(intent) = journaled(ctx, key).await? {
        for upload in ours(ctx, &intent).await? {
            ctx.store.abort(&upload).await?;
        }
    }
    ctx.ledger.commit(vec![Change::Settled(key.clone())]).await?;
    ctx.settled(key);
    Ok(())
}

/// Ends the uploads that a former life left open, but for those that the coming one goes on with. Under another root
/// nothing says what becomes of their files.
pub(in crate::engine) async fn recover<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
) -> Result<(), Fault> {
    if ctx.options.dry_run {
        return Ok(());
    }
    for intent in ctx.ledger.intents().await? {
        ctx.unsettled(&intent.key);
        if ctx.root != Sameness::Changed {
            match tidy(ctx, &intent.key).await {
                Err(fault) if fault.class == Class::Denied => {
                    tracing::warn!(%fault, "an upload may be left open; trying again at the next rescan");
                }
                tidied => tidied?,
            }
        }
    }
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
    let local = ctx.tree.look(vec![old.key.clone()]).await?.pop().unwrap_or(Local::Unknown);
    let Local::Present(meta) = &local else { return Ok(false) };
    if ctx.prune.excludes_key(&old.key, &local) {
        return Ok(false);
    }
    let Some(part_size) = ctx.store.part_size(meta.print.size) else { return Ok(false) };
    let record = ctx.ledger.get(&old.key).await?;
    let in_sync = record.is_some_and(|record| record.print == Some(meta.print));
    let extra = match ctx.options.keep.is_beside() {
        false => Extra::default(),
        true => match ctx.tree.open(&old.key).await {
            Ok(file) => file.extra().await?,
            Err(_) => return Ok(false),
        },
    };
    Ok(!in_sync && old.goes_on_as(&intent(ctx, &old.key, (meta, &extra), part_size)))
}
