//! A store that answers nobody any more is given up, before each file by itself has tried as often as it may.

use crate::model::{Class, Fault};
use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// How long requests may fail without an answer to anyone. One that is on its way speaks for neither: a slow store has
/// the time that each request has.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// How often it is tried at least what fails and may pass,
const TRIES: u32 = 5;
/// and the first pause; each further one is twice the one before, up to that before the last of them.
const PAUSE: Duration = Duration::from_millis(500);

/// Since when the store is silent.
#[derive(Debug, Default)]
pub(super) struct Silence {
    state: Mutex<State>,
    over: Notify,
}

#[derive(Debug, Default)]
struct State {
    heard: Option<Instant>,
    /// When what failed first since then had begun.
    since: Option<Instant>,
    lost: Option<Fault>,
}

impl Silence {
    /// The store answered somebody, or sent something.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        (state.heard, state.since, state.lost) = (Some(Instant::now()), None, None);
    }

    /// What was begun then came to this.
    pub(super) fn told<T>(&self, begun: Instant, answer: &Result<T, Fault>) {
        match answer {
            Err(fault) if fault.class == Class::Transient => self.failed(begun, fault),
            _ => self.heard(),
        }
    }

    fn failed(&self, begun: Instant, fault: &Fault) {
        let mut state = self.state();
        let since = state.since.unwrap_or_else(|| state.heard.map_or(begun, |heard| heard.max(begun)));
        state.since = Some(since);
        let silent = since.elapsed();
        if silent >= LONGEST && state.lost.is_none() {
            let cause = format!("the store has not answered for {} s: {fault}", silent.as_secs());
            let lost = Fault::new(Class::Fatal, "restore", cause);
            state.lost = Some(
                lost.remedy("run it again when it does: what was restored stays, and what was begun goes on"),
            );
            self.over.notify_one();
        }
    }

    /// Comes back when it has been silent for too long.
    pub(super) async fn lost(&self) -> Fault {
        loop {
            if let Some(lost) = self.state().lost.clone() {
                return lost;
            }
            self.over.notified().await;
        }
    }

    /// Does it again when it fails and that may pass.
    pub(super) async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let mut tries = Tries::new();
        loop {
            let begun = Instant::now();
            let answer = ask().await;
            self.told(begun, &answer);
            match answer {
                Err(fault) if passes(&fault) && tries.again().await => {}
                answer => return answer,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True for what may be over the next time.
pub(super) fn passes(fault: &Fault) -> bool {
    matches!(fault.class, Class::Transient | Class::Throttled)
}

/// What failed is tried a few times, and so long that a store which is gone has been given up before.
pub(super) struct Tries {
    begun: Instant,
    failed: u32,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), failed: 0 }
    }

    /// After a pause, true; or false: it failed often enough.
    pub(super) async fn again(&mut self) -> bool {
        self.failed += 1;
        if self.failed >= TRIES && self.begun.elapsed() >= 2 * LONGEST {
            return false;
        }
        sleep(PAUSE * (1 << (self.failed - 1).min(TRIES - 1))).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn fails(class: Class) -> Result<(), Fault> {
        Err(Fault::new(class, "GetObject a", "cause"))
    }

    fn is_lost(silence: &Silence) -> bool {
        silence.lost().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn what_answers_anybody_is_not_given_up() {
        let silence = Silence::default();
        for answer in [Ok(()), fails(Class::Throttled), fails(Class::Missing), fails(Class::Permanent)] {
            for _ in 0..20 {
                let begun = Instant::now();
                sleep(LONGEST * 2 / 3).await;
                silence.told(begun, &fails(Class::Transient));
                silence.told(begun, &answer);
            }
        }
        // one that failed after a long time in which nobody asked
        silence.heard();
        sleep(LONGEST * 10).await;
        silence.told(Instant::now(), &fails(Class::Transient));
        // and one that is waited for
        sleep(LONGEST * 10).await;
        silence.told(Instant::now(), &Ok(()));
        assert!(!is_lost(&silence));
    }

    #[tokio::test(start_paused = true)]
    async fn what_answers_nobody_is_given_up_soon() {
        // many that fail at once, and one that hangs
        for each in [Duration::from_secs(1), LONGEST] {
            let (silence, begun) = (Silence::default(), Instant::now());
            silence.heard();
            let asking = async {
                loop {
                    let begun = Instant::now();
                    sleep(each).await;
                    silence.told(begun, &fails(Class::Transient));
                }
            };
            tokio::select! {
                lost = silence.lost() => assert_eq!(lost.class, Class::Fatal),
                () = asking => {}
            }
            assert!(begun.elapsed() <= LONGEST + each, "{:?}", begun.elapsed());
        }
    }
}
