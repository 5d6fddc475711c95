//! How far the bucket is behind: since when something is known that is not proven there yet, told and remembered.
//!
//! What is known of a change is its note, then what was decided of its key, or the row that condemns its object; each knows
//! when the change was noted. Until the first comparison with the bucket is over nobody knows what differs, so all of that
//! counts from the end of the life before, or from the start. The ledger remembers it, so that a restart makes nothing younger.

use super::{Event, Report, Status, session::Session};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Change, Sameness, Stamp},
    queue::Mono,
    store::Store,
};
use std::time::Duration;
use tokio::time::Instant;

/// What is proven sooner is never written down.
const SOON: Mono = Mono::from_secs(5);
/// The least time between two times that are written down.
const APART: Mono = Mono::from_secs(10);

/// What outlives a session. A time of 0 stands for the end of the life before.
pub(super) struct Lag {
    start: Instant,
    /// How long before the start of this life something was unsynced already.
    before: Duration,
    /// Since when, as it was told last.
    told: Option<Mono>,
    /// As the ledger has it; outer `None`: not known.
    written: Option<Option<Mono>>,
    /// When that was written.
    at: Option<Mono>,
}

impl Lag {
    /// What the life before left, by what is `known` in this process and what the ledger remembers. It is told at once.
    pub(super) async fn inherited<L: Ledger>(
        ledger: &L,
        start: Instant,
        wall: Stamp,
        report: &Report,
    ) -> Self {
        let kept = ledger.unsynced().await;
        // what cannot be read is told by the session that begins
        let written = kept.as_ref().ok().map(|kept| kept.map(|_| Mono::ZERO));
        let seconds =
            |kept: Stamp| Duration::from_secs(wall.sec.saturating_sub(kept.sec).max(0).unsigned_abs());
        let kept = kept.ok().flatten().map_or(Duration::ZERO, seconds);
        let known = report.live().unsynced().unwrap_or_default();
        let mut lag = Self { start, before: kept.max(known), told: None, written, at: None };
        lag.tell(Some(Mono::ZERO), report);
        lag
    }

    /// The session ended: what came of the last it wrote is not known, and what happens until the next is noted is not either.
    pub(super) fn ends(&mut self, now: Mono, report: &Report) {
        self.written = None;
        self.tell(Some(self.told.unwrap_or(now)), report);
    }

    /// Since when the next session has to find out what differs.
    pub(super) fn begins(&self, now: Mono) -> Mono {
        self.told.unwrap_or(now)
    }

    fn tell(&mut self, since: Option<Mono>, report: &Report) {
        if since != self.told {
            self.told = since;
            report.live().lags(since.map(|since| (self.start + since, self.older(since))));
        }
    }

    /// How much older something is than its time says.
    fn older(&self, since: Mono) -> Duration {
        if since == Mono::ZERO { self.before } else { Duration::ZERO }
    }

    /// When what is to be remembered is to be written down; `None`: it is.
    fn due(&self, once: bool) -> Option<Mono> {
        match (self.written, self.told) {
            (Some(written), told) if written == told => None,
            (_, None) => Some(Mono::ZERO),
            // a pass leaves what it found
            (_, Some(_)) if once => None,
            (Some(Some(_)), Some(_)) => Some(self.at.map_or(Mono::ZERO, |at| at + APART)),
            (_, Some(since)) => Some(since + SOON),
        }
    }
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    /// Tells since when something is unsynced, and has it written down if that is due.
    pub(super) fn lag(&mut self, now: Mono) {
        let since = self.unsynced();
        let lag = &mut *self.life.lag;
        lag.tell(since, self.life.report);
        if self.ctx.options.dry_run || lag.due(self.ctx.options.once).is_none_or(|due| due > now) {
            return;
        }
        let wall = (self.ctx.options.wall)().sec;
        let age = |since| now.saturating_sub(since).saturating_add(lag.older(since)).as_secs();
        let stamp = since.map(|since| Stamp { sec: wall.saturating_sub_unsigned(age(since)), nsec: 0 });
        (lag.written, lag.at) = (Some(since), Some(now));
        self.batch.push(Change::Unsynced(stamp));
    }

    /// When there is something to write down that is not due yet.
    pub(super) fn lag_due(&self, now: Mono) -> Option<Mono> {
        let due = self.life.lag.due(self.ctx.options.once).filter(|_| !self.ctx.options.dry_run);
        due.filter(|due| *due > now)
    }

    /// Tells whether all that was seen is in sync, held or failing, if that is news.
    pub(super) fn tell_settled(&mut self, now: Mono) {
        let mine = self.ctx.root != Sameness::Changed;
        let settled = mine && self.relisted && self.is_idle() && (self.docket.is_empty() || self.is_held());
        // what is held or fails is not in sync, and that nothing has happened since is no news
        let whole = |status: &mut Status| {
            status.failing.is_empty() && status.held.is_none() && status.overwrites_held.is_none()
        };
        if settled && self.life.report.with(whole) {
            let all_seen = self.life.report.with(|status| status.unreadable.count() == 0);
            if self.life.unsynced.all_in_sync(all_seen) || !self.settled {
                // whoever reads that all is in sync reads no lag beside it
                self.lag(now);
            }
            if std::mem::take(&mut self.news) {
                self.tell(&Event::Settled);
            }
        }
        if settled != self.settled {
            self.settled = settled;
            self.life.report.with(|status| status.settled = settled);
        }
    }

    /// Since when something is unsynced.
    fn unsynced(&self) -> Option<Mono> {
        // of another root nothing is to be in sync, and what the first comparison has not come to is not known
        let proven = self.relisted && self.ctx.root != Sameness::Changed;
        let base = (!proven).then_some(self.base);
        let looks = self.surveying.values().filter_map(|surveyed| surveyed.note.since).min();
        let known = [base, self.pending.since(), looks, self.life.unsynced.oldest(), self.docket.oldest()];
        known.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proven_soon_is_not_written_and_what_moves_is_written_now_and_then() {
        const S: Mono = Mono::from_secs(1);
        let (none, since) = (Some(None), |at| Some(Some(S * at)));
        for (written, told, at, once, want) in [
            (none, None, None, false, None),
            (none, Some(20), None, false, Some(25)),
            (none, Some(20), None, true, None),
            (since(20), Some(20), Some(25), false, None),
            (since(20), Some(30), Some(25), false, Some(35)),
            (since(0), Some(30), None, false, Some(0)),
            (since(20), Some(30), Some(25), true, None),
            (since(20), None, Some(25), false, Some(0)),
            (since(20), None, Some(25), true, Some(0)),
            (None, None, Some(25), false, Some(0)),
            (None, Some(30), Some(25), false, Some(35)),
        ] {
            let (told, at) = (told.map(|at| S * at), at.map(|at| S * at));
            let lag = Lag { start: Instant::now(), before: S, told, written, at };
            assert_eq!(lag.due(once), want.map(|at| S * at), "{written:?} {told:?} {at:?} {once}");
        }
    }
}
