//! One job on its own task: look once more, act, confirm.

mod copy;
mod counted;
mod growth;
mod leftover;
mod prove;
mod put;
mod scrub;
mod turns;

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{
        Change, Class, Did, Digest, Extra, Fault, Fingerprint, Job, Kept, Kind, Local, LocalMeta, Only, Op,
        Outcome, Record, RemoteMeta, Source,
    },
    plan::{Motion, motion},
    store::Store,
};
use counted::Counted;
use futures::FutureExt;
pub(super) use leftover::{recover, settle, tidy};
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
        Class::Denied => Outcome::Denied(fault),
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
    /// As the survey saw it; of a clone, as the file was just before that was made.
    meta: LocalMeta,
    /// What else it has, and is kept.
    extra: Extra,
    how: How,
}

impl<F> Held<F> {
    /// What shows from now on that the file is as it was read. Of a clone nothing: nobody looked at what it became since.
    fn print(&self) -> Option<Fingerprint> {
        (self.how != How::Frozen).then_some(self.meta.print)
    }
}

/// How a file is that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It is what the survey saw.
    Rests,
    /// It has grown since.
    Grows,
    /// It does not rest, and this is a clone of it.
    Frozen,
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
        let Some(held) = held else { return Box::pin(self.whose(record)).await };
        // boxed: a job is moved about while it is small files' alone, and the rarer roads need ten times the room
        let outcome = match &self.job.op {
            Op::Put(only) => self.put(&held, only.clone()).await,
            Op::Copy(_) if held.how == How::Grows => self.put(&held, Only::New).await,
            Op::Copy(from) => Box::pin(self.copy(&held, from)).await,
            Op::Metadata if held.how == How::Grows => Ok(Outcome::Busy),
            Op::Metadata => Box::pin(self.metadata(&held, record)).await,
            Op::Scrub { fetch } => Box::pin(self.scrub(&held, record, *fetch)).await,
            Op::Prove(_) if held.how == How::Grows => Box::pin(self.replace(&held)).await,
            Op::Prove(remote) => Box::pin(self.prove(&held, record, remote.clone())).await,
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
        if self.is_named(&then).await? { outcome } else { Ok(Outcome::Stale) }
    }

    /// True if the file has its name still.
    async fn is_named(&self, meta: &LocalMeta) -> Result<bool, Fault> {
        let now = self.ctx.tree.look(vec![self.job.key.clone()]).await?.pop();
        Ok(matches!(now, Some(Local::Present(now)) if now.print.inode == meta.print.inode))
    }

    /// Opens the file beneath the root, if it is what the survey saw. If it had time to rest and did not: a clone of it,
    /// or, where there are none, itself if it has only grown.
    async fn hold(&self, meta: LocalMeta) -> Result<Result<Held<T::File>, Outcome>, Fault> {
        self.ctx.clock_step(self.manner.seen, meta.print.ctime).await;
        let (file, now) = self.open(&meta).await?;
        // a change of it is one of the time of change, which is looked at before and after
        let extra = file.extra().await?;
        // a directory and a link are as they were when they were opened: nothing of them can be torn
        let kind = now.attributes.kind();
        let fixed = kind != Kind::File && kind == meta.attributes.kind();
        let meta = if fixed { now } else { meta };
        let motion = motion(&meta, &now, self.manner.patient);
        let unrest = match motion {
            Motion::Rests => self.manner.restless,
            Motion::Grows | Motion::Busy => self.manner.patient,
            Motion::Replaced => false,
        };
        if unrest && let Some(frozen) = self.freeze(&file, &extra).await? {
            return Ok(frozen);
        }
        Ok(match motion {
            Motion::Rests => Ok(Held { file, meta, extra, how: How::Rests }),
            Motion::Grows => Ok(Held { file, meta, extra, how: How::Grows }),
            Motion::Busy => Err(Outcome::Busy),
            Motion::Replaced => Err(Outcome::Stale),
        })
    }

    /// A clone of the file. What was written to it under another name is none of this one.
    async fn freeze(
        &self,
        file: &Counted<T::File>,
        extra: &Extra,
    ) -> Result<Option<Result<Held<T::File>, Outcome>>, Fault> {
        // a dry run makes nothing, and of metadata no content is read
        if self.ctx.options.dry_run || matches!(self.job.op, Op::Metadata) {
            return Ok(None);
        }
        let Some((clone, meta)) = self.ctx.tree.snapshot(file.inner()).await else { return Ok(None) };
        if !self.is_named(&meta).await? {
            return Ok(Some(Err(Outcome::Stale)));
        }
        let file = Arc::new(Counted::new(clone, meta.print.size, self.ctx.report.clone()));
        Ok(Some(Ok(Held { file, meta, extra: extra.clone(), how: How::Frozen })))
    }

    /// The file, and how it is.
    async fn open(&self, meta: &LocalMeta) -> Result<(Arc<Counted<T::File>>, LocalMeta), Fault> {
        let file = self.ctx.tree.open(&self.job.key).await?;
        let file = Arc::new(Counted::new(file, meta.print.size, self.ctx.report.clone()));
        let now = file.stat().await?;
        Ok((file, now))
    }

    /// True if the file is still what the survey saw: every write since then would show.
    async fn rests(&self, held: &Held<T::File>) -> Result<bool, Fault> {
        Ok(held.file.stat().await? == held.meta)
    }

    fn done(&self, did: Did, changes: Vec<Change>) -> Outcome {
        // a dry run writes nothing: what it would have learnt by writing is not proven
        let wrote = matches!(did, Did::Put { .. } | Did::Copied(_) | Did::Metadata);
        Outcome::Done { did, changes: if wrote && self.ctx.options.dry_run { vec![] } else { changes } }
    }

    /// What was looked for of the file, and found.
    fn kept(&self, held: &Held<T::File>) -> Kept {
        Kept { looked: self.ctx.options.keep, digest: held.extra.digest() }
    }

    fn proof(&self, held: &Held<T::File>, remote: RemoteMeta, digest: Digest) -> Change {
        let record = Record {
            print: held.print(),
            attributes: Some(held.meta.attributes),
            kept: self.kept(held),
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
