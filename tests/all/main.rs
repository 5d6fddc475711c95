//! Every test but the simulation, in one binary: each binary links the SDK.
#![allow(clippy::unwrap_used)]

mod config;
mod contract;
mod credentials;
mod ledger;
mod once;
mod run;
mod stores;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod units;
mod wire;
