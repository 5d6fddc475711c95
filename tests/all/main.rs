//! Every test that is not a simulation: one binary, because each links the SDK.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod contract;
mod credentials;
mod stores;
mod tls;
mod wire;
