//! One job on its own task: look once more, act, confirm.

mod copy;
mod counted;
mod hash;
mod leftover;
mod prove;
mod put;
mod turns;

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Change, Class, Did, Fault, Job, LocalMeta, Op, Outcome, Record, RelPath, RemoteMeta, Source},
    store::Store,
};
use counted::Counted;
use futures::FutureExt;
pub(super) use hash::Hashing;
pub(super) use leftover::tidy;
use std::{panic::AssertUnwindSafe, sync::Arc};
use tokio::time::Instant;
pub(super) use turns::Turns;

/// Runs one job. `seen` is when its survey's look at the file had come back; a `swift` one does not wait behind those
/// that are many. A panic is a fault of this job alone (promise I10).
pub(super) async fn work<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    job: Job,
    seen: Instant,
    swift: bool,
) -> Outcome {
    let Some(_turn) = ctx.turns.open(&job, swift).await else { return Outcome::Stale };
    let work = Work { ctx: &ctx, job: &job, seen, swift };
    let run = AssertUnwindSafe(work.run_and_tidy()).catch_unwind().await;
    match run {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(fault)) => outcome(fault),
        Err(_) => Outcome::Retry(Fault::new(
            Class::Transient,
            format!("deal with {}", job.key),
            "a bug: the job panicked",
        )),
    }
}

/// What a fault means for the job it ended.
pub(super) fn outcome(fault: Fault) -> Outcome {
    match fault.class {
        Class::Changed | Class::Missing => Outcome::Stale,
        Class::Transient | Class::Throttled => Outcome::Retry(fault),
        Class::Permanent => Outcome::Rejected(fault),
        Class::Fatal | Class::Owned => Outcome::Fatal(fault),
    }
}

struct Work<'a, T, S, L> {
    ctx: &'a Context<T, S, L>,
    job: &'a Job,
    seen: Instant,
    swift: bool,
}

/// An open file that is still what the survey saw.
struct Held<F> {
    file: Arc<Counted<F>>,
    meta: LocalMeta,
}

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    async fn run(&self) -> Result<Outcome, Fault> {
        let record = match self.job.op {
            // whatever was proven meanwhile: what the file holds now is sent
            Op::Put(_) => None,
            _ => self.ctx.ledger.get(&self.job.key).await?,
        };
        if record.as_ref().is_some_and(|r| r.seq > self.job.asked) {
            return Ok(Outcome::Stale);
        }
        let held = match self.job.expect {
            Some(meta) => match self.hold(meta).await? {
                Some(held) => Some(held),
                None => return Ok(Outcome::Stale),
            },
            None => None,
        };
        // files are opened while others are sent
        let Some(_turn) = self.ctx.turns.store(self.job, self.swift).await else { return Ok(Outcome::Stale) };
        let Some(held) = held else { return self.whose(record).await };
        match &self.job.op {
            Op::Put(only) => self.put(&held, only.clone()).await,
            Op::Copy(from) => self.copy(&held, from).await,
            Op::Metadata => self.metadata(&held, record).await,
            Op::Prove(remote) => self.prove(&held, record, remote.clone()).await,
        }
    }

    /// Opens the file beneath the root; `None` if it is not what the survey saw.
    async fn hold(&self, meta: LocalMeta) -> Result<Option<Held<T::File>>, Fault> {
        self.ctx.clock_step(self.seen, meta.print.ctime).await;
        let file = self.ctx.tree.open(&self.path()?).await?;
        let file = Arc::new(Counted::new(file, meta.print.size, self.ctx.report.clone()));
        let held = Held { file, meta };
        Ok(self.unchanged(&held).await?.then_some(held))
    }

    /// True if the file is still what the survey saw: every write since then would show.
    async fn unchanged(&self, held: &Held<T::File>) -> Result<bool, Fault> {
        Ok(held.file.stat().await? == held.meta)
    }

    fn path(&self) -> Result<RelPath, Fault> {
        self.job.key.path().ok_or_else(|| {
            Fault::new(Class::Permanent, format!("find the file of {}", self.job.key), "no file has this key")
        })
    }

    fn done(&self, did: Did, changes: Vec<Change>) -> Outcome {
        // a dry run writes nothing: what it would have learnt by writing is not proven
        let wrote = matches!(did, Did::Put { .. } | Did::Copied(_) | Did::Metadata);
        Outcome::Done { did, changes: if wrote && self.ctx.options.dry_run { vec![] } else { changes } }
    }

    fn proof(&self, held: &Held<T::File>, remote: RemoteMeta, digest: crate::model::Digest) -> Change {
        let record = Record {
            print: Some(held.meta.print),
            attributes: Some(held.meta.attributes),
            metadata_due: false,
            doubted: false,
            condemned: false,
            size: held.meta.print.size,
            etag: remote.etag,
            digest: Some(digest),
            seq: 0,
        };
        Change::Proof(self.job.key.clone(), record)
    }
}
