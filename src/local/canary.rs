//! A canary: a file of ours that is watched by the same inotify instance as the root, and opened now and then.
//! The event of that proves the way from the kernel to our thread alive; without it, a thread that hangs or an
//! instance that went deaf looks just like a directory in which nothing happens.
//!
//! Opening is an event by itself, so nothing is written for it, and a disk that sleeps is not woken.
//! If none comes in time, the watches are made anew; if those do not hear it either, it cannot be heard here
//! (a file system without events, say), which is told, and the canary is only asked on.

use super::rhythm::Rhythm;
use crate::model::{Class, Fault};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Where a canary sits, and how it is listened for. Without a file there is none.
#[derive(Clone, Debug)]
pub(super) struct Perch {
    pub(super) file: Option<PathBuf>,
    /// From one question to the next. Watches that are missing are tried for as often.
    pub(super) interval: Duration,
    /// How long an answer may take.
    pub(super) patience: Duration,
    pub(super) pulse: Pulse,
    /// When it is asked.
    pub(super) rhythm: Rhythm,
}

impl Default for Perch {
    fn default() -> Self {
        let (interval, patience) = (Duration::from_secs(30), Duration::from_secs(5));
        Self { file: None, interval, patience, pulse: Pulse::default(), rhythm: Rhythm::default() }
    }
}

/// When a watcher last showed that it lives, for whoever wants to know. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago that was: its canary was heard; or, while there is nothing to hear, its thread was seen at
    /// work. `None` if nothing can be asked of it: it was not begun, or the root lies on another machine, for
    /// which it may have to wait.
    pub fn silence(&self) -> Option<Duration> {
        self.last().map(|last| last.elapsed())
    }

    /// From now on it is asked for.
    pub(super) fn begin(&self) {
        *self.last() = Some(Instant::now());
    }

    /// It lives.
    pub(super) fn beat(&self) {
        if let Some(last) = &mut *self.last() {
            *last = Instant::now();
        }
    }

    /// Nothing is asked of it any more.
    pub(super) fn end(&self) {
        *self.last() = None;
    }
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing yet.
    Rest,
    /// It is to be asked.
    Ask,
    /// It did not answer: the watches are to be made anew.
    Anew,
}

/// What is known of the canary, over the life of many watches. Pure.
pub(super) struct Canary {
    rhythm: Rhythm,
    interval: Duration,
    patience: Duration,
    /// The next turn: to ask, or, once asked, to have heard. `None`: there is no canary.
    next: Option<Instant>,
    asked: bool,
    /// Questions without an answer, in a row.
    unheard: u32,
    /// Why it could not be asked.
    cause: Option<String>,
}

impl Canary {
    pub(super) fn new(perch: &Perch, now: Instant) -> Self {
        let next = perch.file.is_some().then_some(now);
        let Perch { rhythm, interval, patience, .. } = *perch;
        Self { rhythm, interval, patience, next, asked: false, unheard: 0, cause: None }
    }

    /// One that needs no perch: the root itself, whose opening is an event of the first of its watches.
    pub(super) fn of_root(rhythm: Rhythm, now: Instant) -> Self {
        let (interval, patience) = (Duration::from_secs(10), Duration::from_secs(5));
        Self { rhythm, interval, patience, next: Some(now), asked: false, unheard: 0, cause: None }
    }

    /// When there is something to do, if nothing is heard before.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// New watches are there: do they hear it?
    pub(super) fn listen(&mut self, now: Instant) {
        self.asked = false;
        self.next = self.next.map(|_| now);
    }

    /// It was heard.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.asked, self.unheard, self.cause) = (false, 0, None);
        self.next = self.next.map(|_| self.rhythm.next(now, self.interval));
    }

    /// It was asked, or could not be.
    pub(super) fn asked(&mut self, result: Result<(), String>, now: Instant) {
        self.asked = true;
        self.cause = result.err();
        self.next = self.next.map(|_| now + self.patience);
    }

    /// What is due, if nothing that was heard waits to be dealt with.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        if self.next.is_none_or(|next| now < next) {
            return Turn::Rest;
        }
        if !std::mem::take(&mut self.asked) {
            return Turn::Ask;
        }
        self.unheard += 1;
        self.next = Some(self.rhythm.next(now, self.interval));
        // new watches do not help against what keeps it from being asked, or did not help before
        if self.unheard == 1 && self.cause.is_none() { Turn::Anew } else { Turn::Rest }
    }

    /// True if it is not to be heard here: that nothing is heard says nothing.
    pub(super) fn is_mute(&self) -> bool {
        self.next.is_none() || self.unheard > 1 || (self.unheard == 1 && self.cause.is_some())
    }

    /// What to tell, if there is a canary and it is mute.
    pub(super) fn fault(&self, file: &Path) -> Fault {
        let nothing = || "opening it makes no event".to_owned();
        let cause = self.cause.clone().unwrap_or_else(nothing);
        Fault::new(Class::Permanent, format!("hear whether the watcher lives, by {}", file.display()), cause)
            .remedy(
                "let `state_dir` lie on a local disk that can be written; until then scans find the changes",
            )
    }
}

/// Makes the canary's event. The file is made if it is not there; what stands in its place is never waited for.
pub(super) fn ask(file: &Path) -> Result<(), Errno> {
    let flags = OFlags::RDONLY
        | OFlags::CREATE
        | OFlags::NONBLOCK
        | OFlags::NOFOLLOW
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    open(file, flags, Mode::RUSR | Mode::WUSR).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn canary(now: Instant) -> Canary {
        let perch = Perch {
            file: Some("canary".into()),
            interval: 30 * S,
            patience: 5 * S,
            rhythm: Rhythm::new(now),
            ..Perch::default()
        };
        Canary::new(&perch, now)
    }

    #[test]
    fn c14_it_is_asked_at_once_and_then_at_intervals_as_long_as_it_is_heard() {
        let now = Instant::now();
        let mut canary = canary(now);
        assert_eq!(canary.turn(now), Turn::Ask);
        canary.asked(Ok(()), now);
        assert_eq!(canary.turn(now + 4 * S), Turn::Rest);
        canary.heard(now + 4 * S);
        assert_eq!(canary.turn(now + 29 * S), Turn::Rest);
        assert_eq!(canary.turn(now + 30 * S), Turn::Ask);
        assert!(!canary.is_mute());
    }

    #[test]
    fn c14_one_that_is_not_heard_has_the_watches_made_anew_once_and_is_asked_on() {
        let now = Instant::now();
        let mut canary = canary(now);
        assert_eq!(canary.turn(now), Turn::Ask);
        canary.asked(Ok(()), now);
        assert_eq!((canary.turn(now + 5 * S), canary.is_mute()), (Turn::Anew, false));
        canary.listen(now + 6 * S);
        assert_eq!(canary.turn(now + 6 * S), Turn::Ask);
        canary.asked(Ok(()), now + 6 * S);
        assert_eq!((canary.turn(now + 11 * S), canary.is_mute()), (Turn::Rest, true));
        assert_eq!(canary.turn(now + 30 * S), Turn::Ask);
        canary.asked(Ok(()), now + 30 * S);
        canary.heard(now + 31 * S);
        assert!(!canary.is_mute(), "it can be heard after all");
        assert_eq!(canary.turn(now + 60 * S), Turn::Ask);
        canary.asked(Ok(()), now + 60 * S);
        assert_eq!(canary.turn(now + 65 * S), Turn::Anew, "it was heard before");
    }

    #[test]
    fn one_that_cannot_be_asked_is_mute_and_its_cause_is_told() {
        let now = Instant::now();
        let mut canary = canary(now);
        assert_eq!(canary.turn(now), Turn::Ask);
        canary.asked(Err("Read-only file system".into()), now);
        assert_eq!((canary.turn(now + 5 * S), canary.is_mute()), (Turn::Rest, true));
        let fault = canary.fault(Path::new("/s/canary"));
        assert!(fault.cause.contains("Read-only") && fault.remedy.is_some(), "{fault}");
        assert!(Canary::new(&Perch::default(), now).is_mute(), "there is none");
    }

    #[test]
    fn the_pulse_is_asked_for_from_its_beginning_to_its_end() {
        let pulse = Pulse::default();
        pulse.beat();
        assert_eq!(pulse.silence(), None);
        pulse.begin();
        while pulse.silence().expect("begun") < Duration::from_millis(1) {}
        let begun = *pulse.last();
        pulse.clone().beat();
        assert!(*pulse.last() > begun);
        pulse.end();
        assert_eq!(pulse.silence(), None);
    }
}
