//! The threads that a ledger works on: few, and none of anybody else's.
//!
//! tokio's own blocking threads will not do: one is not idle yet when its answer is awaited, so the next call wakes
//! another, and in the end some dozens took turns. Each has its own heap, and each heap kept what the database's cache
//! had once filled: 70 MiB instead of 20 after a hundred thousand random writes.

use super::panics;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// One for the commit in flight, one for what is read meanwhile.
const THREADS: usize = 2;

/// Ends them, idle or not, without waiting, when dropped.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>);

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The work panicked, and said this.
    Panicked(String),
    /// The threads have ended.
    Ended,
}

impl Threads {
    pub(super) fn start() -> io::Result<Self> {
        // a runtime without a driver is no more than its pool of threads
        Builder::new_current_thread()
            .max_blocking_threads(THREADS)
            .thread_name("ledger")
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    /// Runs `work` on one of them.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let runtime = self.0.as_ref().ok_or(Unanswered::Ended)?;
        match runtime.spawn_blocking(|| panics::caught(work)).await {
            Ok(done) => done.map_err(Unanswered::Panicked),
            Err(_) => Err(Unanswered::Ended),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // a runtime that is dropped by a task would wait, and so it panics
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
