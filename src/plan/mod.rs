//! L1, deciding: pure functions of what was observed. No clock, no files, no tokio.

mod budget;
mod bygone;
mod choice;
mod compare;
mod difference;
mod evidence;
mod expiry;
mod filter;
mod landing;
mod license;
mod merge;
mod moment;
mod motion;
mod named;
mod parts;
mod split;
mod witness;

pub use budget::{Judgement, Limits};
pub use bygone::{Gone, Past, Present, Says, bygone};
pub use choice::Choice;
pub use compare::{Verdict, View, decide};
pub use difference::{Difference, Glance, drift, glance, misnamed, unequal};
pub use evidence::{Evidence, Facts, evidence};
pub use expiry::Expiry;
pub use filter::{Filter, Rule};
pub use landing::{Landing, Replace, Wanted, landing, landing_of_link, landing_of_node};
pub use license::{License, Refusal};
pub use merge::{Merge, Merged, Side, Step, Unsorted};
pub use moment::{Moment, Seen, Was};
pub use motion::{Motion, motion};
pub use named::apart;
pub use split::Split;
pub use witness::{Witness, witnesses};
