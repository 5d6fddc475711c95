//! L1, deciding: pure functions of what was observed. No clock, no files, no tokio.

mod budget;
mod compare;
mod filter;
mod license;
mod merge;
mod split;

pub use budget::{Judgement, Limits};
pub use compare::{Evidence, Verdict, View, decide, evidence};
pub use filter::Filter;
pub use license::{License, Refusal};
pub use merge::{Merge, Merged, Side, Step, Unsorted};
pub use split::Split;
