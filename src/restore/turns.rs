//! One at a time comes to a name: an object that is listed twice, or a file and a link of one name, find what came first.

use crate::model::RelPath;
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The names that something is being brought to.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<HashSet<RelPath>>,
    given_back: Notify,
}

/// The right to bring something to a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    path: RelPath,
}

impl Turns {
    /// Waits until nobody else has it.
    pub(super) async fn take(&self, path: &RelPath) -> Turn<'_> {
        loop {
            let given_back = self.given_back.notified();
            if self.taken().insert(path.clone()) {
                return Turn { turns: self, path: path.clone() };
            }
            given_back.await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<RelPath>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken().remove(&self.path);
        self.turns.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::pin::pin;

    #[test]
    fn a_name_is_given_to_one_at_a_time() {
        let turns = Turns::default();
        let [a, b] = [&b"a"[..], b"b"].map(|name| RelPath::new(name).expect("valid"));
        let first = turns.take(&a).now_or_never().expect("nobody has it");
        let mut second = pin!(turns.take(&a));
        assert!(second.as_mut().now_or_never().is_none(), "the first has it");
        drop(turns.take(&b).now_or_never().expect("another name"));
        assert!(second.as_mut().now_or_never().is_none(), "the first still has it");
        drop(first);
        assert!(second.now_or_never().is_some());
    }
}
