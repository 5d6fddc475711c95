//! s3mirrord keeps an S3 prefix equal to a directory.
//!
//! The floors, top to bottom; imports go down only (`tests/all/floors.rs` holds them to it):
//!
//! | floor | rooms | |
//! |---|---|---|
//! | L4 | [`command`], [`config`], [`service`] | what people and init systems talk to |
//! | L3 | [`engine`], [`restore`], [`verify`] | the loop that owns all state of one mirror, and its workers; the way back; the second look |
//! | L2 | [`local`], [`store`], [`ledger`] | the disk, the bucket, the proofs: each a trait and the real thing |
//! | L1 | [`plan`], [`queue`] | deciding and queueing: pure |
//! | L0 | [`model`] | the words |
//!
//! [`embedded`] stands apart: an S3 server for the demo and the tests that knows nothing of the rest.

pub mod command;
pub mod config;
#[cfg(feature = "demo")]
pub mod embedded;
pub mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod ledger;
pub mod local;
pub mod model;
pub mod plan;
pub mod queue;
pub mod restore;
pub mod service;
pub mod store;
pub mod verify;
