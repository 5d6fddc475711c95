//! L2, the bucket: one prefix of an S3 store behind the trait [`Store`].
//!
//! [`S3`] is the real thing. `options` is all that can be set, `credentials` and `connect` make a client of
//! it, `object` tells what the operator wants objects to have, `error` what a failed request means, `s3` holds the
//! small operations and the others one each.

mod answer;
mod check;
mod clock;
mod connect;
mod copy;
mod credentials;
mod delete;
mod direct;
mod error;
mod extent;
mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gate;
mod head;
mod lanes;
mod limit;
mod memory;
mod metadata;
mod object;
mod options;
mod origin;
mod page;
mod part;
mod patience;
mod payer;
mod payload;
mod plain;
mod probe;
mod put;
mod refusal;
mod requests;
mod resume;
mod s3;
mod sieve;
mod spelling;
mod splice;
mod standing;
mod throttle;
mod trash;
mod upload;
mod versions;
mod whole;

pub use fetch::{Fetch, Spot};
pub use memory::Memory;
pub use object::Objects;
pub use options::{Options, Secret};
pub use patience::{PAUSE, TRIES, listed, patiently};
pub use requests::Outcomes;
pub use s3::S3;
pub use standing::Caller;
pub use throttle::{Limit, Rate, Throttle};
pub use trash::Told;
pub use upload::Staged;
pub use versions::{Marker, Versions};

use crate::model::{
    Begun, Capabilities, Digest, ETag, Fault, Head, Key, KeyRange, Only, Part, RemoteMeta, Source, Spec,
    Trashed, Upload,
};
use bytes::Bytes;
use std::{collections::BTreeMap, future::Future, sync::Arc};

/// The most keys of one request to delete them (S3 API, *DeleteObjects*).
pub const BATCH: usize = 1000;

/// What an answer says of each key. A key that it does not name may be there or gone.
pub type Answers = BTreeMap<Key, Result<(), Fault>>;

/// One page of a listing, sorted by key if the store sorts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects, keys below the mirror's prefix.
    pub objects: Vec<(Key, RemoteMeta)>,
    /// With `Depth::Children`: the subdirectories, each ending in `/`.
    pub directories: Vec<Key>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// How deep a listing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything.
    All,
    /// Up to the next `/`.
    Children,
}

/// Where a page of a listing begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first key.
    First,
    /// At the first key after this one.
    After(Key),
    /// Where the page before ended: its [`Page::next`].
    Token(String),
}

/// One prefix of one bucket, and its trash: keys that begin with [`TRASH`](crate::model::TRASH) are elsewhere in the
/// bucket, below the trash prefix, and no listing of others shows them. Clones share a connection. `stage` does everything but make the object
/// visible, and so does `fill` of what goes up in parts; only `commit` does that.
pub trait Store: Clone + Send + Sync + 'static {
    /// An upload ready to become visible.
    type Staged: Send + 'static;

    /// Endpoint, bucket and prefix as one text: what a ledger is bound to.
    fn place(&self) -> String;

    /// What was learnt by a probe; until it is called nothing is taken for granted.
    fn know(&self, capabilities: Capabilities);

    /// The part size for a file of `size` bytes; `None` if it goes up in one request.
    fn part_size(&self, size: u64) -> Option<u64>;

    /// One page of the objects under `prefix` (`Key::directory`), at most 1,000.
    ///
    /// # Errors
    /// Also when the answer is truncated without a token, or repeats one (CASES 42).
    fn list(
        &self,
        prefix: &Key,
        depth: Depth,
        start: Start,
    ) -> impl Future<Output = Result<Page, Fault>> + Send;

    /// What the object is; `None` only for a 404. A 403 is a fault, never 'absent'.
    ///
    /// # Errors
    /// Everything else.
    fn head(&self, key: &Key) -> impl Future<Output = Result<Option<Head>, Fault>> + Send;

    /// SHA-256 of all that is said of an object when an upload of it in parts is created. One that was created on
    /// other terms would make another object of the same bytes.
    fn terms(&self, key: &Key, spec: &Spec) -> [u8; 32];

    /// Reads `spec.size` bytes of `file`, which fit one request: nothing is sent yet.
    ///
    /// # Errors
    /// `Changed` if the file is shorter than that.
    fn stage<F: Source>(
        &self,
        key: &Key,
        file: &Arc<F>,
        spec: &Spec,
    ) -> impl Future<Output = Result<(Self::Staged, Digest), Fault>> + Send;

    /// Creates the upload of an object that goes up in parts. If the answer is lost, it may be open, and nobody knows
    /// its id.
    ///
    /// # Errors
    /// As for any request.
    fn create(&self, key: &Key, spec: &Spec) -> impl Future<Output = Result<Upload, Fault>> + Send;

    /// Reads `spec.size` bytes of `file` and sends the parts that the upload lacks: those that it is not known to hold
    /// with the bytes that belong there. After a fault that may pass (`Transient`, `Throttled`) or is the mirror's
    /// (`Fatal`, `Owned`) it stays open, to be gone on with; after others, and where the store is full, it is ended, as
    /// well as that goes.
    ///
    /// # Errors
    /// `Changed` if the file is shorter than that.
    fn fill<F: Source>(
        &self,
        begun: Begun,
        file: &Arc<F>,
        spec: &Spec,
    ) -> impl Future<Output = Result<(Self::Staged, Digest), Fault>> + Send;

    /// Makes the object visible, whole, and confirms it. An upload in parts is ended by any answer but one that
    /// leaves open what became of it, or is a fault of the mirror's.
    ///
    /// # Errors
    /// `Changed` for a 412.
    fn commit(
        &self,
        staged: Self::Staged,
        only: Only,
    ) -> impl Future<Output = Result<RemoteMeta, Fault>> + Send;

    /// Copies on the server, with new metadata; onto itself to change metadata alone.
    ///
    /// # Errors
    /// `Changed` if the source's tag or the target's condition does not hold, `Permanent` if this
    /// object cannot be copied (then it is to be sent again).
    fn copy(
        &self,
        from: (&Key, &ETag),
        to: &Key,
        spec: &Spec,
        only: Only,
    ) -> impl Future<Output = Result<RemoteMeta, Fault>> + Send;

    /// The part size of a copy that makes the object of `spec`; `None` if it is copied in one request.
    fn copy_part_size(&self, spec: &Spec) -> Option<u64>;

    /// Creates the upload of a copy that is made in parts: as [`Store::create`], with what the source has beside its
    /// bytes.
    ///
    /// # Errors
    /// As [`Store::copy`].
    fn create_copy(
        &self,
        from: (&Key, &ETag),
        to: &Key,
        spec: &Spec,
    ) -> impl Future<Output = Result<Upload, Fault>> + Send;

    /// Has the server copy all parts. Whatever the fault, the upload is ended, as well as that goes.
    ///
    /// # Errors
    /// As [`Store::copy`]; `Permanent` too if what was copied is not what `spec` says.
    fn fill_copy(
        &self,
        upload: Upload,
        from: (&Key, &ETag),
        spec: &Spec,
    ) -> impl Future<Output = Result<Self::Staged, Fault>> + Send;

    /// Copies the object on the server to a key of the trash, with all that it has: nothing is chosen anew. Metadata says
    /// since when it was what it was, why it goes and, if that is given, the key that it had. One that is too large for one request ([`Store::copy_part_size`]) is
    /// copied by parts; if that fails, its upload may be left open.
    ///
    /// # Errors
    /// `Changed` if its tag is another, or it is gone; `Permanent` if this object cannot be copied.
    fn keep(&self, from: (&Key, &ETag), to: &Trashed) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Seconds since 1970 by the store's clock, as its last answer told; `None` if it did not.
    fn clock(&self) -> Option<i64>;

    /// True if the bucket keeps versions: what is replaced or deleted can be had back without us.
    ///
    /// # Errors
    /// As for any request; it may be denied.
    fn keeps_versions(&self) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Deletes the object if it still has this tag; one that is gone already counts as deleted.
    ///
    /// # Errors
    /// `Changed` if its tag is another.
    fn delete(&self, key: &Key, etag: &ETag) -> impl Future<Output = Result<(), Fault>> + Send;

    /// True if this object may be deleted with others by [`Store::delete_together`]: the store keeps what has
    /// another tag, and the key survives the way there and back.
    fn batches(&self, key: &Key) -> bool;

    /// Deletes objects that [`Store::batches`], at most [`BATCH`], in one request: each if it still has this tag, each
    /// with an answer of its own, as [`Store::delete`] gives it. An error of the request is that of every key.
    fn delete_together(&self, objects: &[(Key, ETag)]) -> impl Future<Output = Answers> + Send;

    /// The whole of a small object, such as the owner record, with its tag and Last-Modified.
    ///
    /// # Errors
    /// As for any request.
    fn read(&self, key: &Key) -> impl Future<Output = Result<Option<(Bytes, RemoteMeta)>, Fault>> + Send;

    /// SHA-256 of the object's bytes as they are fetched now, or of the SHA-256s of its parts of this size.
    ///
    /// # Errors
    /// `Missing` if it is gone, `Changed` if its tag is another; `Permanent` if it is archived.
    fn digest(
        &self,
        key: &Key,
        etag: &ETag,
        part_size: Option<u64>,
    ) -> impl Future<Output = Result<[u8; 32], Fault>> + Send;

    /// Writes a small object as it is.
    ///
    /// # Errors
    /// `Changed` for a 412.
    fn write(
        &self,
        key: &Key,
        body: Bytes,
        only: Only,
    ) -> impl Future<Output = Result<RemoteMeta, Fault>> + Send;

    /// Tries on keys beside `near` what the store honours, and removes what it wrote.
    ///
    /// # Errors
    /// As for any request.
    fn probe(&self, near: &Key) -> impl Future<Output = Result<Capabilities, Fault>> + Send;

    /// Unfinished multipart uploads in `range`.
    ///
    /// # Errors
    /// As for any request.
    fn uploads(&self, range: &KeyRange) -> impl Future<Output = Result<Vec<Upload>, Fault>> + Send;

    /// What an unfinished upload holds, by number; `None` if there is no such upload (any more).
    ///
    /// # Errors
    /// As for any request.
    fn parts(&self, upload: &Upload) -> impl Future<Output = Result<Option<Vec<Part>>, Fault>> + Send;

    /// Ends an unfinished upload; one that is gone already counts as ended.
    ///
    /// # Errors
    /// As for any request.
    fn abort(&self, upload: &Upload) -> impl Future<Output = Result<(), Fault>> + Send;
}
