//! What the store honours of conditions and checksums, and when that is asked again.

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Binding, Capabilities, Change, Fault, Key, Stamp},
    store::Store,
};
use std::sync::{Mutex, PoisonError};

/// It is asked again after so many seconds: the store may be of another release, or another store, by now.
const HOLDS: i64 = 7 * 24 * 3600;

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

    /// True if it honours other things by now. Asked as seldom as [`find_out`] does.
    pub(super) async fn changed<T: Tree, S: Store, L: Ledger>(
        &self,
        ctx: &Context<T, S, L>,
        near: &Key,
    ) -> Result<bool, Fault> {
        // an operator may have accepted another root meanwhile
        let Some(mut binding) = ctx.ledger.binding().await? else { return Ok(false) };
        let before = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        (binding.capabilities, binding.probed) = (Some(self.known), before);
        find_out(ctx, &mut binding, near).await?;
        let Binding { capabilities: found, probed, .. } = binding;
        if probed == before {
            return Ok(false);
        }
        ctx.ledger.commit(vec![Change::Bind(binding)]).await?;
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = probed;
        Ok(found != Some(self.known))
    }
}

/// Asks, beside the key `near`, what the store honours if that is not known, or was asked long ago.
pub(super) async fn find_out<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    binding: &mut Binding,
    near: &Key,
) -> Result<(), Fault> {
    let now = (ctx.options.wall)();
    // what an older version found out lacks what that did not ask
    let known = binding.capabilities.filter(|known| known.conditional_batch.is_some());
    let holds = binding.probed.is_some_and(|at| (0..HOLDS).contains(&now.sec.saturating_sub(at.sec)));
    if known.is_some() && holds {
        return Ok(());
    }
    match ctx.store.probe(near).await {
        Ok(found) => {
            ctx.store.know(found);
            (binding.capabilities, binding.probed) = (Some(found), Some(now));
            Ok(())
        }
        Err(fault) if known.is_some() => {
            tracing::debug!(%fault, "whether the store honours what it did is not known; asking again later");
            Ok(())
        }
        Err(fault) => Err(fault),
    }
}
