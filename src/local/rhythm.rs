//! When what recurs is due: at the same moments for all watchers of the process. So the processor is woken once for many
//! of them, and finds what they need still in its caches: fifty at rest take a fraction of what they take one by one.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Moments that recur, counted from one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    from: Instant,
}

impl Rhythm {
    /// Counted from `from`.
    pub(super) fn new(from: Instant) -> Self {
        Self { from }
    }

    /// The first moment after `now` that is a multiple of `every` away from where it is counted from.
    pub(super) fn next(self, now: Instant, every: Duration) -> Instant {
        let (since, every) = (now.saturating_duration_since(self.from), every.max(Duration::from_nanos(1)));
        let past = Duration::from_nanos_u128(since.as_nanos() % every.as_nanos());
        now + (every - past)
    }
}

/// The one of the process.
impl Default for Rhythm {
    fn default() -> Self {
        static FROM: OnceLock<Instant> = OnceLock::new();
        Self::new(*FROM.get_or_init(Instant::now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_recurs_is_due_together_whenever_it_began() {
        const S: Duration = Duration::from_secs(1);
        let from = Instant::now();
        let rhythm = Rhythm::new(from);
        for (at, every, want) in [(0, 5, 5), (1, 5, 5), (5, 5, 10), (11, 10, 20), (29, 30, 30), (31, 30, 60)]
        {
            assert_eq!(rhythm.next(from + at * S, every * S), from + want * S, "{at} {every}");
        }
        assert!(rhythm.next(from, Duration::ZERO) > from);
        assert_eq!(Rhythm::default().from, Rhythm::default().from);
    }
}
