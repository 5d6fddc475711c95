//! What a daemon tells by HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever keeps it running, and at `/`
//! the status page (`service/page`) for people.
//!
//! It only tells. Each metric is a row of [`TABLE`], with the way to read it; docs/METRICS.md shows the same table, and a
//! test holds both against what is served.

mod facts;
mod health;
mod host;
mod server;
mod table;
mod text;

pub use server::Server;
pub use table::{Kind, Metric, TABLE};
