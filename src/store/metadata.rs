//! What travels with an object: user metadata as rclone writes it, and ours.

use super::spelling::{header_text, plain_text, time_of, time_text};
use crate::model::{Attributes, Checksum, Extra, Head, Key, RemoteMeta, Spec, Trashed, Went};
use aws_sdk_s3::{operation::head_object::HeadObjectOutput, primitives::DateTime, types::ChecksumType};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::HashMap;

const OWN: &str = "s3mirrord-own";
const SHA256: &str = "s3mirrord-sha256";
/// The most parts an object has (S3 user guide, *Multipart upload limits*).
const MOST_PARTS: u64 = 10_000;
const PART_SIZE: &str = "s3mirrord-part-size";

/// What else a file has.
const XATTRS: &str = "s3mirrord-xattrs";
const LINKS: &str = "s3mirrord-links";
/// What its owner is called: `user:group`.
const OWNER: &str = "s3mirrord-owner";

/// The key that an object of the trash had, where its name does not say it.
const TRASHED: &str = "s3mirrord-trash-key";
/// Since when it was what it was, and why it went there: `1795953013 deleted`.
const WENT: &str = "s3mirrord-trash";
/// Of an object whose metadata was written anew: when its bytes were written, in seconds since 1970.
const SINCE: &str = "s3mirrord-since";

/// All names that [`outgoing`] and [`since`] may write.
const WRITTEN: [&str; 12] =
    ["mtime", "mode", "uid", "gid", "rdev", OWNER, XATTRS, LINKS, OWN, SHA256, PART_SIZE, SINCE];

/// The user metadata of an upload.
pub(super) fn outgoing(
    spec: &Spec,
    sha256: Option<[u8; 32]>,
    part_size: Option<u64>,
) -> HashMap<String, String> {
    let Attributes { mode, uid, gid } = spec.attributes;
    let mut all = HashMap::from([(OWN.to_owned(), header_text(&spec.own))]);
    if spec.keep.mtime {
        all.insert("mtime".to_owned(), time_text(spec.mtime));
    }
    // that of a link, FIFO or device says that it is one, and nothing else does
    if spec.keep.mode || spec.attributes.kind().needs_mode() {
        all.insert("mode".to_owned(), format!("0{mode:o}"));
    }
    if spec.keep.owner {
        all.extend([("uid".to_owned(), uid.to_string()), ("gid".to_owned(), gid.to_string())]);
        all.extend(spec.names.as_ref().map(|names| (OWNER.to_owned(), header_text(names))));
    }
    if let Some(sha256) = sha256 {
        all.insert(SHA256.to_owned(), hex::encode(sha256));
    }
    all.extend(spec.extra.xattrs.as_ref().map(|text| (XATTRS.to_owned(), text.to_string())));
    all.extend(spec.extra.links.map(|group| (LINKS.to_owned(), format!("{group:016x}"))));
    all.extend(spec.extra.device.map(|number| ("rdev".to_owned(), format!("{number:x}"))));
    if let Some(part_size) = part_size {
        all.insert(PART_SIZE.to_owned(), part_size.to_string());
    }
    all
}

/// What an object keeps of its metadata when ours is written anew: what others gave it.
pub(super) fn kept(metadata: Option<HashMap<String, String>>) -> HashMap<String, String> {
    let mut all = metadata.unwrap_or_default();
    all.retain(|name, _| !WRITTEN.contains(&name.to_ascii_lowercase().as_str()));
    all
}

/// What says of an object with new metadata since when it has its bytes.
pub(super) fn since(head: &HeadObjectOutput) -> Option<(String, String)> {
    Some((SINCE.to_owned(), written(head)?.to_string()))
}

/// When the bytes of an object were written.
fn written(head: &HeadObjectOutput) -> Option<i64> {
    past(head).since.or_else(|| head.last_modified().map(DateTime::secs))
}

/// All that an object has, and what is to be said of its past: for its copy in the trash.
pub(super) fn trashed(head: &HeadObjectOutput, to: &Trashed) -> HashMap<String, String> {
    let mut all = head.metadata().cloned().unwrap_or_default();
    let went = match to.went {
        Went::Replaced => "replaced",
        Went::Deleted => "deleted",
    };
    all.extend(written(head).map(|at| (WENT.to_owned(), format!("{at} {went}"))));
    // a name that is as long leaves no room for them
    if to.said.is_some() {
        all.retain(|name, _| !name.eq_ignore_ascii_case(XATTRS));
    }
    all.extend(to.said.as_ref().map(|key| (TRASHED.to_owned(), header_text(key.as_str()))));
    all
}

/// What metadata says of the past.
pub(super) struct Past {
    pub(super) since: Option<i64>,
    pub(super) trashed: Option<(i64, Went)>,
    pub(super) key: Option<Key>,
}

/// Reads it. What cannot be read counts as missing.
pub(super) fn past(head: &HeadObjectOutput) -> Past {
    let get = |name: &str| value(head, name);
    let trashed = || {
        let text = get(WENT)?;
        let (at, went) = text.split_once(' ')?;
        let went = match went {
            "replaced" => Went::Replaced,
            "deleted" => Went::Deleted,
            _ => return None,
        };
        Some((at.parse().ok()?, went))
    };
    Past {
        since: get(SINCE).and_then(|text| text.parse().ok()),
        trashed: trashed(),
        key: get(TRASHED).map(Key::raw),
    }
}

fn value(head: &HeadObjectOutput, name: &str) -> Option<String> {
    head.metadata()?.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| plain_text(v))
}

/// What HEAD shows. A value that cannot be read counts as missing.
pub(super) fn incoming(meta: RemoteMeta, head: &HeadObjectOutput) -> Head {
    let get = |name: &str| value(head, name);
    let number = |name: &str| get(name)?.parse().ok();
    let part_size = get(PART_SIZE).and_then(|text| text.parse().ok()).filter(|size| *size > 0);
    // whoever believed that a part has one byte would hash for hours
    let is_sane = part_size.is_none_or(|part: u64| meta.size.div_ceil(part) <= MOST_PARTS);
    Head {
        own: get(OWN),
        sha256: get(SHA256).and_then(|text| hex::decode(text).ok()?.try_into().ok()).filter(|_| is_sane),
        part_size: part_size.filter(|_| is_sane),
        meta,
        checksum: checksum(head),
        opaque: is_opaque(head),
        mtime: get("mtime").and_then(|text| time_of(&text)),
        mode: get("mode").and_then(|text| u32::from_str_radix(&text, 8).ok()),
        owner: number("uid").zip(number("gid")),
        names: get(OWNER).map(Into::into),
        extra: Extra {
            xattrs: get(XATTRS).map(Into::into),
            links: get(LINKS).and_then(|text| u64::from_str_radix(&text, 16).ok()),
            device: get("rdev").and_then(|text| u64::from_str_radix(&text, 16).ok()),
        },
    }
}

/// True if it is encrypted so that its tag is no digest, whatever it looks like.
pub(super) fn is_opaque(head: &HeadObjectOutput) -> bool {
    head.sse_customer_algorithm().is_some()
        || head.server_side_encryption().is_some_and(|sse| sse.as_str().starts_with("aws:kms"))
}

/// The store's checksum. CRC-32s are left out: equal ones prove too little.
fn checksum(head: &HeadObjectOutput) -> Option<Checksum> {
    let composite = head.checksum_type() == Some(&ChecksumType::Composite);
    if let Some(text) = head.checksum_sha256() {
        let (digest, parts) = text.split_once('-').map_or((text, composite), |(digest, _)| (digest, true));
        let digest = BASE64_STANDARD.decode(digest).ok()?.try_into().ok()?;
        return Some(if parts { Checksum::Sha256OfParts(digest) } else { Checksum::Sha256(digest) });
    }
    let crc = BASE64_STANDARD.decode(head.checksum_crc64_nvme()?).ok()?.try_into().ok()?;
    (!composite).then_some(Checksum::Crc64Nvme(u64::from_be_bytes(crc)))
}

/// The content type of a directory's marker, as rclone and s3fs give it.
const DIRECTORY: &str = "application/x-directory";

/// The content type for a key, by its extension. Without a charset: it is not known.
pub(super) fn content_type(key: &str) -> &'static str {
    if key.ends_with('/') {
        return DIRECTORY;
    }
    mime_guess::from_path(key).first_raw().unwrap_or("application/octet-stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ETag, Keep, Stamp, Xattrs};

    fn at(sec: i64, nsec: u32) -> Stamp {
        Stamp { sec, nsec }
    }

    #[test]
    fn c40_digests_and_attributes_come_back() {
        let spec = Spec {
            size: 3,
            mtime: at(-7, 1),
            attributes: Attributes { mode: 0o100_644, uid: 1000, gid: 0 },
            names: Some("www-data:staff".into()),
            keep: Keep::default(),
            extra: Extra {
                xattrs: Some("AQAGdXNlci5hAAA=".into()),
                links: Some(9),
                device: Some((8 << 32) | 1),
            },
            own: "id häsh".into(),
            sha256: None,
            part_size: None,
        };
        let sent = outgoing(&spec, Some([7; 32]), Some(8 << 20));
        assert_eq!(sent["mode"], "0100644");
        assert!(sent.values().all(|v| v.is_ascii()), "{sent:?}");
        let meta = RemoteMeta { size: 3, etag: ETag::new("x"), modified: None };
        let answer = HeadObjectOutput::builder().set_metadata(Some(sent)).build();
        let head = incoming(meta.clone(), &answer);
        assert_eq!(head.own.as_deref(), Some("id häsh"));
        assert_eq!((head.sha256, head.part_size), (Some([7; 32]), Some(8 << 20)));
        assert_eq!((head.mtime, head.mode, head.owner), (Some(spec.mtime), Some(0o100_644), Some((1000, 0))));
        for (size, want) in [(80_000, Some(8)), (80_001, None)] {
            let sent = outgoing(&spec, Some([7; 32]), Some(8));
            let answer = HeadObjectOutput::builder().set_metadata(Some(sent)).build();
            let head = incoming(RemoteMeta { size, ..meta.clone() }, &answer);
            assert_eq!((head.part_size, head.sha256.is_some()), (want, want.is_some()), "{size}");
        }
        assert_eq!((head.names, head.extra), (spec.names, spec.extra));
        let bare = incoming(meta, &HeadObjectOutput::builder().build());
        assert_eq!(
            (bare.own, bare.sha256, bare.mtime, bare.mode, bare.owner),
            (None, None, None, None, None)
        );
        assert_eq!((bare.checksum, bare.opaque), (None, false));
    }

    /// S3 takes 2,048 bytes; the configuration lets operators add 1,536, or 448 beside extended attributes.
    #[test]
    fn ours_leave_room_for_those_of_operators() {
        let spec = Spec {
            size: 0,
            mtime: at(i64::MIN, 999_999_999),
            attributes: Attributes { mode: u32::MAX, uid: u32::MAX, gid: u32::MAX },
            names: Some(format!("{0}:{0}", "n".repeat(32)).into()),
            keep: Keep::default(),
            extra: Extra {
                xattrs: Some("x".repeat(Xattrs::MOST).into()),
                links: Some(u64::MAX),
                // what is a device has neither of the others
                device: None,
            },
            own: format!("{}:{}", "f".repeat(32), "f".repeat(32)),
            sha256: None,
            part_size: None,
        };
        let mut all = outgoing(&spec, Some([255; 32]), Some(u64::MAX));
        let answer = HeadObjectOutput::builder().last_modified(DateTime::from_secs(i64::MIN));
        all.extend(since(&answer.build()));
        assert_eq!(all.len(), WRITTEN.len() - 1);
        let size: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
        // and those of one in the trash, but for a long key
        let trash = WENT.len() + format!("{} replaced", i64::MIN).len();
        assert!(size + trash <= 2048 - 448, "{size} {trash}");
        let xattrs = XATTRS.len() + Xattrs::MOST;
        assert!(size + trash - xattrs <= 2048 - 1536, "{size} {trash}");
    }

    #[test]
    fn c40_checksums_and_encryption_are_told() {
        let (sha, crc) = (BASE64_STANDARD.encode([7; 32]), BASE64_STANDARD.encode(9_u64.to_be_bytes()));
        let (full, composite) = (Some(ChecksumType::FullObject), Some(ChecksumType::Composite));
        let answer = HeadObjectOutput::builder;
        for (answer, want) in [
            (answer().checksum_sha256(&sha), Some(Checksum::Sha256([7; 32]))),
            (answer().checksum_sha256(&sha).set_checksum_type(full), Some(Checksum::Sha256([7; 32]))),
            (answer().checksum_sha256(format!("{sha}-3")), Some(Checksum::Sha256OfParts([7; 32]))),
            (
                answer().checksum_sha256(&sha).set_checksum_type(composite.clone()),
                Some(Checksum::Sha256OfParts([7; 32])),
            ),
            (answer().checksum_crc64_nvme(&crc), Some(Checksum::Crc64Nvme(9))),
            (answer().checksum_crc64_nvme(&crc).set_checksum_type(composite), None),
            (answer().checksum_crc32("AAAAAA=="), None),
            (answer().checksum_sha256("no base64!"), None),
            (answer().checksum_crc64_nvme(&sha), None),
        ] {
            assert_eq!(checksum(&answer.build()), want);
        }
        let meta = || RemoteMeta { size: 3, etag: ETag::new("x"), modified: None };
        for (sse, opaque) in [("AES256", false), ("aws:kms", true), ("aws:kms:dsse", true)] {
            let answer = answer().server_side_encryption(sse.into()).build();
            assert_eq!(incoming(meta(), &answer).opaque, opaque, "{sse}");
        }
        assert!(incoming(meta(), &answer().sse_customer_algorithm("AES256").build()).opaque);
    }

    #[test]
    fn what_is_in_the_trash_says_what_it_was() {
        let shown = |all: HashMap<String, String>, at| {
            HeadObjectOutput::builder().set_metadata(Some(all)).last_modified(DateTime::from_secs(at)).build()
        };
        let mut trashed_as = Trashed::new(&Key::raw("a"), &ETag::new("e"), at(9, 0), "t/", Went::Replaced);
        trashed_as.said = Some(Key::raw("ä"));
        let was = shown(HashMap::from([("mode".into(), "0100644".into())]), 7);
        let copy = trashed(&was, &trashed_as);
        assert_eq!((&*copy[WENT], &*copy["mode"]), ("7 replaced", "0100644"));
        let Past { since: none, trashed: went, key } = past(&shown(copy, 99));
        assert_eq!((none, went, key), (None, Some((7, Went::Replaced)), Some(Key::raw("ä"))));
        // what has new metadata has its bytes since before, however often
        let touched: HashMap<_, _> = since(&was).into_iter().collect();
        let again = shown(since(&shown(touched, 20)).into_iter().collect(), 30);
        assert_eq!(past(&again).since, Some(7));
        let gone = trashed(&again, &Trashed { went: Went::Deleted, said: None, ..trashed_as });
        assert_eq!((&*gone[WENT], gone.contains_key(TRASHED)), ("7 deleted", false));
        for odd in ["", "7", "7 lost", "x deleted", "7  deleted"] {
            assert_eq!(past(&shown(HashMap::from([(WENT.into(), odd.into())]), 1)).trashed, None, "{odd}");
        }
    }

    #[test]
    fn metadata_of_others_is_kept() {
        let found = HashMap::from([("md5chksum".to_owned(), "x".to_owned()), ("Mtime".into(), "1".into())]);
        assert_eq!(kept(Some(found)), HashMap::from([("md5chksum".to_owned(), "x".to_owned())]));
    }

    #[test]
    fn content_types_go_by_extension() {
        for (key, want) in [
            ("a/b.html", "text/html"),
            ("a.JPG", "image/jpeg"),
            ("a", "application/octet-stream"),
            ("a.zzz", "application/octet-stream"),
            ("a/", "application/x-directory"),
        ] {
            assert_eq!(content_type(key), want, "{key}");
        }
    }
}
