//! What tests share.

pub(crate) mod memory;
pub(crate) mod moto;
pub(crate) mod server;

/// Says that a test is skipped, and why; fails instead where everything is required.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("S3MIRRORD_REQUIRE_ALL").is_none(), "required, but {why}");
    eprintln!("skipped: {why}");
}
