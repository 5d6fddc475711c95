//! What a job, or a task beside the jobs, came back with.

use super::{
    Deed, Ending, Event, ROUNDS, commit::After, overwrite::Reviewed, scrub::Turn, session::Session,
    sweep::Pass,
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Against, Change, Class, Did, Fault, Job, Key, Op, Outcome, Sameness, Scope},
    queue::{Mono, delay},
    store::Store,
};

/// A job that came back.
pub(super) struct Worked {
    pub(super) keys: Vec<Key>,
    pub(super) job: Job,
    /// Attempts that failed before.
    pub(super) failures: u32,
    pub(super) outcome: Outcome,
    /// How long it was at it.
    pub(super) took: Mono,
}

/// What a task beside the jobs came back with.
pub(super) enum Task {
    Sentenced(Result<(Vec<Change>, Vec<Scope>), Fault>),
    Purged(Result<(), Fault>),
    Renewed(Result<bool, Fault>),
    Expired(Result<u64, Fault>),
    Tidied(Vec<Key>, Result<(), Fault>),
    Pass(Pass),
    Reviewed(Result<Option<Reviewed>, Fault>),
    Scrub(Result<Box<Turn>, Fault>),
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    pub(super) fn worked(&mut self, Worked { keys, job, failures, outcome, took }: Worked) {
        keys.iter().for_each(|key| self.jobs.tried(key));
        self.keep_source(&job, &outcome);
        self.scrub_ends(&job.key, &outcome);
        if !matches!(outcome, Outcome::Done { .. }) {
            self.life.unsynced.differs(&job.key, self.now());
        }
        match outcome {
            Outcome::Done { did, changes } => {
                self.ctx.turns.answered();
                let proof = changes.iter().find_map(|change| match change {
                    Change::Proof(_, record) => Some(record),
                    _ => None,
                });
                let goes_on = job.expect.is_some() && proof.is_some_and(|proof| proof.print.is_none());
                self.rested(&job, goes_on, took);
                // learnt to be ours but without a file, or metadata is due
                let again =
                    !goes_on && proof.is_some_and(|proof| proof.print.is_none() || proof.metadata_due);
                let wrote = matches!(did, Did::Put { .. } | Did::Copied(_) | Did::Metadata);
                if wrote && matches!(job.op, Op::Scrub { .. }) {
                    self.spoiled(&job);
                }
                let after = After::Job { keys, why: job.why, did, again };
                match changes.is_empty() {
                    true => self.then(after),
                    false => {
                        self.progressed = true;
                        if wrote {
                            self.denials.success();
                        }
                        self.batch.extend(changes);
                        self.after.push(after);
                    }
                }
            }
            Outcome::Busy => self.unrest(&keys, &job, failures, took, self.against()),
            Outcome::Overtaken => self.unrest(&keys, &job, failures, took, Against::Bucket),
            Outcome::Stale => self.again(&keys, &job, failures, None, Against::Bucket),
            Outcome::Retry(fault) => {
                tracing::debug!(key = %job.key, %fault, "it is tried again");
                self.store_failed();
                self.again(&keys, &job, failures, Some(fault), Against::Bucket);
            }
            Outcome::Later(fault) => self.again(&keys, &job, failures, Some(fault), self.against()),
            Outcome::Rejected(fault) => {
                self.free(&keys);
                self.tell(&failed(&job, fault));
            }
            Outcome::Held(refrained) => self.refrained(&keys, &job, refrained),
            Outcome::Denied(fault) => self.denied(&keys, &job, failures, fault),
            Outcome::Fatal(fault) => {
                self.free(&keys);
                self.fail(fault);
            }
        }
    }

    /// What the file was under another name stays until it is in the bucket under this one.
    fn keep_source(&mut self, job: &Job, outcome: &Outcome) {
        match (outcome, &job.former) {
            (Outcome::Done { .. }, _) => {
                if let Some(former) = self.sources.arrived(&job.key) {
                    self.look_for(&former);
                }
                if let Some(former) = job.former.as_ref().filter(|former| self.sources.release(former)) {
                    self.look_for(former);
                }
            }
            (Outcome::Fatal(_), _) | (_, None) => {}
            (_, Some(former)) => self.sources.keep(former, &job.key, self.looks),
        }
    }

    /// Its turn to be deleted was missed.
    pub(super) fn look_for(&mut self, former: &Key) {
        if let Some(path) = former.place() {
            self.pending.note(Scope::File(path), Against::Bucket, self.now());
        }
    }

    /// The store did not answer, or asked for less. When it does so again and again the claim tells whether it is the
    /// store: it may be those files alone.
    pub(super) fn store_failed(&mut self) {
        if self.ctx.turns.failed(self.life.jitter.f64()) && self.ctx.root != Sameness::Changed {
            self.doubts = true;
            self.renew();
        }
    }

    /// The file was dealt with: as it is, or, if it `goes_on`, as it was.
    fn rested(&mut self, job: &Job, goes_on: bool, took: Mono) {
        let (now, once) = (self.now(), self.ctx.options.once);
        let Some(path) = job.key.place().filter(|_| goes_on && !once) else {
            return self.restless.rested(&job.key);
        };
        let (quiet, longest) = (self.ctx.options.quiet, self.ctx.options.longest);
        self.restless.grew(&job.key, now, took, quiet, longest);
        // what came while it was sent is not in the bucket
        self.life.unsynced.differs_again(&job.key, now.saturating_sub(took));
        self.pending.retry(Scope::File(path), Against::Ledger, now, quiet, 0);
    }

    /// The file changed while it was read. It is told of once, until it was dealt with.
    fn unrest(&mut self, keys: &[Key], job: &Job, failures: u32, took: Mono, against: Against) {
        let (now, once, quiet) = (self.now(), self.ctx.options.once, self.ctx.options.quiet);
        let (failures, jitter) = (failures + 1, self.life.jitter.f64());
        let tries = self.restless.changed(&job.key, now, took, quiet, jitter);
        self.free(keys);
        if (if once { failures } else { tries }) == ROUNDS {
            self.tell(&action(job, Ending::Busy));
        }
        let Some(path) = job.key.place().filter(|_| !once || failures < ROUNDS) else { return };
        let wait = if once && failures > 1 { delay(failures, jitter) } else { Mono::ZERO };
        self.pending.retry(Scope::File(path), against, now, wait.max(quiet), failures);
    }

    /// The job has to be done again, later: its scope goes back to the queue.
    fn again(&mut self, keys: &[Key], job: &Job, failures: u32, fault: Option<Fault>, against: Against) {
        let (now, failures) = (self.now(), failures + 1);
        self.free(keys);
        if failures == ROUNDS || failures > ROUNDS && fault.is_some() && !self.is_told(&job.key) {
            match &fault {
                Some(fault) => self.tell(&failed(job, fault.clone())),
                // at the end of a session jobs come back without having had their turn
                None if job.expect.is_some() && !self.ctx.turns.are_over() => {
                    self.tell(&action(job, Ending::Busy));
                }
                None => {}
            }
        }
        if self.ctx.options.once && failures >= ROUNDS {
            return;
        }
        if let Some(path) = job.key.place() {
            let quiet = if fault.is_none() && failures == 1 {
                Mono::ZERO
            } else {
                delay(failures, self.life.jitter.f64())
            };
            let wait = quiet.max(self.ctx.options.quiet);
            self.pending.retry(Scope::File(path), against, now, wait, failures);
        }
    }

    /// The store does not let it be done, which is an answer. It is told at once, for the next try would be told the same.
    fn denied(&mut self, keys: &[Key], job: &Job, failures: u32, fault: Fault) {
        let (now, jitter) = (self.now(), self.life.jitter.f64());
        self.ctx.turns.answered();
        if self.denials.denied(now) {
            self.renew();
        }
        self.free(keys);
        if !self.is_told(&job.key) {
            self.tell(&failed(job, fault));
        }
        if let Some(path) = job.key.place().filter(|_| !self.ctx.options.once) {
            self.denials.wait(path, failures.saturating_add(1), now, jitter);
        }
    }

    /// True if it was told that this failed, and did not end well since.
    pub(super) fn is_told(&self, key: &Key) -> bool {
        self.life.report.with(|status| status.failing.contains_key(key))
    }

    pub(super) fn free(&mut self, keys: &[Key]) {
        let now = self.now();
        for key in keys {
            if let Some(against) = self.jobs.finish(key)
                && let Some(path) = key.place()
            {
                self.pending.note(Scope::File(path), against.max(self.against()), now);
            }
        }
    }

    pub(super) fn task(&mut self, task: Task) {
        let now = self.now();
        match task {
            Task::Sentenced(result) => {
                let rows = result.as_ref().is_ok_and(|(changes, _)| !changes.is_empty());
                self.docket.sentenced(rows);
                match result {
                    Ok((changes, again)) => {
                        if !changes.is_empty() {
                            self.batch.extend(changes);
                            self.after.push(After::Condemned);
                        }
                        again.into_iter().for_each(|scope| self.pending.note(scope, Against::Ledger, now));
                    }
                    Err(fault) => self.fail(fault),
                }
            }
            Task::Purged(result) => {
                self.docket.judging = false;
                result.unwrap_or_else(|fault| self.fail(fault));
            }
            Task::Renewed(result) => self.renewed(result),
            Task::Expired(result) => self.expired(result),
            Task::Tidied(keys, result) => {
                self.free(&keys);
                if let Err(fault) = result {
                    tracing::warn!(%fault, "uploads may be left open; trying again at the next rescan");
                }
            }
            Task::Pass(pass) => self.passed(pass),
            Task::Reviewed(result) => self.reviewed(result),
            Task::Scrub(turn) => self.scrub(turn),
        }
    }

    /// What is old in the trash is gone, or stays until the next time.
    fn expired(&mut self, result: Result<u64, Fault>) {
        self.timetable.expiring = self.ctx.options.once;
        match result {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "what was old in the trash is gone"),
            Err(fault) if matches!(fault.class, Class::Fatal | Class::Owned) => self.fail(fault),
            Err(fault) => {
                tracing::warn!(%fault, "the trash holds more than it should; trying again in a day")
            }
        }
    }

    /// The claim was renewed, or not: by it the store also tells whether anything may be written, and whether it answers.
    fn renewed(&mut self, result: Result<bool, Fault>) {
        self.renewing = false;
        let (asked, doubted) = (self.denials.are_asking(), std::mem::take(&mut self.doubts));
        self.denials.answered(self.now(), result.is_ok());
        match result {
            // all that was chosen by it is chosen anew
            Ok(true) => {
                let cause = "it honours other conditions or checksums than it did";
                self.fail(Fault::new(Class::Transient, "ask what the store honours", cause));
            }
            Ok(false) if doubted => self.ctx.turns.answered(),
            Ok(false) => {}
            Err(fault) if fault.class == Class::Owned => self.fail(fault),
            Err(fault) if asked && matches!(fault.class, Class::Denied | Class::Fatal) => self.fail(fault),
            Err(fault) if doubted && self.ctx.options.once && self.ctx.turns.are_hopeless() => {
                self.fail(
                    Fault { class: Class::Fatal, ..fault }.remedy("run it again when the store answers"),
                );
            }
            Err(fault) if asked || doubted => {
                tracing::warn!(%fault, "whether anything may be written is not known");
            }
            Err(fault) => tracing::warn!(%fault, "the claim was not renewed; trying again in an hour"),
        }
    }
}

fn deed(job: &Job) -> Deed {
    match &job.op {
        Op::Copy(_) => Deed::Copy,
        Op::Metadata => Deed::Metadata,
        Op::Put(_) | Op::Prove(_) | Op::Scrub { .. } => Deed::Put,
    }
}

pub(super) fn action(job: &Job, ending: Ending) -> Event {
    Event::Action { key: job.key.clone(), deed: deed(job), from: None, why: job.why, ending, bytes: 0 }
}

fn failed(job: &Job, fault: Fault) -> Event {
    action(job, Ending::Failed(fault))
}
