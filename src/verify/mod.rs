//! L3, the second look: what disk and bucket hold is compared, and nothing is changed on either side.
//!
//! It needs no ledger: names and sizes come from a walk and a listing, the rest from HEAD and the file, or, if it is to
//! be deep, from the object's own bytes. Where there is a ledger at hand its proof counts, as in a pass. `pairs` brings
//! the two sides together, `compare` looks at one key, and `plan::difference` says what it is.

mod compare;
mod pairs;

use crate::{
    ledger::Database,
    local::{Directory, Prune},
    model::{Capabilities, Class, Fault, Keep, Key, MirrorId, RelPath},
    plan::{Difference, apart},
    store::S3,
};
use compare::Comparer;
use futures::{StreamExt, TryStreamExt};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Keys that are compared at the same time.
const ABREAST: usize = 32;

/// The two sides, and what is known of them.
pub struct Sides {
    /// The disk.
    pub tree: Directory,
    /// What is left out of the mirror.
    pub prune: Prune,
    /// The bucket.
    pub store: S3,
    /// The proofs, if they are at hand and of this place.
    pub ledger: Option<Database>,
}

/// What is to be compared, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every object is fetched, and its bytes compared with the file's.
    pub deep: bool,
    /// Files, and directories with all below them; empty: everything.
    pub paths: Vec<RelPath>,
    /// The prefix, as the store has it.
    pub prefix: String,
    /// Whose objects are ours; `None`: nobody's.
    pub mirror: Option<MirrorId>,
    /// What is kept beside bytes, time, mode and owner.
    pub keep: Keep,
    /// What the store honours, as far as it is known.
    pub can: Capabilities,
    /// Somebody keeps the mirror up meanwhile: what just changed is given some seconds.
    pub beside: bool,
    /// Seconds since 1970.
    pub wall: fn() -> i64,
}

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// File and object are equal.
    Equal,
    /// Their contents are; the object is not ours, so that its metadata stays as it is until the file changes.
    Adopted,
    /// It is no part of the mirror.
    LeftOut,
    /// It is there no longer, on either side.
    Gone,
    /// Something is to be told, and why.
    Is(Difference, String),
}

/// Told of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Below the prefix.
    pub key: Key,
    /// What.
    pub difference: Difference,
    /// Why.
    pub why: String,
}

/// What it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Keys that are equal on both sides.
    pub equal: u64,
    /// Of these, objects that other tools wrote.
    pub adopted: u64,
    /// Keys that are no part of the mirror.
    pub skipped: u64,
    /// What differs, by kind.
    pub told: BTreeMap<Difference, u64>,
    /// Bytes of objects that came.
    pub came: u64,
    /// Bytes of files that were read.
    pub read: u64,
}

impl Sums {
    /// How many of one kind.
    pub fn of(&self, difference: Difference) -> u64 {
        self.told.get(&difference).copied().unwrap_or_default()
    }

    /// True if disk and bucket are in sync, as far as could be told. What is foreign is no difference.
    pub fn in_sync(&self) -> bool {
        self.told.keys().all(|difference| *difference == Difference::Foreign)
    }
}

/// How far it is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Mutex<Sums>>);

impl Live {
    /// As it is now.
    pub fn sums(&self) -> Sums {
        self.get().clone()
    }

    fn get(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, ending: &Ending) {
        let mut sums = self.get();
        match ending {
            Ending::Equal => sums.equal += 1,
            Ending::Adopted => {
                sums.equal += 1;
                sums.adopted += 1;
            }
            Ending::LeftOut => sums.skipped += 1,
            Ending::Gone => {}
            Ending::Is(difference, _) => *sums.told.entry(*difference).or_default() += 1,
        }
    }

    fn arrived(&self, bytes: u64) {
        self.get().came += bytes;
    }

    fn read(&self, bytes: u64) {
        self.get().read += bytes;
    }
}

/// Compares until all is done, or `stop` is cancelled.
///
/// # Errors
/// What nothing can be compared for: the root, the bucket, credentials, a store that is away.
pub async fn run(
    sides: &Sides,
    options: &Options,
    live: &Live,
    stop: &CancellationToken,
    tell: impl Fn(Event),
) -> Result<(), Fault> {
    let comparer = Comparer::new(sides, options, live);
    let all = async {
        for path in apart(&options.paths) {
            let mut some = false;
            let comparer = &comparer;
            let compared = pairs::pairs(sides, &path)
                .map_ok(|pair| async move {
                    let key = pair.key.clone();
                    comparer.compare(pair).await.map(|ending| (key, ending))
                })
                .try_buffer_unordered(ABREAST);
            let mut compared = compared.boxed_local();
            let say = |key: Key, ending: Ending| {
                live.count(&ending);
                if let Ending::Is(difference, why) = ending {
                    tell(Event { key, difference, why });
                }
            };
            while let Some((key, ending)) = compared.try_next().await? {
                some |= ending != Ending::Gone;
                say(key, ending);
            }
            let excluded = [true, false].iter().any(|is_dir| sides.prune.excludes(&path, *is_dir));
            if !some && excluded {
                live.count(&Ending::LeftOut);
            } else if !some && !path.is_root() {
                let why = "neither a file nor an object has this name, and nothing is below it".to_owned();
                say(Key::of(&path), Ending::Is(Difference::Missing, why));
            }
        }
        Ok(())
    };
    let stopped =
        || Fault::new(Class::Transient, "verify", "stopped before it was over").remedy("run it again");
    stop.run_until_cancelled(all).await.unwrap_or_else(|| Err(stopped()))
}
