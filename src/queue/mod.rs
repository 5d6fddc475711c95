//! L1, queueing: pure. Time is an argument, [`Mono`].

mod backoff;
mod denials;
mod jobs;
mod note;
mod notes;
mod pace;
mod pending;
mod restless;
mod sources;
mod times;
mod unsynced;

pub use backoff::delay;
pub use denials::Denials;
pub use jobs::Jobs;
pub use note::Note;
pub use pace::Pace;
pub use pending::{Options, Pending};
pub use restless::Restless;
pub use sources::Sources;
pub use unsynced::Unsynced;

/// Time since the engine's start, by the monotonic clock.
pub type Mono = std::time::Duration;
