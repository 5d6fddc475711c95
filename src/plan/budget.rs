//! How many deletes, or replacements, are allowed before an operator is asked.

use std::time::Duration;

/// Up to this many in a window are never measured in percent: of a small tree, most files
/// may go in a morning's work.
const PERCENT_ABOVE: u64 = 100;

/// `max_delete`, `max_overwrite`: above either limit all that are pending are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many in a window.
    pub count: u64,
    /// Percent, 1..=100, of the records at the window's start; counts only above 100 of them.
    pub percent: u8,
    /// Length of the sliding window.
    pub window: Duration,
}

/// What the budget says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Go on.
    Free,
    /// Hold them all, and why.
    Held(String),
}

impl Limits {
    /// Judges what was done in the window together with all that is pending (what is approved, and deletes of what was
    /// renamed, cost nothing). `records` is how many there were at the window's start; `option`: what the limits are
    /// called.
    pub fn judge(&self, option: &str, done: u64, pending: u64, records: u64) -> Judgement {
        let total = done.saturating_add(pending);
        let window = humantime::format_duration(self.window);
        let sum = format!("{pending} pending and {done} done within {window}");
        if pending == 0 {
            Judgement::Free
        } else if total > self.count {
            Judgement::Held(format!("{sum}, more than {option}.count = {}", self.count))
        } else if total > PERCENT_ABOVE
            && u128::from(total) * 100 > u128::from(records) * u128::from(self.percent)
        {
            let percent = self.percent;
            Judgement::Held(format!("{sum}, more than {option}.percent = {percent} of {records} files"))
        } else {
            Judgement::Free
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c61_c73_the_window_judges_done_and_pending_together() {
        let limits = Limits { count: 1000, percent: 20, window: Duration::from_secs(3600) };
        for (deleted, records, pending, held) in [
            (0, 10_000, 0, false),
            (0, 4, 1, false),         // one of four files
            (0, 100, 100, false),     // all of a hundred: below the floor of the percentage
            (0, 101, 101, true),      // percent
            (0, 10_000, 1000, false), // exactly the count
            (0, 10_000, 1001, true),
            (900, 10_000, 100, false),
            (900, 10_000, 101, true), // small batches add up
            (5000, 10_000, 0, false), // nothing pending: nothing to hold
            (150, 1000, 50, false),   // exactly 20 %
            (150, 1000, 51, true),
            (u64::MAX, u64::MAX, 1, true),
        ] {
            let got = limits.judge("max_delete", deleted, pending, records);
            assert_eq!(got != Judgement::Free, held, "{deleted} {records} {pending}: {got:?}");
        }
    }
}
