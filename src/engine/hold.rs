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
    model::{Against, Fault, Job, Key, Refrained},
    queue::Mono,
    store::Store,
};

/// They are reviewed this often: the window slides, files come back.
const EVERY: Mono = Mono::from_secs(60);

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
            self.review_at.get_or_insert(now + EVERY);
        }
        match change {
            None => self.free(keys),
            Some(change) => {
                self.batch.push(change);
                self.after.push(After::Row { key: job.key.clone(), deleted: false, again: None });
            }
        }
    }

    /// Begins a review that is due.
    pub(super) fn begin_review(&mut self, now: Mono) {
        if self.review_at.is_some_and(|at| at <= now) && self.ctx.turns.paused().is_none() {
            self.review_at = None;
            let ctx = self.ctx.clone();
            self.task_of(async move { Task::Reviewed(overwrite::review(&ctx).await) });
        }
    }

    /// What may go is looked at again, and goes.
    pub(super) fn reviewed(&mut self, result: Result<Option<Reviewed>, Fault>) {
        let now = self.now();
        match result {
            Ok(None) => self.review_at = Some(now + EVERY),
            Ok(Some(Reviewed { again, held })) => {
                if held.is_some() {
                    self.review_at.get_or_insert(now + EVERY);
                }
                self.tell_overwrites(held);
                // what an operator released is what is there
                for scope in again {
                    self.pending.retry(scope, Against::Bucket, now, Mono::ZERO, 0);
                }
            }
            Err(fault) => self.fail(fault),
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
