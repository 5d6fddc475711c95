//! Every test but the simulation, in one binary: each binary links the SDK.

mod config;
mod floors;
mod ledger;
#[path = "../support/mod.rs"]
mod support;
mod units;
