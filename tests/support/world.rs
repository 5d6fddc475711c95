//! The world that the fakes share: a disk, a bucket and a ledger in one mutex, with one seeded
//! generator, under tokio's paused time.

use super::{book::Book, bucket::Shelf, disk::Disk};
use s3mirrord::model::{Class, Fault};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// One tick of the disk's clock: coarse, so that writes within one are invisible to stat. tokio's timers round up to
/// a millisecond, so a fine clock would hide the bugs this one shows.
pub const TICK: Duration = Duration::from_millis(50);

pub struct World {
    pub rng: fastrand::Rng,
    pub start: Instant,
    pub disk: Disk,
    pub shelf: Shelf,
    pub book: Book,
    /// The ledger as it was at some moment before: last week's copy.
    pub kept: Book,
    /// How often each kind of fault was injected.
    pub faults: BTreeMap<&'static str, u64>,
    /// Faults are injected while this is true.
    pub stormy: bool,
    /// Seconds that the wall clock is ahead.
    pub wall: i64,
    /// Promises found broken.
    pub broken: Vec<String>,
    /// What happened, in order.
    pub trace: Vec<String>,
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
            kept: Book::default(),
            faults: BTreeMap::new(),
            stormy: false,
            wall: 1_700_000_000,
            broken: vec![],
            trace: vec![],
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
        let hit = self.stormy && self.rng.u64(0..one_in) == 0;
        if hit {
            *self.faults.entry(name).or_default() += 1;
        }
        hit
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn tick(&self) -> i64 {
        (self.now().as_millis() / TICK.as_millis()) as i64
    }

    pub fn log(&mut self, what: impl std::fmt::Display) {
        let at = self.now();
        self.trace.push(format!("{at:?} {what}"));
    }

    pub fn broke(&mut self, promise: impl Into<String>) {
        let at = self.now();
        self.broken.push(format!("{at:?}: {}", promise.into()));
    }
}
