//! One session: the only `select!` loop. It owns every queue, awaits nothing but the select itself, and
//! holds no lock.

use super::{
    Deed, Ending, Event, Input, Options, ROUNDS, Report,
    context::Context,
    delete::{self, Docket},
    owner,
    survey::{Seen, survey},
    sweep::Pass,
    worker,
};
use crate::{
    ledger::Ledger,
    local::{Notice, Prune, Tree},
    model::{
        Against, Change, Class, Did, Fault, Job, Key, Local, Only, Op, Outcome, Sameness, Scope, Seq, Skip,
        Triple,
    },
    plan::{Verdict, View, decide},
    queue::{self, Jobs, Mono, Note, Pace, Pending, delay},
    store::Store,
};
use futures::{
    Stream, StreamExt,
    stream::{BoxStream, SelectAll},
};
use std::{collections::BTreeMap, pin::Pin, sync::Arc};
use tokio::{
    select,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Surveys that run at the same time.
const SURVEYS: usize = 4;
/// Notes kept apart.
const NOTES: usize = 8192;
/// The claim is renewed this often.
const RENEW: Mono = Mono::from_secs(3600);

/// Why a session ended, and whether it had begun to work.
pub(super) struct Failed {
    pub fault: Fault,
    pub worked: bool,
}

/// What outlives a session.
pub(super) struct Life<'a> {
    pub stop: &'a CancellationToken,
    pub report: &'a Report,
    pub start: Instant,
    pub jitter: &'a mut fastrand::Rng,
    /// The watcher sees changes, or it is known that it does not.
    pub armed: &'a mut bool,
}

/// Opens the mirror, compares everything once and follows `input` until `stop` or, with `once`, until all is dealt with.
pub(super) async fn run<T: Tree, S: Store, L: Ledger>(
    sides: &(T, S, L),
    options: &Options,
    prune: &Prune,
    input: Pin<&mut (impl Stream<Item = Input> + Send)>,
    life: Life<'_>,
) -> Result<(), Failed> {
    let (tree, store, ledger) = sides;
    let open = async {
        let opened = owner::open(tree, store, ledger, options).await?;
        let ctx = Arc::new(Context::new(
            sides.clone(),
            options.clone(),
            prune.clone(),
            opened,
            life.report.clone(),
        ));
        recover(&ctx).await?;
        Ok(ctx)
    };
    match life.stop.run_until_cancelled(open).await {
        None => Ok(()),
        Some(Err(fault)) => Err(Failed { fault, worked: false }),
        Some(Ok(ctx)) => {
            Session::new(ctx, life).run(input).await.map_err(|fault| Failed { fault, worked: true })
        }
    }
}

/// Ends the uploads that a former life left open.
async fn recover<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<(), Fault> {
    if ctx.options.dry_run {
        return Ok(());
    }
    for intent in ctx.ledger.intents().await? {
        worker::settle(ctx, &intent.key).await?;
    }
    Ok(())
}

type Worked = (Vec<Key>, Job, u32, Outcome);
type Committed = (Vec<Change>, Vec<After>, Result<Seq, Fault>);

/// What follows when a change is durable.
pub(super) enum After {
    /// A job is done. The key is to be looked at again if `again`.
    Job { keys: Vec<Key>, why: &'static str, did: Did, again: bool },
    /// Rows were condemned.
    Condemned,
    /// A condemned row was dealt with.
    Row { key: Key, deleted: bool, again: Option<(Scope, Against)> },
}

/// What a task beside the jobs came back with.
pub(super) enum Task {
    Sentenced(Result<(Vec<Change>, Vec<Scope>), Fault>),
    Purged(Result<(), Fault>),
    Renewed(Result<(), Fault>),
    Pass(Pass),
}

/// All state of a session.
pub(super) struct Session<'a, T, S, L> {
    pub(super) ctx: Arc<Context<T, S, L>>,
    pub(super) life: Life<'a>,
    pub(super) pending: Pending,
    pub(super) jobs: Jobs,
    pub(super) docket: Docket,
    pub(super) pace: Pace,
    pub(super) batch: Vec<Change>,
    pub(super) after: Vec<After>,
    pub(super) tasks: JoinSet<Task>,
    /// Sweeps that left something over, in a row.
    pub(super) left_over: u32,
    surveys: SelectAll<BoxStream<'static, (u64, Seen)>>,
    surveying: BTreeMap<u64, (Note, Mono)>,
    surveyed: u64,
    workers: JoinSet<Worked>,
    commit: JoinSet<Committed>,
    commit_at: Mono,
    relist_at: Mono,
    rescan_at: Mono,
    renew_at: Mono,
    /// How long the last look at everything took.
    scan_time: Mono,
    /// One comparison with the bucket has been completed; until then every look is against the bucket and no
    /// delete is judged.
    pub(super) relisted: bool,
    purge: bool,
    settled: bool,
    fatal: Option<Fault>,
}

impl<'a, T: Tree, S: Store, L: Ledger> Session<'a, T, S, L> {
    fn new(ctx: Arc<Context<T, S, L>>, life: Life<'a>) -> Self {
        let options = &ctx.options;
        let now = life.start.elapsed();
        let wait = queue::Options { quiet: options.quiet, longest: options.longest, most: NOTES };
        let mut pending = Pending::new(wait);
        pending.retry(Scope::everything(), Against::Bucket, now, Mono::ZERO, 0);
        Self {
            pending,
            jobs: Jobs::new(options.room),
            docket: Docket::new(ctx.ledger.now() + 1),
            pace: Pace::default(),
            batch: vec![],
            after: vec![],
            tasks: JoinSet::new(),
            left_over: 0,
            surveys: SelectAll::new(),
            surveying: BTreeMap::new(),
            surveyed: 0,
            workers: JoinSet::new(),
            commit: JoinSet::new(),
            commit_at: now,
            relist_at: now + options.relist,
            rescan_at: now + options.rescan,
            renew_at: now + RENEW,
            scan_time: Mono::ZERO,
            relisted: false,
            purge: false,
            settled: false,
            fatal: None,
            ctx,
            life,
        }
    }

    async fn run(mut self, mut input: Pin<&mut (impl Stream<Item = Input> + Send)>) -> Result<(), Fault> {
        self.tell(&Event::Opened);
        if self.ctx.root == Sameness::Changed {
            self.tell(&Event::Trouble(another_root()));
        }
        let (mut watched, mut watching) = (false, !self.ctx.options.once);
        loop {
            self.begin();
            if self.ctx.options.once && self.is_idle() && self.docket.is_empty() {
                return Ok(());
            }
            let wake = self.life.start + self.wake().unwrap_or(Mono::MAX / 4);
            let room = self.jobs.has_room() && self.docket.has_room();
            let skip = std::mem::take(&mut watched);
            select! { biased;
                () = self.life.stop.cancelled() => {
                    self.drain().await;
                    return Ok(());
                }
                Some(worked) = self.workers.join_next(), if !self.workers.is_empty() => match worked {
                    Ok(worked) => self.worked(worked),
                    Err(error) => self.fail(Fault::new(Class::Transient, "run a job", error)),
                },
                Some(committed) = self.commit.join_next(), if !self.commit.is_empty() => match committed {
                    Ok(committed) => self.committed(committed),
                    Err(error) => self.fail(Fault::new(Class::Transient, "write the ledger", error)),
                },
                Some(task) = self.tasks.join_next(), if !self.tasks.is_empty() => match task {
                    Ok(task) => self.task(task),
                    Err(error) => self.fail(Fault::new(Class::Transient, "judge deletes", error)),
                },
                told = input.next(), if watching && !skip => match told {
                    Some(told) => {
                        // the watcher may never rest: the branches below get every other turn
                        watched = true;
                        self.told(told);
                    }
                    None => {
                        watching = false;
                        *self.life.armed = true;
                    }
                },
                () = sleep_until(wake) => {}
                Some((id, seen)) = self.surveys.next(), if !self.surveys.is_empty() && room => self.seen(id, seen),
                () = std::future::ready(()), if skip => {}
            }
            if let Some(fault) = self.fatal.take() {
                self.drain().await;
                return Err(fault);
            }
        }
    }

    /// Begins whatever may begin now.
    fn begin(&mut self) {
        let now = self.now();
        self.begin_commit(now);
        self.begin_scans(now);
        while self.may_survey(now) {
            let Some(note) = self.pending.pop(now) else { break };
            self.surveyed += 1;
            let id = self.surveyed;
            self.surveys.push(survey(self.ctx.clone(), &note).map(move |seen| (id, seen)).boxed());
            self.surveying.insert(id, (note, now));
        }
        if let Some(absent) = self.docket.take_absent() {
            let ctx = self.ctx.clone();
            self.tasks.spawn(async move { Task::Sentenced(delete::sentence(ctx, absent).await) });
        }
        if self.purge && self.docket.all_sentenced() && self.batch.is_empty() && self.commit.is_empty() {
            self.purge = false;
            self.docket.judging = true;
            let (ctx, begin) = (self.ctx.clone(), self.docket.begin());
            self.tasks.spawn(async move { Task::Purged(delete::purge(ctx, begin).await) });
        }
        self.begin_sweep(now);
        let settled = self.relisted && self.is_idle() && (self.docket.is_empty() || self.is_held());
        if settled && !self.settled {
            self.tell(&Event::Settled);
        }
        if settled != self.settled {
            self.settled = settled;
            self.life.report.with(|status| status.settled = settled);
        }
        let (pending, in_flight) = (self.pending.len(), self.jobs.len());
        self.life.report.with(|status| (status.pending, status.in_flight) = (pending, in_flight));
    }

    fn begin_commit(&mut self, now: Mono) {
        if self.batch.is_empty() || !self.commit.is_empty() || now < self.commit_at {
            return;
        }
        let (batch, after) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.after));
        let ledger = self.ctx.ledger.clone();
        self.commit.spawn(async move {
            let result = ledger.commit(batch.clone()).await;
            (batch, after, result)
        });
    }

    fn begin_scans(&mut self, now: Mono) {
        if self.ctx.options.once {
            return;
        }
        if now >= self.relist_at {
            self.relist_at = now + self.ctx.options.relist;
            self.rescan_at = now + self.ctx.options.rescan;
            self.pending.retry(Scope::everything(), Against::Bucket, now, Mono::ZERO, 0);
        } else if now >= self.rescan_at {
            self.rescan_at = now + self.ctx.options.rescan;
            self.look_at_everything(now);
        }
        if now >= self.renew_at {
            self.renew_at = now + RENEW;
            let ctx = self.ctx.clone();
            self.tasks.spawn(async move { Task::Renewed(owner::renew(&ctx).await) });
        }
    }

    fn may_survey(&self, now: Mono) -> bool {
        let armed = self.ctx.options.once || *self.life.armed;
        armed && self.surveying.len() < SURVEYS && !self.pace.paused(now)
    }

    /// When there is something to begin that time alone brings.
    fn wake(&self) -> Option<Mono> {
        let now = self.now();
        let paused = self.pace.paused(now).then(|| self.pace.until());
        let due = self.pending.next().filter(|_| self.may_survey(now));
        let commit = (!self.batch.is_empty() && self.commit.is_empty()).then_some(self.commit_at);
        let sweep = self.docket.next(self.grace()).filter(|at| *at > now);
        let mut times = vec![paused, due, commit, sweep];
        if !self.ctx.options.once {
            times.extend([self.relist_at, self.rescan_at, self.renew_at].map(Some));
        }
        times.into_iter().flatten().min()
    }

    /// True if nothing is under way; deletes may be waiting.
    fn is_idle(&self) -> bool {
        self.pending.is_empty()
            && self.surveying.is_empty()
            && self.jobs.is_empty()
            && self.batch.is_empty()
            && self.commit.is_empty()
            && self.tasks.is_empty()
            && self.docket.all_sentenced()
    }

    /// The number of the oldest note that is not decided, and tried once, yet.
    pub(super) fn oldest(&self) -> Option<u64> {
        let surveys = self.surveying.values().map(|(note, _)| note.born).min();
        [self.pending.oldest(), surveys, self.jobs.oldest()].into_iter().flatten().min()
    }

    fn told(&mut self, told: Input) {
        let now = self.now();
        match told {
            Input::Notice(Notice::Armed) => *self.life.armed = true,
            Input::Notice(Notice::Look(scope)) => self.pending.note(scope, self.against(), now),
            Input::Notice(Notice::Lost(reason)) => {
                tracing::warn!(reason, "changes were lost; looking at everything");
                self.look_at_everything(now);
            }
            Input::Notice(Notice::Degraded(fault)) => {
                *self.life.armed = true;
                self.tell(&Event::Degraded(fault));
            }
            Input::Relist => self.pending.retry(Scope::everything(), Against::Bucket, now, Mono::ZERO, 0),
            Input::Approved => {
                let grace = self.grace();
                self.docket.judge_again(now, grace);
            }
            Input::Reopen => {
                self.fail(Fault::new(Class::Transient, "follow the operator", "another root was accepted"));
            }
        }
    }

    /// Not more often than a tenth of the time.
    fn look_at_everything(&mut self, now: Mono) {
        let wait = self.ctx.options.quiet.max((self.scan_time * 10).min(self.ctx.options.rescan));
        self.pending.retry(Scope::everything(), self.against(), now, wait, 0);
    }

    fn against(&self) -> Against {
        if self.relisted { Against::Ledger } else { Against::Bucket }
    }

    fn seen(&mut self, id: u64, seen: Seen) {
        let now = self.now();
        match seen {
            Seen::Triple(triple) => {
                let Some((note, _)) = self.surveying.get(&id) else { return };
                let (born, failures) = (note.born, note.failures);
                self.judge(*triple, born, failures);
            }
            Seen::Also(scope, against) => self.pending.retry(scope, against, now, Mono::ZERO, 0),
            Seen::End(result) => {
                let Some((note, begun)) = self.surveying.remove(&id) else { return };
                match result {
                    Ok(()) => self.looked(&note, now.saturating_sub(begun)),
                    Err(fault) => self.blind(note, fault, now),
                }
            }
        }
    }

    fn looked(&mut self, note: &Note, time: Mono) {
        if note.scope != Scope::everything() {
            return;
        }
        self.scan_time = time;
        if note.against == Against::Bucket && !self.relisted {
            self.relisted = true;
            self.purge = true;
        }
    }

    fn blind(&mut self, note: Note, fault: Fault, now: Mono) {
        let failures = note.failures + 1;
        if matches!(fault.class, Class::Fatal | Class::Owned) || (self.ctx.options.once && failures >= ROUNDS)
        {
            return self.fail(fault);
        }
        tracing::warn!(%fault, attempt = failures, "looking again later");
        let jitter = self.life.jitter.f64();
        self.pace.failure(now, jitter);
        self.pending.retry(note.scope, note.against, now, delay(failures, jitter), failures);
    }

    /// Decides what is to be done about a key, and begins it.
    fn judge(&mut self, triple: Triple, born: u64, failures: u32) {
        if triple.key.is_reserved() {
            return;
        }
        match &triple.local {
            Local::Skipped(Skip::Excluded) => return,
            Local::Skipped(kind) => return self.skipped(&triple.key, *kind),
            Local::Unknown => return self.unknown(&triple.key),
            Local::Present(_) | Local::Absent(_) => {}
        }
        let Some(path) = triple.key.path() else {
            let marker = triple.key.is_directory_marker();
            return self.life.report.with(|status| status.sums.foreign += u64::from(!marker));
        };
        if matches!(triple.local, Local::Absent(_)) && (self.ctx.prune)(&path, false) {
            return;
        }
        if self.jobs.busy(&triple.key) {
            return;
        }
        let view = View { root: self.ctx.root, deletes: self.ctx.options.deletes };
        let verdict = decide(&triple, view);
        let Triple { key, local, remote, asked, .. } = triple;
        let expect = match local {
            Local::Present(meta) => Some(meta),
            _ => None,
        };
        let job = |op, why| Job { key: key.clone(), op, expect, why, asked };
        match verdict {
            Verdict::InSync => self.life.report.with(|status| status.sums.unchanged += 1),
            Verdict::Leave => {}
            Verdict::Condemn(etag) => self.docket.absent(key, etag),
            Verdict::Put(only, why) => self.start(&[], job(Op::Put(only), why), born, failures),
            Verdict::Prove(why) => self.start(&[], job(Op::Prove(remote), why), born, failures),
            Verdict::Copy(from) => {
                let copy = job(Op::Copy(from.clone()), "renamed");
                let put = job(Op::Put(Only::New), "new file");
                match self.jobs.is_free(&from) {
                    true => self.start(&[&from], copy, born, failures),
                    false => self.start(&[], put, born, failures),
                }
            }
        }
    }

    fn start(&mut self, also: &[&Key], job: Job, born: u64, failures: u32) {
        let keys: Vec<Key> = std::iter::once(&job.key).chain(also.iter().copied()).cloned().collect();
        if !self.jobs.take(&keys.iter().collect::<Vec<_>>(), born) {
            return;
        }
        let (ctx, seen) = (self.ctx.clone(), Instant::now());
        self.workers.spawn(async move {
            let outcome = worker::work(ctx, job.clone(), seen).await;
            (keys, job, failures, outcome)
        });
    }

    fn worked(&mut self, (keys, job, failures, outcome): Worked) {
        let now = self.now();
        keys.iter().for_each(|key| self.jobs.tried(key));
        match outcome {
            Outcome::Done { did, changes } => {
                self.pace.success();
                let proof = changes.iter().find_map(|change| match change {
                    Change::Proof(_, record) => Some(record.print.is_none()),
                    _ => None,
                });
                // learnt to be ours but without a file, or proven without a fingerprint
                let again = proof == Some(true);
                let after = After::Job { keys, why: job.why, did, again };
                match changes.is_empty() {
                    true => self.then(after),
                    false => {
                        self.batch.extend(changes);
                        self.after.push(after);
                    }
                }
            }
            Outcome::Stale => self.again(&keys, &job, failures, None, now),
            Outcome::Retry(fault) => {
                let jitter = self.life.jitter.f64();
                self.pace.failure(now, jitter);
                self.again(&keys, &job, failures, Some(fault), now);
            }
            Outcome::Rejected(fault) => {
                self.free(&keys);
                self.tell(&failed(&job, fault));
            }
            Outcome::Fatal(fault) => {
                self.free(&keys);
                self.fail(fault);
            }
        }
    }

    /// The job has to be done again, later: its scope goes back to the queue.
    fn again(&mut self, keys: &[Key], job: &Job, failures: u32, fault: Option<Fault>, now: Mono) {
        let failures = failures + 1;
        self.free(keys);
        if failures == ROUNDS {
            match &fault {
                Some(fault) => self.tell(&failed(job, fault.clone())),
                None if job.expect.is_some() => self.tell(&action(job, Ending::Busy)),
                None => {}
            }
        }
        if self.ctx.options.once && failures >= ROUNDS {
            return;
        }
        if let Some(path) = job.key.path() {
            let quiet = if fault.is_none() && failures == 1 {
                Mono::ZERO
            } else {
                delay(failures, self.life.jitter.f64())
            };
            let wait = quiet.max(self.ctx.options.quiet);
            self.pending.retry(Scope::File(path), Against::Bucket, now, wait, failures);
        }
    }

    fn free(&mut self, keys: &[Key]) {
        let now = self.now();
        for key in keys {
            if self.jobs.finish(key)
                && let Some(path) = key.path()
            {
                self.pending.note(Scope::File(path), self.against(), now);
            }
        }
    }

    fn committed(&mut self, (batch, after, result): Committed) {
        let now = self.now();
        match result {
            Ok(seq) => {
                for after in after {
                    match after {
                        After::Condemned => {
                            let (born, grace) = (self.pending.newest(), self.grace());
                            self.docket.condemned(seq, now, born, grace);
                        }
                        after => self.then(after),
                    }
                }
            }
            Err(fault) if fault.class == Class::Fatal => self.fail(fault),
            Err(fault) => {
                // slots stay taken, so nothing new begins until the ledger can be written again
                tracing::error!(%fault, "the ledger cannot be written; trying again");
                self.commit_at = now + delay(1, 1.0);
                self.batch.splice(0..0, batch);
                self.after.splice(0..0, after);
                self.tell(&Event::Trouble(fault));
            }
        }
    }

    /// A change is durable (or none was needed): frees its slots and tells.
    pub(super) fn then(&mut self, after: After) {
        let now = self.now();
        match after {
            After::Condemned => {}
            After::Job { keys, why, did, again } => {
                self.free(&keys);
                let dry_run = self.ctx.options.dry_run;
                if let Some(key) = keys.first() {
                    self.life.report.did(now, key, &did, why, dry_run);
                    if let Some(path) = key.path().filter(|_| again) {
                        self.pending.retry(Scope::File(path), Against::Ledger, now, Mono::ZERO, 0);
                    }
                }
            }
            After::Row { key, deleted, again } => {
                self.free(std::slice::from_ref(&key));
                if deleted {
                    let (deed, ending) = (Deed::Delete, Ending::Done);
                    self.tell(&Event::Action {
                        key,
                        deed,
                        from: None,
                        why: "the file is gone",
                        ending,
                        bytes: 0,
                    });
                }
                if let Some((scope, against)) = again {
                    self.pending.note(scope, against, now);
                }
            }
        }
    }

    fn task(&mut self, task: Task) {
        let now = self.now();
        match task {
            Task::Sentenced(result) => {
                self.docket.sentencing = false;
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
            Task::Renewed(Ok(())) => {}
            Task::Renewed(Err(fault)) if fault.class == Class::Owned => self.fail(fault),
            Task::Renewed(Err(fault)) => {
                tracing::warn!(%fault, "the claim was not renewed; trying again in an hour")
            }
            Task::Pass(pass) => self.passed(pass),
        }
    }

    fn skipped(&self, key: &Key, kind: Skip) {
        tracing::debug!(%key, ?kind, "skipped");
        if kind == Skip::Mount {
            tracing::warn!(%key, "a mount point is not crossed; give it a mirror of its own");
        }
        self.life.report.with(|status| status.sums.skipped += 1);
    }

    fn unknown(&self, key: &Key) {
        tracing::warn!(%key, "it cannot be read; nothing is deleted there");
        self.life.report.with(|status| status.unknown += 1);
    }

    /// Lets what is in flight end, and its proofs reach the ledger, within the deadline.
    async fn drain(&mut self) {
        let deadline = Instant::now() + self.ctx.options.drain;
        loop {
            self.begin_commit(self.now());
            if self.workers.is_empty()
                && self.tasks.is_empty()
                && self.commit.is_empty()
                && self.batch.is_empty()
            {
                return;
            }
            let retry = self.life.start + self.commit_at;
            select! { biased;
                Some(Ok(worked)) = self.workers.join_next(), if !self.workers.is_empty() => self.worked(worked),
                Some(Ok(committed)) = self.commit.join_next(), if !self.commit.is_empty() => self.committed(committed),
                Some(Ok(task)) = self.tasks.join_next(), if !self.tasks.is_empty() => self.task(task),
                () = sleep_until(deadline) => return,
                () = sleep_until(retry), if self.commit.is_empty() && !self.batch.is_empty() => {}
                else => {}
            }
        }
    }

    fn is_held(&self) -> bool {
        self.life.report.with(|status| status.held.is_some())
    }

    /// A dry run need not wait: it deletes nothing.
    pub(super) fn grace(&self) -> Mono {
        if self.ctx.options.dry_run { Mono::ZERO } else { self.ctx.options.grace }
    }

    pub(super) fn now(&self) -> Mono {
        self.life.start.elapsed()
    }

    pub(super) fn tell(&self, event: &Event) {
        self.life.report.tell(self.now(), event);
    }

    pub(super) fn fail(&mut self, fault: Fault) {
        self.fatal.get_or_insert(fault);
    }
}

fn another_root() -> Fault {
    let cause = "it is another directory than the one that was mirrored: only what the bucket lacks is \
                 uploaded, nothing is replaced or deleted";
    Fault::new(Class::Fatal, "prove the root", cause)
        .remedy("bring the true root back, or accept this one with `s3mirrord approve`")
}

fn deed(job: &Job) -> Deed {
    match &job.op {
        Op::Copy(_) => Deed::Copy,
        Op::Put(_) | Op::Prove(_) => Deed::Put,
    }
}

fn action(job: &Job, ending: Ending) -> Event {
    Event::Action { key: job.key.clone(), deed: deed(job), from: None, why: job.why, ending, bytes: 0 }
}

fn failed(job: &Job, fault: Fault) -> Event {
    action(job, Ending::Failed(fault))
}
