//! The rolling scrub: each object is proven again within a given time, whether anything seems to have happened or not.
//!
//! A file may change without a trace in its stat (a store through mmap), and a store may lose or spoil what it confirmed:
//! neither is found by comparing what was noted. So each file is read again and held against the ledger's digest, and its
//! object is asked for, or fetched and hashed. What is damaged or missing is put back from the file, and told as an alarm.
//!
//! One key at a time, in the order of keys, spread evenly over the time, and a tenth of it at the most: so it may fall
//! behind, and how far it is is told. What is not in sync when its turn comes is left to those who are at it anyway, and
//! counted as skipped; what has no file, such as an object that is kept, is passed by.

use super::{
    Coverage,
    commit::After,
    session::Session,
    settle::{Task, Worked},
    worker::{self, Manner},
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{
        Change, Did, Fault, Job, Key, KeyRange, Local, Op, Outcome, Record, Sameness, Scrubbed, Seq, Stamp,
        Why,
    },
    queue::Mono,
    store::Store,
};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// What it found, of an object that was put back.
pub(super) const DAMAGED: Why = "the scrub found its object damaged or missing";

/// At most this much of the time, as a part.
const SHARE: u32 = 10;
/// How far it is is written down this often.
const WRITE: Mono = Mono::from_secs(60);
/// The pause after what could not be done.
const AGAIN: Mono = Mono::from_secs(60);
/// The pause while what has changed leaves no room.
const FULL: Mono = Mono::from_secs(1);

/// How objects are proven again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// Each within this time, if a tenth of it is enough.
    pub every: Duration,
    /// Objects are fetched and hashed, and not only asked for.
    pub fetch: bool,
}

/// The scrub of a session.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// There is one.
    scrubs: bool,
    /// When the next key is due; `None` while one is under way.
    at: Option<Mono>,
    /// When the one under way began.
    begun: Mono,
    /// How far it is; `None` until the ledger has told.
    mark: Option<Scrubbed>,
    /// How many keys there are.
    records: u64,
    /// When it was written down.
    written: Mono,
    /// The key whose job is under way.
    key: Option<Key>,
}

/// What comes next.
pub(super) struct Turn {
    mark: Scrubbed,
    records: u64,
    /// The next key, and what its file is; `None` at the end.
    next: Option<(Key, Record, Local)>,
    asked: Seq,
}

impl Round {
    pub(super) fn new(now: Mono, scrubs: bool) -> Self {
        Self { scrubs, at: scrubs.then_some(now), written: now, ..Self::default() }
    }

    /// When the next key is due.
    pub(super) fn next(&self) -> Option<Mono> {
        self.at
    }

    /// Its tasks, and its jobs, that are under way.
    pub(super) fn under_way(&self) -> (usize, usize) {
        let job = self.key.is_some();
        (usize::from(self.scrubs && self.at.is_none() && !job), usize::from(job))
    }
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    /// Looks for the next key if it is due.
    pub(super) fn begin_scrub(&mut self, now: Mono) {
        let is_due = self.relisted && self.round.at.is_some_and(|at| at <= now);
        if !is_due || self.ctx.turns.are_over() {
            return;
        }
        let may = self.ctx.root == Sameness::Same && self.ctx.turns.paused().is_none();
        if !may {
            self.round.at = Some(now + AGAIN);
            return;
        }
        (self.round.at, self.round.begun) = (None, now);
        let (ctx, mark) = (self.ctx.clone(), self.round.mark.clone());
        self.task_of(async move {
            let turn = async {
                let asked = ctx.ledger.now();
                let mark = match mark {
                    Some(mark) => mark,
                    None => {
                        ctx.ledger.scrubbed().await?.unwrap_or_else(|| Scrubbed::begin((ctx.options.wall)()))
                    }
                };
                let everything = KeyRange::Under(Key::raw(""));
                let mut rows = ctx.ledger.page(&everything, mark.after.clone(), 2).await?;
                rows.retain(|(key, _)| Some(key) != mark.after.as_ref());
                let tally = ctx.ledger.tally().await?;
                let records = tally.records + tally.directories;
                let next = match rows.into_iter().next() {
                    Some((key, record)) => {
                        let local = ctx.tree.look(vec![key.clone()]).await?.pop().unwrap_or(Local::Unknown);
                        Some((key, record, local))
                    }
                    None => None,
                };
                Ok(Turn { mark, records, next, asked })
            };
            Task::Scrub(turn.await.map(Box::new))
        });
    }

    /// Its turn has come: the file is as it was proven, or it is none of the scrub's business.
    pub(super) fn scrub(&mut self, turn: Result<Box<Turn>, Fault>) {
        let now = self.now();
        let Turn { mut mark, records, next, asked } = match turn {
            Ok(turn) => *turn,
            Err(fault) => {
                tracing::warn!(%fault, "the scrub could not go on; trying again");
                self.round.at = Some(now + AGAIN);
                return;
            }
        };
        self.round.records = records;
        if records == 0 {
            // nothing is proven yet: that is no round
            self.note(mark, now, false);
            self.round.at = Some(now + AGAIN);
            return;
        }
        let Some((key, record, local)) = next else {
            let wall = (self.ctx.options.wall)();
            let rest = self.rest(&mark, wall);
            match mark.skipped {
                0 => tracing::info!(objects = records, "every object was proven again"),
                skipped => {
                    tracing::info!(objects = mark.done, skipped, "objects were proven again, but not all")
                }
            }
            let whole = if mark.skipped == 0 { Some(wall) } else { mark.whole };
            mark = Scrubbed { whole, ..Scrubbed::begin(later(wall, rest)) };
            self.note(mark, now, true);
            self.round.at = Some(now + rest.max(Mono::from_secs(1)));
            return;
        };
        self.note(mark, now, false);
        let rests = !record.metadata_due && !record.doubted && !record.condemned && record.digest.is_some();
        let expect = match local {
            Local::Absent(_) | Local::Skipped(_) => return self.scrubbed_one(key, None),
            // what is left out of the mirror stays as it is, whatever becomes of its object
            _ if self.ctx.prune.excludes_known(&key, &local, Some(&record)) => {
                return self.scrubbed_one(key, None);
            }
            // of a directory the time says nothing, and its marker holds none
            Local::Present(meta) if key.is_directory() || record.print == Some(meta.print) => Some(meta),
            Local::Present(_) | Local::Unknown => None,
        };
        let Some(expect) = expect.filter(|_| rests && self.jobs.is_free(&key)) else {
            return self.scrubbed_one(key, Some(false));
        };
        if !self.jobs.has_room(false) {
            // its turn comes again
            self.round.at = Some(now + FULL);
            return;
        }
        let fetch = self.ctx.options.scrub.is_some_and(|scrub| scrub.fetch);
        let job = Job {
            key: key.clone(),
            op: Op::Scrub { fetch },
            expect: Some(expect),
            former: None,
            why: DAMAGED,
            asked,
        };
        self.round.key = Some(key);
        self.start_scrub(job);
    }

    /// A job came back: when the next key is due.
    pub(super) fn scrub_ends(&mut self, key: &Key, outcome: &Outcome) {
        let Some(key) = self.round.key.take_if(|at| at == key) else { return };
        let proven = match outcome {
            Outcome::Done { did: Did::Scrubbed { proven }, .. } => *proven,
            Outcome::Done { did, .. } => matches!(did, Did::Put { .. }),
            _ => false,
        };
        // at the end of a session jobs come back without having had their turn
        if !self.ctx.turns.are_over() {
            self.scrubbed_one(key, Some(proven));
        }
    }

    fn start_scrub(&mut self, job: Job) {
        // it takes no room from what has changed
        let free = self.jobs.take_beside(&job.key);
        debug_assert!(free, "it was seen to be free");
        let (ctx, seen) = (self.ctx.clone(), Instant::now());
        let manner = Manner { seen, swift: false, patient: false, restless: false };
        let work = async move {
            let (outcome, took) = worker::work(ctx, job.clone(), manner).await;
            Worked { keys: vec![job.key.clone()], job, failures: 0, outcome, took }
        };
        self.workers.spawn(work.in_current_span());
    }

    /// It had its turn: was it proven? `None`: there was nothing to prove it by.
    fn scrubbed_one(&mut self, key: Key, proven: Option<bool>) {
        let now = self.now();
        if let Some(mut mark) = self.round.mark.take() {
            mark.after = Some(key);
            match proven {
                Some(true) => mark.done += 1,
                Some(false) => mark.skipped += 1,
                None => {}
            }
            self.note(mark, now, false);
        }
        let took = now.saturating_sub(self.round.begun);
        let every = self.ctx.options.scrub.map_or(Duration::MAX, |scrub| scrub.every);
        let pace = every / u32::try_from(self.round.records.max(1)).unwrap_or(u32::MAX);
        self.round.at = Some(self.round.begun + pace.max(took * SHARE));
    }

    /// What is left of the time when all has been proven.
    fn rest(&self, mark: &Scrubbed, wall: Stamp) -> Mono {
        let every = self.ctx.options.scrub.map_or(Duration::ZERO, |scrub| scrub.every);
        let took = u64::try_from(wall.sec - mark.begun.sec).unwrap_or(0);
        every.saturating_sub(Duration::from_secs(took))
    }

    /// Remembers how far it is, and writes that down now and then.
    fn note(&mut self, mark: Scrubbed, now: Mono, end: bool) {
        let Scrubbed { done, skipped, begun: since, whole, .. } = mark;
        let told = Coverage { done, skipped, of: self.round.records, since, whole };
        self.life.report.with(|status| status.scrub = Some(told));
        if end || now >= self.round.written + WRITE {
            self.round.written = now;
            self.batch.push(Change::Scrubbed(mark.clone()));
            self.after.push(After::Condemned);
        }
        self.round.mark = Some(mark);
    }

    /// An alarm: what was confirmed is not there any more.
    pub(super) fn spoiled(&mut self, job: &Job) {
        tracing::error!(key = %job.key, "{}; it was put back from the file", job.why);
        self.life.report.with(|status| status.healed += 1);
    }
}

fn later(wall: Stamp, by: Mono) -> Stamp {
    Stamp { sec: wall.sec.saturating_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)), ..wall }
}
