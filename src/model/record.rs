//! What the ledger keeps: proofs, and what must outlive a crash.

use super::meta::kind_bits;
use super::{Attributes, Digest, ETag, Fingerprint, Intent, Kept, Key, Kind, LocalMeta, RootId, Stamp};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The ledger's counter: one step a commit, never back. Stamps pages, proofs and condemned rows, so
/// that what is older than what can be told.
pub type Seq = u64;

/// A proof: the store confirmed, by checksum, that the object of this key holds these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The file as it was when its bytes were read. `None`: proven, but the file has to be read again.
    pub print: Option<Fingerprint>,
    /// Mode and owner as the object's metadata has them. `None`: not known.
    pub attributes: Option<Attributes>,
    /// What else it has, as far as that was looked for.
    pub kept: Kept,
    /// The bytes are those of the file, but its time, mode or owner are still to be written to the object. Kept
    /// because a rewrite of metadata whose reply was lost leaves no trace in the ETag.
    pub metadata_due: bool,
    /// A delete of the object was sent, and what became of it is not known: until the store is asked, the object may
    /// be gone.
    pub doubted: bool,
    /// The object is condemned; set by the ledger.
    pub condemned: bool,
    /// Bytes of the object.
    pub size: u64,
    /// The object's tag.
    pub etag: ETag,
    /// Digest of the content, if one was taken.
    pub digest: Option<Digest>,
    /// The commit that wrote this row; set by the ledger.
    pub seq: Seq,
}

impl Record {
    /// What it was that the object was written of; `None` if its metadata does not say that.
    pub fn kind(&self) -> Option<Kind> {
        self.attributes
            .filter(|attributes| kind_bits(attributes.mode) != 0)
            .map(|attributes| attributes.kind())
    }

    /// False for a link, FIFO or device whose object was not seen to say that it is one: it may be another tool's, and would
    /// come back as a file.
    pub fn tells(&self, meta: &LocalMeta) -> bool {
        let is = meta.attributes;
        !is.kind().needs_mode()
            || self.attributes.is_some_and(|told| kind_bits(told.mode) == kind_bits(is.mode))
    }
}

#[cfg(test)]
impl Record {
    /// One that nothing else is known of.
    pub(crate) fn bare(size: u64, etag: &str) -> Self {
        Self {
            print: None,
            attributes: None,
            kept: Kept::default(),
            metadata_due: false,
            doubted: false,
            condemned: false,
            size,
            etag: ETag::new(etag),
            digest: None,
            seq: 1,
        }
    }
}

/// An object that is to be deleted when its absence has been proven twice and the budget allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condemned {
    /// Number of the row: the commit that first wrote it, and its place in that commit.
    pub row: u64,
    /// The object.
    pub key: Key,
    /// The tag it must still have.
    pub etag: ETag,
    /// The commit since which the file was not seen. Older than this process: not yet found absent by it.
    pub seen: Seq,
    /// An operator released it.
    pub approved: bool,
    /// Its content lives on under another key (a rename): costs no budget.
    pub moved: bool,
}

impl Condemned {
    /// True if its delete costs budget: it was not approved, its content does not live on elsewhere, and it is no directory's
    /// marker, which holds nothing.
    pub fn costs(&self) -> bool {
        !self.approved && !self.moved && !self.key.is_directory()
    }
}

/// A replacement that is held: the file has another content, and the object stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overwrite {
    /// Number of the row; rows of both kinds share their numbers.
    pub row: u64,
    /// The object.
    pub key: Key,
    /// The tag of what would be lost.
    pub etag: ETag,
    /// An operator released it.
    pub approved: bool,
}

/// 128 random bits: which mirror wrote an object. Born with the owner record.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MirrorId(pub [u8; 16]);

impl MirrorId {
    /// The text of `s3mirrord-own`: which mirror wrote the object, and for which key, so that a copy of it elsewhere is not
    /// taken for ours.
    pub fn own(self, prefix: &str, key: &Key) -> String {
        let hash = Sha256::new().chain_update(prefix).chain_update(key.as_str()).finalize();
        format!("{self}:{}", hex::encode(&hash[..16]))
    }
}

impl fmt::Display for MirrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MirrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What the store was seen to honour, by trying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `If-None-Match: *` and `If-Match` on PUT and Complete.
    pub conditional_put: bool,
    /// `If-Match` on DELETE.
    pub conditional_delete: bool,
    /// The `ETag` of each object of DeleteObjects. `None`: not known yet.
    pub conditional_batch: Option<bool>,
    /// A wrong `x-amz-checksum-sha256` is refused.
    pub verifies_sha256: bool,
    /// A wrong `x-amz-checksum-crc64nvme` is refused.
    pub verifies_crc64: bool,
    /// A wrong `Content-MD5` is refused.
    pub verifies_md5: bool,
    /// A plain PUT's ETag is its MD5.
    pub etag_is_md5: bool,
}

/// What a ledger belongs to: one place in one store, and one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Who we are to the objects.
    pub mirror: MirrorId,
    /// Endpoint, bucket and prefix, as one text.
    pub place: String,
    /// The root that was accepted.
    pub root: RootId,
    /// When the mirror first claimed its prefix, by the server's clock.
    pub claimed: Option<Stamp>,
    /// What the store honours; `None` until probed.
    pub capabilities: Option<Capabilities>,
    /// When that was found out, by the wall clock; `None`: nobody wrote it down.
    pub probed: Option<Stamp>,
}

/// How far the scrub is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrubbed {
    /// Everything up to this key had its turn; `None`: nothing yet.
    pub after: Option<Key>,
    /// So many keys were,
    pub done: u64,
    /// and so many had their turn and could not be.
    pub skipped: u64,
    /// Since this wall time, which may be to come.
    pub begun: Stamp,
    /// When everything had been proven again, and nothing skipped, the last time.
    pub whole: Option<Stamp>,
}

impl Scrubbed {
    /// From the first key on, beginning then.
    pub fn begin(at: Stamp) -> Self {
        Self { after: None, done: 0, skipped: 0, begun: at, whole: None }
    }
}

/// Sums the ledger keeps as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records, but those of directories,
    pub records: u64,
    /// and those.
    pub directories: u64,
    /// Condemned rows, all of them.
    pub condemned: u64,
    /// Condemned rows that [cost](Condemned::costs) budget.
    pub pending: u64,
    /// Number of the newest condemned row, 0 if none.
    pub last_row: u64,
    /// Replacements that are held and not approved.
    pub overwrites: u64,
    /// Number of the newest row of those that are held, 0 if none.
    pub last_overwrite: u64,
}

/// One change to the ledger. A batch of them is one durable commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object is proven; drops the key's condemned row and its foreign memo.
    Proof(Key, Record),
    /// The object is gone, or was never ours: drops everything kept of the key but its intent. If its condemned row costs
    /// budget, it counts as deleted by us at this wall time: a process that was killed may have done it and not written
    /// it down.
    Gone(Key, Stamp),
    /// Deleted by us just now: dropped as by `Gone`, and counted in the budget's window if it costs budget.
    Deleted {
        /// The object that was.
        key: Key,
        /// Wall time.
        at: Stamp,
        /// Counts against the budget.
        costs: bool,
    },
    /// The file is absent: write the condemned row. If there is one with this tag, its `seen` is renewed only if it is
    /// from before this commit.
    Condemn(Key, ETag, Seq),
    /// The file is there after all: drop the condemned row.
    Acquit(Key),
    /// What the proof says of the object may hold no longer, as a delete was sent and its answer was lost, or another object
    /// was found: it is `doubted`.
    Doubt(Key),
    /// The content of `from`, with this tag, was copied to another key.
    Moved(Key, ETag),
    /// The operator releases rows up to and including this number.
    Approve(u64),
    /// The object, with this tag, is not replaced: the budget does not allow it.
    Refrain(Key, ETag),
    /// It is held no longer: drop the row of `Refrain`, if it has this number.
    Abandon(Key, u64),
    /// The operator releases replacements whose rows have numbers up to and including this one.
    ApproveOverwrites(u64),
    /// About to be replaced by us: counted in the window of replacements, and no longer where it was counted since `since`.
    Overwritten {
        /// The object.
        key: Key,
        /// Wall time.
        at: Stamp,
        /// When the window began; what is older is forgotten.
        since: Stamp,
    },
    /// A multipart upload is about to be created.
    Intend(Intent),
    /// No upload of this key is open any more. Nothing else drops an intent: an upload that is left open stays
    /// ours to end whatever becomes of the object.
    Settled(Key),
    /// The object is not ours; remembered so that it costs no HEAD again.
    Foreign(Key, ETag),
    /// Bind, or bind anew.
    Bind(Binding),
    /// Deletes are held, or no longer.
    Hold(bool),
    /// How far the scrub is.
    Scrubbed(Scrubbed),
    /// Since when (wall time) something is known that is not proven in the bucket; `None`: all is.
    Unsynced(Option<Stamp>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_written_in_hexadecimal() {
        let id = MirrorId([0xAB; 16]);
        assert_eq!((id.to_string(), format!("{id:?}")), ("ab".repeat(16), "ab".repeat(16)));
    }

    #[test]
    fn what_is_ours_is_so_under_its_own_key_alone() {
        let own = |id, prefix, key| MirrorId([id; 16]).own(prefix, &Key::raw(key));
        let all = [own(1, "p/", "a"), own(2, "p/", "a"), own(1, "q/", "a"), own(1, "p/", "b")];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(all[0], own(1, "p/", "a"));
    }
}
