//! Replacements that are held: told of, kept as rows of the ledger, and reviewed until they may go.

use super::{
    Ending, Event,
    commit::After,
    overwrite::{self, Reviewed},
    session::Session,
    settle::{Task, action},
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Against, Change, Fault, Job, Key, Refrained},
    queue::Mono,
    store::Store,
};

/// They are reviewed this often: the window slides, files come back.
const EVERY: Mono = Mono::from_secs(60);
/// But after so many times of what it took.
const SPARE: u32 = 10;

/// The reviews of a session.
#[derive(Debug, Default)]
pub(super) struct Reviews {
    /// When the next is due; `None`: nothing is held.
    at: Option<Mono>,
    /// One is under way, since then.
    begun: Option<Mono>,
    /// An operator released some, and they were not looked for yet.
    released: bool,
    /// When the review under way began, rows were not durable yet.
    early: bool,
    /// Rows that are not durable yet.
    unwritten: usize,
}

impl Reviews {
    /// At the begin of a session there may be rows of the one before, and what that told may hold no longer.
    pub(super) fn new(now: Mono, may_be: bool) -> Self {
        Self { at: may_be.then_some(now), ..Self::default() }
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Mono> {
        self.at.filter(|_| self.begun.is_none())
    }

    /// An operator released some.
    pub(super) fn release(&mut self, now: Mono) {
        (self.at, self.released) = (Some(now), true);
    }

    /// A row is durable.
    pub(super) fn written(&mut self) {
        self.unwritten -= 1;
    }
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    /// The object stays as it is for now.
    pub(super) fn refrained(&mut self, keys: &[Key], job: &Job, Refrained { why, change }: Refrained) {
        let (now, once) = (self.now(), self.ctx.options.once);
        self.life.report.with(|status| status.fails_no_longer(&job.key));
        self.tell_overwrites(Some(why));
        if change.is_some() || once {
            self.tell(&action(job, Ending::Held));
        }
        if !once {
            self.reviews.at.get_or_insert(now + EVERY);
        }
        match change {
            None => self.free(keys),
            Some(change) => {
                self.reviews.unwritten += 1;
                self.batch.push(change);
                self.after.push(After::Held(job.key.clone()));
            }
        }
    }

    /// Begins a review that is due.
    pub(super) fn begin_review(&mut self, now: Mono) {
        if self.reviews.next().is_none_or(|at| at > now) || self.ctx.turns.paused().is_some() {
            return;
        }
        let reviews = &mut self.reviews;
        (reviews.at, reviews.begun, reviews.early) = (None, Some(now), reviews.unwritten > 0);
        let (ctx, released) = (self.ctx.clone(), std::mem::take(&mut reviews.released));
        self.task_of(async move { Task::Reviewed(overwrite::review(&ctx, released).await) });
    }

    /// What may go is looked for again, and goes.
    pub(super) fn reviewed(&mut self, result: Result<Option<Reviewed>, Fault>) {
        let now = self.now();
        let took = self.reviews.begun.take().map_or(Mono::ZERO, |begun| now.saturating_sub(begun));
        let next = now + EVERY.max(took * SPARE);
        match result {
            Ok(None) => drop(self.reviews.at.get_or_insert(next)),
            Ok(Some(Reviewed { again, void, held })) => {
                // something was held meanwhile that it may not have seen
                let news = self.reviews.early || self.reviews.at.is_some();
                if held.is_some() || news {
                    self.reviews.at.get_or_insert(next);
                }
                if held.is_some() || !news {
                    self.tell_overwrites(held);
                }
                for (key, row) in void {
                    // one that is being dealt with is reviewed the next time
                    if self.jobs.take_beside(&key) {
                        self.life.unsynced.in_sync(&key);
                        self.batch.push(Change::Abandon(key.clone(), row));
                        self.after.push(After::Row { key, deleted: false, again: None });
                    }
                }
                // what an operator released is what is there
                for scope in again {
                    self.pending.retry(scope, Against::Bucket, now, Mono::ZERO, 0);
                }
            }
            Err(fault) => {
                tracing::warn!(%fault, "what is held could not be reviewed; trying again");
                self.reviews.at.get_or_insert(next);
            }
        }
    }

    fn tell_overwrites(&self, held: Option<String>) {
        let before = self.life.report.with(|status| status.overwrites_held.clone());
        match held {
            Some(why) if before.is_none() => self.tell(&Event::OverwritesHeld(why)),
            Some(why) => self.life.report.with(|status| status.overwrites_held = Some(why)),
            None if before.is_some() => self.tell(&Event::OverwritesReleased),
            None => {}
        }
    }
}
