//! One job on its own task: look once more, act, confirm.

mod copy;
mod counted;
mod growth;
mod hash;
mod leftover;
mod prove;
mod put;
mod turns;

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{
        Change, Class, Did, Digest, Fault, Job, Local, LocalMeta, Only, Op, Outcome, Record, RelPath,
        RemoteMeta, Source,
    },
    plan::{Motion, motion},
    store::Store,
};
use counted::Counted;
use futures::FutureExt;
pub(super) use hash::Hashing;
pub(super) use leftover::tidy;
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::Instant;
pub(super) use turns::Turns;

/// How a job is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// When its survey's look at the file had come back.
    pub seen: Instant,
    /// It does not wait behind those that are many.
    pub swift: bool,
    /// The file has had time to rest: if it grows, it is sent as it is.
    pub patient: bool,
    /// It is known not to rest.
    pub restless: bool,
}

/// Runs one job; also for how long it was at it, waiting for its turn not counted. A panic is a fault of this job alone
/// (promise I10).
pub(super) async fn work<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    job: Job,
    manner: Manner,
) -> (Outcome, Duration) {
    let _reading = match job.expect {
        Some(_) => {
            let Some(turn) = ctx.turns.open(&job, manner.swift).await else {
                return (Outcome::Stale, Duration::ZERO);
            };
            match ctx.may_read().await {
                Ok(inside) => Some((turn, inside)),
                Err(fault) => return (Outcome::Later(fault), Duration::ZERO),
            }
        }
        None => None,
    };
    if ctx.turns.are_over() {
        return (Outcome::Stale, Duration::ZERO);
    }
    let work = Work { ctx: &ctx, job: &job, manner, begun: OnceLock::new() };
    let run = AssertUnwindSafe(work.run_and_tidy()).catch_unwind().await;
    let took = work.begun.get().map(Instant::elapsed).unwrap_or_default();
    (ended(run, &job), took)
}

fn ended(run: std::thread::Result<Result<Outcome, Fault>>, job: &Job) -> Outcome {
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
    manner: Manner,
    /// When its turn came.
    begun: OnceLock<Instant>,
}

/// An open file.
struct Held<F> {
    file: Arc<Counted<F>>,
    /// As the survey saw it.
    meta: LocalMeta,
    /// It has grown since. If not, it is what the survey saw.
    grows: bool,
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
                Ok(held) => Some(held),
                Err(outcome) => return self.outcome(Ok(outcome)).await,
            },
            None => None,
        };
        // files are opened while others are sent
        let Some(_turn) = self.ctx.turns.store(self.job, self.manner.swift).await else {
            return Ok(Outcome::Stale);
        };
        let _ = self.begun.set(Instant::now());
        let Some(held) = held else { return self.whose(record).await };
        let outcome = match &self.job.op {
            Op::Put(only) => self.put(&held, only.clone()).await,
            Op::Copy(_) if held.grows => self.put(&held, Only::New).await,
            Op::Copy(from) => self.copy(&held, from).await,
            Op::Metadata if held.grows => Ok(Outcome::Busy),
            Op::Metadata => self.metadata(&held, record).await,
            Op::Prove(_) if held.grows => self.replace(&held).await,
            Op::Prove(remote) => self.prove(&held, record, remote.clone()).await,
        };
        match outcome {
            // it ended before its end, or another object is there
            Err(fault) if fault.class == Class::Changed && !self.rests(&held).await? => {
                self.outcome(Ok(Outcome::Overtaken)).await
            }
            other => self.outcome(other).await,
        }
    }

    /// A file that was replaced changes, too: it lost its name. The one that has the name now may well rest.
    async fn outcome(&self, outcome: Result<Outcome, Fault>) -> Result<Outcome, Fault> {
        let (Ok(Outcome::Busy | Outcome::Overtaken), Some(then)) = (&outcome, self.job.expect) else {
            return outcome;
        };
        match self.ctx.tree.look(vec![self.path()?]).await?.pop() {
            Some(Local::Present(now)) if now.print.inode == then.print.inode => outcome,
            _ => Ok(Outcome::Stale),
        }
    }

    /// Opens the file beneath the root, if it is what the survey saw, or has only grown when it had time to rest.
    async fn hold(&self, meta: LocalMeta) -> Result<Result<Held<T::File>, Outcome>, Fault> {
        self.ctx.clock_step(self.manner.seen, meta.print.ctime).await;
        let (file, now) = self.open(&meta).await?;
        Ok(match motion(&meta, &now, self.manner.patient) {
            Motion::Rests => Ok(Held { file, meta, grows: false }),
            Motion::Grows => Ok(Held { file, meta, grows: true }),
            Motion::Busy => Err(Outcome::Busy),
            Motion::Replaced => Err(Outcome::Stale),
        })
    }

    /// The file, and how it is.
    async fn open(&self, meta: &LocalMeta) -> Result<(Arc<Counted<T::File>>, LocalMeta), Fault> {
        let file = self.ctx.tree.open(&self.path()?).await?;
        let file = Arc::new(Counted::new(file, meta.print.size, self.ctx.report.clone()));
        let now = file.stat().await?;
        Ok((file, now))
    }

    /// True if the file is still what the survey saw: every write since then would show.
    async fn rests(&self, held: &Held<T::File>) -> Result<bool, Fault> {
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

    fn proof(&self, held: &Held<T::File>, remote: RemoteMeta, digest: Digest) -> Change {
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
