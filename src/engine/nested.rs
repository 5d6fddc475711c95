//! Prefixes of other mirrors within ours: a mistake, by which one would take the other's objects for leftovers.

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Fault, Key, RESERVED},
    store::Store,
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Prefixes that are known apart. Where there are more, everything is taken for another's.
const PREFIXES: usize = 4096;
/// Directories that are known to be none. Of more all are asked for again.
const OTHERS: usize = 4096;

/// Which directories of our keys are prefixes of others, by their owner records.
#[derive(Default)]
pub(super) struct Nested {
    known: Mutex<Known>,
    /// Of all that want to know of a directory only one asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    prefixes: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Nested {
    /// True if what has this key is known to lie in another mirror's prefix. A comparison with the bucket comes to every record.
    pub(super) fn holds(&self, key: &Key) -> bool {
        let known = self.known();
        let full = known.prefixes.len() >= PREFIXES;
        full || !known.prefixes.is_empty() && directories(key).any(|dir| known.prefixes.contains(dir))
    }

    /// An object that is not ours was found: it may be an owner record.
    pub(super) fn found(&self, key: &Key) {
        let record = key.as_str().strip_suffix("owner.json").and_then(|key| key.strip_suffix(RESERVED));
        if let Some(directory) = record.filter(|directory| directory.ends_with('/')) {
            self.is_prefix(directory);
        }
    }

    /// True if the object lies in another mirror's prefix: asks for the record of each directory above it, once.
    ///
    /// # Errors
    /// Those of HEAD.
    pub(super) async fn asked<T: Tree, S: Store, L: Ledger>(
        &self,
        ctx: &Context<T, S, L>,
        key: &Key,
    ) -> Result<bool, Fault> {
        for directory in directories(key) {
            if self.holds(key) {
                return Ok(true);
            }
            let _asking = self.asking.lock().await;
            if self.known().others.contains(directory) || self.known().prefixes.contains(directory) {
                continue;
            }
            let record = Key::raw(format!("{directory}{RESERVED}owner.json"));
            // a file of ours may be called so
            match ctx.store.head(&record).await? {
                Some(head) if head.own.as_deref() != Some(&*ctx.own(&record)) => self.is_prefix(directory),
                _ => self.is_none(directory),
            }
        }
        Ok(self.holds(key))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_none(&self, directory: &str) {
        let mut known = self.known();
        if known.others.len() >= OTHERS {
            known.others.clear();
        }
        known.others.insert(directory.to_owned());
    }

    fn is_prefix(&self, directory: &str) {
        let mut known = self.known();
        if known.prefixes.len() < PREFIXES && known.prefixes.insert(directory.to_owned()) {
            tracing::warn!(
                prefix = directory.escape_debug().to_string(),
                "another mirror's prefix lies within this one: nothing there is deleted or adopted; give one of them a prefix \
                 outside of the other's, or delete the owner record there if nobody mirrors to it any more"
            );
        }
    }
}

/// The directories above a key, each with its `/`.
fn directories(key: &Key) -> impl Iterator<Item = &str> {
    key.as_str().match_indices('/').map(|(at, _)| &key.as_str()[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_makes_its_directory_anothers_and_nothing_beside_it() {
        let nested = Nested::default();
        let key = |key: &str| Key::raw(key);
        for other in
            ["owner.json", ".s3mirrord/owner.json", "x.s3mirrord/owner.json", "d/.s3mirrord/owner.jsonx"]
        {
            nested.found(&key(other));
        }
        assert!(!nested.holds(&key("d/a")));
        nested.found(&key("d/e/.s3mirrord/owner.json"));
        for (at, want) in
            [("d/e/a", true), ("d/e/f/a", true), ("d/e", false), ("d/ea", false), ("d/a", false)]
        {
            assert_eq!(nested.holds(&key(at)), want, "{at}");
        }
    }
}
