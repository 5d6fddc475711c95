//! A bounded queue between a thread that must never wait and a reader that may be slow: what does not
//! fit is not forgotten but summed up in one item.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// What [`Outbox::take`] gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// The oldest.
    Item(T),
    /// Nothing came in time.
    Nothing,
    /// Either side has closed it.
    Closed,
}

/// At most `most` items, with `sum` in place of those that did not fit.
pub(super) struct Outbox<T> {
    most: usize,
    sum: T,
    /// True for items that `sum` stands for.
    summed: fn(&T) -> bool,
    state: Mutex<State<T>>,
    filled: Condvar,
    told: Notify,
}

pub(super) struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T: Clone + PartialEq> Outbox<T> {
    /// An empty one.
    pub(super) fn new(most: usize, sum: T, summed: fn(&T) -> bool) -> Self {
        let state = State { items: VecDeque::new(), closed: false };
        Self { most, sum, summed, state: Mutex::new(state), filled: Condvar::new(), told: Notify::new() }
    }

    /// The lock; whoever holds it stalls both sides.
    pub(super) fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, unless it repeats the newest. Never waits for the reader: if it is full, the
    /// items that `sum` stands for make way for it.
    pub(super) fn push(&self, item: T) {
        let mut state = self.state();
        if state.items.back() == Some(&item) {
            return;
        }
        if state.items.len() >= self.most {
            let (summed, sum) = (self.summed, &self.sum);
            state.items.retain(|item| !summed(item) && item != sum);
            // Without a reader even the rest could pile up; the newest of it counts.
            let excess = (state.items.len() + 2).saturating_sub(self.most);
            state.items.drain(..excess);
            state.items.push_back(sum.clone());
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        self.told.notify_one();
    }

    /// Drops what is queued.
    pub(super) fn clear(&self) {
        self.state().items.clear();
    }

    /// True once either side has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// No more items.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
        self.told.notify_one();
    }

    /// The oldest item, for a thread: waits at most `patience`. `Closed` at once, whatever is queued.
    pub(super) fn take(&self, patience: Duration) -> Taken<T> {
        let idle = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        let waited = self.filled.wait_timeout_while(self.state(), patience, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.items.pop_front() {
            _ if state.closed => Taken::Closed,
            Some(item) => Taken::Item(item),
            None => Taken::Nothing,
        }
    }

    /// The oldest item, for a task; `None` once it is closed and empty. For one task only.
    pub(super) async fn next(&self) -> Option<T> {
        loop {
            {
                let mut state = self.state();
                if let Some(item) = state.items.pop_front() {
                    return Some(item);
                }
                if state.closed {
                    return None;
                }
            }
            self.told.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn c04_what_does_not_fit_is_summed_up() {
        let queue = Outbox::new(4, 0, |item| *item < 100);
        for item in [500, 1, 1, 2, 2, 1] {
            queue.push(item);
        }
        queue.push(3);
        assert_eq!(queue.state().items, [500, 0, 3], "1, 2, 1 are in the sum; 500 is not");
        for item in 0..1_000_000 {
            queue.push(item % 7 + 1);
            assert!(queue.state().items.len() <= 4);
        }
        assert_eq!(queue.state().items.iter().filter(|item| **item == 0).count(), 1);
        assert_eq!(queue.next().await, Some(500));
        queue.close();
        assert_eq!(queue.next().await, Some(0), "what was queued is still given");
        while queue.next().await.is_some() {}
        assert_eq!(queue.take(Duration::ZERO), Taken::Closed);
    }

    #[test]
    fn a_thread_waits_no_longer_than_it_says() {
        let queue = Outbox::new(4, 0, |_| true);
        assert_eq!(queue.take(Duration::ZERO), Taken::Nothing);
        queue.push(1);
        assert_eq!(queue.take(Duration::from_secs(60)), Taken::Item(1));
    }
}
