//! One session: the only `select!` loop. It owns every queue, awaits nothing but the select itself, and
//! holds no lock.

use super::{
    Event, Input, Options, ROUNDS, Report,
    commit::{After, Committed},
    context::Context,
    delete,
    docket::Docket,
    hold::Reviews,
    lag::Lag,
    overwrite, owner,
    scrub::Round,
    settle::{Task, Worked},
    survey::{Seen, Window, survey},
    timetable::Timetable,
    watch::Watch,
    worker,
};
use crate::{
    ledger::Ledger,
    local::{Prune, Tree},
    model::{Against, Change, Class, Fault, Key, Sameness, Scope},
    queue::{self, Denials, Jobs, Mono, Note, Pending, Restless, Sources, Unsynced},
    store::Store,
};
use futures::{
    Stream, StreamExt,
    stream::{BoxStream, SelectAll},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
};
use tokio::{
    select,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Surveys that run at the same time, of single files and of more.
const SURVEYS: usize = 4;
/// Notes kept apart.
const NOTES: usize = 8192;

/// Why a session ended.
pub(super) struct Failed {
    pub fault: Fault,
    /// The root and the prefix were open.
    pub worked: bool,
    /// It did something that the next one need not do again.
    pub progressed: bool,
}

/// What outlives a session.
pub(super) struct Life<'a> {
    pub stop: &'a CancellationToken,
    pub report: &'a Report,
    pub start: Instant,
    pub jitter: &'a mut fastrand::Rng,
    /// What is known of the watcher.
    pub watch: &'a mut Watch,
    /// How far the bucket is behind.
    pub lag: &'a mut Lag,
    /// What is known to differ: until it was looked at again, whatever ends a session.
    pub unsynced: &'a mut Unsynced,
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
        let (sides, report) = (sides.clone(), life.report.clone());
        let ctx = Arc::new(Context::new(sides, options.clone(), prune.clone(), opened, report));
        owner::take_over(&ctx).await?;
        worker::recover(&ctx).await?;
        if ctx.options.once {
            overwrite::tidy(&ctx).await;
        }
        Ok::<_, Fault>(ctx)
    };
    match life.stop.run_until_cancelled(open).await {
        None => Ok(()),
        Some(Err(fault)) => Err(Failed { fault: fault.of_all(), worked: false, progressed: false }),
        Some(Ok(ctx)) => {
            let bracket = ctx.bracket.clone();
            let ended = Session::new(ctx, life).run(input).await;
            if let Some(bracket) = bracket {
                bracket.close().await;
            }
            ended
        }
    }
}

type Surveys = SelectAll<BoxStream<'static, (u64, Seen)>>;

/// A survey that is under way.
pub(super) struct Surveyed {
    pub(super) note: Note,
    pub(super) begun: Mono,
    /// Files that it found in sync.
    pub(super) in_sync: u64,
    /// Keys that something is remembered of, of which it did not tell anything yet.
    pub(super) awaited: BTreeSet<Key>,
    pub(super) window: Window,
}

/// All state of a session.
pub(super) struct Session<'a, T, S, L> {
    pub(super) ctx: Arc<Context<T, S, L>>,
    pub(super) life: Life<'a>,
    pub(super) pending: Pending,
    pub(super) jobs: Jobs,
    pub(super) restless: Restless,
    pub(super) denials: Denials,
    pub(super) sources: Sources,
    /// What the first comparison finds has been so since then.
    pub(super) base: Mono,
    pub(super) docket: Docket,
    pub(super) batch: Vec<Change>,
    pub(super) after: Vec<After>,
    pub(super) tasks: JoinSet<Task>,
    /// Sweeps that left something over, in a row.
    pub(super) left_over: u32,
    /// Of single files: they do not wait for
    swift: Surveys,
    /// those of more.
    broad: Surveys,
    pub(super) surveying: BTreeMap<u64, Surveyed>,
    surveyed: u64,
    /// The newest survey of everything, while it is under way.
    pub(super) whole: Option<u64>,
    pub(super) workers: JoinSet<Worked>,
    pub(super) commit: JoinSet<Committed>,
    pub(super) commit_at: Mono,
    /// Commits that failed, in a row.
    pub(super) unwritten: u32,
    pub(super) timetable: Timetable,
    pub(super) reviews: Reviews,
    pub(super) round: Round,
    /// The claim is being renewed.
    pub(super) renewing: bool,
    /// By that it is to be found out whether it is the store that fails.
    pub(super) doubts: bool,
    /// One comparison with the bucket has been completed; until then every look is against the bucket and no
    /// delete is judged.
    pub(super) relisted: bool,
    /// Looks at everything that are over.
    pub(super) looks: u64,
    /// The note that the first comparison with the bucket followed, until rows that it did not find absent are dropped.
    pub(super) purge: Option<u64>,
    pub(super) settled: bool,
    /// Something was begun since it was last told that all is in sync.
    pub(super) news: bool,
    pub(super) progressed: bool,
    fatal: Option<Fault>,
}

impl<'a, T: Tree, S: Store, L: Ledger> Session<'a, T, S, L> {
    fn new(ctx: Arc<Context<T, S, L>>, life: Life<'a>) -> Self {
        let options = &ctx.options;
        let now = life.start.elapsed();
        let wait = queue::Options { quiet: options.quiet, longest: options.longest, most: NOTES };
        let mut pending = Pending::new(wait);
        let base = life.lag.begins(now);
        pending.owe(Scope::everything(), Against::Bucket, now, Mono::ZERO, 0, Some(base));
        let held = life.report.with(|status| {
            // what the session before saw may hold no longer
            status.settled = false;
            status.overwrites_held.is_some()
        });
        let reviews = Reviews::new(now, !options.once && (held || options.overwrites.is_some()));
        let round = Round::new(now, options.scrub.is_some() && !options.once);
        let mut timetable = Timetable::new(options.relist, options.rescan, now);
        timetable.polls(life.watch.degraded, now);
        Self {
            pending,
            jobs: Jobs::new(options.room),
            restless: Restless::default(),
            denials: Denials::default(),
            sources: Sources::default(),
            base,
            docket: Docket::new(ctx.ledger.now() + 1),
            batch: vec![],
            after: vec![],
            tasks: JoinSet::new(),
            left_over: 0,
            swift: SelectAll::new(),
            broad: SelectAll::new(),
            surveying: BTreeMap::new(),
            surveyed: 0,
            whole: None,
            workers: JoinSet::new(),
            commit: JoinSet::new(),
            commit_at: now,
            unwritten: 0,
            timetable,
            reviews,
            round,
            renewing: false,
            doubts: false,
            relisted: false,
            looks: 0,
            purge: None,
            settled: false,
            news: true,
            progressed: false,
            fatal: None,
            ctx,
            life,
        }
    }

    async fn run(mut self, mut input: Pin<&mut (impl Stream<Item = Input> + Send)>) -> Result<(), Failed> {
        self.tell(&Event::Opened);
        if self.ctx.root == Sameness::Changed {
            self.tell(&Event::Trouble(owner::another_root()));
        }
        let (mut watched, mut watching) = (false, !self.ctx.options.once);
        loop {
            self.begin();
            if self.ctx.options.once && self.is_idle() && self.docket.is_empty() && !self.expire() {
                return Ok(());
            }
            let wake = self.life.start + self.wake().unwrap_or(Mono::MAX / 4);
            let room = |swift| self.docket.has_room() && self.jobs.has_room(swift);
            let (swift, broad) = (room(true), room(false));
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
                        self.life.watch.armed = true;
                    }
                },
                () = sleep_until(wake) => {}
                Some((id, seen)) = self.swift.next(), if !self.swift.is_empty() && swift => self.seen(id, seen),
                Some((id, seen)) = self.broad.next(), if !self.broad.is_empty() && broad => self.seen(id, seen),
                () = std::future::ready(()), if skip => {}
            }
            if let Some(fault) = self.fatal.take() {
                self.drain().await;
                self.life.report.live().look_ends(false);
                return Err(Failed { fault, worked: true, progressed: self.progressed });
            }
        }
    }

    /// Begins whatever may begin now.
    fn begin(&mut self) {
        let now = self.now();
        self.lag(now);
        self.begin_commit(now);
        self.begin_regular(now);
        while let Some(note) = self.due(now) {
            self.surveyed += 1;
            let id = self.surveyed;
            if note.scope.is_everything() {
                self.whole = Some(id);
                self.look_begins();
            }
            let window = Window::default();
            let survey = survey(self.ctx.clone(), &note, window.reach());
            let surveys = if note.is_swift() { &mut self.swift } else { &mut self.broad };
            surveys.push(survey.map(move |seen| (id, seen)).boxed());
            let awaited = self.remembered(&note.scope);
            self.surveying.insert(id, Surveyed { note, begun: now, in_sync: 0, awaited, window });
        }
        if let Some(absent) = self.docket.take_absent() {
            let (ctx, begin) = (self.ctx.clone(), self.docket.begin());
            self.task_of(async move { Task::Sentenced(delete::sentence(ctx, absent, begin).await) });
        }
        if self.may_purge() && self.docket.all_sentenced() && self.batch.is_empty() && self.commit.is_empty()
        {
            self.purge = None;
            self.docket.judging = true;
            let (ctx, begin) = (self.ctx.clone(), self.docket.begin());
            self.task_of(async move { Task::Purged(delete::purge(ctx, begin).await) });
        }
        self.begin_sweep(now);
        self.begin_review(now);
        self.begin_scrub(now);
        self.tell_settled(now);
        let deletes = !self.docket.is_empty();
        self.life.report.live().waiting(self.pending.len(), self.jobs.len(), deletes);
    }

    /// What is gone on both sides counts as deleted if its row is still there.
    fn may_purge(&self) -> bool {
        self.purge.is_some_and(|born| self.oldest().is_none_or(|oldest| oldest > born))
    }

    /// Begins a task beside the jobs. Its log lines are this mirror's, too.
    pub(super) fn task_of(&mut self, work: impl Future<Output = Task> + Send + 'static) {
        self.tasks.spawn(work.in_current_span());
    }

    /// The next note to be surveyed.
    fn due(&mut self, now: Mono) -> Option<Note> {
        [true, false]
            .into_iter()
            .find_map(|swift| self.may_survey(swift).then(|| self.pending.pop(now, swift)).flatten())
    }

    fn may_survey(&self, swift: bool) -> bool {
        let armed = self.ctx.options.once || self.life.watch.armed;
        // a stream that has told its end is still among its like, until they are asked again
        let under_way = self.surveying.values().filter(|surveyed| surveyed.note.is_swift() == swift).count();
        armed && under_way < SURVEYS && self.ctx.turns.paused().is_none()
    }

    /// When there is something to begin that time alone brings.
    fn wake(&self) -> Option<Mono> {
        let now = self.now();
        let paused = self.ctx.turns.paused().map(|until| until - self.life.start);
        let due = [true, false].into_iter().filter(|swift| self.may_survey(*swift));
        let due = due.filter_map(|swift| self.pending.next(swift)).min();
        let commit = (!self.batch.is_empty() && self.commit.is_empty()).then(|| self.commit_due());
        let sweep = self.docket.next().filter(|at| *at > now);
        let review = self.reviews.next().filter(|_| paused.is_none());
        let regular = (!self.ctx.options.once).then(|| self.timetable.next());
        let scrub = self.round.next().filter(|_| self.relisted);
        let known =
            [paused, due, commit, sweep, regular, self.denials.next(), review, scrub, self.lag_due(now)];
        known.into_iter().flatten().min()
    }

    /// True if nothing is under way; deletes may be waiting.
    pub(super) fn is_idle(&self) -> bool {
        // the scrub goes on and on
        let (looks, proofs) = self.round.under_way();
        self.pending.is_empty()
            && self.surveying.is_empty()
            && self.jobs.len() == proofs
            && self.batch.is_empty()
            && self.commit.is_empty()
            && self.tasks.len() == looks
            && self.docket.all_sentenced()
    }

    /// The number of the oldest note that is not decided, and tried once, yet.
    pub(super) fn oldest(&self) -> Option<u64> {
        let surveys = self.surveying.values().map(|surveyed| surveyed.note.born).min();
        [self.pending.oldest(), surveys, self.jobs.oldest()].into_iter().flatten().min()
    }

    fn told(&mut self, told: Input) {
        let now = self.now();
        match told {
            Input::Notice(notice) => self.noticed(notice, now),
            Input::Relist => self.pending.retry(Scope::everything(), Against::Bucket, now, Mono::ZERO, 0),
            Input::Approved => {
                self.docket.judge_again(now);
                self.reviews.release(now);
            }
            Input::Reopen => {
                self.fail(Fault::new(Class::Transient, "follow the operator", "another root was accepted"));
            }
        }
    }

    pub(super) fn against(&self) -> Against {
        if self.relisted { Against::Ledger } else { Against::Bucket }
    }

    /// Lets what is in flight end, and its proofs reach the ledger, within the deadline. Jobs that still wait
    /// for their turn do not get one.
    async fn drain(&mut self) {
        self.ctx.turns.close();
        let deadline = Instant::now() + self.ctx.options.drain;
        loop {
            self.begin_commit(self.now());
            // a ledger that could not be written for a while is not waited for: what it lacks is proven anew
            let hopeless = self.unwritten >= ROUNDS;
            if self.workers.is_empty()
                && self.tasks.is_empty()
                && self.commit.is_empty()
                && (self.batch.is_empty() || hopeless)
            {
                return;
            }
            let retry = self.life.start + self.commit_due();
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

    pub(super) fn is_held(&self) -> bool {
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
        self.fatal.get_or_insert(fault.of_all());
    }
}
