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
#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: Seq,
    at: Mono,
    born: u64,
}

/// What waits to be deleted.
#[derive(Debug, Default)]
pub(super) struct Docket {
    absent: Vec<(Key, ETag)>,
    marks: VecDeque<Mark>,
    /// Rows last seen absent before this commit were not seen absent by this session.
    begin: Seq,
    /// Rows last seen absent up to this commit had their grace.
    ripe: Seq,
    pub(super) judging: bool,
    pub(super) sentencing: bool,
}

/// A pass over the condemned rows.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    pub(super) begin: Seq,
    pub(super) upto: Seq,
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

    /// The survey found no file for this object of ours.
    pub(super) fn absent(&mut self, key: Key, etag: ETag) {
        self.absent.push((key, etag));
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

    /// Rows were written by commit `seq`. Marks within a sixteenth of the grace are one, but for the first, which
    /// would wait for ever; with `once`, which ends, all are.
    pub(super) fn condemned(&mut self, seq: Seq, now: Mono, born: u64, grace: Duration, once: bool) {
        let close = |last: &Mark| now.saturating_sub(last.at) < grace / 16;
        if once || self.marks.len() > 1 && self.marks.back().is_some_and(close) {
            self.marks.pop_back();
        }
        self.marks.push_back(Mark { seq, at: now, born });
    }

    /// When the next rows may be judged.
    pub(super) fn next(&self, grace: Duration) -> Option<Mono> {
        self.marks.front().map(|mark| mark.at + grace)
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
    pub(super) fn sweep(
        &mut self,
        now: Mono,
        grace: Duration,
        oldest: Option<u64>,
        left_over: u32,
    ) -> Option<Sweep> {
        let mut ripe = None;
        while let Some(mark) = self.marks.front() {
            if self.judging || mark.at + grace > now || oldest.is_some_and(|oldest| oldest <= mark.born) {
                break;
            }
            ripe = self.marks.pop_front();
        }
        let mark = ripe?;
        self.judging = true;
        self.ripe = self.ripe.max(mark.seq);
        Some(Sweep {
            begin: self.begin,
            upto: mark.seq,
            after: 0,
            absent_for: now - mark.at,
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
        self.marks.retain(|mark| mark.seq > self.ripe);
    }

    /// True if no absent file waits for its second look.
    pub(super) fn all_sentenced(&self) -> bool {
        self.absent.is_empty() && !self.sentencing
    }

    /// Judges the rows whose grace is over once more, at `when`.
    pub(super) fn judge_again(&mut self, when: Mono, grace: Duration) {
        let mark = Mark { seq: self.ripe, at: when.saturating_sub(grace), born: 0 };
        let place = self.marks.partition_point(|other| other.at <= mark.at);
        self.marks.insert(place, mark);
    }
}
