//! Fakes of the three sides, over one world that a seed replays, the contracts that fakes and real
//! things are both held to, so that they cannot drift, and what tests share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

#[cfg(feature = "demo")]
pub mod bench;
pub mod book;
#[cfg(feature = "demo")]
pub mod browser;
pub mod bucket;
pub mod change;
pub mod disk;
pub mod law;
pub mod ledger_contract;
pub mod listing;
#[cfg(feature = "demo")]
pub mod manager;
pub mod memory;
pub mod moto;
#[cfg(feature = "demo")]
pub mod outsider;
pub mod parts;
pub(crate) mod prepare;
pub mod road;
#[cfg(feature = "demo")]
pub mod scene;
pub mod server;
#[cfg(feature = "demo")]
pub mod site;
#[cfg(feature = "demo")]
pub mod space;
pub mod store;
pub mod trash;
pub mod tree;
pub mod walk;
pub mod world;

/// Says that a test is skipped, and why; fails instead where everything is required.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("S3MIRRORD_REQUIRE_ALL").is_none(), "required, but {why}");
    eprintln!("skipped: {why}");
}
