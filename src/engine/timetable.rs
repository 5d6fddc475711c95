//! What is done again and again, whatever happens: everything is looked at, the claim is renewed.

use super::{owner, session::Session, settle::Task, trash, worker};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Against, Key, Sameness, Scope},
    queue::Mono,
    store::Store,
};

/// The claim is renewed this often.
const RENEW: Mono = Mono::from_secs(3600);
/// What is old in the trash goes this often,
const EXPIRE: Mono = Mono::from_secs(24 * 3600);
/// and first so soon.
const SOON: Mono = Mono::from_secs(60);

/// While changes are not seen as they happen, everything is looked at this often, or each `rescan` if that is sooner,
const POLL: Mono = Mono::from_secs(60);
/// but for one in so many parts of the time at the most.
const SHARE: u32 = 10;

/// When what is due next.
pub(super) struct Timetable {
    /// Time between two comparisons with the bucket,
    relist: Mono,
    /// and between two with the ledger.
    rescan: Mono,
    relist_at: Mono,
    rescan_at: Mono,
    tidy_at: Mono,
    renew_at: Mono,
    expire_at: Mono,
    /// What is old in the trash is being deleted; of a pass, or was.
    pub(super) expiring: bool,
    /// How long the last look at everything took.
    pub(super) took: Mono,
    /// Only looks find all changes.
    polls: bool,
}

impl Timetable {
    pub(super) fn new(relist: Mono, rescan: Mono, now: Mono) -> Self {
        let (relist_at, rescan_at, renew_at) = (now + relist, now + rescan, now + RENEW);
        Self {
            relist,
            rescan,
            relist_at,
            rescan_at,
            tidy_at: rescan_at,
            renew_at,
            expire_at: now + SOON,
            expiring: false,
            took: Mono::ZERO,
            polls: false,
        }
    }

    /// Only looks find all changes from now on, or no longer.
    pub(super) fn polls(&mut self, polls: bool, now: Mono) {
        self.polls = polls;
        self.rescan_at = self.rescan_at.min(now + self.period());
    }

    /// From one look at everything to the next.
    fn period(&self) -> Mono {
        if self.polls { self.rescan.min(POLL.max(self.took * SHARE)) } else { self.rescan }
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Mono {
        self.relist_at.min(self.rescan_at).min(self.tidy_at).min(self.renew_at).min(self.expire_at)
    }

    /// How everything is to be looked at now, if it is time. A comparison with the bucket is a look at the files, too.
    /// While one as close is `under_way`, no other begins: they would only slow each other down.
    fn look(&mut self, now: Mono, under_way: Option<Against>) -> Option<Against> {
        let due = if now >= self.relist_at {
            Against::Bucket
        } else if now >= self.rescan_at {
            Against::Ledger
        } else {
            return None;
        };
        let begins = under_way < Some(due);
        self.rescan_at = now + self.period();
        if due == Against::Bucket {
            self.relist_at = now + if begins { self.relist } else { self.relist.min(self.rescan) };
        }
        begins.then_some(due)
    }

    /// True if uploads that were left open are to be ended now: as often as there is a rescan, whatever takes its
    /// place.
    fn tidies(&mut self, now: Mono) -> bool {
        let due = now >= self.tidy_at;
        if due {
            self.tidy_at = now + self.rescan;
        }
        due
    }

    /// True if what is old in the trash is to go now; not before the bucket was compared once.
    fn expires(&mut self, now: Mono, relisted: bool) -> bool {
        let due = now >= self.expire_at;
        if due {
            self.expire_at = now + if relisted { EXPIRE } else { SOON };
        }
        due && relisted
    }

    /// True if the claim is to be renewed now.
    fn renewal(&mut self, now: Mono) -> bool {
        let due = now >= self.renew_at;
        if due {
            self.renew_at = now + RENEW;
        }
        due
    }
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    /// Begins what is due.
    pub(super) fn begin_regular(&mut self, now: Mono) {
        if self.ctx.options.once {
            return;
        }
        match self.timetable.look(now, self.looking_at_everything()) {
            Some(Against::Bucket) => {
                self.pending.retry(Scope::everything(), Against::Bucket, now, Mono::ZERO, 0);
            }
            // not more often than it may be already
            Some(Against::Ledger) if self.timetable.polls => {
                self.pending.retry(Scope::everything(), self.against(), now, Mono::ZERO, 0);
            }
            Some(Against::Ledger) => self.look_at_everything(now, None),
            None => {}
        }
        if self.timetable.tidies(now) && self.ctx.root != Sameness::Changed {
            self.tidy();
        }
        while let Some((path, failures)) = self.denials.due(now) {
            self.pending.retry(Scope::File(path), Against::Bucket, now, Mono::ZERO, failures);
        }
        if self.timetable.renewal(now) {
            self.renew();
        }
        if self.timetable.expires(now, self.relisted) {
            self.expire();
        }
    }

    /// Begins to delete what is old in the trash, if there is one; false if there is not, or it was done.
    pub(super) fn expire(&mut self) -> bool {
        let keeps = self.ctx.options.trash.as_ref().is_some_and(|trash| trash.keep.is_some());
        let may = keeps && !self.ctx.options.dry_run && self.ctx.root == Sameness::Same;
        if !may || self.timetable.expiring || self.ctx.turns.are_over() {
            return false;
        }
        self.timetable.expiring = true;
        let ctx = self.ctx.clone();
        self.task_of(async move { Task::Expired(trash::expire(&ctx).await) });
        true
    }

    /// Renews the claim, once at a time.
    pub(super) fn renew(&mut self) {
        if self.ctx.turns.are_over() || std::mem::replace(&mut self.renewing, true) {
            return;
        }
        let (ctx, asks, doubts) = (self.ctx.clone(), self.denials.are_asking(), self.doubts);
        self.task_of(async move {
            Task::Renewed(match doubts {
                true => owner::prove(&ctx).await.map(|()| false),
                false => owner::renew(&ctx, asks).await,
            })
        });
    }

    /// How closely everything is being looked at right now, if it is.
    fn looking_at_everything(&self) -> Option<Against> {
        let whole = self.surveying.values().filter(|surveyed| surveyed.note.scope.is_everything());
        whole.map(|surveyed| surveyed.note.against).max()
    }

    /// Ends uploads that were left open and that no upload to come goes on with.
    fn tidy(&mut self) {
        let keys: Vec<Key> =
            self.ctx.all_unsettled().into_iter().filter(|k| self.jobs.take(&[k], u64::MAX)).collect();
        if keys.is_empty() {
            return;
        }
        let ctx = self.ctx.clone();
        self.task_of(async move {
            let mut result = Ok(());
            for key in &keys {
                result = result.and(worker::tidy(&ctx, key).await);
            }
            Task::Tidied(keys, result)
        });
    }

    /// Not more often than a tenth of the time; for changes that were noted at `since`.
    pub(super) fn look_at_everything(&mut self, now: Mono, since: Option<Mono>) {
        let wait = self.ctx.options.quiet.max((self.timetable.took * SHARE).min(self.ctx.options.rescan));
        self.pending.owe(Scope::everything(), self.against(), now, wait, 0, since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c05_c10_while_changes_are_not_seen_everything_is_looked_at_each_minute_for_a_tenth_of_the_time() {
        let secs = Mono::from_secs;
        let mut table = Timetable::new(secs(86_400), secs(3600), secs(0));
        table.polls(true, secs(100));
        let looks = |table: &mut Timetable, took| {
            table.took = took;
            let now = table.rescan_at;
            assert_eq!(table.look(now, None), Some(Against::Ledger));
            now.as_secs()
        };
        assert_eq!([0, 5, 30, 900, 0].map(|took| looks(&mut table, secs(took))), [160, 220, 280, 580, 4180]);
        table.polls(false, secs(4200));
        assert_eq!(table.rescan_at, secs(4240), "what was planned still comes");
    }

    #[test]
    fn everything_is_due_in_its_turn() {
        let secs = Mono::from_secs;
        let mut table = Timetable::new(secs(100), secs(30), secs(1));
        let (mut due, mut tidied, mut expired) = (vec![], 0, vec![]);
        while table.next() < secs(200) {
            let now = table.next();
            let under_way = match now.as_secs() {
                61 | 161 => Some(Against::Ledger),
                91 | 101 => Some(Against::Bucket),
                131 => Some(Against::Ledger),
                _ => None,
            };
            due.push((now.as_secs(), table.look(now, under_way)));
            assert_eq!(table.look(now, None), None, "once");
            tidied += u32::from(table.tidies(now));
            expired.extend(table.expires(now, now > secs(70)).then_some(now.as_secs()));
        }
        due.retain(|(_, look)| look.is_some());
        let (disk, bucket) = (Some(Against::Ledger), Some(Against::Bucket));
        assert_eq!(due, [(31, disk), (131, bucket), (191, disk)]);
        assert_eq!(tidied, 6, "also when it is not time for a rescan");
        assert_eq!(expired, [121], "a minute after it was too soon");
        assert!(!table.expires(secs(86_520), true) && table.expires(secs(86_521), true));
        table.polls(true, secs(200));
        assert_eq!((table.rescan_at, table.rescan), (secs(221), secs(30)), "more often than it polls anyway");
        assert!(!table.renewal(secs(3600)) && table.renewal(secs(3601)) && !table.renewal(secs(3602)));
    }
}
