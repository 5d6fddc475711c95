//! One seed's story: a few lives of the engine under storm, then quiet, then the accounts.

use crate::{
    accounts,
    plan::Plan,
    scene, stranger,
    support::{law::Law, world::Fake},
    user::user,
    watcher::Watcher,
    weather::{between_lives, clears},
};
use futures::StreamExt;
use s3mirrord::{
    engine::{self, Event, Input, Options, Report, Scrub, Trash},
    ledger::Ledger,
    local::{Notice, Prune, Tree},
    model::{Binding, Change, Keep, MirrorId, Stamp},
    plan::Limits,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// What is broken on purpose.
#[derive(Clone, Copy, Default)]
pub struct Sabotage {
    pub absent_for_good: bool,
    pub events_are_deletes: bool,
    pub frozen_stat: bool,
    pub lies: bool,
    pub keeps_nothing: bool,
}

#[derive(Default)]
pub struct Outcome {
    pub broken: Vec<String>,
    pub faults: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
    pub paths: usize,
    pub steps: u64,
}

const S: Duration = Duration::from_secs(1);
/// What is in the trash is to stay for as long.
const DAY: Duration = Duration::from_secs(86_400);

pub struct Story {
    pub world: Fake,
    pub(crate) seed: u64,
    limits: Option<Limits>,
    overwrites: Option<Limits>,
    sabotage: Sabotage,
    lives: u64,
    config: Config,
}

/// What the operator may change between two lives.
#[derive(Clone, Copy, Debug)]
struct Config {
    /// Objects whose file is gone stay.
    keep: bool,
    /// Some files and a directory are left out.
    excludes: bool,
    grace: Duration,
    listers: usize,
    page: usize,
}

pub async fn play(plan: &Plan, sabotage: Sabotage, tracing: bool) -> Outcome {
    let world = Fake::new(plan.seed);
    world.with(|w| (w.on, w.tracing) = (plan.faults.clone(), tracing));
    let limited = world.draw(3) == 0;
    let limits = limited.then_some(Limits { count: 8, percent: 100, window: S * 60 });
    let overwrites = (plan.seed % 4 == 2).then_some(Limits { count: 4, percent: 100, window: S * 60 });
    let mut story = Story { world, limits, overwrites, sabotage, ..Story::calm_of(plan.seed) };
    story.world.with(|w| {
        let budget = |limits: Limits| (limits.count, limits.window.as_secs() as i64);
        (w.shelf.budget, w.shelf.overwrite_budget) = (limits.map(budget), overwrites.map(budget));
        w.shelf.keeps_nothing = sabotage.keeps_nothing;
        w.shelf.trash = (plan.seed % 3 == 1).then_some(DAY);
        w.disk.frozen_stat = sabotage.frozen_stat;
        w.disk.absent_for_good = sabotage.absent_for_good || sabotage.events_are_deletes;
        scene::set(w);
    });
    let mut steps = 0;
    for _ in 0..plan.lives {
        let crashed = story.life(plan.steps).await;
        steps += plan.steps;
        between_lives(&story.world, crashed);
    }
    story.quiet().await;
    accounts::settle(&story.world);
    story.second_pass().await;
    story.world.with(|w| Outcome {
        broken: std::mem::take(&mut w.broken),
        faults: std::mem::take(&mut w.faults),
        trace: std::mem::take(&mut w.trace),
        paths: w.disk.past.len(),
        steps,
    })
}

impl Story {
    /// A fair day: nothing on the disk, nothing in the bucket, no faults.
    pub fn calm() -> Self {
        let story = Self::calm_of(1);
        story.world.with(|w| w.shelf.grace = S);
        story
    }

    fn calm_of(seed: u64) -> Self {
        let config = Config::usual(seed);
        let world = Fake::new(seed);
        Self { world, seed, limits: None, overwrites: None, sabotage: Sabotage::default(), lives: 0, config }
    }

    /// A pass.
    pub async fn once(&self, options: Options) -> Report {
        self.once_without(options, Prune::default()).await
    }

    /// A pass that leaves out what `prune` names.
    pub async fn once_without(&self, options: Options, prune: Prune) -> Report {
        let sides = (self.world.clone(), self.world.clone(), self.world.clone());
        let (input, stop, report) = (futures::stream::pending(), CancellationToken::new(), self.report());
        let end = engine::run(sides, options, prune, input, stop, report.clone()).await;
        assert_eq!(end, engine::End::Done);
        report
    }

    /// The daemon, while `script` plays, which is given what tells the watcher.
    pub async fn daemon(&self, script: impl AsyncFnOnce(mpsc::Sender<Notice>)) {
        self.daemon_with(self.options(false), script).await;
    }

    pub async fn daemon_with(&self, options: Options, script: impl AsyncFnOnce(mpsc::Sender<Notice>)) {
        self.daemon_pruned(options, Prune::default(), script).await;
    }

    pub async fn daemon_pruned(
        &self,
        options: Options,
        prune: Prune,
        script: impl AsyncFnOnce(mpsc::Sender<Notice>),
    ) {
        let (notices, watch) = mpsc::channel(64);
        self.world.with(|w| w.disk.watch = Some(watch));
        let input = self.world.watch(prune.clone()).map(Input::Notice);
        let (stop, report) = (CancellationToken::new(), self.report());
        let sides = (self.world.clone(), self.world.clone(), self.world.clone());
        let engine = engine::run(sides, options, prune, input, stop.clone(), report);
        let script = async {
            script(notices).await;
            stop.cancel();
        };
        let (end, ()) = tokio::join!(engine, script);
        assert_eq!(end, engine::End::Done);
    }

    pub fn options(&self, once: bool) -> Options {
        let world = self.world.clone();
        Options {
            prefix: "p/".into(),
            directories: self.world.with(|w| w.disk.kinds.directories),
            nodes: false,
            keep: Keep::default(),
            scrub: (self.world.with(|w| w.may("a scrub")))
                .then(|| Scrub { every: S * 30, fetch: self.seed.is_multiple_of(2) }),
            quiet: S / 5,
            longest: S * 2,
            grace: self.config.grace,
            rescan: S * 15,
            relist: S * 60,
            deletes: !self.config.keep,
            trash: self
                .world
                .with(|w| w.shelf.trash)
                .map(|keep| Trash { prefix: "t/".into(), keep: Some(keep) }),
            limits: self.limits,
            overwrites: self.overwrites,
            once,
            dry_run: false,
            adopt: false,
            take_over: false,
            room: 8,
            listers: self.config.listers,
            page: self.config.page,
            workers: 4,
            host: "host".into(),
            pid: 1,
            fresh_id: MirrorId([self.seed as u8; 16]),
            seed: self.seed + self.lives,
            drain: S * 5,
            hooks: None,
            wall: Arc::new(move || world.with(|w| Stamp { sec: w.clock(), nsec: 0 })),
        }
    }

    pub fn report(&self) -> Report {
        let (world, life) = (self.world.clone(), self.lives);
        Report::new(Arc::new(move |_, event: &Event| {
            world.with(|w| w.log(format_args!("life {life}: {event:?}")));
        }))
    }

    /// Absences do not outlive a restart, and the operator may have changed the configuration.
    fn begin_life(&mut self) {
        self.lives += 1;
        self.config.page = 1 + ((self.seed + self.lives) % 9) as usize;
        if self.world.strikes("configuration changed", 2) {
            self.config = self.world.with(|w| Config::drawn(&mut w.rng));
        }
        let config = self.config;
        self.world.with(|w| {
            w.disk.found_absent.clear();
            w.shelf.grace = config.grace;
            w.law = Law { keep: config.keep, prune: config.prune(), forbidden: stranger::holds(w) };
            w.log(format_args!("life {}: {:?}", self.lives, config));
        });
    }

    /// One life of the engine under storm, ended at any await; true if by a crash.
    async fn life(&mut self, steps: u64) -> bool {
        self.world.with(|w| w.stormy = true);
        self.begin_life();
        let (notices, watch) = mpsc::channel(64);
        self.world.with(|w| w.disk.watch = Some(watch));
        let watcher = Watcher::new(self.world.clone(), notices, self.sabotage);
        let user = tokio::spawn(user(self.world.clone(), watcher, steps));
        let input = self.world.watch(Prune::default()).map(Input::Notice);
        let end = S / 2 + Duration::from_millis(self.world.draw(12_000));
        let crashes = self.world.draw(8) > 0 && self.world.strikes("crash", 1);
        let (sides, stop) = (self.sides(), CancellationToken::new());
        let (options, prune) = (self.options(false), self.config.prune());
        let report = self.report();
        let _law =
            AbortOnDropHandle::new(tokio::spawn(lags(self.world.clone(), report.clone(), stop.clone())));
        let engine = engine::run(sides, options, prune, input, stop.clone(), report);
        tokio::pin!(engine);
        if timeout(end, &mut engine).await.is_err() && !crashes {
            stop.cancel();
            let _ended = engine.await;
        }
        user.await.unwrap();
        crashes
    }

    fn sides(&self) -> (Fake, Fake, Fake) {
        (self.world.clone(), self.world.clone(), self.world.clone())
    }

    /// Faults end. The engine runs until nothing has been left to do for a while.
    async fn quiet(&mut self) {
        self.begin_life();
        let lies = self.sabotage.lies;
        let take_over = self.world.with(|w| {
            (w.stormy, w.shelf.lies, w.shelf.storm) = (false, lies, Duration::ZERO);
            clears(w);
            w.shelf.denied.clear();
            w.disk.closed.clear();
            if w.disk.root != w.disk.truth {
                w.swap_root();
            }
            if w.rng.bool() {
                let mounts: Vec<_> = w.disk.mounts.keys().cloned().collect();
                mounts.iter().for_each(|dir| w.mount(dir));
            }
            std::mem::take(&mut w.law.forbidden).then(|| w.count("taken over")).is_some()
        });
        let (notices, watch) = mpsc::channel(64);
        self.world.with(|w| w.disk.watch = Some(watch));
        let (tell, told) = mpsc::channel(64);
        let notices_in = self.world.watch(Prune::default()).map(Input::Notice);
        let input = futures::stream::select(
            notices_in,
            futures::stream::unfold(told, |mut rx| async { rx.recv().await.map(|i| (i, rx)) }),
        );
        let (stop, report) = (CancellationToken::new(), self.report());
        let operator = async {
            operator(&self.world, &report, tell).await;
            stop.cancel();
        };
        let _law =
            AbortOnDropHandle::new(tokio::spawn(lags(self.world.clone(), report.clone(), stop.clone())));
        let options = Options { take_over, ..self.options(false) };
        let prune = self.config.prune();
        let engine = engine::run(self.sides(), options, prune, input, stop.clone(), report.clone());
        let (end, ()) = tokio::join!(engine, operator);
        if end != engine::End::Done {
            self.world.with(|w| w.broke(format!("I10: it ended with {end:?}")));
        }
        let unreadable = report.status().unreadable;
        if unreadable.count() > 0 {
            self.world.with(|w| w.broke(format!("I5: told as unreadable: {unreadable:?}")));
        }
        drop(notices);
    }

    /// I6: a pass over what is in sync writes nothing, reads nothing, and only lists.
    async fn second_pass(&mut self) {
        self.begin_life();
        let before = self.world.with(|w| {
            w.shelf.requests.clear();
            (w.shelf.objects.clone(), w.book.clone())
        });
        let (input, stop, report) = (futures::stream::pending(), CancellationToken::new(), self.report());
        let (options, prune) = (self.options(true), self.config.prune());
        let end = engine::run(self.sides(), options, prune, input, stop, report.clone()).await;
        accounts::second_pass(&self.world, &end, &before, report.status().sums.unchanged);
    }
}

impl Config {
    /// As long as nobody changes it. Pages are others in each life.
    fn usual(seed: u64) -> Self {
        let page = 1 + (seed % 9) as usize;
        Self { keep: false, excludes: false, grace: S, listers: 1 + (seed % 4) as usize, page }
    }

    fn drawn(rng: &mut fastrand::Rng) -> Self {
        Self {
            keep: rng.u8(0..4) == 0,
            excludes: rng.u8(0..3) == 0,
            grace: [S / 2, S, S * 3][rng.usize(0..3)],
            listers: rng.usize(1..5),
            page: rng.usize(1..10),
        }
    }

    fn prune(self) -> Prune {
        if !self.excludes {
            return Prune::default();
        }
        Prune::new(|path, is_dir| if is_dir { path == b"e/f" } else { path.ends_with(b"n3") })
    }
}

/// I5: something is told as unsynced if and only if something is known to differ.
async fn lags(world: Fake, report: Report, stop: CancellationToken) {
    // a delete whose answer was lost is unsynced until it was looked for, and that look is not waited for by `settled`
    let mut before = false;
    loop {
        // in step with nothing
        sleep(Duration::from_millis(1_300)).await;
        if stop.is_cancelled() {
            return;
        }
        let status = report.status();
        let fails = !status.failing.is_empty();
        let waits = status.trouble.is_some() || status.held.is_some() || status.overwrites_held.is_some();
        match status.unsynced {
            None if fails => world.with(|w| w.broke(format!("I5: told as in sync: {status:?}"))),
            // what changed where nothing could be read is looked for by the next rescan
            Some(age) if status.settled && !fails && !waits && status.unreadable.count() == 0 => {
                if std::mem::replace(&mut before, true) {
                    world.with(|w| {
                        w.broke(format!("I5: all is in sync, and told as unsynced for {age:?}: {status:?}"))
                    });
                }
                continue;
            }
            _ => {}
        }
        before = false;
    }
}

/// Waits until all is quiet, and accepts meanwhile what it is asked for.
async fn operator(world: &Fake, report: &Report, tell: mpsc::Sender<Input>) {
    // nothing is written down for longer than a relist takes to come round: what landed late is found by the next.
    // A rescan that waits for its turn is no unrest
    let (begin, mut calm, mut written) = (Instant::now(), 0, 0);
    while (calm < 20 || !report.status().settled) && begin.elapsed() < S * 3000 {
        // never in step with the rescans
        sleep(Duration::from_millis(3_700)).await;
        let status = report.status();
        let seq = world.with(|w| w.book.seq);
        let still = status.held.is_none()
            && status.overwrites_held.is_none()
            && (status.settled || calm > 0)
            // how far the scrub is is written down again and again
            && (seq == written || world.with(|w| w.may("a scrub")));
        (calm, written) = (if still { calm + 1 } else { 0 }, seq);
        let binding = world.with(|w| w.book.binding.clone().filter(|b| b.root != w.disk.truth));
        if let Some(binding) = binding {
            let root = world.with(|w| w.disk.truth.clone());
            world.commit(vec![Change::Bind(Binding { root, ..binding })]).await.unwrap();
            tell.send(Input::Reopen).await.unwrap();
        } else if status.held.is_some() {
            world.with(|w| w.count("deletes held"));
            let last = world.tally().await.unwrap().last_row;
            world.commit(vec![Change::Approve(last)]).await.unwrap();
            tell.send(Input::Approved).await.unwrap();
        } else if status.overwrites_held.is_some() {
            world.with(|w| w.count("replacements held"));
            let last = world.tally().await.unwrap().last_overwrite;
            world.commit(vec![Change::ApproveOverwrites(last)]).await.unwrap();
            tell.send(Input::Approved).await.unwrap();
        }
    }
    if calm < 20 || !report.status().settled {
        world.with(|w| w.broke("I10: it did not become quiet"));
    }
}
