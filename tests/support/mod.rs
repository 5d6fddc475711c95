//! Fakes of the three sides, over one world that a seed replays, and the contracts that fakes and real
//! things are both held to, so that they cannot drift.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod book;
pub mod bucket;
pub mod disk;
pub mod ledger_contract;
pub mod memory;
pub mod moto;
pub mod server;
pub mod world;

/// Says that a test is skipped, and why; fails instead where everything is required.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("S3MIRRORD_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!required, "required, but {why}");
    eprintln!("skipped: {why}");
}
