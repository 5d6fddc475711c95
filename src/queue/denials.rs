//! What the store does not let be done: to a few objects, or to all of them? A 403 reads the same.

use super::{Mono, delay};
use crate::model::RelPath;
use std::collections::BTreeMap;

/// So many jobs in a row that were denied, with no write in between, raise the question.
const TRIP: u32 = 8;
/// An answer holds this long: a policy that denies many files must not have it asked again and again.
const HOLDS: Mono = Mono::from_secs(60);
/// And where there was none it is asked again after this.
const UNTOLD: Mono = Mono::from_secs(5);
/// So many files that were denied are tried again by themselves; the others wait for the next look at everything.
const MOST: usize = 100;

/// Counts jobs that were denied, says when to find out whether the mirror may write at all, and when to try again.
#[derive(Debug, Default)]
pub struct Denials {
    in_a_row: u32,
    asking: bool,
    /// Until when it is not asked again.
    answered: Mono,
    /// When to try again, and how often it was tried.
    waiting: BTreeMap<RelPath, (Mono, u32)>,
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
        self.answered = now + if allowed { HOLDS } else { UNTOLD };
        if allowed {
            self.in_a_row = 0;
        }
    }

    /// The file was denied so many times, and is to be tried again; `jitter` is 0.0 ..= 1.0.
    pub fn wait(&mut self, path: RelPath, failures: u32, now: Mono, jitter: f64) {
        if self.waiting.len() < MOST || self.waiting.contains_key(&path) {
            self.waiting.insert(path, (now + delay(failures.saturating_add(2), jitter), failures));
        }
    }

    /// When the next is to be tried.
    pub fn next(&self) -> Option<Mono> {
        self.waiting.values().map(|(at, _)| *at).min()
    }

    /// One that is to be tried now, and how often it was.
    pub fn due(&mut self, now: Mono) -> Option<(RelPath, u32)> {
        let (path, failures) =
            self.waiting.iter().find_map(|(path, (at, n))| (*at <= now).then_some((path.clone(), *n)))?;
        self.waiting.remove(&path);
        Some((path, failures))
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
        assert_eq!(denied(&mut denials, 100, S), 0, "not at once again");
        assert_eq!(denied(&mut denials, 1, S + UNTOLD), 1, "there was no answer");
        denials.answered(S, true);
        assert_eq!(denied(&mut denials, 100, HOLDS), 0, "it is known");
        assert_eq!(denied(&mut denials, 100, S + HOLDS), 1);
    }

    #[test]
    fn c54_of_many_files_that_are_denied_only_some_are_tried_again_by_themselves() {
        let mut denials = Denials::default();
        let path = |n: usize| RelPath::new(format!("{n:04}").as_bytes()).expect("a path");
        (0..1000).for_each(|n| denials.wait(path(n), 1, S, 1.0));
        denials.wait(path(7), 9, S, 1.0);
        let next = denials.next().expect("a time");
        assert_eq!((next, denials.due(next - S)), (S * 5, None));
        let mut due = vec![];
        while let Some(one) = denials.due(next) {
            due.push(one);
        }
        assert_eq!((due.len(), due[0].clone()), (99, (path(0), 1)));
        assert_eq!(denials.next(), Some(S * 301), "it was denied for long");
    }
}
