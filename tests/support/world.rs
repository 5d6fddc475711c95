//! The world that the fakes share: a disk, a bucket and a ledger in one mutex, with one seeded
//! generator, under tokio's paused time.

use super::{book::Book, bucket::Shelf, disk::Disk, law::Law};
use s3mirrord::model::{Class, Fault};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// One tick of the disk's clock, if nothing else is said: coarse, so that writes within one are invisible to stat.
/// tokio's timers round up to a millisecond, so a fine clock would hide the bugs this one shows.
pub const TICK: Duration = Duration::from_millis(50);

/// When every world begins, by the clock of its store.
pub const EPOCH: i64 = 1_700_000_000;

pub struct World {
    pub rng: fastrand::Rng,
    pub start: Instant,
    pub disk: Disk,
    pub shelf: Shelf,
    pub book: Book,
    pub law: Law,
    /// The ledger as it was at some moment before: last week's copy.
    pub kept: Book,
    /// The ledger before what was written last, until that is durable.
    pub undurable: Option<Book>,
    /// The ledger's disk is full.
    pub full: bool,
    /// Kinds of fault that may be injected.
    pub on: BTreeSet<&'static str>,
    /// How often each kind of fault was injected.
    pub faults: BTreeMap<&'static str, u64>,
    /// Faults are injected while this is true.
    pub stormy: bool,
    /// The wall clock when the world began, if it never jumped.
    pub wall: i64,
    /// When it last jumped, and how far.
    pub jumped: (Duration, i64),
    /// Clocks were further apart than an hour.
    pub apart: bool,
    /// Promises found broken.
    pub broken: Vec<String>,
    /// What happened, in order.
    pub trace: Vec<String>,
    /// That is written down: it takes a third of the time.
    pub tracing: bool,
}

#[derive(Clone)]
pub struct Fake(pub Arc<Mutex<World>>);

impl Fake {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            rng: fastrand::Rng::with_seed(seed),
            start: Instant::now(),
            disk: Disk::default(),
            shelf: Shelf::default(),
            book: Book::default(),
            law: Law::default(),
            kept: Book::default(),
            undurable: None,
            full: false,
            on: BTreeSet::new(),
            faults: BTreeMap::new(),
            stormy: false,
            wall: EPOCH,
            jumped: (Duration::ZERO, 0),
            apart: false,
            broken: vec![],
            trace: vec![],
            tracing: true,
        })))
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    pub fn draw(&self, n: u64) -> u64 {
        self.with(|w| w.rng.u64(0..n))
    }

    /// Takes up to this long.
    pub async fn lag(&self, millis: u64) {
        let ms = self.draw(millis + 1);
        sleep(Duration::from_millis(ms)).await;
    }

    /// True once in `one_in`, while faults are injected; counted.
    pub fn strikes(&self, name: &'static str, one_in: u64) -> bool {
        self.with(|w| w.strikes(name, one_in))
    }

    pub fn fault(&self, name: &'static str, one_in: u64, class: Class) -> Result<(), Fault> {
        if self.strikes(name, one_in) { Err(Fault::new(class, name, "injected")) } else { Ok(()) }
    }
}

impl World {
    pub fn strikes(&mut self, name: &'static str, one_in: u64) -> bool {
        // drawn for faults that are switched off, too: one less changes nothing before it would have come
        let hit = self.stormy && self.rng.u64(0..one_in) == 0 && self.on.contains(name);
        if hit {
            self.count(name);
        }
        hit
    }

    /// True if this kind of fault may be injected: one that lasts, and is counted when it shows.
    pub fn may(&self, name: &'static str) -> bool {
        self.on.contains(name)
    }

    pub fn count(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// The wall clock jumps so many seconds.
    pub fn jump(&mut self, seconds: i64) {
        self.jumped = (self.now(), seconds);
        self.wall += seconds;
        self.apart |= (self.wall - EPOCH - self.shelf.skew).abs() >= 3600;
        self.log(format_args!("the wall clock jumps {seconds} s"));
    }

    /// Seconds since 1970 by the host's clock.
    pub fn clock(&self) -> i64 {
        self.wall + self.now().as_secs() as i64
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn tick(&self) -> i64 {
        (self.now().as_millis() / self.disk.step.as_millis()) as i64
    }

    pub fn log(&mut self, what: impl std::fmt::Display) {
        if self.tracing {
            let at = self.now();
            self.trace.push(format!("{at:?} {what}"));
        }
    }

    pub fn broke(&mut self, promise: impl Into<String>) {
        let at = self.now();
        self.broken.push(format!("{at:?}: {}", promise.into()));
    }
}
