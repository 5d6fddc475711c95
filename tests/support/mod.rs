//! Fakes of the three sides, over one world that a seed replays, and the contracts that fakes and real
//! things are both held to, so that they cannot drift.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod book;
pub mod bucket;
pub mod disk;
pub mod ledger_contract;
pub mod world;
