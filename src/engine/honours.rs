//! What the store honours of conditions and checksums, and when that is asked again.

use super::{context::Context, owner};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Binding, Capabilities, Fault, Key, Stamp},
    store::Store,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// It is asked again after so many seconds: the store may be of another release, or another store, by now.
const HOLDS: i64 = 7 * 24 * 3600;
/// Where that does not work it is tried again after so many.
const AGAIN: i64 = 24 * 3600;

/// What a session goes by.
pub(super) struct Honours {
    known: Capabilities,
    /// When that was asked last, by the wall clock.
    asked: Mutex<Option<Stamp>>,
}

impl Honours {
    /// As the ledger is to have it.
    pub(super) fn of(binding: &Binding) -> Self {
        Self { known: binding.capabilities.unwrap_or_default(), asked: Mutex::new(binding.probed) }
    }

    /// What the store is taken to honour.
    pub(super) fn known(&self) -> Capabilities {
        self.known
    }

    /// True if it honours other things by now: all that was chosen by what was known is to be chosen anew.
    pub(super) async fn changed<T: Tree, S: Store, L: Ledger>(
        &self,
        ctx: &Context<T, S, L>,
        near: &Key,
    ) -> bool {
        let (known, now) = (Some(self.known), (ctx.options.wall)());
        if !is_due(known, *self.asked(), now) {
            return false;
        }
        let Ok(Some(found)) = find_out(ctx, near, known).await else {
            *self.asked() = Some(Stamp { sec: now.sec - HOLDS + AGAIN, ..now });
            return false;
        };
        *self.asked() = Some(now);
        owner::remember(ctx, |binding| (binding.capabilities, binding.probed) = (Some(found), Some(now)))
            .await;
        found != self.known
    }

    fn asked(&self) -> MutexGuard<'_, Option<Stamp>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if nobody knows, or it was found out long ago, or at a time that is to come.
pub(super) fn is_due(known: Option<Capabilities>, asked: Option<Stamp>, now: Stamp) -> bool {
    let holds = asked.is_some_and(|at| (0..HOLDS).contains(&now.sec.saturating_sub(at.sec)));
    known.is_none() || !holds
}

/// Asks, beside the key `near`, what the store honours. `None`: it cannot be asked, and what is known is all there is.
///
/// # Errors
/// Those of the requests, where nothing is known.
pub(super) async fn find_out<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    near: &Key,
    known: Option<Capabilities>,
) -> Result<Option<Capabilities>, Fault> {
    match (ctx.store.probe(near).await, known) {
        (Ok(found), known) => {
            // a batch that had no answer tells nothing
            let batch = found.conditional_batch.or(known.and_then(|known| known.conditional_batch));
            Ok(Some(Capabilities { conditional_batch: batch, ..found }))
        }
        (Err(fault), None) => Err(fault),
        (Err(fault), Some(_)) => {
            tracing::warn!(
                "what the store honours could not be asked again, and is taken for what it was: {fault}"
            );
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_holds_for_a_week() {
        let (known, now) = (Some(Capabilities::default()), Stamp { sec: 10 * HOLDS, nsec: 0 });
        let at = |sec| Some(Stamp { sec, nsec: 0 });
        for (known, asked, want) in [
            (None, at(now.sec), true),
            (known, None, true),
            (known, at(now.sec), false),
            (known, at(now.sec - HOLDS + 1), false),
            (known, at(now.sec - HOLDS), true),
            (known, at(now.sec + 1), true),
        ] {
            assert_eq!(is_due(known, asked, now), want, "{asked:?}");
        }
    }
}
