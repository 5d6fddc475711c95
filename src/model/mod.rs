//! L0, the words: what every floor above talks in. No clock, no files, no tokio.
//!
//! A [`Key`] is where a file goes, a [`Triple`] is what is known of it from three sides, a
//! [`Job`] is what to do about it, and an [`Outcome`] is how that went.

mod etag;
mod extra;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod job;
mod key;
mod meta;
mod node;
mod object;
mod path;
mod rates;
mod record;
mod root;
mod scope;
mod source;
mod there;
mod trash;
mod triple;
mod upload;

pub use etag::ETag;
pub use extra::{Extra, Keep, Kept, Xattrs};
pub use fault::{Class, Fault};
pub use job::{Did, Job, Only, Op, Outcome, Refrained, Spec, Why};
pub use key::{Key, KeyRange, LINK, MAX_KEY_BYTES, RESERVED};
pub use meta::{
    Attributes, Checksum, Digest, Fingerprint, Head, Kind, LocalMeta, RemoteMeta, Said, Stamp, Version,
};
pub use node::Node;
pub use object::{Encryption, ObjectOptions, Retention};
pub use path::{BadPath, RelPath};
pub use rates::{Rates, Span};
pub use record::{
    Binding, Capabilities, Change, Condemned, MirrorId, Overwrite, Record, Scrubbed, Seq, Tally,
};
pub use root::{RootId, Sameness};
pub use scope::{Against, Scope};
pub use source::Source;
pub use there::{DRAFT, DRAFT_END, There, is_draft};
pub use trash::{Reach, TRASH, Trashed, Went};
pub use triple::{Absence, Instead, Kin, Local, Skip, Triple};
pub use upload::{Begun, Intent, Part, Upload};
