//! Every test but the simulation, in one binary: each binary links the SDK.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
#[cfg(feature = "demo")]
mod bandwidth;
#[cfg(feature = "demo")]
mod cli;
#[cfg(feature = "demo")]
mod compatibility;
mod config;
#[cfg(feature = "demo")]
mod contract;
mod credentials;
#[cfg(feature = "demo")]
mod deletes;
#[cfg(feature = "demo")]
mod demo;
mod direct;
#[cfg(feature = "demo")]
mod doctor;
mod documents;
#[cfg(feature = "demo")]
mod drill;
#[cfg(feature = "demo")]
mod escape;
#[cfg(feature = "demo")]
mod explain;
#[cfg(feature = "demo")]
mod fidelity;
mod figures;
mod floors;
#[cfg(feature = "demo")]
mod integrity;
#[cfg(feature = "demo")]
mod journal;
mod kept;
#[cfg(feature = "demo")]
mod kernel;
#[cfg(feature = "demo")]
mod ladder;
mod ledger;
#[cfg(feature = "demo")]
mod listing;
#[cfg(feature = "demo")]
mod ls;
#[cfg(feature = "demo")]
mod many;
mod memory;
#[cfg(feature = "demo")]
mod metrics;
#[cfg(feature = "demo")]
mod migrating;
#[cfg(feature = "demo")]
mod moments;
mod mutants;
#[cfg(feature = "demo")]
mod nodes;
#[cfg(feature = "demo")]
mod objects;
#[cfg(feature = "demo")]
mod once;
#[cfg(feature = "demo")]
mod page;
#[cfg(feature = "demo")]
mod permissions;
#[cfg(feature = "demo")]
mod pieces;
#[cfg(feature = "demo")]
mod reload;
#[cfg(feature = "demo")]
mod requests;
#[cfg(feature = "demo")]
mod restore;
#[cfg(feature = "demo")]
mod run;
#[cfg(feature = "demo")]
mod sandbox;
#[cfg(feature = "demo")]
mod scenarios;
#[cfg(feature = "demo")]
mod scrub;
#[cfg(feature = "demo")]
mod secrets;
#[cfg(feature = "demo")]
mod slowdown;
#[cfg(feature = "demo")]
mod stores;
#[cfg(feature = "demo")]
mod telling;
mod tls;
#[cfg(feature = "demo")]
mod tour;
#[cfg(feature = "demo")]
mod trash;
mod units;
#[cfg(feature = "demo")]
mod verify;
#[cfg(feature = "demo")]
mod wipe;
mod wire;
