//! Prefixes of other mirrors within ours: a mistake, by which one would take the other's objects for leftovers.

use crate::{
    model::{Fault, Key, RESERVED},
    store::Store,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Directories that are known; of more all are asked again.
const MOST: usize = 4096;

/// Which directories of our keys are prefixes of others. By their owner records, each asked for once.
#[derive(Default)]
pub(super) struct Nested(Mutex<BTreeMap<String, bool>>);

impl Nested {
    /// True if the object lies in the prefix of another mirror.
    ///
    /// # Errors
    /// Those of HEAD: what is not known is nobody's to take.
    pub(super) async fn holds<S: Store>(&self, store: &S, key: &Key) -> Result<bool, Fault> {
        for (at, _) in key.as_str().match_indices('/') {
            if self.is_prefix(store, &key.as_str()[..=at]).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_prefix<S: Store>(&self, store: &S, directory: &str) -> Result<bool, Fault> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(is) = known().get(directory) {
            return Ok(*is);
        }
        let is = store.head(&record_of(directory)).await?.is_some();
        if is {
            tell(directory);
        }
        let mut known = known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(directory.to_owned(), is);
        Ok(is)
    }
}

/// Where the owner record of a prefix lies that is `directory` of ours.
fn record_of(directory: &str) -> Key {
    Key::raw(format!("{directory}{RESERVED}owner.json"))
}

/// An object that is not ours was found: if it is the owner record of a prefix within ours, that is told.
pub(super) fn found(key: &Key) {
    let directory = key.as_str().strip_suffix("owner.json").and_then(|key| key.strip_suffix(RESERVED));
    if let Some(directory) = directory.filter(|directory| directory.ends_with('/')) {
        tell(directory);
    }
}

fn tell(directory: &str) {
    tracing::warn!(
        prefix = directory.escape_debug().to_string(),
        "another mirror's prefix lies within this one: what it holds is left alone; give one of them a prefix outside of the \
         other's, or delete the owner record there if nobody mirrors to it any more"
    );
}
