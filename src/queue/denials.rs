//! What the store does not let be done: to a few objects, or to all of them? A 403 reads the same.

use super::Mono;

/// So many jobs in a row that were denied, with no write in between, raise the question.
const TRIP: u32 = 8;
/// An answer holds this long: a policy that denies many files must not have it asked again and again.
const HOLDS: Mono = Mono::from_secs(60);
/// A file that was denied is tried again this often by itself, all of them together;
const EACH: Mono = Mono::from_secs(1);
/// but so many may come at once. The others wait for the next look at everything.
const BURST: u32 = 100;

/// Counts jobs that were denied, and says when to find out whether the mirror may write at all.
#[derive(Debug, Default)]
pub struct Denials {
    in_a_row: u32,
    asking: bool,
    /// Until when the last answer holds.
    answered: Mono,
    /// When the tries that were granted are used up.
    spent: Mono,
}

impl Denials {
    /// Something was written.
    pub fn success(&mut self) {
        self.in_a_row = 0;
    }

    /// A job was denied. True if it is time to ask whether anything may be written.
    pub fn denied(&mut self, now: Mono) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let asks = self.in_a_row >= TRIP && !self.asking && now >= self.answered;
        self.asking |= asks;
        asks
    }

    /// True while nobody knows whether anything may be written.
    pub fn are_asking(&self) -> bool {
        self.asking
    }

    /// The question was dealt with: the mirror may write, or there was no telling.
    pub fn answered(&mut self, now: Mono, allowed: bool) {
        self.asking = false;
        if allowed {
            (self.in_a_row, self.answered) = (0, now + HOLDS);
        }
    }

    /// True if a file that was denied may be tried again by itself.
    pub fn may_try_again(&mut self, now: Mono) -> bool {
        let spent = self.spent.max(now) + EACH;
        let granted = spent <= now + EACH * BURST;
        if granted {
            self.spent = spent;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Mono = Mono::from_secs(1);

    #[test]
    fn c54_many_denials_in_a_row_raise_the_question_once() {
        let mut denials = Denials::default();
        let denied =
            |denials: &mut Denials, times: u32, now| (0..times).filter(|_| denials.denied(now)).count();
        assert_eq!(denied(&mut denials, TRIP - 1, S), 0);
        denials.success();
        assert_eq!(denied(&mut denials, TRIP - 1, S), 0, "what was written says that it is the files");
        assert_eq!(denied(&mut denials, 100, S), 1);
        assert!(denials.are_asking());
        denials.answered(S, false);
        assert!(!denials.are_asking());
        assert_eq!(denied(&mut denials, 1, S), 1, "there was no answer");
        denials.answered(S, true);
        assert_eq!(denied(&mut denials, 100, S + HOLDS - S), 0, "it is known");
        assert_eq!(denied(&mut denials, 100, S + HOLDS), 1);
    }

    #[test]
    fn c54_of_many_files_that_are_denied_only_some_are_tried_again_by_themselves() {
        let mut denials = Denials::default();
        let mut granted = |now| (0..1000).filter(|_| denials.may_try_again(now)).count();
        assert_eq!((granted(S), granted(S)), (100, 0));
        assert_eq!((granted(S * 2), granted(S * 12), granted(S * 1000)), (1, 10, 100));
    }
}
