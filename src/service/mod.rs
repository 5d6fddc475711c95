//! L4, what a daemon needs around the engine.

pub mod assembly;
pub mod columns;
pub mod control;
pub mod cost;
pub mod doctor;
pub mod drill;
pub mod explain;
mod fold;
mod heartbeat;
pub mod hook;
mod levels;
mod line;
mod log;
pub mod metrics;
pub mod onlooker;
mod page;
mod post;
pub mod posts;
pub mod progress;
pub mod proposal;
pub mod recent;
mod reload;
pub mod screen;
pub mod shutdown;
pub mod supervise;
pub mod systemd;
pub mod telemetry;
