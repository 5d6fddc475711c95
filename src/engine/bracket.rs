//! What is run before files are read, and after: the daemon's jobs that read files are within a bracket.
//!
//! The first job to come opens it, and the others wait until that is done. It is closed when no job is under way, but is
//! open for the quiet time at least; after the longest wait no more jobs come in, so that what is frozen meanwhile is
//! not frozen for ever. What was begun before is always ended by what comes after, also if it failed, and at a stop.

use crate::{model::Fault, queue::delay};
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, OwnedRwLockReadGuard, RwLock},
    time::{Instant, sleep},
};
use tracing::Instrument;

/// What is run before files are read, and after.
pub trait Hooks: Send + Sync {
    /// To be run before files are read.
    fn before(&self) -> BoxFuture<'_, Result<(), Fault>>;
    /// To be run after, whatever came of the other.
    fn after(&self) -> BoxFuture<'_, Result<(), Fault>>;
}

/// Of one session.
pub(super) struct Bracket {
    hooks: Arc<dyn Hooks>,
    quiet: Duration,
    longest: Duration,
    /// Jobs share it while they are inside; whoever has it alone knows that there are none.
    gate: Arc<RwLock<()>>,
    /// Locked only by who has the gate.
    phase: Mutex<Phase>,
}

enum Phase {
    Closed,
    /// What comes before was begun.
    Begun,
    Open,
    /// It failed so often in a row, and is not tried again before that.
    Failed(u32, Instant, Fault),
}

/// A job is inside, until it is dropped.
pub(super) type Inside = OwnedRwLockReadGuard<()>;

impl Bracket {
    pub(super) fn new(hooks: Arc<dyn Hooks>, quiet: Duration, longest: Duration) -> Arc<Self> {
        Arc::new(Self { hooks, quiet, longest, gate: Arc::default(), phase: Mutex::new(Phase::Closed) })
    }

    /// Waits until files may be read. `None`: nothing new is to be begun, says `over`.
    ///
    /// # Errors
    /// What comes before failed, just now or not long ago.
    pub(super) async fn enter(self: &Arc<Self>, over: impl Fn() -> bool) -> Result<Option<Inside>, Fault> {
        let inside = Arc::clone(&self.gate).read_owned().await;
        let mut phase = self.phase.lock().await;
        let failures = match &*phase {
            Phase::Open => return Ok(Some(inside)),
            _ if over() => return Ok(None),
            Phase::Failed(_, until, fault) if Instant::now() < *until => return Err(fault.clone()),
            Phase::Failed(failures, ..) => *failures,
            Phase::Closed => 0,
            Phase::Begun => {
                // whoever began it was ended meanwhile
                self.after().await;
                0
            }
        };
        *phase = Phase::Begun;
        match self.hooks.before().await {
            Ok(()) => {
                *phase = Phase::Open;
                tokio::spawn(Arc::clone(self).close_in_time().in_current_span());
                Ok(Some(inside))
            }
            Err(fault) => {
                self.after().await;
                tracing::error!("{fault}; nothing is read until it works");
                *phase =
                    Phase::Failed(failures + 1, Instant::now() + delay(failures + 1, 1.0), fault.clone());
                Err(fault)
            }
        }
    }

    /// Waits until no job is inside, and closes it if it is open.
    pub(super) async fn close(&self) {
        let _alone = self.gate.write().await;
        self.end().await;
    }

    async fn close_in_time(self: Arc<Self>) {
        let begun = Instant::now();
        loop {
            sleep(self.quiet).await;
            if let Ok(_alone) = self.gate.try_write() {
                return self.end().await;
            }
            if begun.elapsed() >= self.longest {
                return self.close().await;
            }
        }
    }

    /// No job is inside, and none comes in.
    async fn end(&self) {
        let mut phase = self.phase.lock().await;
        if matches!(*phase, Phase::Begun | Phase::Open) {
            *phase = Phase::Closed;
            self.after().await;
        }
    }

    async fn after(&self) {
        if let Err(fault) = self.hooks.after().await {
            tracing::error!("{fault}");
        }
    }
}
