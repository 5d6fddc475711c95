//! When the store as a whole does not answer: stop asking for a while.

use super::{Mono, delay};

/// Failures in a row, without a success in between, that stand for the store rather than for a file.
const TRIP: u32 = 8;
/// No pause is longer than this.
const LONGEST: Mono = Mono::from_secs(30);
/// After a pause, until the store has answered, jobs begin this far apart: one is enough to find out.
const TRIAL: Mono = Mono::from_secs(1);
/// After so many pauses in a row it is asked whether it is the store, or only those files.
const ASK: u32 = 3;
/// A pass gives up after so many, if it is the store: that is a minute of pauses.
const HOPELESS: u32 = 6;

/// Counts failures in a row and tells until when to wait. Keeps the retry *rate* bounded (promise I8)
/// however many files are waiting.
#[derive(Debug, Default)]
pub struct Pace {
    failures: u32,
    pauses: u32,
    until: Mono,
    /// No job of the trial begins before.
    next: Mono,
}

impl Pace {
    /// The store answered.
    pub fn success(&mut self) {
        *self = Self::default();
    }

    /// It did not, or asked for less; `jitter` is 0.0 ..= 1.0. Failures during a pause belong to it.
    pub fn failure(&mut self, now: Mono, jitter: f64) {
        if now < self.until {
            return;
        }
        self.failures += 1;
        if self.failures >= TRIP || self.pauses > 0 {
            self.failures = 0;
            self.pauses = self.pauses.saturating_add(1);
            self.until = now + delay(self.pauses, jitter).min(LONGEST);
        }
    }

    /// A job is about to ask the store.
    ///
    /// # Errors
    /// It is not to, and when to ask again.
    pub fn admit(&mut self, now: Mono) -> Result<(), Mono> {
        let at = self.until.max(self.next);
        if now < at {
            return Err(at);
        }
        if self.pauses > 0 {
            self.next = now + TRIAL;
        }
        Ok(())
    }

    /// True if so much fails in a row that it is time to find out whether it is the store.
    pub fn doubts(&self) -> bool {
        self.pauses >= ASK
    }

    /// True if it failed for so long that a pass, which has to end, is given up.
    pub fn is_hopeless(&self) -> bool {
        self.pauses >= HOPELESS
    }

    /// When to go on; in the past unless paused.
    pub fn until(&self) -> Mono {
        self.until
    }

    /// True while nothing new is to be begun.
    pub fn paused(&self, now: Mono) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Mono = Mono::from_secs(1);

    #[test]
    fn a_few_failures_are_files_many_in_a_row_are_the_store() {
        let mut p = Pace::default();
        for _ in 0..TRIP - 1 {
            p.failure(S, 1.0);
        }
        p.success();
        for _ in 0..TRIP - 1 {
            p.failure(S, 1.0);
        }
        assert!(!p.paused(S));
        p.failure(S, 1.0);
        assert_eq!((p.paused(S), p.until()), (true, S * 2));
        assert!(!p.paused(S * 2), "it is over then");
    }

    #[test]
    fn c51_pauses_grow_to_a_bound_and_end_with_the_first_success() {
        let mut p = Pace::default();
        let mut now = S;
        for _ in 0..TRIP {
            p.failure(now, 1.0);
        }
        for _ in 0..20 {
            now = p.until();
            p.failure(now, 1.0);
            p.failure(now + S / 2, 1.0);
        }
        assert_eq!(p.until() - now, LONGEST);
        p.success();
        assert!(!p.paused(now));
    }

    #[test]
    fn it_is_doubted_after_some_pauses_in_a_row_and_given_up_after_more() {
        let mut p = Pace::default();
        (1..TRIP).for_each(|_| p.failure(S, 1.0));
        let seen: Vec<_> = (0..HOPELESS)
            .map(|_| {
                p.failure(p.until().max(S), 1.0);
                (p.doubts(), p.is_hopeless())
            })
            .collect();
        let (no, doubts, hopeless) = ((false, false), (true, false), (true, true));
        assert_eq!(seen, [no, no, doubts, doubts, doubts, hopeless]);
        p.success();
        assert!(!p.doubts() && !p.is_hopeless());
    }

    #[test]
    fn c54_after_a_pause_one_job_finds_out_for_all() {
        let mut p = Pace::default();
        assert!((0..100).all(|_| p.admit(S).is_ok()));
        for _ in 0..TRIP {
            p.failure(S, 1.0);
        }
        assert_eq!(p.admit(S), Err(S * 2));
        assert_eq!((p.admit(S * 2), p.admit(S * 2)), (Ok(()), Err(S * 3)));
        // one that takes long does not keep the others waiting
        assert_eq!((p.admit(S * 3), p.admit(S * 3)), (Ok(()), Err(S * 4)));
        p.failure(S * 3, 1.0);
        assert_eq!(p.admit(S * 4), Err(S * 5), "the trial failed");
        assert_eq!(p.admit(S * 5), Ok(()));
        p.success();
        assert!((0..100).all(|_| p.admit(S * 5).is_ok()));
    }
}
