//! The debounced change queue: which parts of the mirror are to be looked at, and when.
//!
//! Folds itself: many files of one directory become its `Children`, too many notes become the trees of
//! the top, and those the root. So its memory is bounded whatever happens on the disk (promise I8).

use super::{Mono, note::Note, notes::Notes};
use crate::model::{Against, RelPath, Scope};
use std::collections::BTreeSet;

/// Files of one directory that are noted one by one; more become one note of its `Children`.
const SIBLINGS: usize = 64;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A note is due when nothing more was noted there for this long.
    pub quiet: Mono,
    /// And at the latest this long after the first.
    pub longest: Mono,
    /// Notes kept apart, at most.
    pub most: usize,
}

/// The queue.
#[derive(Debug)]
pub struct Pending {
    options: Options,
    notes: Notes,
    born: u64,
}

impl Pending {
    /// An empty queue.
    pub fn new(options: Options) -> Self {
        Self { options, notes: Notes::default(), born: 0 }
    }

    /// Something happened here: look when it is quiet.
    pub fn note(&mut self, scope: Scope, against: Against, now: Mono) {
        self.born += 1;
        let due = now + self.options.quiet;
        self.add(
            Note {
                scope,
                against,
                born: self.born,
                failures: 0,
                restless: false,
                since: Some(now),
                first: now,
                due,
            },
            true,
        );
    }

    /// Look here again in `wait`, after `failures` failures in a row.
    pub fn retry(&mut self, scope: Scope, against: Against, now: Mono, wait: Mono, failures: u32) {
        self.owe(scope, against, now, wait, failures, None);
    }

    /// As [`Pending::retry`], for a change that was noted at `since`.
    pub fn owe(
        &mut self,
        scope: Scope,
        against: Against,
        now: Mono,
        wait: Mono,
        failures: u32,
        since: Option<Mono>,
    ) {
        self.born += 1;
        self.add(
            Note {
                scope,
                against,
                born: self.born,
                failures,
                restless: false,
                since,
                first: now + wait,
                due: now + wait,
            },
            false,
        );
    }

    /// When the next note is due, of the [swift](Note::is_swift) ones or of the others.
    pub fn next(&self, swift: bool) -> Option<Mono> {
        self.notes.next(swift)
    }

    /// Takes a note of these that is due, the longest due first.
    pub fn pop(&mut self, now: Mono, swift: bool) -> Option<Note> {
        let note = self.notes.pop(now, swift)?;
        Some(Note { restless: note.due >= note.first + self.options.longest, ..note })
    }

    /// True if nothing is to be looked at.
    pub fn is_empty(&self) -> bool {
        self.notes.len() == 0
    }

    /// How many notes there are.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// The number of the oldest note.
    pub fn oldest(&self) -> Option<u64> {
        self.notes.all().map(|note| note.born).min()
    }

    /// When the oldest change was noted that is still to be looked at.
    pub fn since(&self) -> Option<Mono> {
        self.notes.since()
    }

    /// The number of the newest note ever made.
    pub fn newest(&self) -> u64 {
        self.born
    }

    /// `quiet` starts the wait for quiet anew; otherwise the earlier of two times stands.
    fn add(&mut self, mut note: Note, quiet: bool) {
        if let Some(cover) = self.notes.cover(&note.scope) {
            note.scope = cover;
        }
        for old in self.notes.take(&note.scope) {
            note.join(&old);
            if !quiet {
                note.due = note.due.min(old.due);
            }
        }
        note.due = note.due.min(note.first + self.options.longest);
        let parent = match &note.scope {
            Scope::File(path) => Some(path.parent().unwrap_or_else(RelPath::root)),
            _ => None,
        };
        self.notes.insert(note);
        if let Some(parent) = parent.filter(|parent| self.notes.files_of(parent) > SIBLINGS) {
            self.fold_into(Scope::Children(parent));
        }
        if self.notes.len() > self.options.most {
            self.fold();
        }
    }

    /// Too many notes: the trees of the top stand for them, or if those are many too, the root.
    fn fold(&mut self) {
        let top = |path: &RelPath| path.components().next().and_then(|top| RelPath::new(top).ok());
        let tops: Option<BTreeSet<RelPath>> = self.notes.all().map(|note| top(note.scope.path())).collect();
        match tops.filter(|tops| tops.len() <= self.options.most / 2) {
            Some(tops) => tops.into_iter().for_each(|top| self.fold_into(Scope::Tree(top))),
            None => self.fold_into(Scope::everything()),
        }
    }

    /// Replaces the notes that `scope` covers by one of it.
    fn fold_into(&mut self, scope: Scope) {
        let note = self.notes.take(&scope).into_iter().reduce(|mut all, note| {
            all.join(&note);
            Note { due: all.due.max(note.due), ..all }
        });
        if let Some(note) = note {
            let due = note.due.min(note.first + self.options.longest);
            self.notes.insert(Note { scope, due, ..note });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Mono = Mono::from_secs(1);

    fn path(s: &str) -> RelPath {
        RelPath::new(s.as_bytes()).expect("valid path")
    }

    /// The first of all.
    fn next(q: &Pending) -> Option<Mono> {
        [true, false].into_iter().filter_map(|swift| q.next(swift)).min()
    }

    fn pop(q: &mut Pending, now: Mono) -> Option<Note> {
        let first = [true, false].into_iter().filter(|swift| q.next(*swift).is_some());
        let first = first.min_by_key(|swift| q.next(*swift))?;
        q.pop(now, first)
    }

    fn queue(most: usize) -> Pending {
        Pending::new(Options { quiet: S * 2, longest: S * 10, most })
    }

    #[test]
    fn a_note_waits_for_quiet_but_not_longer_than_the_longest_wait() {
        let mut q = queue(100);
        for t in 0..20 {
            assert_eq!(pop(&mut q, S * t), None, "at {t} s");
            if t < 10 {
                q.note(Scope::File(path("a")), Against::Ledger, S * t);
            }
            if t == 9 {
                break;
            }
        }
        assert_eq!(next(&q), Some(S * 10));
        let note = pop(&mut q, S * 10).expect("due");
        assert_eq!((note.scope, note.against, note.born), (Scope::File(path("a")), Against::Ledger, 1));
        assert!(note.restless && q.is_empty() && q.oldest().is_none());
        q.note(Scope::File(path("a")), Against::Ledger, S * 20);
        assert!(!pop(&mut q, S * 22).expect("due").restless, "it was quiet");
    }

    #[test]
    fn c03_floods_of_the_root_are_looked_at_within_the_longest_wait() {
        let mut q = queue(100);
        for ms in 0..9_999 {
            q.note(Scope::everything(), Against::Ledger, Mono::from_millis(ms));
        }
        assert_eq!(next(&q), Some(S * 10));
    }

    #[test]
    fn trees_swallow_what_they_cover_and_take_the_stronger_side() {
        let mut q = queue(100);
        for s in ["d/x", "d/e/f", "d-1", "d"] {
            q.note(Scope::File(path(s)), Against::Ledger, S);
        }
        q.note(Scope::Children(path("d/e")), Against::Bucket, S);
        q.note(Scope::Tree(path("d")), Against::Ledger, S * 2);
        assert_eq!(q.len(), 2);
        q.note(Scope::File(path("d/e/g")), Against::Ledger, S * 3);
        assert_eq!(q.len(), 2);
        assert_eq!(pop(&mut q, S * 100).map(|n| n.scope), Some(Scope::File(path("d-1"))));
        let tree = pop(&mut q, S * 100).expect("due");
        assert_eq!((tree.scope, tree.against, tree.born), (Scope::Tree(path("d")), Against::Bucket, 1));
    }

    #[test]
    fn each_observation_has_a_number() {
        let mut q = queue(100);
        assert_eq!((q.is_empty(), q.oldest(), q.newest()), (true, None, 0));
        q.retry(Scope::File(path("a")), Against::Ledger, S, S, 1);
        assert_eq!((q.is_empty(), q.oldest(), q.newest()), (false, Some(1), 1));
        q.note(Scope::File(path("b")), Against::Ledger, S);
        q.retry(Scope::File(path("c")), Against::Ledger, S, S, 1);
        assert_eq!((q.len(), q.oldest(), q.newest()), (3, Some(1), 3));
        assert_eq!(pop(&mut q, S * 2).map(|note| note.born), Some(1));
        assert_eq!((q.oldest(), q.newest()), (Some(2), 3));
    }

    #[test]
    fn notes_are_kept_apart_up_to_their_bounds() {
        let mut q = queue(100);
        let file = |i: usize| Scope::File(path(&format!("d/f{i}")));
        (0..SIBLINGS).for_each(|i| q.note(file(i), Against::Ledger, S));
        assert_eq!(q.len(), SIBLINGS);
        q.note(file(SIBLINGS), Against::Ledger, S);
        assert_eq!(
            (q.len(), pop(&mut q, S * 9).map(|note| note.scope)),
            (1, Some(Scope::Children(path("d"))))
        );
        let far = |i: usize| Scope::File(path(&format!("t{i}/f")));
        (0..100).for_each(|i| q.note(far(i), Against::Ledger, S));
        assert_eq!(q.len(), 100);
        q.note(far(100), Against::Ledger, S);
        assert_eq!((q.len(), pop(&mut q, S * 9).map(|note| note.scope)), (1, Some(Scope::everything())));
    }

    #[test]
    fn what_is_folded_keeps_the_most_that_was_owed() {
        let mut q = queue(2);
        q.note(Scope::File(path("a/z")), Against::Ledger, S);
        q.retry(Scope::File(path("a/y")), Against::Bucket, S, S * 300, 3);
        q.note(Scope::File(path("a/x")), Against::Ledger, S * 2);
        assert_eq!((q.len(), next(&q)), (1, Some(S * 11)), "the longest wait from the first on");
        let note = pop(&mut q, S * 11).expect("due");
        assert_eq!((note.scope, note.against), (Scope::Tree(path("a")), Against::Bucket));
        assert_eq!((note.born, note.failures), (1, 3));
    }

    #[test]
    fn what_is_folded_is_as_old_as_the_oldest_change_in_it() {
        let mut q = queue(2);
        q.retry(Scope::everything(), Against::Bucket, S, S * 300, 0);
        assert_eq!(q.since(), None, "a look that nothing led to");
        assert_eq!(pop(&mut q, S * 400).map(|note| note.since), Some(None));
        q.owe(Scope::File(path("a/z")), Against::Ledger, S * 9, S * 2, 1, Some(S * 3));
        q.note(Scope::File(path("b/y")), Against::Ledger, S * 5);
        assert_eq!(q.since(), Some(S * 3));
        q.note(Scope::File(path("a/z")), Against::Ledger, S * 10);
        q.note(Scope::File(path("a/x")), Against::Ledger, S * 11);
        let folded = q.pop(S * 100, false).expect("due");
        assert_eq!((folded.scope, folded.since), (Scope::everything(), Some(S * 3)));
        assert_eq!((q.since(), q.len()), (None, 0));
    }

    #[test]
    fn an_event_hastens_a_retry_and_a_retry_does_not_delay_an_event() {
        let mut q = queue(100);
        q.retry(Scope::File(path("a")), Against::Bucket, S, S * 300, 4);
        assert_eq!(next(&q), Some(S * 301));
        q.note(Scope::File(path("a")), Against::Ledger, S * 5);
        assert_eq!(next(&q), Some(S * 7));
        q.retry(Scope::File(path("a")), Against::Bucket, S * 6, S * 300, 5);
        assert_eq!(next(&q), Some(S * 7));
        let note = pop(&mut q, S * 7).expect("due");
        assert_eq!((note.against, note.failures), (Against::Bucket, 5));
    }

    #[test]
    fn c04_a_burst_folds_to_children_then_trees_then_the_root() {
        let mut q = queue(50);
        for i in 0..1000 {
            q.note(Scope::File(path(&format!("d/f{i}"))), Against::Ledger, S);
        }
        assert_eq!(
            pop(&mut q, S * 100).map(|n| n.scope),
            Some(Scope::Tree(path("d"))),
            "50 notes fold before 64 siblings"
        );
        let mut q = queue(500);
        for i in 0..100_000 {
            q.note(Scope::File(path(&format!("t{}/d{}/f{i}", i % 3, i % 1000))), Against::Ledger, S);
            assert!(q.len() <= 501);
        }
        assert!(q.notes.directories() <= 501);
        let mut q = queue(500);
        for i in 0..1000 {
            q.note(Scope::File(path(&format!("t{i}/f"))), Against::Ledger, S);
        }
        assert_eq!(pop(&mut q, S * 100).map(|n| n.scope), Some(Scope::everything()));
        let mut q = queue(500);
        for i in 0..100 {
            q.note(Scope::File(path(&format!("d/f{i}"))), Against::Ledger, S);
        }
        assert_eq!(pop(&mut q, S * 100).map(|n| n.scope), Some(Scope::Children(path("d"))));
    }

    #[test]
    fn what_is_folded_asks_as_much_as_the_one_that_asked_most() {
        for asked in [0, 50, 99] {
            let mut q = queue(500);
            for i in 0..100 {
                let against = if i == asked { Against::Bucket } else { Against::Ledger };
                q.note(Scope::File(path(&format!("d/f{i}"))), against, S);
            }
            let note = pop(&mut q, S * 100).expect("folded");
            assert_eq!((note.scope, note.against), (Scope::Children(path("d")), Against::Bucket), "{asked}");
        }
    }

    proptest! {
        /// Whatever is noted is looked at, in time, and the sums stay right.
        #[test]
        fn nothing_noted_is_forgotten(ops in proptest::collection::vec((0u8..4, "[ab](/[ab]){0,3}", 0u64..3), 1..60), most in 2usize..12) {
            let mut q = queue(most);
            let mut now = Mono::ZERO;
            let mut owed: Vec<(Scope, Mono)> = vec![];
            for (op, p, wait) in ops {
                now += S * wait as u32;
                let scope = match op { 0 => Scope::Tree(path(&p)), 1 => Scope::Children(path(&p)), _ => Scope::File(path(&p)) };
                if op == 3 {
                    q.retry(scope.clone(), Against::Bucket, now, S * 4, 1);
                } else {
                    q.note(scope.clone(), Against::Ledger, now);
                }
                owed.push((scope, now + S * 14));
                while let Some(note) = pop(&mut q, now) {
                    owed.retain(|(scope, _)| !note.scope.covers(scope));
                }
                prop_assert!(owed.iter().all(|(_, latest)| now <= *latest));
                prop_assert!(q.len() <= most + 1);
                prop_assert_eq!(q.since(), q.notes.all().filter_map(|note| note.since).min());
                prop_assert_eq!(q.notes.timed(), q.notes.len());
            }
            while let Some(due) = next(&q) {
                let note = pop(&mut q, due).expect("due");
                owed.retain(|(scope, _)| !note.scope.covers(scope));
            }
            prop_assert!(owed.is_empty(), "{owed:?}");
            prop_assert!(q.notes.directories() == 0 && q.is_empty() && q.since().is_none());
        }
    }

    #[test]
    fn what_is_swift_does_not_wait_behind_what_is_not() {
        let mut q = queue(100);
        q.retry(Scope::everything(), Against::Bucket, S, Mono::ZERO, 0);
        q.retry(Scope::File(path("failed")), Against::Bucket, S, Mono::ZERO, 1);
        assert_eq!((q.next(true), q.next(false)), (None, Some(S)));
        let mut q = queue(100);
        q.retry(Scope::File(path("failed")), Against::Bucket, S, Mono::ZERO, 1);
        q.note(Scope::File(path("new")), Against::Ledger, S);
        assert_eq!((q.next(true), q.next(false)), (Some(S * 3), Some(S)));
        assert_eq!(q.pop(S * 9, true).map(|note| note.scope), Some(Scope::File(path("new"))));
        assert_eq!((q.pop(S * 9, true), q.pop(S * 9, false).map(|note| note.failures)), (None, Some(1)));
        assert!(q.is_empty());
    }
}
