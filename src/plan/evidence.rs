//! The ladder: what would prove a file and an object of the same size equal, cheapest first.
//!
//! | known | rung | costs |
//! |---|---|---|
//! | the sizes differ | they differ | nothing |
//! | the ledger's proof of this very file and an object with this tag | they are equal | nothing |
//! | the ledger's digest of an object with this tag | our SHA-256 | one read |
//! | a tag that looks like an MD5 | the file's MD5 | the same read |
//! | a tag `…-N` | the MD5 of the parts' MD5s, by the part sizes that N leaves | the same read |
//! | none of these, or they differ: HEAD tells the store's own checksum | it has the last word | one HEAD, the same read |
//! | HEAD tells a part size | the tag once more, by that size | one more read, if it is not our own |
//! | the tag is no digest (SSE-KMS, or such a store), HEAD tells our digest | our SHA-256 | the same read |
//! | nothing that can be compared | they count as different | |
//!
//! The digest in an object's metadata comes last, and only where the tag is no digest: whoever overwrites an
//! object may give it the metadata of the old one.

use super::parts;
use crate::model::{Capabilities, Checksum, Digest, Fingerprint, Head, Record, RemoteMeta};

/// What would prove a file and an object equal, or that they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// They differ, or nothing can show that they do not.
    Differs,
    /// They are proven equal already; the content has this digest.
    Proven(Digest),
    /// Hash the file so, and compare: this decides.
    Digest(Digest),
    /// The file's CRC-64/NVME is this: this decides.
    Crc64Nvme(u64),
    /// The file's MD5 is the ETag.
    Md5,
    /// The ETag is the MD5 of the MD5s of parts of one of these sizes.
    Md5OfParts(Vec<u64>),
    /// Nothing yet: ask HEAD.
    Head,
    /// Nothing yet: find out what the store honours.
    Capabilities,
}

/// What was found out so far.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The file.
    pub print: &'a Fingerprint,
    /// The key's row of the ledger.
    pub record: Option<&'a Record>,
    /// The object, as it was seen last.
    pub remote: &'a RemoteMeta,
    /// The part size that we would give a file of this size; `None` if it goes up in one request.
    pub own: Option<u64>,
    /// What was tried of the ETag, and differed. The tag may still be no digest.
    pub refuted: &'a [Evidence],
    /// What HEAD said, if it was asked.
    pub head: Option<&'a Head>,
    /// What the store honours, if that is known.
    pub can: Option<Capabilities>,
}

/// Chooses the next rung.
pub fn evidence(facts: &Facts<'_>) -> Evidence {
    let Facts { print, record, remote, own, refuted, head, can } = facts;
    if remote.size != print.size {
        return Evidence::Differs;
    }
    if let Some(row) = record.filter(|row| row.etag == remote.etag)
        && let Some(digest) = row.digest
    {
        let same = row.print == Some(**print);
        return if same { Evidence::Proven(digest) } else { Evidence::Digest(digest) };
    }
    let Some(head) = head else {
        return match by_etag(remote, *own) {
            Some(rung) if refuted.is_empty() => rung,
            _ => Evidence::Head,
        };
    };
    let Some(can) = can else { return Evidence::Capabilities };
    // what the content's MD5 tells apart, 64 bits do not make equal
    let md5_differs = refuted.contains(&Evidence::Md5) && !head.opaque && can.etag_is_md5;
    let verified = |checksum: &Checksum| match checksum {
        Checksum::Crc64Nvme(_) => can.verifies_sha256 || can.verifies_crc64,
        Checksum::Sha256(_) | Checksum::Sha256OfParts(_) => can.verifies_sha256,
    };
    if let Some(checksum) = head.checksum.filter(verified) {
        match (checksum, head.part_size) {
            (Checksum::Sha256(sha256), _) => return Evidence::Digest(Digest { sha256, part_size: None }),
            (Checksum::Crc64Nvme(_), _) if md5_differs => return Evidence::Differs,
            (Checksum::Crc64Nvme(crc), _) => return Evidence::Crc64Nvme(crc),
            (Checksum::Sha256OfParts(sha256), Some(part)) => {
                return Evidence::Digest(Digest { sha256, part_size: Some(part) });
            }
            (Checksum::Sha256OfParts(_), None) => {}
        }
    }
    let etag = by_etag(remote, *own);
    let opaque = head.opaque || !can.etag_is_md5 || (etag.is_none() && remote.etag.parts().is_none());
    if opaque {
        let digest = head.sha256.map(|sha256| Digest { sha256, part_size: head.part_size });
        return digest.map_or(Evidence::Differs, Evidence::Digest);
    }
    // the part size that its writer tells
    let told = match (remote.etag.parts(), head.part_size) {
        (Some(n), Some(part)) if part > 0 && remote.size.div_ceil(part) == u64::from(n) => Some(part),
        _ => None,
    };
    let tried = |part| {
        refuted.iter().any(|rung| matches!(rung, Evidence::Md5OfParts(sizes) if sizes.contains(&part)))
    };
    match (told, etag) {
        (Some(part), _) if !tried(part) => Evidence::Md5OfParts(vec![part]),
        (None, Some(rung)) if refuted.is_empty() => rung,
        _ => Evidence::Differs,
    }
}

/// What a tag is, if it has the form of a digest.
fn by_etag(remote: &RemoteMeta, own: Option<u64>) -> Option<Evidence> {
    if remote.etag.looks_like_md5() {
        return Some(Evidence::Md5);
    }
    let sizes = parts::likely(remote.size, remote.etag.parts()?, own);
    (!sizes.is_empty()).then_some(Evidence::Md5OfParts(sizes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ETag, Extra, Stamp};

    const MIB: u64 = 1 << 20;
    const SIZE: u64 = 12 * MIB;
    const MD5: &str = "0123456789abcdef0123456789abcdef";
    const MULTI: &str = "0123456789abcdef0123456789abcdef-2";
    const AWS: Capabilities = Capabilities {
        conditional_put: true,
        conditional_delete: true,
        conditional_batch: None,
        verifies_sha256: true,
        verifies_crc64: true,
        verifies_md5: true,
        etag_is_md5: true,
    };

    fn remote(size: u64, etag: &str) -> RemoteMeta {
        RemoteMeta { size, etag: ETag::new(etag), modified: None }
    }

    fn row(etag: &str, digest: Option<Digest>) -> Record {
        Record { digest, ..Record::bare(SIZE, etag) }
    }

    fn head() -> Head {
        Head {
            meta: remote(SIZE, MD5),
            own: None,
            sha256: None,
            part_size: None,
            checksum: None,
            opaque: false,
            mtime: None,
            mode: None,
            owner: None,
            names: None,
            extra: Extra::default(),
        }
    }

    struct Case<'a> {
        row: Option<Record>,
        etag: &'a str,
        refuted: Vec<Evidence>,
        head: Option<Head>,
        can: Option<Capabilities>,
    }

    fn case(etag: &str) -> Case<'_> {
        Case { row: None, etag, refuted: vec![], head: None, can: Some(AWS) }
    }

    fn rung(case: &Case<'_>) -> Evidence {
        let print = Fingerprint { size: SIZE, mtime: Stamp::default(), ctime: Stamp::default(), inode: 1 };
        evidence(&Facts {
            print: &print,
            record: case.row.as_ref(),
            remote: &remote(SIZE, case.etag),
            own: Some(8 * MIB),
            refuted: &case.refuted,
            head: case.head.as_ref(),
            can: case.can,
        })
    }

    fn whole(sha256: [u8; 32]) -> Evidence {
        Evidence::Digest(Digest { sha256, part_size: None })
    }

    #[test]
    fn sizes_and_the_ledger_come_first() {
        let print = Fingerprint { size: 1, mtime: Stamp::default(), ctime: Stamp::default(), inode: 1 };
        let (other, head) = (remote(2, MD5), head());
        let facts = Facts {
            print: &print,
            record: None,
            remote: &other,
            own: None,
            refuted: &[],
            head: Some(&head),
            can: Some(AWS),
        };
        assert_eq!(evidence(&facts), Evidence::Differs);
        let digest = Digest { sha256: [7; 32], part_size: Some(8 * MIB) };
        let known = Case { row: Some(row(MULTI, Some(digest))), ..case(MULTI) };
        assert_eq!(rung(&known), Evidence::Digest(digest));
        let print = Some(Fingerprint { size: SIZE, ..print });
        let same = Case { row: Some(Record { print, ..row(MULTI, Some(digest)) }), ..case(MULTI) };
        assert_eq!(rung(&same), Evidence::Proven(digest), "asked only because it was not listed");
        let changed = Case { row: Some(row(MULTI, Some(digest))), ..case(MD5) };
        assert_eq!(rung(&changed), Evidence::Md5, "the row is of another object");
        let bare = Case { row: Some(row(MD5, None)), ..case(MD5) };
        assert_eq!(rung(&bare), Evidence::Md5);
    }

    #[test]
    fn c40_a_tag_is_tried_before_anything_is_asked() {
        assert_eq!(rung(&case(MD5)), Evidence::Md5);
        assert_eq!(rung(&case(MULTI)), Evidence::Md5OfParts(vec![8 * MIB, 10 * MIB]));
        for opaque in ["opaque", "x-2", &format!("{MD5}-0"), &format!("{MD5}-9000")] {
            assert_eq!(rung(&case(opaque)), Evidence::Head, "{opaque}");
        }
        for (etag, tried) in [(MD5, Evidence::Md5), (MULTI, Evidence::Md5OfParts(vec![8 * MIB]))] {
            assert_eq!(rung(&Case { refuted: vec![tried], ..case(etag) }), Evidence::Head);
        }
    }

    #[test]
    fn c40_the_checksum_that_the_store_keeps_has_the_last_word() {
        let refuted = || vec![Evidence::Md5];
        let with = |checksum, part_size| {
            // what the metadata says beside it may be of the object before
            Some(Head { checksum: Some(checksum), sha256: Some([9; 32]), part_size, ..head() })
        };
        for (checksum, part_size, want) in [
            (Checksum::Sha256([1; 32]), None, whole([1; 32])),
            (Checksum::Sha256([1; 32]), Some(8 * MIB), whole([1; 32])),
            (Checksum::Crc64Nvme(5), None, Evidence::Differs),
            (
                Checksum::Sha256OfParts([2; 32]),
                Some(8 * MIB),
                Evidence::Digest(Digest { sha256: [2; 32], part_size: Some(8 * MIB) }),
            ),
            (Checksum::Sha256OfParts([2; 32]), None, Evidence::Differs),
        ] {
            let asked = Case { refuted: refuted(), head: with(checksum, part_size), ..case(MD5) };
            assert_eq!(rung(&asked), want, "{checksum:?}");
            let can = Some(Capabilities { verifies_sha256: false, verifies_crc64: false, ..AWS });
            assert_eq!(rung(&Case { can, ..asked }), Evidence::Differs, "nobody compared {checksum:?}");
        }
        // it decides where the tag is not the MD5 of the whole content
        let crc = with(Checksum::Crc64Nvme(5), None);
        let opaque = crc.clone().map(|head| Head { opaque: true, ..head });
        for (etag, tried, head) in
            [(MD5, Evidence::Md5, opaque), (MULTI, Evidence::Md5OfParts(vec![8 * MIB, 10 * MIB]), crc)]
        {
            let asked = Case { refuted: vec![tried], head, ..case(etag) };
            assert_eq!(rung(&asked), Evidence::Crc64Nvme(5), "{etag}");
            let can = Some(Capabilities { verifies_sha256: false, ..AWS });
            assert_eq!(rung(&Case { can, ..asked }), Evidence::Crc64Nvme(5), "{etag}: it verifies that one");
        }
    }

    #[test]
    fn c40_the_metadata_decides_only_where_the_tag_is_no_digest() {
        let ours = || Head { sha256: Some([9; 32]), ..head() };
        let refuted = || vec![Evidence::Md5];
        let plain = Case { refuted: refuted(), head: Some(ours()), ..case(MD5) };
        assert_eq!(rung(&plain), Evidence::Differs, "overwritten, with the metadata of the old one");
        let kms = Case { refuted: refuted(), head: Some(Head { opaque: true, ..ours() }), ..case(MD5) };
        assert_eq!(rung(&kms), whole([9; 32]));
        let can = Some(Capabilities { etag_is_md5: false, ..AWS });
        let random = Case { refuted: refuted(), head: Some(ours()), can, ..case(MD5) };
        assert_eq!(rung(&random), whole([9; 32]));
        let odd = Case { head: Some(ours()), ..case("opaque") };
        assert_eq!(rung(&odd), whole([9; 32]));
        let nothing = Case { refuted: refuted(), head: Some(Head { opaque: true, ..head() }), ..case(MD5) };
        assert_eq!(rung(&nothing), Evidence::Differs);
        let unknown = Case { can: None, ..random };
        assert_eq!(rung(&unknown), Evidence::Capabilities);
        let first = Case { head: Some(head()), ..case(MD5) };
        assert_eq!(rung(&first), Evidence::Md5, "HEAD was asked before: the key was not listed");
    }

    #[test]
    fn c40_a_part_size_that_is_told_is_tried_once() {
        let told = |part| Some(Head { part_size: Some(part), ..head() });
        let asked = |part: u64, refuted| Case { refuted, head: told(part), ..case(MULTI) };
        let (own, other) = (Evidence::Md5OfParts(vec![8 * MIB]), Evidence::Md5OfParts(vec![7 * MIB]));
        assert_eq!(rung(&asked(7 * MIB, vec![])), other);
        assert_eq!(rung(&asked(7 * MIB, vec![own.clone()])), other);
        assert_eq!(rung(&asked(7 * MIB, vec![own.clone(), other])), Evidence::Differs);
        assert_eq!(rung(&asked(8 * MIB, vec![own.clone()])), Evidence::Differs);
        assert_eq!(rung(&asked(5 * MIB, vec![own.clone()])), Evidence::Differs, "5 MiB make three parts");
        assert_eq!(rung(&asked(0, vec![own])), Evidence::Differs);
    }
}
