//! How long to wait before the next attempt.

use std::time::Duration;

/// The first wait; each further one is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer than this.
const LONGEST: Duration = Duration::from_secs(300);

/// The wait after `failures` failures in a row (at least 1), between half and all of 1 s, 2 s, 4 s …
/// up to 300 s, as `jitter` (0.0 ..= 1.0) says: 'equal jitter', so that many failures do not come back
/// at once, and none comes back at once.
pub fn delay(failures: u32, jitter: f64) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    whole / 2 + (whole / 2).mul_f64(jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_bounded() {
        for (failures, low, high) in
            [(0, 500, 1000), (1, 500, 1000), (2, 1000, 2000), (5, 8000, 16_000), (30, 150_000, 300_000)]
        {
            assert_eq!(delay(failures, 0.0), Duration::from_millis(low), "{failures}");
            assert_eq!(delay(failures, 1.0), Duration::from_millis(high), "{failures}");
        }
    }
}
