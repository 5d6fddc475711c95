//! What is kept of one key, as bytes: the proof, the foreign tag, the intent.

use super::bytes::{Damage, Reader, Writer};
use crate::model::{Attributes, Digest, ETag, Fingerprint, Intent, Key, Record, Stamp};
use redb::TableDefinition;

/// Key → proof.
pub(super) const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
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

impl Row {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Record { print, attributes, metadata_due, size, etag, digest, seq } = &self.record;
        Writer::new()
            .option(print.as_ref(), write_print)
            .option(attributes.as_ref(), |w, a| w.u32(a.mode).u32(a.uid).u32(a.gid))
            .u8(u8::from(*metadata_due))
            .u64(*size)
            .text(&etag.to_string())
            .option(digest.as_ref(), |w, d| w.raw(&d.sha256).option(d.part_size, Writer::u64))
            .u64(*seq)
            .u8(self.moved.into())
            .seal()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let mut r = Reader::open(bytes)?;
        let record = Record {
            print: r.option(read_print)?,
            attributes: r.option(|r| Ok(Attributes { mode: r.u32()?, uid: r.u32()?, gid: r.u32()? }))?,
            metadata_due: r.u8()? != 0,
            size: r.u64()?,
            etag: ETag::new(r.text()?),
            digest: r.option(|r| Ok(Digest { sha256: r.array()?, part_size: r.option(Reader::u64)? }))?,
            seq: r.u64()?,
        };
        let moved = r.flag()?;
        r.end()?;
        Ok(Self { record, moved })
    }
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
    write_stamp(write_print(Writer::new(), &intent.print).u64(intent.part_size), intent.at).seal()
}

pub(super) fn decode_intent(key: &str, bytes: &[u8]) -> Result<Intent, Damage> {
    let mut r = Reader::open(bytes)?;
    let intent = Intent {
        key: Key::raw(key),
        print: read_print(&mut r)?,
        part_size: r.u64()?,
        at: read_stamp(&mut r)?,
    };
    r.end()?;
    Ok(intent)
}

fn write_print(w: Writer, print: &Fingerprint) -> Writer {
    let w = w.u64(print.size).u64(print.inode);
    write_stamp(write_stamp(w, print.mtime), print.ctime)
}

fn read_print(r: &mut Reader<'_>) -> Result<Fingerprint, Damage> {
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
            any::<bool>(),
            any::<u64>(),
            "[0-9a-f-]{0,40}",
            proptest::option::of(digest),
            any::<u64>(),
            any::<bool>(),
        )
            .prop_map(|(print, attributes, metadata_due, size, etag, digest, seq, moved)| Row {
                record: Record { print, attributes, metadata_due, size, etag: ETag::new(&etag), digest, seq },
                moved,
            })
    }

    proptest! {
        #[test]
        fn rows_come_back(row in any_row(), print in any_print(), at in any_stamp(), part_size: u64) {
            prop_assert_eq!(Row::decode(&row.encode()), Ok(row));
            let intent = Intent { key: Key::raw("k"), print, part_size, at };
            prop_assert_eq!(decode_intent("k", &encode_intent(&intent)), Ok(intent));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(Row::decode(&bytes).is_err());
            let sealed = Writer::new().raw(&bytes).seal();
            let _: (Result<Row, _>, Result<Intent, _>) = (Row::decode(&sealed), decode_intent("k", &sealed));
        }
    }

    #[test]
    fn a_row_is_small() {
        let print = Fingerprint { size: 1, mtime: Stamp::default(), ctime: Stamp::default(), inode: 1 };
        let record = Record {
            print: Some(print),
            attributes: Some(Attributes { mode: 0, uid: 0, gid: 0 }),
            metadata_due: false,
            size: 1,
            etag: ETag::new("0123456789abcdef0123456789abcdef"),
            digest: Some(Digest { sha256: [0; 32], part_size: None }),
            seq: 1,
        };
        assert!(Row { record, moved: false }.encode().len() <= 160);
    }
}
