//! What went up in parts and is no object yet.

use super::{ETag, Fingerprint, Key, Stamp};

/// A multipart upload that is about to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The object.
    pub key: Key,
    /// The file as it is.
    pub print: Fingerprint,
    /// Bytes of each part but the last.
    pub part_size: u64,
    /// Wall time, to be compared with the upload's initiation with an hour to spare.
    pub at: Stamp,
    /// SHA-256 of all that is said of the object when the upload is created, and cannot be said later. `None`: not
    /// known, for one journaled by an older version.
    pub terms: Option<[u8; 32]>,
    /// Its id, once the store has told it.
    pub upload: Option<String>,
}

impl Intent {
    /// True if what this one began can go on as what `now` is about to begin: all but time and id is the same.
    pub fn goes_on_as(&self, now: &Self) -> bool {
        self.terms.is_some() && *self == Self { at: self.at, upload: self.upload.clone(), ..now.clone() }
    }
}

/// An unfinished multipart upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object it would make.
    pub key: Key,
    /// Its id.
    pub id: String,
    /// When it was created, by the server's clock.
    pub initiated: Option<Stamp>,
}

/// A part that an unfinished upload holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Its tag, by which it is named when the upload is completed.
    pub etag: ETag,
    /// Its SHA-256, if the store keeps it and tells it.
    pub sha256: Option<[u8; 32]>,
}

/// An unfinished upload that is to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The upload.
    pub upload: Upload,
    /// What it holds.
    pub parts: Vec<Part>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_goes_on_only_as_what_it_was_begun_as() {
        let print = Fingerprint { size: 9, mtime: Stamp::default(), ctime: Stamp::default(), inode: 1 };
        let old = Intent {
            key: Key::raw("k"),
            print,
            part_size: 8,
            at: Stamp { sec: 1, nsec: 0 },
            terms: Some([7; 32]),
            upload: Some("id".into()),
        };
        let now = Intent { at: Stamp { sec: 99, nsec: 9 }, upload: None, ..old.clone() };
        assert!(old.goes_on_as(&now));
        let ctime = Stamp { sec: 0, nsec: 1 };
        for other in [
            Intent { print: Fingerprint { ctime, ..print }, ..now.clone() },
            Intent { part_size: 7, ..now.clone() },
            Intent { terms: Some([8; 32]), ..now.clone() },
            Intent { key: Key::raw("l"), ..now.clone() },
            Intent { terms: None, ..now.clone() },
        ] {
            assert!(!old.goes_on_as(&other), "{other:?}");
        }
        let unknown = Intent { terms: None, ..old };
        assert!(!unknown.goes_on_as(&Intent { terms: None, ..now }), "what is not known is not the same");
    }
}
