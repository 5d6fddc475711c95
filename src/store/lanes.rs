//! A semaphore whose waiters stand in lanes. Lanes are served in rotation, and each in the order of coming: so a
//! mirror with a million files does not stand before another's only one. Whoever is next is waited for until what it
//! wants is free, so that many who want little do not pass by one who wants much.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound::{Excluded, Unbounded},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::oneshot;

/// One of those between whom turns go round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane(u64);

impl Lane {
    /// Another one than any before.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// The semaphore. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Lanes(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Less than nothing if less was allowed than was taken.
    free: i64,
    waiting: BTreeMap<Lane, VecDeque<Waiter>>,
    /// Whose turn it was.
    last: Lane,
}

#[derive(Debug)]
struct Waiter {
    wants: u32,
    tell: oneshot::Sender<Permit>,
}

/// What was taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    lanes: Lanes,
    holds: u32,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lanes.allow(i64::from(self.holds));
    }
}

impl Lanes {
    /// With so much to take.
    pub(super) fn new(free: u32) -> Self {
        let state = State { free: free.into(), waiting: BTreeMap::new(), last: Lane::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Takes as much if nobody waits and it is free.
    pub(super) fn try_take(&self, wants: u32) -> Option<Permit> {
        let mut state = self.state();
        let fits = state.waiting.is_empty() && state.free >= i64::from(wants);
        fits.then(|| {
            state.free -= i64::from(wants);
            Permit { lanes: self.clone(), holds: wants }
        })
    }

    /// Takes as much whether it is free or not; what comes back then goes to nobody until all is paid.
    pub(super) fn take_now(&self, wants: u32) -> Permit {
        self.state().free -= i64::from(wants);
        Permit { lanes: self.clone(), holds: wants }
    }

    /// Waits in `lane` until as much is free, and takes it.
    pub(super) async fn take(&self, lane: Lane, wants: u32) -> Permit {
        if let Some(permit) = self.try_take(wants) {
            return permit;
        }
        let (tell, told) = oneshot::channel();
        // it may have become free just now
        self.state().waiting.entry(lane).or_default().push_back(Waiter { wants, tell });
        let _goes = Goes(self);
        self.serve();
        told.await.expect("who waits is told, or waits still")
    }

    /// So much more may be taken, or less. What is taken stays so.
    pub(super) fn allow(&self, more: i64) {
        self.state().free += more;
        self.serve();
    }

    /// True if nothing is left.
    pub(super) fn is_full(&self) -> bool {
        self.state().free <= 0
    }

    fn serve(&self) {
        let mut due = vec![];
        {
            let mut state = self.state();
            while let Some(waiter) = state.next() {
                state.free -= i64::from(waiter.wants);
                due.push(waiter);
            }
        }
        for Waiter { wants, tell } in due {
            // what whoever went away meanwhile does not take comes back by being dropped
            let _ = tell.send(Permit { lanes: self.clone(), holds: wants });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out whose turn it is, if what it wants is free.
    fn next(&mut self) -> Option<Waiter> {
        loop {
            let after = self.waiting.range((Excluded(self.last), Unbounded)).next();
            let lane = *after.or_else(|| self.waiting.first_key_value())?.0;
            let queue = self.waiting.get_mut(&lane)?;
            queue.retain(|waiter| !waiter.tell.is_closed());
            let fits = queue.front().map(|waiter| i64::from(waiter.wants) <= self.free);
            if fits == Some(false) {
                return None;
            }
            let first = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&lane);
            }
            if let Some(first) = first {
                self.last = lane;
                return Some(first);
            }
        }
    }
}

/// Whoever goes away may have stood before others.
struct Goes<'a>(&'a Lanes);

impl Drop for Goes<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::{future::Future, pin::Pin};

    type Waiting<'a> = Pin<Box<dyn Future<Output = Permit> + 'a>>;

    /// Waits, and has begun to.
    fn wait(lanes: &Lanes, lane: u64, wants: u32) -> Waiting<'_> {
        let mut waiting: Waiting = Box::pin(lanes.take(Lane(lane), wants));
        assert!((&mut waiting).now_or_never().is_none(), "nothing is free");
        waiting
    }

    fn served(waiting: &mut [Waiting<'_>]) -> Vec<(usize, Permit)> {
        let polled = waiting.iter_mut().enumerate();
        polled.filter_map(|(n, waiting)| waiting.now_or_never().map(|permit| (n, permit))).collect()
    }

    #[test]
    fn lanes_take_turns_whoever_came_first() {
        let lanes = Lanes::new(1);
        let mut holds = lanes.try_take(1).expect("free");
        // six of one mirror, then one of each of two others
        let comers = [1, 1, 1, 1, 1, 1, 2, 3];
        let mut waiting: Vec<_> = comers.iter().map(|lane| wait(&lanes, *lane, 1)).collect();
        let mut order = vec![];
        for _ in comers {
            drop(holds);
            let mut next = served(&mut waiting);
            assert_eq!(next.len(), 1, "one at a time");
            let (n, permit) = next.pop().expect("one");
            drop(std::mem::replace(&mut waiting[n], Box::pin(std::future::pending())));
            order.push(comers[n]);
            holds = permit;
        }
        assert_eq!(order, [1, 2, 3, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn who_wants_much_is_waited_for_and_who_goes_away_is_not() {
        let lanes = Lanes::new(4);
        let (a, b) = (lanes.try_take(2).expect("free"), lanes.try_take(2).expect("free"));
        let much = wait(&lanes, 1, 4);
        let mut little = vec![wait(&lanes, 2, 1), wait(&lanes, 2, 1)];
        drop(a);
        assert!(served(&mut little).is_empty() && lanes.try_take(1).is_none(), "they do not pass it by");
        drop(much);
        let taken = served(&mut little);
        assert_eq!(taken.len(), 2);
        drop((b, taken, little));
        assert!(lanes.try_take(4).is_some(), "all of it came back");
    }

    #[test]
    fn less_may_be_allowed_than_is_taken() {
        let lanes = Lanes::new(4);
        let mut taken: Vec<_> = (0..4).map(|_| lanes.try_take(1).expect("free")).collect();
        lanes.allow(-2);
        taken.truncate(2);
        assert!(lanes.is_full() && lanes.try_take(1).is_none());
        let mut waiting = vec![wait(&lanes, 1, 1)];
        lanes.allow(1);
        assert_eq!(served(&mut waiting).len(), 1);
    }
}
