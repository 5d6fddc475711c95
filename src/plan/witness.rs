//! What an object says of its bytes, for whoever has fetched them.
//!
//! Unlike the [ladder](super::evidence) of an upload, which may always send a file again, a restore has nothing else to
//! go by: one witness that agrees is enough, for no damage makes it agree, and if all disagree what came is not what was
//! stored. A digest in the metadata may be that of an object which somebody has overwritten since, and a tag may be no
//! digest, so none of them alone speaks against the bytes.

use super::parts;
use crate::model::{Checksum, Digest, Head};

/// Something that the bytes can be held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Our SHA-256, or one that the store keeps.
    Digest(Digest),
    /// The MD5 that the tag is.
    Md5,
    /// The MD5 of the MD5s of parts of one of these sizes that the tag is.
    Md5OfParts(Vec<u64>),
    /// The store's CRC-64/NVME.
    Crc64Nvme(u64),
}

/// All witnesses, the cheapest to hear first.
pub fn witnesses(head: &Head) -> Vec<Witness> {
    let mut all = vec![];
    let mut hear = |witness| {
        if !all.contains(&witness) {
            all.push(witness);
        }
    };
    let part_size = head.part_size;
    if let Some(Checksum::Crc64Nvme(crc)) = head.checksum {
        hear(Witness::Crc64Nvme(crc));
    }
    if let Some(sha256) = head.sha256 {
        hear(Witness::Digest(Digest { sha256, part_size }));
    }
    match head.checksum {
        Some(Checksum::Sha256(sha256)) => hear(Witness::Digest(Digest { sha256, part_size: None })),
        Some(Checksum::Sha256OfParts(sha256)) if part_size.is_some() => {
            hear(Witness::Digest(Digest { sha256, part_size }));
        }
        _ => {}
    }
    let etag = &head.meta.etag;
    match etag.parts() {
        _ if head.opaque => {}
        None if etag.looks_like_md5() => hear(Witness::Md5),
        None => {}
        Some(parts) => {
            let sizes = parts::likely(head.meta.size, parts, part_size);
            if !sizes.is_empty() {
                hear(Witness::Md5OfParts(sizes));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ETag, Extra, RemoteMeta};

    const MIB: u64 = 1 << 20;
    const MD5: &str = "0123456789abcdef0123456789abcdef";

    fn head(etag: &str) -> Head {
        Head {
            meta: RemoteMeta { size: 12 * MIB, etag: ETag::new(etag), modified: None },
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

    fn digest(byte: u8, part_size: Option<u64>) -> Witness {
        Witness::Digest(Digest { sha256: [byte; 32], part_size })
    }

    #[test]
    fn whatever_can_be_compared_is_heard_once() {
        let multi = format!("{MD5}-2");
        let part = Some(8 * MIB);
        let rows = [
            (head("opaque"), vec![]),
            (head(MD5), vec![Witness::Md5]),
            (Head { opaque: true, ..head(MD5) }, vec![]),
            (head(&multi), vec![Witness::Md5OfParts(vec![8 * MIB, 10 * MIB])]),
            (
                Head { part_size: Some(7 * MIB), ..head(&multi) },
                vec![Witness::Md5OfParts(vec![7 * MIB, 8 * MIB, 10 * MIB])],
            ),
            (head(&format!("{MD5}-9000")), vec![]),
            (
                Head { sha256: Some([1; 32]), checksum: Some(Checksum::Sha256([1; 32])), ..head(MD5) },
                vec![digest(1, None), Witness::Md5],
            ),
            (
                Head { sha256: Some([1; 32]), checksum: Some(Checksum::Sha256([2; 32])), ..head("x") },
                vec![digest(1, None), digest(2, None)],
            ),
            (
                Head {
                    part_size: part,
                    checksum: Some(Checksum::Sha256OfParts([3; 32])),
                    opaque: true,
                    ..head(&multi)
                },
                vec![digest(3, part)],
            ),
            (Head { checksum: Some(Checksum::Sha256OfParts([3; 32])), ..head("x") }, vec![]),
            (
                Head { sha256: Some([1; 32]), checksum: Some(Checksum::Crc64Nvme(7)), ..head(MD5) },
                vec![Witness::Crc64Nvme(7), digest(1, None), Witness::Md5],
            ),
        ];
        for (head, want) in rows {
            assert_eq!(witnesses(&head), want, "{head:?}");
        }
    }
}
