//! L4, what a daemon needs around the engine.

pub mod assembly;
pub mod shutdown;
pub mod systemd;
pub mod telemetry;
