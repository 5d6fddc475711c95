//! L1, queueing: pure. Time is an argument, [`Mono`].

mod backoff;
mod jobs;
mod pace;
mod pending;

pub use backoff::delay;
pub use jobs::Jobs;
pub use pace::Pace;
pub use pending::{Note, Options, Pending};

/// Time since the engine's start, by the monotonic clock.
pub type Mono = std::time::Duration;
