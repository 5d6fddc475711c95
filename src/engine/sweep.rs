//! Passes over the condemned rows, page by page: ask the budget, delete what may go, tell what is held.

use super::{
    Deed, Ending, Event, ROUNDS,
    commit::After,
    delete::{self, Docketed, Executed, Fate, waits},
    docket::Sweep,
    session::Session,
    settle::Task,
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Class, Condemned, Fault, Key},
    queue::{Mono, delay},
    store::Store,
};

/// Held deletes are judged again this often: the window slides, files come back.
const HELD: Mono = Mono::from_secs(60);
/// But after so many times of what it took.
const SPARE: u32 = 10;
/// Of the waits before deletes that failed are tried again, which double each time, so many are left out.
const SHORT: u32 = 2;

/// A step of a pass.
pub(super) enum Pass {
    /// A page was read, and the budget asked.
    Page(Sweep, Result<Docketed, Fault>),
    /// The rows of a page were dealt with.
    Executed(Sweep, Executed),
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    /// Begins a pass over rows whose grace is over, or goes on with one that the store interrupted.
    pub(super) fn begin_sweep(&mut self, now: Mono) {
        if !self.relisted || self.ctx.turns.paused().is_some() {
            return;
        }
        // a dry run deletes none, so a second pass would tell of the same rows again
        if self.ctx.options.dry_run && !self.is_idle() {
            return;
        }
        if let Some(sweep) = self.docket.interrupted.take() {
            return self.page(sweep);
        }
        if self.docket.next().is_none_or(|at| at > now) {
            return;
        }
        let oldest = self.oldest();
        if let Some(sweep) = self.docket.sweep(now, oldest, self.left_over) {
            self.page(sweep);
        }
    }

    fn page(&mut self, mut sweep: Sweep) {
        let ctx = self.ctx.clone();
        self.task_of(async move {
            let docketed = delete::docketed(ctx, &mut sweep).await;
            Task::Pass(Pass::Page(sweep, docketed))
        });
    }

    /// Goes on with a pass.
    pub(super) fn passed(&mut self, pass: Pass) {
        match pass {
            Pass::Page(_, Err(fault)) => {
                self.docket.swept();
                self.fail(fault);
            }
            Pass::Page(sweep, Ok(docketed)) => self.judged(sweep, docketed),
            Pass::Executed(sweep, executed) => self.executed(sweep, executed),
        }
    }

    fn judged(&mut self, mut sweep: Sweep, docketed: Docketed) {
        if self.is_ending() {
            return;
        }
        self.tell_held(&docketed.held);
        sweep.more = docketed.more;
        let held = docketed.held.is_some();
        sweep.waiting += docketed.rows.iter().filter(|row| waits(row, held)).count();
        if self.ctx.options.dry_run {
            for row in docketed.rows {
                let ending = if waits(&row, held) { Ending::Held } else { Ending::Planned };
                self.tell_delete(row.key, ending);
            }
            return self.turn(sweep);
        }
        // one that is busy (the source of a copy, say) is looked at again, and condemned again, when it is free
        let against = self.against();
        // and what is the only copy of a file under its new name stays until that is there
        let free = |row: &Condemned| {
            !self.sources.keeps(&row.key)
                && !self.jobs.busy(&row.key, against)
                && self.jobs.take_beside(&row.key)
        };
        let rows: Vec<_> = docketed.rows.into_iter().filter(free).collect();
        if rows.is_empty() {
            return self.turn(sweep);
        }
        let ctx = self.ctx.clone();
        self.task_of(async move {
            let executed = delete::execute(ctx, rows, held, &sweep).await;
            Task::Pass(Pass::Executed(sweep, executed))
        });
    }

    fn executed(&mut self, mut sweep: Sweep, executed: Executed) {
        let (mut stopped, since) = (None, self.docket.oldest());
        for (row, fate, changes) in executed {
            let key = row.key.clone();
            let after = match fate {
                Fate::Deleted => {
                    self.ctx.turns.answered();
                    After::Row { key, deleted: true, again: None }
                }
                Fate::Acquitted(scope, against) => {
                    After::Row { key, deleted: false, again: scope.map(|scope| (scope, against)) }
                }
                Fate::Held => {
                    if self.ctx.options.once {
                        self.tell_delete(key.clone(), Ending::Held);
                    }
                    After::Row { key, deleted: false, again: None }
                }
                Fate::Left(fault) => {
                    sweep.left = true;
                    if let Some(fault) = fault {
                        self.not_deleted(key.clone(), fault);
                    }
                    After::Row { key, deleted: false, again: None }
                }
                Fate::Stopped(fault) => {
                    stopped.get_or_insert(fault);
                    After::Row { key, deleted: false, again: None }
                }
            };
            match changes.is_empty() {
                true => self.then(after),
                false => {
                    // until that is durable it is as it was, and the docket may have done with it
                    if let Some(since) = since {
                        self.life.unsynced.differs(&row.key, since);
                    }
                    self.batch.extend(changes);
                    self.after.push(after);
                }
            }
        }
        if let Some(fault) = stopped {
            self.docket.swept();
            return self.fail(fault);
        }
        self.turn(sweep);
    }

    fn not_deleted(&mut self, key: Key, fault: Fault) {
        if matches!(fault.class, Class::Transient | Class::Throttled) {
            self.store_failed();
        }
        let last =
            self.left_over + 1 >= ROUNDS || !matches!(fault.class, Class::Transient | Class::Throttled);
        if last && !self.is_told(&key) {
            self.tell_delete(key, Ending::Failed(fault));
        }
    }

    /// The next page, or the end of the pass.
    fn turn(&mut self, sweep: Sweep) {
        if self.is_ending() {
            return;
        }
        let (now, once) = (self.now(), self.ctx.options.once);
        if sweep.more {
            match self.ctx.turns.paused().is_some() {
                true => self.docket.interrupted = Some(sweep),
                false => self.page(sweep),
            }
            return;
        }
        self.left_over = match sweep.left {
            true => self.left_over + 1,
            false if sweep.whole => 0,
            false => self.left_over,
        };
        self.docket.swept();
        let wait = match sweep.left {
            true if once && self.left_over >= ROUNDS => None,
            true => Some(delay(SHORT + self.left_over, self.life.jitter.f64())),
            false if once || sweep.waiting == 0 => None,
            // each looks at all of their files
            false => {
                let slow = (now.saturating_sub(sweep.begun) * SPARE).min(self.ctx.options.rescan);
                Some(HELD.max(slow))
            }
        };
        match wait {
            Some(wait) => self.docket.judge_again(now + wait),
            None if sweep.whole => self.docket.dealt_with(),
            None => {}
        }
    }

    /// The session ends: what is in flight does, and nothing new begins.
    fn is_ending(&self) -> bool {
        self.ctx.turns.are_over()
    }

    fn tell_held(&self, held: &Option<String>) {
        let before = self.life.report.with(|status| status.held.clone());
        match held {
            Some(why) if before.is_none() => self.tell(&Event::Held(why.clone())),
            Some(why) => self.life.report.with(|status| status.held = Some(why.clone())),
            None if before.is_some() => self.tell(&Event::Released),
            None => {}
        }
    }

    fn tell_delete(&self, key: Key, ending: Ending) {
        let event =
            Event::Action { key, deed: Deed::Delete, from: None, why: "the file is gone", ending, bytes: 0 };
        self.tell(&event);
    }
}
