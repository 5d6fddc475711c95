//! What the watcher tells: where to look, and whether it sees what happens. While it does not, looks at everything
//! take its place ([`Timetable::polls`](super::timetable::Timetable::polls)).

use super::{Event, session::Session};
use crate::{
    ledger::Ledger,
    local::{Notice, Tree},
    model::Class,
    queue::Mono,
    store::Store,
};

/// What is known of the watcher. Outlives a session.
#[derive(Default)]
pub(super) struct Watch {
    /// It sees changes, or it is known that it does not.
    pub(super) armed: bool,
    /// It does not see all of them as they happen.
    pub(super) degraded: bool,
}

impl Watch {
    /// It sees all of them. True if that is news.
    pub(super) fn is_whole(&mut self) -> bool {
        self.armed = true;
        std::mem::take(&mut self.degraded)
    }

    /// It does not.
    pub(super) fn is_degraded(&mut self) {
        (self.armed, self.degraded) = (true, true);
    }
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    /// Takes heed of what the watcher tells.
    pub(super) fn noticed(&mut self, notice: Notice, now: Mono) {
        match notice {
            Notice::Look(scope) => self.pending.note(scope, self.against(), now),
            Notice::Lost(reason) => {
                tracing::warn!(reason, "changes were lost; looking at everything");
                self.look_at_everything(now, Some(now));
            }
            // the root is gone, or is another one: begin anew, and nothing is in sync until then
            Notice::Degraded(fault) if fault.class == Class::Fatal => {
                self.life.watch.armed = true;
                self.fail(fault);
            }
            Notice::Degraded(fault) => {
                self.life.watch.is_degraded();
                self.timetable.polls(true, now);
                self.tell(&Event::Degraded(fault));
            }
            Notice::Armed | Notice::Restored => {
                if self.life.watch.is_whole() {
                    self.timetable.polls(false, now);
                    self.tell(&Event::Restored);
                }
            }
        }
    }
}
