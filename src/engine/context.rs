//! What a session shares with its workers.

use super::{
    Options, Report,
    bracket::{Bracket, Inside},
    nested::Nested,
    owner,
    worker::Turns,
};
use crate::{
    ledger::Ledger,
    local::{Hashing, Prune, Tree},
    model::{Binding, Class, ETag, Extra, Fault, Key, LocalMeta, Sameness, Spec, Stamp},
    plan::View,
    store::Store,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, sleep_until},
};

/// The clock of a file system is looked at this often.
const TICK: Duration = Duration::from_millis(1);

/// Objects that are known to be in the trash; more are copied again if need be,
const KEPT: usize = 4096;
/// and after so long, too: somebody may have emptied it.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// Seconds that the clocks of one store's servers may be apart.
const APART: i64 = 900;

/// The three sides and what was found when the mirror was opened. One for each session.
pub(super) struct Context<T, S, L> {
    pub tree: T,
    pub store: S,
    pub ledger: L,
    pub options: Options,
    pub prune: Prune,
    /// Identity of the mirror, and what the store honours.
    pub binding: Binding,
    /// How the root found compares with the one bound.
    pub root: Sameness,
    /// How long the file system's clock may stand still.
    pub clock_step: Duration,
    /// Jobs at the same time.
    pub turns: Turns,
    /// What is run before files are read, and after.
    pub bracket: Option<Arc<Bracket>>,
    /// Requests for a page of a listing at the same time.
    pub listers: Semaphore,
    /// The threads that compare files with objects.
    pub hashing: Hashing,
    /// Counts the bytes read.
    pub report: Report,
    /// The owner record found when the mirror was opened.
    pub found: owner::Found,
    /// What a claim and its renewals replace.
    pub hold: owner::Hold,
    /// Nothing in the bucket was ours when the mirror was opened.
    pub fresh: bool,
    claimed: OnceCell<owner::Claim>,
    /// Why there is no claim to be had in this session.
    refused: OnceLock<Fault>,
    /// Keys whose multipart upload may be left open, and how often it could not be gone on with.
    unsettled: Mutex<BTreeMap<Key, u32>>,
    /// What was copied to the trash, and when: what is tried again need not be copied again.
    kept: Mutex<BTreeMap<Key, (ETag, Instant)>>,
    /// Directories that are other mirrors' prefixes.
    pub nested: Nested,
    /// Held while a replacement is judged.
    pub overwrites: tokio::sync::Mutex<()>,
    unsorted: AtomicBool,
}

impl<T: Tree, S: Store, L: Ledger> Context<T, S, L> {
    pub(super) fn new(
        sides: (T, S, L),
        options: Options,
        prune: Prune,
        opened: owner::Opened,
        report: Report,
    ) -> Self {
        let (tree, store, ledger) = sides;
        Self {
            turns: Turns::new(options.workers),
            bracket: options.hooks.clone().map(|hooks| Bracket::new(hooks, options.quiet, options.longest)),
            listers: Semaphore::new(options.listers),
            hashing: Hashing::default(),
            binding: opened.binding,
            root: opened.sameness,
            clock_step: opened.clock_step,
            hold: owner::Hold::new(&opened.found),
            found: opened.found,
            fresh: opened.fresh,
            claimed: OnceCell::new(),
            refused: OnceLock::new(),
            unsettled: Mutex::default(),
            kept: Mutex::default(),
            nested: Nested::default(),
            overwrites: tokio::sync::Mutex::default(),
            unsorted: AtomicBool::new(false),
            tree,
            store,
            ledger,
            options,
            prune,
            report,
        }
    }

    /// Claims the prefix, once a session, before its first mutation.
    pub(super) async fn claim(&self) -> Result<&owner::Claim, Fault> {
        let claim = || async {
            // of all that wait for it only one asks
            if let Some(fault) = self.refused.get() {
                return Err(fault.clone());
            }
            let claim = Box::pin(owner::claim(self)).await.map_err(Fault::of_all);
            claim.inspect_err(|fault| {
                if matches!(fault.class, Class::Fatal | Class::Owned) {
                    let _ = self.refused.set(fault.clone());
                }
            })
        };
        self.claimed.get_or_try_init(claim).await
    }

    /// Waits until files may be read.
    pub(super) async fn may_read(&self) -> Result<Option<Inside>, Fault> {
        match &self.bracket {
            Some(bracket) => bracket.enter(|| self.turns.are_over()).await,
            None => Ok(None),
        }
    }

    /// The claim, if there was need of one.
    pub(super) fn claimed(&self) -> Option<&owner::Claim> {
        self.claimed.get()
    }

    /// True if an object that was changed last then cannot be ours: it is older than the mirror's first claim.
    pub(super) fn is_older(&self, modified: Option<Stamp>) -> bool {
        match self.binding.claimed.or_else(|| self.claimed()?.first()) {
            Some(first) => modified.is_some_and(|modified| modified.sec + APART < first.sec),
            None => self.fresh && self.claimed().is_none(),
        }
    }

    /// The text of `s3mirrord-own`: which mirror wrote the object, and for which key, so that a copy of it
    /// elsewhere is not taken for ours.
    pub(super) fn own(&self, key: &Key) -> String {
        self.binding.mirror.own(&self.options.prefix, key)
    }

    /// What verdicts are given in the light of.
    pub(super) fn view(&self) -> View {
        View { root: self.root, deletes: self.options.deletes, keep: self.options.keep }
    }

    /// True if the store was found to list out of key order.
    pub(super) fn unsorted(&self) -> bool {
        self.unsorted.load(Ordering::Relaxed)
    }

    /// Remembers that the store lists out of key order.
    pub(super) fn lists_unsorted(&self) {
        self.unsorted.store(true, Ordering::Relaxed);
    }

    /// What an upload of this file carries.
    pub(super) fn spec(&self, key: &Key, meta: &LocalMeta, extra: &Extra) -> Spec {
        Spec {
            size: meta.print.size,
            mtime: meta.print.mtime,
            attributes: meta.attributes,
            names: self.tree.names((meta.attributes.uid, meta.attributes.gid)),
            keep: self.options.keep,
            extra: extra.clone(),
            own: self.own(key),
            sha256: None,
            part_size: None,
        }
    }

    /// Waits until every write from now on shows in `fstat` of a file that was last changed at `changed`: the file
    /// system's clock has gone past it, or what was seen at `seen` is a clock step old.
    pub(super) async fn clock_step(&self, seen: Instant, changed: Stamp) {
        let end = seen + self.clock_step;
        while !self.tree.ticked(changed) && Instant::now() < end {
            sleep_until(end.min(Instant::now() + TICK)).await;
        }
    }

    /// Remembers that the object was copied to the trash.
    pub(super) fn kept(&self, key: &Key, etag: &ETag) {
        let mut kept = self.kept_keys();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key.clone(), (etag.clone(), Instant::now()));
    }

    /// It is gone, or another is in its place: what comes to be what it was is kept anew.
    pub(super) fn parted(&self, key: &Key) {
        self.kept_keys().remove(key);
    }

    /// True if it was, not long ago.
    pub(super) fn is_kept(&self, key: &Key, etag: &ETag) -> bool {
        self.kept_keys().get(key).is_some_and(|(kept, at)| kept == etag && at.elapsed() < KEPT_FOR)
    }

    fn kept_keys(&self) -> MutexGuard<'_, BTreeMap<Key, (ETag, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsettled_keys(&self) -> MutexGuard<'_, BTreeMap<Key, u32>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that an upload of `key` may be left open.
    pub(super) fn unsettled(&self, key: &Key) {
        self.unsettled_keys().entry(key.clone()).or_default();
    }

    /// None is.
    pub(super) fn settled(&self, key: &Key) {
        self.unsettled_keys().remove(key);
    }

    /// Keys an upload of which may be left open.
    pub(super) fn all_unsettled(&self) -> Vec<Key> {
        self.unsettled_keys().keys().cloned().collect()
    }

    /// True if an upload of `key` may be left open.
    pub(super) fn is_unsettled(&self, key: &Key) -> bool {
        self.unsettled_keys().contains_key(key)
    }

    /// The store did not tell what the upload of `key` holds, or did not complete it.
    pub(super) fn stumble(&self, key: &Key) {
        if let Some(stumbles) = self.unsettled_keys().get_mut(key) {
            *stumbles += 1;
        }
    }

    /// How often that was so.
    pub(super) fn stumbles(&self, key: &Key) -> u32 {
        self.unsettled_keys().get(key).copied().unwrap_or_default()
    }
}
