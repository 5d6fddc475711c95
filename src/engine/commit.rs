//! What came back becomes durable, then known: changes gather in a batch, one commit is in flight at a time, and slots
//! free when it returns.

use super::{
    Deed, Ending, Event, ROUNDS,
    session::{Session, Surveyed},
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Against, Change, Class, Did, Fault, Key, Sameness, Scope, Seq},
    queue::{Mono, delay},
    store::Store,
};
use tracing::Instrument;

/// Between the beginnings of two commits, at least,
const APART: Mono = Mono::from_millis(10);
/// and so much more while jobs are under way whose proofs could go with it,
const GATHER: Mono = Mono::from_millis(40);
/// unless one in so many slots waits for it.
const FULL: usize = 4;

/// The longest pause before a ledger that could not be written is tried again.
const UNWRITTEN: Mono = Mono::from_secs(30);

pub(super) type Committed = (Vec<Change>, Vec<After>, Result<Seq, Fault>);

/// What follows when a change is durable.
pub(super) enum After {
    /// A job is done. The key is to be looked at again if `again`.
    Job { keys: Vec<Key>, why: &'static str, did: Did, again: bool },
    /// Rows were condemned.
    Condemned,
    /// A replacement is held.
    Held(Key),
    /// A condemned row was dealt with.
    Row { key: Key, deleted: bool, again: Option<(Scope, Against)> },
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    /// When what there is to commit is committed: each waits for the disk, so what comes soon goes with it.
    pub(super) fn commit_due(&self) -> Mono {
        let gathers = self.after.len() < self.ctx.options.room / FULL && !self.workers.is_empty();
        self.commit_at + if gathers { GATHER } else { Mono::ZERO }
    }

    pub(super) fn begin_commit(&mut self, now: Mono) {
        if self.batch.is_empty() || !self.commit.is_empty() || now < self.commit_due() {
            return;
        }
        self.commit_at = now + APART;
        let (batch, after) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.after));
        let ledger = self.ctx.ledger.clone();
        let commit = async move {
            let result = ledger.commit(batch.clone()).await;
            (batch, after, result)
        };
        self.commit.spawn(commit.in_current_span());
    }

    pub(super) fn committed(&mut self, (batch, after, result): Committed) {
        let now = self.now();
        match result {
            Ok(seq) => {
                if std::mem::take(&mut self.unwritten) > 0 && self.ctx.root != Sameness::Changed {
                    tracing::info!("the ledger can be written again");
                    self.life.report.with(|status| status.trouble = None);
                }
                for after in after {
                    match after {
                        After::Condemned => {
                            let (born, grace) = (self.pending.newest(), self.grace());
                            self.docket.condemned(seq, now, born, grace, self.ctx.options.once);
                        }
                        after => {
                            self.overtake(&after);
                            self.then(after);
                        }
                    }
                }
            }
            Err(fault) if fault.class == Class::Fatal => self.fail(fault),
            Err(fault) => {
                // slots stay taken, so nothing new begins until the ledger can be written again
                if self.unwritten == 0 {
                    tracing::error!(%fault, "the ledger cannot be written; trying again until it can");
                }
                self.unwritten += 1;
                self.batch.splice(0..0, batch);
                self.after.splice(0..0, after);
                if self.ctx.options.once && self.unwritten >= ROUNDS {
                    // beginning anew would read it all again, for nothing
                    return self.fail(Fault { class: Class::Fatal, ..fault });
                }
                self.commit_at = now + delay(self.unwritten, 1.0).min(UNWRITTEN);
                self.tell(&Event::Trouble(fault));
            }
        }
    }

    /// A row was written while surveys are under way that may have read the one before it: what they will tell of
    /// its key is dropped, and it is looked at again.
    fn overtake(&mut self, after: &After) {
        let keys = match after {
            After::Condemned => return,
            After::Job { keys, .. } => keys.as_slice(),
            After::Row { key, .. } | After::Held(key) => std::slice::from_ref(key),
        };
        for key in keys {
            let born = self.jobs.born(key);
            for Surveyed { note, window, .. } in self.surveying.values_mut() {
                if note.scope.holds(key) && window.overtake(key, Some(note.born) == born) {
                    self.jobs.busy(key, note.against);
                }
            }
        }
    }

    /// A change is durable (or none was needed): frees its slots and tells.
    pub(super) fn then(&mut self, after: After) {
        let now = self.now();
        match after {
            After::Condemned => {}
            After::Held(key) => {
                self.reviews.written();
                self.free(std::slice::from_ref(&key));
            }
            After::Job { keys, why, did, again } => {
                self.free(&keys);
                let dry_run = self.ctx.options.dry_run;
                if let Some(key) = keys.first() {
                    if !again {
                        self.life.unsynced.proven(key);
                    }
                    self.life.report.did(now, key, &did, why, dry_run);
                    if let Some(path) = key.place().filter(|_| again) {
                        self.pending.retry(Scope::File(path), Against::Ledger, now, Mono::ZERO, 0);
                    }
                }
            }
            After::Row { key, deleted, again } => {
                self.free(std::slice::from_ref(&key));
                if again.is_none() {
                    self.life.unsynced.in_sync(&key);
                }
                if deleted {
                    let (deed, ending) = (Deed::Delete, Ending::Done);
                    self.tell(&Event::Action {
                        key,
                        deed,
                        from: None,
                        why: "the file is gone",
                        ending,
                        bytes: 0,
                    });
                }
                if let Some((scope, against)) = again {
                    self.pending.note(scope, against, now);
                }
            }
        }
    }
}
