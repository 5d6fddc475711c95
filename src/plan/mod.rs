//! L1, deciding: pure.

mod filter;
pub use filter::Filter;
