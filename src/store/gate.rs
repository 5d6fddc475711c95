//! The gate that every request of a mirror goes through: so many at a time as the [limit](super::limit) says, those
//! with large bodies and all others in turn. What the store refuses because it is too much is asked for again after a
//! pause, during which others go.
//!
//! The SDK does not try such a request again: it would do so without a place, and with a pause of its own on top. What
//! else fails and may pass it tries again, within the place that the request has.

use super::{
    S3,
    lanes::{Lane, Lanes, Permit},
    limit::{Begun, Limit},
    memory::SMALL,
    refusal::Failure,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The most requests of a mirror that are on their way at a time.
const MOST: u32 = 64;
/// One place in as many is not for large bodies.
const KEPT: u32 = 4;

/// The pause after a first refusal; each further one is twice the one before, up to
const FIRST: Duration = Duration::from_millis(500);
/// this.
const LONGEST: Duration = Duration::from_secs(20);

/// What makes a request take its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    /// A body of so many bytes; 0 if it has none.
    Body(u64),
    /// The store copies so many: that takes as long, and they do not come from here.
    Copy(u64),
}

impl From<u64> for Load {
    fn from(bytes: u64) -> Self {
        Self::Body(bytes)
    }
}

impl Load {
    fn is_large(self) -> bool {
        let (Self::Body(bytes) | Self::Copy(bytes)) = self;
        bytes > SMALL
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Body(bytes) => bytes,
            Self::Copy(_) => 0,
        }
    }
}

/// Places for requests. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: Mutex<Limit>,
    all: Lanes,
    /// Of those, for large bodies; taken first.
    large: Lanes,
    /// Lanes within `all`.
    lanes: [Lane; 2],
    begun: Instant,
}

/// A request's place.
struct Place<'a> {
    gate: &'a Inner,
    bytes: u64,
    begun: Begun,
    _permits: (Option<Permit>, Permit),
}

/// Where so many may be on their way, how many of them may be large.
fn large(all: u32) -> u32 {
    (all - (all / KEPT).max(1)).max(1)
}

/// The pause before another attempt, after so many that were refused; `jitter` is 0.0 ..= 1.0.
fn pause(refusals: u32, jitter: f64) -> Duration {
    let whole = FIRST.saturating_mul(1 << refusals.saturating_sub(1).min(16)).min(LONGEST);
    whole / 2 + (whole / 2).mul_f64(jitter)
}

impl Gate {
    pub(super) fn new() -> Self {
        let limit = Limit::new(MOST);
        let (all, large) = (Lanes::new(limit.now()), Lanes::new(large(limit.now())));
        let (lanes, begun) = ([Lane::new(), Lane::new()], Instant::now());
        Self(Arc::new(Inner { limit: Mutex::new(limit), all, large, lanes, begun }))
    }

    async fn place(&self, load: Load) -> Place<'_> {
        let gate = &*self.0;
        let is_large = load.is_large();
        let slow = if is_large { Some(gate.large.take(gate.lanes[1], 1).await) } else { None };
        let permit = gate.all.take(gate.lanes[usize::from(is_large)], 1).await;
        gate.placed(load.bytes(), (slow, permit))
    }

    /// See [`S3::send`].
    async fn send<T, E: Failure, F>(
        &self,
        attempts: u32,
        load: impl Into<Load>,
        mut request: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let (load, mut refusals) = (load.into(), 0);
        loop {
            let place = self.place(load).await;
            // boxed: what sends is deep enough without what is sent
            match place.told(Box::pin(request()).await) {
                Err(error) if error.asks_for_less() && refusals + 1 < attempts => {
                    refusals += 1;
                    sleep(pause(refusals, fastrand::f64())).await;
                }
                answer => return answer,
            }
        }
    }

    /// A place at once, one too many if need be: then others wait for it.
    fn place_now(&self) -> Place<'_> {
        self.0.placed(0, (None, self.0.all.take_now(1)))
    }
}

impl Inner {
    fn placed(&self, bytes: u64, permits: (Option<Permit>, Permit)) -> Place<'_> {
        Place { gate: self, bytes, begun: self.limit().begin(), _permits: permits }
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns something, and lets go as many as it says then.
    fn learn(&self, learn: impl FnOnce(&mut Limit)) {
        let (before, now) = {
            let mut limit = self.limit();
            let before = limit.now();
            learn(&mut limit);
            (before, limit.now())
        };
        if before != now {
            tracing::debug!(before, now, "requests at a time");
            self.all.allow(i64::from(now) - i64::from(before));
            self.large.allow(i64::from(large(now)) - i64::from(large(before)));
        }
    }
}

impl Place<'_> {
    /// What came of the request.
    fn told<T, E: Failure>(self, answer: Result<T, E>) -> Result<T, E> {
        match &answer {
            Ok(_) => self.answered(),
            Err(error) if error.asks_for_less() => self.refused(),
            Err(_) => {}
        }
        answer
    }

    /// The store took the request.
    fn answered(self) {
        // large bodies alone never take all places
        let full = self.gate.all.is_full() || self.gate.large.is_full();
        let now = self.gate.begun.elapsed();
        self.gate.learn(|limit| limit.answered(self.begun, self.bytes, full, now));
    }

    /// It asked for less.
    fn refused(self) {
        self.gate.learn(|limit| limit.refused(self.begun));
    }
}

impl S3 {
    /// Sends what `request` makes when there is a place for it, and once more after a pause while the store asks for
    /// less: `max_attempts` times in all. Within each the SDK tries again what else may pass, as often.
    pub(super) async fn send<T, E: Failure, F>(
        &self,
        load: impl Into<Load>,
        mut request: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut sent = false;
        let counted = || {
            if std::mem::replace(&mut sent, true) {
                self.retried();
            }
            request()
        };
        self.gate().send(self.options().max_attempts, load, counted).await
    }

    /// Sends the request once and without waiting: it rests on a look of just now.
    pub(super) async fn send_now<T, E: Failure>(
        &self,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let place = self.gate().place_now();
        place.told(request.await)
    }

    /// Some of what a request asked for was refused.
    pub(super) fn asked_for_less(&self) {
        self.gate().place_now().refused();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, Fault};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

    #[test]
    fn pauses_grow_to_a_bound_and_are_never_none() {
        for (refusals, low, high) in [(1, 250, 500), (2, 500, 1000), (4, 2000, 4000), (30, 10_000, 20_000)] {
            assert_eq!(pause(refusals, 0.0).as_millis(), low);
            assert_eq!(pause(refusals, 1.0).as_millis(), high);
        }
    }

    #[test]
    fn large_bodies_leave_a_place_wherever_there_are_two() {
        for (all, want) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12), (64, 48)] {
            assert_eq!(large(all), want, "{all}");
        }
    }

    fn slow_down() -> Fault {
        Fault::new(Class::Throttled, "PutObject a", "SlowDown")
    }

    /// A request that takes so long, and is answered well.
    async fn takes(time: Duration) -> Result<(), Fault> {
        sleep(time).await;
        Ok(())
    }

    const LARGE: u64 = SMALL + 1;
    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn c51_what_is_refused_is_asked_for_again_after_longer_and_longer_pauses() {
        let (gate, begun) = (Gate::new(), Instant::now());
        let at = Mutex::new(vec![]);
        let refused = || async {
            at.lock().expect("no panic").push(begun.elapsed());
            Err::<(), _>(slow_down())
        };
        let fault = gate.send(5, 0, refused).await.expect_err("refused");
        assert_eq!(fault.class, Class::Throttled);
        let at = at.into_inner().expect("no panic");
        let pauses: Vec<_> = at.windows(2).map(|two| (two[1] - two[0]).as_millis()).collect();
        assert_eq!(at.len(), 5);
        for (pause, most) in pauses.iter().zip([500, 1000, 2000, 4000]) {
            assert!((most / 2..=most + 1).contains(pause), "{pauses:?}");
        }
    }

    /// Nor is anything left taken by one that is given up in its pause, or while it waits.
    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_no_place() {
        let gate = Gate::new();
        for _ in 0..8 {
            gate.place_now().refused();
        }
        let first = AtomicBool::new(true);
        let once_refused = || async { if first.swap(false, Relaxed) { Err(slow_down()) } else { Ok(()) } };
        let begun = Instant::now();
        let paused = async { gate.send(5, 0, once_refused).await.map(|()| begun.elapsed()) };
        let other = async {
            tokio::task::yield_now().await;
            gate.send(5, 0, || takes(MS)).await.map(|()| begun.elapsed())
        };
        let (paused, other) = tokio::join!(paused, other);
        assert!(other.expect("answered") < 100 * MS && paused.expect("answered") >= 250 * MS);
        let given_up = gate.send(5, 0, || async { Err::<(), _>(slow_down()) });
        assert!(tokio::time::timeout(100 * MS, given_up).await.is_err());
        let holds = gate.place(Load::Body(0)).await;
        assert!(tokio::time::timeout(MS, gate.place(Load::Copy(LARGE))).await.is_err());
        drop(holds);
        tokio::time::timeout(MS, gate.place(Load::Copy(LARGE))).await.expect("a place");
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_never_take_all_places_and_never_all_turns() {
        let cuts = [(0, Duration::ZERO), (1, Duration::ZERO), (8, Duration::from_secs(60))];
        for ((cuts, most), load) in
            cuts.into_iter().flat_map(|cuts| [(cuts, Load::Body(LARGE)), (cuts, Load::Copy(LARGE))])
        {
            let gate = Gate::new();
            for _ in 0..cuts {
                gate.place_now().refused();
            }
            let slow = async {
                let all = (0..200).map(|_| gate.send(1, load, || takes(Duration::from_secs(60))));
                futures::future::join_all(all).await
            };
            let small = async {
                sleep(MS).await;
                let begun = Instant::now();
                gate.send(1, 0, || takes(MS)).await.expect("answered");
                begun.elapsed()
            };
            tokio::select! { biased;
                _ = slow => panic!("the small one waits for all"),
                waited = small => assert!(waited <= most + MS, "{waited:?} after {cuts} cuts"),
            }
        }
    }

    /// What needs no place takes one from the others.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_is_waited_for() {
        let gate = Gate::new();
        let ahead: Vec<_> = (0..20).map(|_| gate.place_now()).collect();
        assert!(tokio::time::timeout(MS, gate.place(Load::Body(0))).await.is_err());
        drop(ahead);
        let usual: Vec<_> = (0..16).map(|_| gate.place_now()).collect();
        assert!(gate.0.all.is_full());
        drop(usual);
    }

    /// Requests of 32 workers within ten seconds each, while `share` of all requests is refused. They have `bytes` each.
    async fn tens_of_seconds(gate: &Gate, bytes: u64, shares: &[f64]) -> Vec<(u64, u64)> {
        let (done, sent) = (AtomicU64::new(0), AtomicU64::new(0));
        let now = Mutex::new(0.0);
        let rng = Mutex::new(fastrand::Rng::with_seed(7));
        let request = || async {
            sleep(50 * MS).await;
            sent.fetch_add(1, Relaxed);
            let (share, die) = (*now.lock().expect("no panic"), rng.lock().expect("no panic").f64());
            if die < share { Err(slow_down()) } else { Ok(()) }
        };
        let worker = || async {
            loop {
                // a job that fails is done again, later
                match gate.send(5, bytes, request).await {
                    Ok(()) => drop(done.fetch_add(1, Relaxed)),
                    Err(_) => sleep(1000 * MS).await,
                }
            }
        };
        let clock = async {
            let mut counts = vec![];
            for share in shares {
                *now.lock().expect("no panic") = *share;
                sleep(Duration::from_secs(10)).await;
                counts.push((done.swap(0, Relaxed), sent.swap(0, Relaxed)));
            }
            counts
        };
        tokio::select! {
            counts = clock => counts,
            _ = futures::future::join_all((0..32).map(|_| worker())) => unreachable!("they never end"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn c51_after_two_minutes_of_refusals_it_is_as_fast_as_before_within_one() {
        let mut shares = vec![0.0; 6];
        shares.extend([0.3; 12]);
        shares.extend([0.0; 7]);
        for bytes in [0, LARGE, 1 << 20] {
            let counts = tens_of_seconds(&Gate::new(), bytes, &shares).await;
            let (before, during, after) = (counts[5].0, &counts[6..18], counts[24].0);
            assert!(after * 10 >= before * 9, "{counts:?}");
            assert!(during.iter().all(|(done, sent)| *done > 0 && *sent < before), "{counts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn c51_a_store_that_refuses_everything_is_asked_one_at_a_time() {
        let counts = tens_of_seconds(&Gate::new(), 0, &[1.0; 6]).await;
        // each takes 50 ms
        assert!(counts[1..].iter().all(|(done, sent)| *done == 0 && (1..=201).contains(sent)), "{counts:?}");
    }
}
