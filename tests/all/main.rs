//! Every test but the simulation, in one binary: each binary links the SDK.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod config;
mod contract;
mod credentials;
mod floors;
mod ledger;
mod once;
mod run;
mod scenarios;
mod stores;
mod tls;
mod units;
mod wire;
