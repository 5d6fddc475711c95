//! L1, queueing: pure. Time is an argument, [`Mono`].

mod backoff;
mod denials;
mod jobs;
mod pace;
mod pending;
mod restless;

pub use backoff::delay;
pub use denials::Denials;
pub use jobs::Jobs;
pub use pace::Pace;
pub use pending::{Note, Options, Pending};
pub use restless::Restless;

/// Time since the engine's start, by the monotonic clock.
pub type Mono = std::time::Duration;
