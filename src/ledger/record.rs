//! What is kept of one key, as bytes: the proof, the foreign tag, the intent.
//!
//! There are as many proofs as files: so nothing is kept twice in one, numbers are as short as they can be, and a tag
//! that is an MD5 is kept as its 16 bytes.

use super::bytes::{Damage, Reader, Writer};
use crate::model::{Attributes, Digest, ETag, Fingerprint, Intent, Keep, Kept, Key, Record, Stamp};
use redb::TableDefinition;
use std::num::NonZeroU32;

/// Key → proof.
pub(super) const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("proofs");
/// Key → the tag under which it was found to be foreign.
pub(super) const FOREIGN: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("foreign");
/// Key → intent.
pub(super) const INTENTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("intents");

/// A proof as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) record: Record,
    /// The content, under the record's tag, was copied to another key: a later condemned row with this
    /// tag costs no budget.
    pub(super) moved: bool,
}

/// What a proof has, in the two bytes before its fields. Bits that are not named here are zero.
mod has {
    pub(super) const PRINT: u16 = 1 << 0;
    pub(super) const ATTRIBUTES: u16 = 1 << 1;
    pub(super) const METADATA_DUE: u16 = 1 << 2;
    pub(super) const DIGEST: u16 = 1 << 3;
    pub(super) const PART_SIZE: u16 = 1 << 4;
    pub(super) const MOVED: u16 = 1 << 5;
    /// The file had the object's size: it is not kept twice.
    pub(super) const SAME_SIZE: u16 = 1 << 6;
    /// The file was not changed since its content was written: one time is kept.
    pub(super) const SAME_TIME: u16 = 1 << 7;
    /// The tag is an MD5, spelled as servers spell it.
    pub(super) const MD5: u16 = 1 << 8;
    /// And `-N` follows it.
    pub(super) const PARTS: u16 = 1 << 9;
    pub(super) const DOUBTED: u16 = 1 << 10;
    pub(super) const CONDEMNED: u16 = 1 << 11;
    /// More was looked for than time, mode and owner, or less.
    pub(super) const KEPT: u16 = 1 << 12;
    pub(super) const ALL: u16 = (1 << 13) - 1;
}

impl Row {
    pub(super) fn encode(&self, key: &str) -> Vec<u8> {
        let Record { print, attributes, kept, metadata_due, doubted, condemned, size, etag, digest, seq } =
            &self.record;
        let part_size = digest.and_then(|d| d.part_size);
        let md5 = etag.as_md5();
        let flags = [
            (has::PRINT, print.is_some()),
            (has::ATTRIBUTES, attributes.is_some()),
            (has::METADATA_DUE, *metadata_due),
            (has::DOUBTED, *doubted),
            (has::CONDEMNED, *condemned),
            (has::KEPT, *kept != Kept::default()),
            (has::DIGEST, digest.is_some()),
            (has::PART_SIZE, part_size.is_some()),
            (has::MOVED, self.moved),
            (has::SAME_SIZE, print.is_some_and(|p| p.size == *size)),
            (has::SAME_TIME, print.is_some_and(|p| p.ctime == p.mtime)),
            (has::MD5, md5.is_some()),
            (has::PARTS, md5.is_some_and(|(_, parts)| parts.is_some())),
        ];
        let flags = flags.iter().filter(|(_, set)| *set).fold(0, |all, (flag, _)| all | flag);
        let mut w = Writer::new().u16(flags).number(*seq).number(*size);
        if let Some(print) = print {
            w = if print.size == *size { w } else { w.number(print.size) };
            w = short_stamp(w.number(print.inode), print.mtime);
            w = if print.ctime == print.mtime { w } else { short_stamp(w, print.ctime) };
        }
        if let Some(a) = attributes {
            w = w.number(a.mode.into()).number(a.uid.into()).number(a.gid.into());
        }
        w = match md5 {
            Some((md5, None)) => w.raw(&md5),
            Some((md5, Some(parts))) => w.raw(&md5).number(parts.get().into()),
            None => {
                let text = etag.to_string();
                w.number(text.len() as u64).raw(text.as_bytes())
            }
        };
        if let Some(digest) = digest {
            w = w.raw(&digest.sha256);
        }
        let w = match part_size {
            Some(size) => w.number(size),
            None => w,
        };
        let w = if *kept == Kept::default() { w } else { w.u8(kept.looked.bits()).number(kept.digest) };
        w.seal_as(key)
    }

    pub(super) fn decode(key: &str, bytes: &[u8]) -> Result<Self, Damage> {
        let mut r = Reader::open_as(key, bytes)?;
        let flags = r.u16()?;
        let has = |flag| flags & flag != 0;
        if has(!has::ALL) {
            return Err(Damage::Form);
        }
        let (seq, size) = (r.number()?, r.number()?);
        let print = match has(has::PRINT) {
            true => {
                let size = if has(has::SAME_SIZE) { size } else { r.number()? };
                let (inode, mtime) = (r.number()?, read_short_stamp(&mut r)?);
                let ctime = if has(has::SAME_TIME) { mtime } else { read_short_stamp(&mut r)? };
                Some(Fingerprint { size, mtime, ctime, inode })
            }
            false => None,
        };
        let attributes = match has(has::ATTRIBUTES) {
            true => Some(Attributes { mode: r.small()?, uid: r.small()?, gid: r.small()? }),
            false => None,
        };
        let etag = match (has(has::MD5), has(has::PARTS)) {
            (true, parts) => {
                let md5 = r.array()?;
                let parts = if parts { Some(NonZeroU32::new(r.small()?).ok_or(Damage::Form)?) } else { None };
                ETag::of_md5(md5, parts)
            }
            (false, true) => return Err(Damage::Form),
            (false, false) => {
                let length = usize::try_from(r.number()?).map_err(|_| Damage::Form)?;
                ETag::new(std::str::from_utf8(r.take(length)?).map_err(|_| Damage::Form)?)
            }
        };
        let digest = match (has(has::DIGEST), has(has::PART_SIZE)) {
            (true, parts) => {
                Some(Digest { sha256: r.array()?, part_size: if parts { Some(r.number()?) } else { None } })
            }
            (false, true) => return Err(Damage::Form),
            (false, false) => None,
        };
        let kept = match has(has::KEPT) {
            true => Kept { looked: Keep::of(r.u8()?).ok_or(Damage::Form)?, digest: r.number()? },
            false => Kept::default(),
        };
        r.end()?;
        let (metadata_due, doubted, condemned) =
            (has(has::METADATA_DUE), has(has::DOUBTED), has(has::CONDEMNED));
        let record =
            Record { print, attributes, kept, metadata_due, doubted, condemned, size, etag, digest, seq };
        Ok(Self { record, moved: has(has::MOVED) })
    }
}

fn short_stamp(w: Writer, stamp: Stamp) -> Writer {
    w.signed(stamp.sec).u32(stamp.nsec)
}

fn read_short_stamp(r: &mut Reader<'_>) -> Result<Stamp, Damage> {
    Ok(Stamp { sec: r.signed()?, nsec: r.u32()? })
}

pub(super) fn encode_tag(etag: &ETag) -> Vec<u8> {
    Writer::new().text(&etag.to_string()).seal()
}

pub(super) fn decode_tag(bytes: &[u8]) -> Result<ETag, Damage> {
    let mut r = Reader::open(bytes)?;
    let etag = ETag::new(r.text()?);
    r.end()?;
    Ok(etag)
}

/// Without its key, which is the row's.
pub(super) fn encode_intent(intent: &Intent) -> Vec<u8> {
    let w = write_print(Writer::new(), &intent.print).u64(intent.part_size);
    let w = write_stamp(w, intent.at).option(intent.terms, |w, terms| w.raw(&terms));
    w.option(intent.upload.as_deref(), Writer::text).seal()
}

pub(super) fn decode_intent(key: &str, bytes: &[u8]) -> Result<Intent, Damage> {
    let mut r = Reader::open(bytes)?;
    let intent = Intent {
        key: Key::raw(key),
        print: read_print(&mut r)?,
        part_size: r.u64()?,
        at: read_stamp(&mut r)?,
        terms: r.option(Reader::array)?,
        upload: r.option(|r| r.text().map(str::to_owned))?,
    };
    r.end()?;
    Ok(intent)
}

fn write_print(w: Writer, print: &Fingerprint) -> Writer {
    let w = w.u64(print.size).u64(print.inode);
    write_stamp(write_stamp(w, print.mtime), print.ctime)
}

pub(super) fn read_print(r: &mut Reader<'_>) -> Result<Fingerprint, Damage> {
    let (size, inode) = (r.u64()?, r.u64()?);
    Ok(Fingerprint { size, inode, mtime: read_stamp(r)?, ctime: read_stamp(r)? })
}

pub(super) fn write_stamp(w: Writer, stamp: Stamp) -> Writer {
    w.i64(stamp.sec).u32(stamp.nsec)
}

pub(super) fn read_stamp(r: &mut Reader<'_>) -> Result<Stamp, Damage> {
    Ok(Stamp { sec: r.i64()?, nsec: r.u32()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_stamp() -> impl Strategy<Value = Stamp> {
        (any::<i64>(), 0..1_000_000_000u32).prop_map(|(sec, nsec)| Stamp { sec, nsec })
    }

    fn any_print() -> impl Strategy<Value = Fingerprint> {
        (any::<u64>(), any_stamp(), any_stamp(), any::<u64>())
            .prop_map(|(size, mtime, ctime, inode)| Fingerprint { size, mtime, ctime, inode })
    }

    fn any_row() -> impl Strategy<Value = Row> {
        let attributes = (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(mode, uid, gid)| Attributes {
            mode,
            uid,
            gid,
        });
        let digest = (any::<[u8; 32]>(), any::<Option<u64>>())
            .prop_map(|(sha256, part_size)| Digest { sha256, part_size });
        (
            proptest::option::of(any_print()),
            proptest::option::of(attributes),
            any::<[bool; 3]>(),
            any::<u64>(),
            prop_oneof!["[0-9a-f-]{0,40}", "[0-9a-f]{32}", "[0-9a-f]{32}-[0-9]{1,11}", "[0-9A-F]{32}"],
            proptest::option::of(digest),
            any::<u64>(),
            (any::<bool>(), 0u8..32, prop_oneof![Just(0), any::<u64>()]),
        )
            .prop_map(
                |(
                    print,
                    attributes,
                    [metadata_due, doubted, condemned],
                    size,
                    etag,
                    digest,
                    seq,
                    (moved, looked, kept),
                )| {
                    let kept = Kept { looked: Keep::of(looked).expect("a number of one"), digest: kept };
                    let etag = ETag::new(&etag);
                    let record = Record {
                        print,
                        attributes,
                        kept,
                        metadata_due,
                        doubted,
                        condemned,
                        size,
                        etag,
                        digest,
                        seq,
                    };
                    Row { record, moved }
                },
            )
    }

    proptest! {
        #[test]
        fn rows_come_back(row in any_row(), print in any_print(), at in any_stamp(), part_size: u64, terms: Option<[u8; 32]>, upload: Option<String>) {
            prop_assert_eq!(Row::decode("k", &row.encode("k")), Ok(row));
            let intent = Intent { key: Key::raw("k"), print, part_size, at, terms, upload };
            prop_assert_eq!(decode_intent("k", &encode_intent(&intent)), Ok(intent));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(Row::decode("", &bytes).is_err());
            let sealed = Writer::new().raw(&bytes).seal();
            let _: (Result<Row, _>, Result<Intent, _>) = (Row::decode("", &sealed), decode_intent("k", &sealed));
        }
    }

    #[test]
    fn a_row_is_small() {
        let written = Stamp { sec: 1_700_000_000, nsec: 123_456_789 };
        let print = Fingerprint { size: 1_000_000, mtime: written, ctime: written, inode: 10_000_000 };
        let record = Record {
            print: Some(print),
            attributes: Some(Attributes { mode: 0o100_644, uid: 1000, gid: 1000 }),
            metadata_due: false,
            doubted: false,
            condemned: false,
            kept: Kept::default(),
            size: 1_000_000,
            etag: ETag::new("0123456789abcdef0123456789abcdef"),
            digest: Some(Digest { sha256: [0; 32], part_size: None }),
            seq: 1_000_000,
        };
        let length = |record: &Record| Row { record: record.clone(), moved: false }.encode("").len();
        assert_eq!(length(&record), 81);
        let ctime = Stamp { sec: 1_700_000_001, nsec: 0 };
        let touched = Record { print: Some(Fingerprint { ctime, ..print }), ..record.clone() };
        assert_eq!(length(&touched), 90);
        let kept = Kept { looked: Keep { xattrs: true, ..Keep::default() }, digest: 0 };
        assert_eq!(length(&Record { kept, ..record.clone() }), 83);
        let parts = Record { etag: ETag::new("0123456789abcdef0123456789abcdef-10000"), ..record };
        assert_eq!(length(&parts), 83);
    }
}
