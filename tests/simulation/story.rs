//! One seed's story: a few lives of the engine under storm, then quiet, then the accounts.

use crate::cases::owner;
use crate::support::{
    disk::{BLOCK, File, path},
    parts::{ANOTHERS, Open},
    world::{Fake, World},
};
use futures::StreamExt;
use s3mirrord::{
    engine::{self, Event, Input, Options, Report, Trash},
    ledger::Ledger,
    local::{Notice, Prune, Tree},
    model::{Capabilities, Change, Key, MirrorId, RelPath, Scope, Spec, Stamp, TRASH},
    plan::Limits,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Every kind of fault that has to have been injected by some seed.
pub const FAULTS: &[&str] = &[
    "event lost",
    "event doubled",
    "event late",
    "event folded",
    "a put lands late",
    "crash",
    "ledger lost",
    "ledger damaged",
    "ledger rolled back",
    "ledger half lost",
    "ledger disk full",
    "503",
    "a key denied",
    "reply lost after the effect",
    "an error inside a 200",
    "a delete of a batch fails",
    "an answer leaves out a delete",
    "an answer names what was not asked for",
    "the answer to a batch of deletes lost",
    "a batch of deletes lands late",
    "no batches of deletes",
    "listing omits a key",
    "listing truncated without a token",
    "unsorted listing",
    "store down",
    "credentials refused",
    "an upload expires",
    "a part is damaged",
    "a part is not sent again",
    "a copy in parts",
    "parts are not listed",
    "random etags",
    "no checksums",
    "no conditions",
    "EIO",
    "EMFILE",
    "no room for a clone",
    "stat EIO",
    "readdir EIO",
    "directory closed",
    "root missing",
    "root swapped",
    "wall clock jumped",
    "deletes held",
    "kept in the trash",
    "kept in the trash by parts",
];

/// What is broken on purpose.
#[derive(Clone, Copy, Default)]
pub struct Sabotage {
    pub absent_for_good: bool,
    pub events_are_deletes: bool,
    pub frozen_stat: bool,
    pub lies: bool,
    pub keeps_nothing: bool,
}

pub struct Outcome {
    pub broken: Vec<String>,
    pub faults: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
    pub paths: usize,
    pub steps: u64,
}

const S: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

pub struct Story {
    pub world: Fake,
    seed: u64,
    limits: Option<Limits>,
    sabotage: Sabotage,
    lives: u64,
}

pub async fn play(seed: u64, sabotage: Sabotage) -> Outcome {
    let world = Fake::new(seed);
    let limited = world.draw(3) == 0;
    let limits = limited.then_some(Limits { count: 8, percent: 100, window: S * 60 });
    let mut story = Story { world, seed, limits, sabotage, lives: 0 };
    story.set_the_scene();
    let lives = 1 + story.world.draw(3);
    let mut steps = 0;
    for _ in 0..lives {
        steps += story.life(60 / lives + 1).await;
        story.between_lives();
    }
    story.quiet().await;
    story.accounts();
    story.second_pass().await;
    story.world.with(|w| Outcome {
        broken: std::mem::take(&mut w.broken),
        faults: std::mem::take(&mut w.faults),
        trace: std::mem::take(&mut w.trace),
        paths: w.disk.past.len(),
        steps,
    })
}

fn names() -> Vec<RelPath> {
    let mut names: Vec<String> = vec![];
    for dir in ["", "d/", "d-1/", "e/", "e/f/"] {
        names.extend((0..8).map(|i| format!("{dir}n{i}")));
    }
    // a name that is now a file and now a directory, and names that sort around `/`
    names.extend(["e", "d", "d.x", "e/f", "odd \u{201B}\n", "d/n0/deep"].map(str::to_owned));
    names.iter().map(|n| path(n)).collect()
}

impl Story {
    /// A fair day: nothing on the disk, nothing in the bucket, no faults.
    pub fn calm() -> Self {
        let world = Fake::new(1);
        world.with(|w| w.shelf.grace = S);
        Self { world, seed: 1, limits: None, sabotage: Sabotage::default(), lives: 0 }
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
        let (notices, watch) = mpsc::channel(64);
        self.world.with(|w| w.disk.watch = Some(watch));
        let input = self.world.watch(Prune::default()).map(Input::Notice);
        let (stop, report) = (CancellationToken::new(), self.report());
        let sides = (self.world.clone(), self.world.clone(), self.world.clone());
        let engine = engine::run(sides, options, Prune::default(), input, stop.clone(), report);
        let script = async {
            script(notices).await;
            stop.cancel();
        };
        let (end, ()) = tokio::join!(engine, script);
        assert_eq!(end, engine::End::Done);
    }

    fn set_the_scene(&mut self) {
        let (sabotage, limits) = (self.sabotage, self.limits);
        self.world.with(|w| {
            w.shelf.grace = S;
            w.shelf.random_etags = w.rng.u8(0..5) == 0;
            w.shelf.unsorted = w.rng.u8(0..8) == 0;
            if w.rng.u8(0..6) == 0 {
                w.shelf.can = Capabilities { conditional_put: false, ..w.shelf.can };
                *w.faults.entry("no conditions").or_default() += 1;
            }
            if w.rng.u8(0..6) == 0 {
                w.shelf.can.conditional_batch = Some(false);
                *w.faults.entry("no batches of deletes").or_default() += 1;
            }
            if w.shelf.random_etags {
                *w.faults.entry("random etags").or_default() += 1;
                w.shelf.can.etag_is_md5 = false;
                w.shelf.encrypted = w.rng.bool();
            }
            if w.rng.u8(0..4) == 0 {
                *w.faults.entry("no checksums").or_default() += 1;
                w.shelf.checksums = false;
                w.shelf.can.verifies_sha256 = w.rng.bool();
            }
            w.shelf.budget = limits.map(|limits| (limits.count, limits.window.as_secs() as i64));
            if self.seed % 3 == 1 {
                w.shelf.trash = Some(DAY);
                w.shelf.keeps_nothing = sabotage.keeps_nothing;
                // what others put there stays; what we did goes when it is old
                for (name, sec) in
                    [("2020-01-01/theirs", 0), ("theirs/x", 0), ("2020-01-01/a.000000Z-0123456789abcdef", 0)]
                {
                    w.plant(&format!("{TRASH}{name}"), sec);
                }
            }
            w.shelf.weather.parts_refused = w.rng.u8(0..10) == 0;
            w.disk.shows_clock = w.rng.bool();
            w.disk.clones = w.rng.bool();
            let n1 = path("n1");
            w.write(&n1, 0, 1);
            let (key, meta) = (Key::of(&n1), w.disk.files[&n1].meta());
            let at = Stamp { sec: w.wall - 7200, nsec: 0 };
            let (mtime, attributes) = (meta.print.mtime, meta.attributes);
            let spec =
                Spec { size: 8, mtime, attributes, own: "another".into(), sha256: None, part_size: None };
            let open = Open { key, at, spec, parts: BTreeMap::new() };
            w.shelf.uploads.insert(ANOTHERS.into(), open);
            w.disk.frozen_stat = sabotage.frozen_stat;
            w.disk.absent_for_good = sabotage.absent_for_good || sabotage.events_are_deletes;
            for (i, name) in names().iter().enumerate().take(40) {
                for block in 0..w.rng.usize(0..7) {
                    w.write(name, block, i as u64 * 100 + block as u64);
                }
                if !w.disk.files.contains_key(name) {
                    w.replace(name, vec![]);
                }
            }
            // another file system: some names are the same, no content is
            for (i, name) in names().iter().enumerate().skip(1).step_by(3).take(12) {
                let body = vec![i as u8 ^ 0xA5; BLOCK * (i % 4)];
                let file = File { body, mtime: 0, ctime: 0, inode: 10_000 + i as u64, mode: 0o100_644 };
                w.disk.elsewhere.0.insert(name.clone(), file);
            }
            for key in ["foreign/x", "n3", "d/n9", "a//b", "../x", "d/", "\u{FF0F}"] {
                let object = w.plant(key, 1_600_000_001);
                w.shelf.tags.insert((Key::raw(key), object.etag.clone()));
                w.shelf.foreign.insert(Key::raw(key), object);
            }
        });
    }

    pub fn options(&self, once: bool) -> Options {
        let world = self.world.clone();
        Options {
            prefix: "p/".into(),
            quiet: S / 5,
            longest: S * 2,
            grace: S,
            rescan: S * 15,
            relist: S * 60,
            deletes: true,
            trash: self
                .world
                .with(|w| w.shelf.trash)
                .map(|keep| Trash { prefix: "t/".into(), keep: Some(keep) }),
            limits: self.limits,
            once,
            dry_run: false,
            adopt: false,
            take_over: false,
            room: 8,
            listers: 1 + (self.seed % 4) as usize,
            page: 1 + ((self.seed + self.lives) % 9) as usize,
            workers: 4,
            host: "host".into(),
            pid: 1,
            fresh_id: MirrorId([self.seed as u8; 16]),
            seed: self.seed + self.lives,
            drain: S * 5,
            hooks: None,
            wall: Arc::new(move || world.with(|w| Stamp { sec: w.wall + w.now().as_secs() as i64, nsec: 0 })),
        }
    }

    pub fn report(&self) -> Report {
        let (world, life) = (self.world.clone(), self.lives);
        Report::new(Arc::new(move |_, event: &Event| {
            world.with(|w| w.log(format_args!("life {life}: {event:?}")))
        }))
    }

    /// Absences do not outlive a restart.
    fn begin_life(&mut self) {
        self.lives += 1;
        self.world.with(|w| w.disk.found_absent.clear());
    }

    /// One life of the engine under storm, ended by a crash at any await; returns how many steps the users took.
    async fn life(&mut self, steps: u64) -> u64 {
        self.begin_life();
        self.world.with(|w| w.stormy = true);
        let (notices, watch) = mpsc::channel(64);
        self.world.with(|w| w.disk.watch = Some(watch));
        let user = tokio::spawn(user(self.world.clone(), notices, steps, self.sabotage));
        let input = self.world.watch(Prune::default()).map(Input::Notice);
        let crash = S / 2 + Duration::from_millis(self.world.draw(12_000));
        let sides = (self.world.clone(), self.world.clone(), self.world.clone());
        let engine = engine::run(
            sides,
            self.options(false),
            Prune::default(),
            input,
            CancellationToken::new(),
            self.report(),
        );
        let _dropped = timeout(crash, engine).await;
        self.world.with(|w| *w.faults.entry("crash").or_default() += 1);
        user.await.unwrap()
    }

    fn between_lives(&self) {
        self.world.with(|w| {
            w.spoil_uploads();
            if w.strikes("ledger lost", 6) {
                w.book = Default::default();
            }
            // what is torn is told when it is opened, and a new one is begun
            if w.strikes("ledger damaged", 8) {
                w.book = Default::default();
            }
            if w.strikes("ledger rolled back", 5) {
                w.book = w.kept.clone();
            }
            if w.strikes("ledger half lost", 8) {
                let keep = w.book.records.len() / 2;
                let late: Vec<Key> = w.book.records.keys().skip(keep).cloned().collect();
                late.iter().for_each(|key| {
                    w.book.records.remove(key);
                });
            }
            if w.strikes("wall clock jumped", 4) {
                w.wall += if w.rng.bool() { 31_536_000 } else { -31_536_000 };
            }
        });
    }

    /// Faults end. The engine runs until nothing has been left to do for a while.
    async fn quiet(&mut self) {
        self.begin_life();
        let lies = self.sabotage.lies;
        self.world.with(|w| {
            (w.stormy, w.shelf.down, w.shelf.refuses, w.disk.missing, w.shelf.lies) =
                (false, false, false, false, lies);
            w.shelf.denied.clear();
            w.disk.closed.clear();
            if w.disk.root != w.disk.truth {
                w.swap_root();
            }
        });
        let (notices, watch) = mpsc::channel(64);
        self.world.with(|w| w.disk.watch = Some(watch));
        let (approve, approved) = mpsc::channel(64);
        let notices_in = self.world.watch(Prune::default()).map(Input::Notice);
        let input = futures::stream::select(
            notices_in,
            futures::stream::unfold(approved, |mut rx| async { rx.recv().await.map(|i| (i, rx)) }),
        );
        let (stop, report) = (CancellationToken::new(), self.report());
        let operator = async {
            // nothing is written down for longer than a relist takes to come round: what landed late is found by the next.
            // A rescan that waits for its turn is no unrest
            let (begin, mut calm, mut written) = (Instant::now(), 0, 0);
            while (calm < 20 || !report.status().settled) && begin.elapsed() < S * 3000 {
                // never in step with the rescans
                sleep(Duration::from_millis(3_700)).await;
                let status = report.status();
                let seq = self.world.with(|w| w.book.seq);
                let still = status.held.is_none() && (status.settled || calm > 0) && seq == written;
                (calm, written) = (if still { calm + 1 } else { 0 }, seq);
                if status.held.is_some() {
                    self.world.with(|w| *w.faults.entry("deletes held").or_default() += 1);
                    let last = self.world.tally().await.unwrap().last_row;
                    self.world.commit(vec![Change::Approve(last)]).await.unwrap();
                    approve.send(Input::Approved).await.unwrap();
                }
            }
            if calm < 20 || !report.status().settled {
                self.world.with(|w| w.broke("I10: it did not become quiet"));
            }
            stop.cancel();
        };
        let sides = (self.world.clone(), self.world.clone(), self.world.clone());
        let prune = Prune::default();
        let engine = engine::run(sides, self.options(false), prune, input, stop.clone(), report.clone());
        let (end, ()) = tokio::join!(engine, operator);
        if end != engine::End::Done {
            self.world.with(|w| w.broke(format!("I10: it ended with {end:?}")));
        }
        drop(notices);
    }

    /// Everything is quiet: are the two sides equal, and does the ledger tell the truth?
    fn accounts(&self) {
        self.world.with(|w| {
            let mut wrong = vec![];
            // what is skipped now is left alone, and so is its row
            let skipped = |key: &Key| key.path().is_some_and(|p| w.disk.links.iter().any(|l| p.is_within(l)));
            for (name, file) in &w.disk.files {
                match w.shelf.objects.get(&Key::of(name)) {
                    None => wrong.push(format!("I1: {name} has no object")),
                    Some(o) if o.body != file.body => wrong.push(format!("I1: {name} differs")),
                    // what was adopted by content keeps the metadata it was found with
                    Some(o) => {
                        let known = w.book.records.get(&Key::of(name)).and_then(|r| r.attributes);
                        let seen = known.filter(|_| !w.shelf.put_back.contains(&Key::of(name)));
                        if seen.is_some_and(|a| a != file.meta().attributes || Some(a) != o.attributes) {
                            wrong.push(format!("I1: {name} has other metadata: {:?}", o.attributes));
                        }
                    }
                }
            }
            for (key, object) in &w.shelf.objects {
                let file = key.path().is_some_and(|p| w.disk.files.contains_key(&p)) || skipped(key);
                let foreign = w.shelf.foreign.get(key) == Some(object);
                if !file && !foreign && !key.is_reserved() {
                    wrong.push(format!("I1: {key} has no file and is still there"));
                }
                if let Some(record) = w.book.records.get(key).filter(|_| !skipped(key))
                    && record.etag != object.etag
                {
                    wrong
                        .push(format!("I5: {key} is recorded as {:?} and is {:?}", record.etag, object.etag));
                }
            }
            for key in w.book.records.keys().filter(|key| !skipped(key) && !w.shelf.objects.contains_key(key))
            {
                wrong.push(format!("I5: {key} is recorded and is not there"));
            }
            // a lost ledger takes its intents with it, an old one lacks them, and a clock that leapt a year makes them older than any
            // upload: nobody can tell those uploads from another's
            let lost = ["ledger lost", "ledger damaged", "ledger rolled back", "wall clock jumped"];
            if !lost.iter().any(|fault| w.faults.contains_key(fault)) {
                let open = w.shelf.uploads.iter().filter(|(id, _)| *id != ANOTHERS);
                wrong.extend(open.map(|(id, open)| format!("{id} of {} was left open", open.key)));
            }
            wrong.into_iter().for_each(|wrong| w.broke(wrong));
        });
    }

    /// I6: a pass over what is in sync writes nothing, reads nothing, and only lists.
    async fn second_pass(&mut self) {
        self.begin_life();
        let before = self.world.with(|w| {
            w.shelf.requests.clear();
            (w.shelf.objects.clone(), w.book.clone())
        });
        let sides = (self.world.clone(), self.world.clone(), self.world.clone());
        let (input, stop, report) = (futures::stream::pending(), CancellationToken::new(), self.report());
        let end = engine::run(sides, self.options(true), Prune::default(), input, stop, report.clone()).await;
        self.world.with(|w| {
            let others: Vec<_> =
                w.shelf.requests.keys().filter(|op| !["ListObjectsV2", "GetObject"].contains(op)).collect();
            if end != engine::End::Done || !others.is_empty() || w.shelf.requests["GetObject"] != 1 {
                let requests = w.shelf.requests.clone();
                w.broke(format!("I6: the second pass ended {end:?} and asked {requests:?}"));
            }
            if before.0 != w.shelf.objects || before.1.records != w.book.records {
                w.broke("I6: the second pass changed something");
            }
        });
        let status = report.status();
        let files = self.world.with(|w| w.disk.files.len()) as u64;
        if status.sums.unchanged != files {
            self.world.with(|w| w.broke(format!("I6: {files} files, but {:?}", status.sums)));
        }
    }
}

/// Changes the disk, tells most of it, and lets the weather change.
async fn user(world: Fake, notices: mpsc::Sender<Notice>, steps: u64, sabotage: Sabotage) -> u64 {
    let names = names();
    let pick = |w: &mut World| names[w.rng.usize(0..names.len())].clone();
    for step in 0..steps {
        world.lag(400).await;
        let (touched, slow) = world.with(|w| {
            let p = pick(w);
            let text = w.rng.u64(..);
            match w.rng.u8(0..20) {
                0..=5 => return (vec![Scope::File(p)], true),
                6..=8 => w.remove(&p),
                9 => {
                    let body = (0..w.rng.usize(0..6) * BLOCK).map(|i| (i as u64 ^ text) as u8).collect();
                    w.replace(&p, body);
                }
                10..=12 => {
                    let to = pick(w);
                    w.rename(&p, &to);
                    return (vec![Scope::File(p), Scope::File(to)], false);
                }
                13 => {
                    let blocks = w.rng.usize(0..3);
                    w.truncate(&p, blocks);
                }
                14 | 15 => {
                    let mode = if w.rng.bool() { 0o600 } else { 0o755 };
                    w.chmod(&p, mode);
                }
                16 => w.link(&p),
                17 => {
                    // a whole directory goes, or most of the tree
                    let dir = if w.rng.u8(0..3) == 0 { RelPath::root() } else { p.parent().unwrap() };
                    let all: Vec<RelPath> =
                        w.disk.files.keys().filter(|f| f.is_within(&dir)).cloned().collect();
                    all.iter().for_each(|f| w.remove(f));
                    return (vec![Scope::Tree(dir)], false);
                }
                _ => weather(w),
            }
            (vec![Scope::File(p)], false)
        });
        if let (true, Some(Scope::File(p))) = (slow, touched.first()) {
            // in place, block by block
            let restless = world.draw(5) == 0;
            for n in 0..1 + world.draw(if restless { 60 } else { 6 }) as usize {
                let block = if restless { world.draw(6) as usize } else { n };
                world.with(|w| w.write(p, block, step << 32 | n as u64));
                world.lag(if restless { 10 } else { 30 }).await;
                if restless && world.draw(20) == 0 {
                    tell(&world, &notices, Scope::File(p.clone()), sabotage).await;
                    world.lag(300).await;
                }
            }
        }
        for scope in touched {
            tell(&world, &notices, scope, sabotage).await;
        }
    }
    steps
}

async fn tell(world: &Fake, notices: &mpsc::Sender<Notice>, scope: Scope, sabotage: Sabotage) {
    if sabotage.events_are_deletes {
        world.with(|w| w.disk.believed_absent.insert(scope.path().clone()));
    }
    // as when many files of one directory change at once
    let scope = match scope {
        Scope::File(p) if world.strikes("event folded", 6) => Scope::Children(p.parent().unwrap()),
        scope => scope,
    };
    if world.strikes("event lost", 6) {
        return;
    }
    if world.strikes("event late", 8) {
        world.lag(3000).await;
    }
    let doubled = world.strikes("event doubled", 6);
    for _ in 0..=u8::from(doubled) {
        // the engine may be dead, or its channel full: that is what rescans are for
        let _ = notices.try_send(Notice::Look(scope.clone()));
    }
}

fn weather(w: &mut World) {
    match w.rng.u8(0..11) {
        10 => {
            let under = ["d/", "e/", "e/f/"][w.rng.usize(0..3)];
            if !w.shelf.denied.remove(under) {
                w.shelf.denied.insert(under);
            }
        }
        0 | 1 => w.shelf.down = !w.shelf.down,
        2 => w.shelf.refuses = !w.shelf.refuses,
        3 | 4 => {
            let dir = path(["d", "e", "e/f"][w.rng.usize(0..3)]);
            if !w.disk.closed.remove(&dir) {
                w.disk.closed.insert(dir);
                *w.faults.entry("directory closed").or_default() += 1;
            }
        }
        // before the first claim, whichever root is there is the one
        5 | 6 if !w.shelf.objects.contains_key(&owner()) => {}
        5 => {
            w.disk.root_changed = w.now();
            w.disk.missing = !w.disk.missing;
            *w.faults.entry("root missing").or_default() += 1;
        }
        6 => {
            // another file system is mounted there, or the true one again
            w.swap_root();
            *w.faults.entry("root swapped").or_default() += 1;
        }
        _ => (w.shelf.down, w.shelf.refuses, w.disk.missing) = (false, false, false),
    }
}
