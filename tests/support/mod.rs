//! What tests share.

pub(crate) mod memory;
pub(crate) mod moto;
pub(crate) mod server;

/// Says that a test is skipped, and why; fails instead where everything is required.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("S3MIRRORD_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!required, "required, but {why}");
    eprintln!("skipped: {why}");
}
