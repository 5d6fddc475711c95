//! A note of the queue.

use super::Mono;
use crate::model::{Against, Scope};

/// A part of the mirror that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which part.
    pub scope: Scope,
    /// Where to take the remote side from.
    pub against: Against,
    /// Number of the first observation that led here: ever greater.
    pub born: u64,
    /// Attempts that failed so far.
    pub failures: u32,
    /// It was due at the longest wait: there was no quiet.
    pub restless: bool,
    /// When the oldest change was noted that it stands for; `None`: a look that nothing led to.
    pub since: Option<Mono>,
    /// The first that was noted here,
    pub(super) first: Mono,
    /// and when it is to be looked at.
    pub(super) due: Mono,
}

impl Note {
    /// True for a single file that did not fail before: it is not to wait behind what takes long.
    pub fn is_swift(&self) -> bool {
        matches!(self.scope, Scope::File(_)) && self.failures == 0
    }

    /// Stands for `other`, too: as old as the older of them, and asks as much as the one that asks more. When it is due is
    /// its own affair.
    pub(super) fn join(&mut self, other: &Self) {
        self.against = self.against.max(other.against);
        self.born = self.born.min(other.born);
        self.failures = self.failures.max(other.failures);
        self.first = self.first.min(other.first);
        self.since = self.since.into_iter().chain(other.since).min();
    }
}

/// The kinds of scope, in the order of their notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    File,
    Children,
    Tree,
}

impl Kind {
    pub(super) fn of(scope: &Scope) -> Self {
        match scope {
            Scope::File(_) => Self::File,
            Scope::Children(_) => Self::Children,
            Scope::Tree(_) => Self::Tree,
        }
    }
}
