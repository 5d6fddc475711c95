//! What waits to be deleted, and when.
//!
//! Pending deletes live in the ledger's `condemned` table, so that six million of them cost no memory. The docket keeps
//! only *marks*: up to which commit rows were condemned by when.

use super::ROUNDS;
use crate::{
    model::{ETag, Key, Seq},
    queue::Mono,
};
use std::{collections::VecDeque, time::Duration};

/// Absent files whose rows are not written yet; more of them make the surveys wait.
const MOST: usize = 4096;
/// Of those, how many are looked at again together.
const TOGETHER: usize = 1024;

/// Rows last seen absent by this commit were so at this time, when this was the newest note.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    seq: Seq,
    seen: Mono,
    born: u64,
    /// When they may be judged.
    due: Mono,
    /// When the oldest of them was noted; `None`: there are none.
    since: Option<Mono>,
}

/// What waits to be deleted.
#[derive(Debug, Default)]
pub(super) struct Docket {
    absent: Vec<(Key, ETag)>,
    /// When the oldest of those was noted that have no mark yet.
    since: Option<Mono>,
    /// Commits that will make marks.
    unmarked: usize,
    /// By when they are due.
    marks: VecDeque<Mark>,
    /// Rows last seen absent before this commit were not seen absent by this session.
    begin: Seq,
    /// Rows up to this mark had their grace.
    ripe: Mark,
    pub(super) judging: bool,
    pub(super) sentencing: bool,
    /// A pass that goes on when the store is asked again.
    pub(super) interrupted: Option<Sweep>,
}

/// A pass over the condemned rows.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    pub(super) begin: Seq,
    pub(super) upto: Seq,
    /// All rows are judged, those that are judged again among them.
    pub(super) whole: bool,
    pub(super) begun: Mono,
    /// Rows up to this number were dealt with.
    pub(super) after: u64,
    /// How long ago, at least, the rows were seen absent.
    pub(super) absent_for: Duration,
    /// No row goes with others: what fails in a batch again and again, for one key of it maybe, gets its turn alone.
    pub(super) alone: bool,
    /// There are further pages.
    pub(super) more: bool,
    /// Rows could not be dealt with for now.
    pub(super) left: bool,
    /// Rows that are held.
    pub(super) waiting: usize,
}

impl Docket {
    /// `begin` is the ledger's counter now.
    pub(super) fn new(begin: Seq) -> Self {
        Self { begin, ..Self::default() }
    }

    /// The survey found no file for this object of ours, which was noted at `since`.
    pub(super) fn absent(&mut self, key: Key, etag: ETag, since: Mono) {
        self.absent.push((key, etag));
        self.since = Some(self.since.map_or(since, |other| other.min(since)));
    }

    /// True while surveys may go on.
    pub(super) fn has_room(&self) -> bool {
        self.absent.len() < MOST
    }

    /// Absent files to be looked at once more and condemned.
    pub(super) fn take_absent(&mut self) -> Option<Vec<(Key, ETag)>> {
        if self.sentencing || self.absent.is_empty() {
            return None;
        }
        self.sentencing = true;
        let rest = self.absent.split_off(self.absent.len().min(TOGETHER));
        Some(std::mem::replace(&mut self.absent, rest))
    }

    /// They were looked at once more, and if there are `rows` to be written they come back by [`Docket::condemned`].
    pub(super) fn sentenced(&mut self, rows: bool) {
        self.sentencing = false;
        self.unmarked += usize::from(rows);
        self.forget_since();
    }

    fn forget_since(&mut self) {
        if self.all_sentenced() && self.unmarked == 0 {
            self.since = None;
        }
    }

    /// Since when something is to be deleted; those that come soon after each other are as old as the first.
    pub(super) fn oldest(&self) -> Option<Mono> {
        let marks = self.marks.iter().map(|mark| mark.since);
        let judged = if self.judging || self.interrupted.is_some() { self.ripe.since } else { None };
        marks.chain([self.since, judged]).flatten().min()
    }

    /// Rows were written by commit `seq`. Marks within a sixteenth of the grace are one, but for the first, which
    /// would wait for ever; with `once`, which ends, all are.
    pub(super) fn condemned(&mut self, seq: Seq, now: Mono, born: u64, grace: Duration, once: bool) {
        let waiting = (0..self.marks.len()).filter(|n| self.marks[*n].seq > self.ripe.seq);
        let close = match waiting.skip(1).last() {
            _ if once => std::mem::take(&mut self.marks),
            Some(n) if now.saturating_sub(self.marks[n].seen) < grace / 16 => {
                self.marks.remove(n).into_iter().collect()
            }
            _ => VecDeque::new(),
        };
        let since = close.iter().filter_map(|mark| mark.since).chain(self.since).min();
        self.insert(Mark { seq, seen: now, born, due: now + grace, since });
        self.unmarked = self.unmarked.saturating_sub(1);
        self.forget_since();
    }

    fn insert(&mut self, mark: Mark) {
        let place = self.marks.partition_point(|other| other.due <= mark.due);
        self.marks.insert(place, mark);
    }

    /// When the next rows may be judged.
    pub(super) fn next(&self) -> Option<Mono> {
        self.marks.front().map(|mark| mark.due)
    }

    /// The first commit that counts.
    pub(super) fn begin(&self) -> Seq {
        self.begin
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.all_sentenced() && self.marks.is_empty() && !self.judging
    }

    /// Begins a sweep of the rows whose grace is over and before which nothing is undecided; `oldest` is the number of
    /// the oldest note that is not decided and tried yet. `left_over`: how many passes in a row left rows over.
    pub(super) fn sweep(&mut self, now: Mono, oldest: Option<u64>, left_over: u32) -> Option<Sweep> {
        let is_ripe = |mark: &&Mark| mark.due <= now && oldest.is_none_or(|oldest| oldest > mark.born);
        let ripe = self.marks.iter().take_while(is_ripe).count();
        if self.judging || ripe == 0 {
            return None;
        }
        self.judging = true;
        let before = self.ripe;
        let known = |mark: &Mark| mark.seq <= before.seq;
        // what is judged again may be due after newer rows, and has its own time
        let whole = self.marks.range(..ripe).any(known) || !self.marks.range(ripe..).any(known);
        let since = self.marks.range(..ripe).filter_map(|mark| mark.since).min();
        let newest = self.marks.drain(..ripe).fold(before, |a, b| if b.seq > a.seq { b } else { a });
        self.ripe = Mark { since, ..newest };
        Some(Sweep {
            begin: if whole { self.begin } else { before.seq + 1 },
            whole,
            begun: now,
            upto: self.ripe.seq,
            after: 0,
            absent_for: now - self.ripe.seen,
            alone: left_over % ROUNDS == ROUNDS - 1,
            more: false,
            left: false,
            waiting: 0,
        })
    }

    /// A pass ended.
    pub(super) fn swept(&mut self) {
        self.judging = false;
    }

    /// Nothing of the rows up to the last pass is left to be judged again.
    pub(super) fn dealt_with(&mut self) {
        self.marks.retain(|mark| mark.seq > self.ripe.seq);
        self.ripe.since = None;
    }

    /// True if no absent file waits for its second look.
    pub(super) fn all_sentenced(&self) -> bool {
        self.absent.is_empty() && !self.sentencing
    }

    /// Judges the rows whose grace is over once more, at `when` at the latest.
    pub(super) fn judge_again(&mut self, when: Mono) {
        let known = |mark: &&Mark| mark.seq <= self.ripe.seq;
        let due = self.marks.iter().filter(known).map(|mark| mark.due).fold(when, Mono::min);
        let since =
            self.marks.iter().filter(known).filter_map(|mark| mark.since).chain(self.ripe.since).min();
        self.dealt_with();
        self.insert(Mark { due, born: 0, since, ..self.ripe });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Mono = Mono::from_secs(1);
    const GRACE: Duration = Duration::from_secs(10);

    #[test]
    fn rows_that_are_judged_again_hide_no_newer_ones() {
        let mut d = Docket::new(1);
        d.condemned(10, Mono::ZERO, 5, GRACE, false);
        assert_eq!(d.sweep(S * 10, None, 0).unwrap().upto, 10);
        d.condemned(20, S * 12, 6, GRACE, false);
        d.judge_again(S * 70);
        d.swept();
        let sweep = d.sweep(S * 80, None, 0).unwrap();
        assert_eq!((sweep.begin, sweep.upto, sweep.absent_for), (1, 20, S * 68));
        d.swept();
        d.dealt_with();
        assert!(d.is_empty());
    }

    #[test]
    fn rows_that_are_judged_again_later_do_not_hold_up_newer_ones() {
        let mut d = Docket::new(1);
        d.condemned(10, Mono::ZERO, 5, GRACE, false);
        assert!(d.sweep(S * 10, None, 0).is_some());
        d.judge_again(S * 300);
        d.swept();
        d.condemned(20, S * 11, 6, GRACE, false);
        assert_eq!(d.next(), Some(S * 21));
        assert_eq!(d.sweep(S * 21, Some(6), 0).map(|sweep| sweep.upto), None, "a note is not decided");
        let sweep = d.sweep(S * 21, Some(7), 0).unwrap();
        assert_eq!((sweep.begin, sweep.upto, sweep.whole), (11, 20, false), "the others have their own time");
        d.swept();
        assert_eq!(d.next(), Some(S * 300));
        d.judge_again(S * 400);
        let sweep = d.sweep(S * 300, None, 0).unwrap();
        assert_eq!((sweep.begin, sweep.upto, sweep.absent_for), (1, 20, S * 289));
        d.judge_again(S * 600);
        d.swept();
        // an operator approved them
        d.judge_again(S * 310);
        assert!(d.sweep(S * 310, None, 0).unwrap().whole);
        d.swept();
        assert_eq!(d.next(), None);
    }

    #[test]
    fn what_is_to_be_deleted_is_as_old_as_the_first_of_it() {
        let mut d = Docket::new(1);
        let (a, tag) = (Key::raw("a"), ETag::new("t"));
        let absent = |d: &mut Docket, since: u32, seq, now: u32| {
            d.absent(a.clone(), tag.clone(), S * since);
            assert!(d.take_absent().is_some());
            d.sentenced(true);
            d.condemned(seq, S * now, 1, GRACE, false);
        };
        assert_eq!(d.oldest(), None);
        d.absent(a.clone(), tag.clone(), S);
        assert!(d.take_absent().is_some() && d.oldest() == Some(S));
        d.sentenced(false);
        assert_eq!(d.oldest(), None, "it was back");
        absent(&mut d, 2, 10, 5);
        absent(&mut d, 4, 20, 9);
        assert_eq!(d.oldest(), Some(S * 2));
        assert!(d.sweep(S * 15, None, 0).is_some());
        assert_eq!(d.oldest(), Some(S * 2), "it is being judged");
        d.swept();
        d.dealt_with();
        assert_eq!(d.oldest(), Some(S * 4), "the first is deleted");
        assert!(d.sweep(S * 19, None, 0).is_some());
        d.swept();
        d.judge_again(S * 80);
        assert_eq!(d.oldest(), Some(S * 4), "it is held");
        absent(&mut d, 30, 30, 40);
        assert!(!d.sweep(S * 50, None, 0).unwrap().whole && d.oldest() == Some(S * 4));
        d.swept();
        assert_eq!(d.oldest(), Some(S * 4));
        assert!(d.sweep(S * 80, None, 0).unwrap().whole);
        d.swept();
        d.dealt_with();
        assert_eq!(d.oldest(), None);
        d.judge_again(S * 90);
        assert_eq!(d.oldest(), None, "an operator asked, and there is nothing");
    }

    #[test]
    fn marks_that_are_close_are_one_but_the_first_waits_for_none() {
        let mut d = Docket::new(1);
        let grace = S * 160;
        for n in 0..100 {
            d.condemned(n + 1, S * n as u32, n, grace, false);
            d.dealt_with();
            d.judge_again(S * n as u32 + S);
        }
        d.dealt_with();
        assert_eq!((d.marks.len(), d.next()), (2, Some(grace)), "the first and the last");
        let mut last = 0;
        while let Some(now) = d.next() {
            let sweep = d.sweep(now, None, 0).unwrap();
            assert!(sweep.upto > last && sweep.absent_for >= grace, "{sweep:?}");
            last = sweep.upto;
            d.swept();
        }
        assert_eq!(last, 100);
        for n in 0..100 {
            d.condemned(n + 101, S * n as u32, n, grace, true);
        }
        assert_eq!((d.marks.len(), d.next()), (1, Some(grace + S * 99)), "a pass waits for the last");
    }
}
