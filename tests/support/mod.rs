//! Fakes of the three sides, over one world that a seed replays. One contract suite runs on them and on
//! the real things, so that they cannot drift.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod book;
pub mod bucket;
pub mod disk;
pub mod world;
