//! From an older layout to the present one: one step a version, each in one transaction.
//!
//! A step that does not come to its end leaves the ledger as it was, and is taken again when it is next opened. It
//! holds no more in memory than the database's cache and the numbers of the pages it writes. A row that cannot be read
//! makes the whole ledger damaged: what it proves can be proven anew.

use super::bytes::{Damage, Reader};
use super::record::{INTENTS, RECORDS, Row, encode_intent, read_print, read_stamp};
use super::{
    condemned::{self, CONDEMNED},
    inode::{self, INODES},
    meta::{self, META},
    overwrites::Overwrites,
};
use crate::model::{Attributes, Digest, ETag, Intent, Kept, Key, Record};
use redb::{Error, MultimapTableDefinition, ReadableTable, TableDefinition};

/// Brings a ledger of layout `schema` one version on. The id stays.
pub(super) fn step(engine: &redb::Database, schema: u32, id: u64) -> Result<(), Error> {
    let txn = engine.begin_write()?;
    match schema {
        1 => second(&txn)?,
        2 => third(&txn)?,
        3 => fourth(&txn)?,
        // 5: proofs say what was looked for beside mode and owner; nothing was
        4 => {}
        _ => return Err(Error::Corrupted(format!("its schema {schema} never was"))),
    }
    let mut meta = txn.open_table(META)?;
    meta::put_name(&mut meta, schema + 1, id)?;
    drop(meta);
    txn.commit()?;
    Ok(())
}

/// Layout 1: proofs of fixed widths,
const RECORDS_1: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
/// and a collection of keys an inode.
const INODES_1: MultimapTableDefinition<'static, u64, &str> = MultimapTableDefinition::new("inodes");

/// Layout 2: proofs are kept shorter, and the inodes' keys one by one.
fn second(txn: &redb::WriteTransaction) -> Result<(), Error> {
    let (old, mut new) = (txn.open_table(RECORDS_1)?, txn.open_table(RECORDS)?);
    let mut inodes = txn.open_table(INODES)?;
    for found in old.iter()? {
        let (key, row) = found?;
        let row = decode_1(row.value())?;
        new.insert(key.value(), row.encode(key.value()).as_slice())?;
        inode::replace(&mut inodes, &Key::raw(key.value()), None, row.record.print.as_ref())?;
    }
    drop((old, new, inodes));
    txn.delete_table(RECORDS_1)?;
    txn.delete_multimap_table(INODES_1)?;
    Ok(())
}

fn decode_1(bytes: &[u8]) -> Result<Row, Damage> {
    let mut r = Reader::open(bytes)?;
    let record = Record {
        print: r.option(read_print)?,
        attributes: r.option(|r| Ok(Attributes { mode: r.u32()?, uid: r.u32()?, gid: r.u32()? }))?,
        metadata_due: r.u8()? != 0,
        doubted: false,
        condemned: false,
        kept: Kept::default(),
        size: r.u64()?,
        etag: ETag::new(r.text()?),
        digest: r.option(|r| Ok(Digest { sha256: r.array()?, part_size: r.option(Reader::u64)? }))?,
        seq: r.u64()?,
    };
    let moved = r.flag()?;
    r.end()?;
    Ok(Row { record, moved })
}

/// Layout 3: intents tell on what terms an upload was created, and its id; of those there are, neither is known. Few
/// uploads are open at a time, so they are held in memory. And proofs know that their object is condemned.
fn third(txn: &redb::WriteTransaction) -> Result<(), Error> {
    let mut table = txn.open_table(INTENTS)?;
    let mut intents = Vec::new();
    for found in table.iter()? {
        let (key, row) = found?;
        intents.push(decode_intent_2(key.value(), row.value())?);
    }
    for intent in intents {
        table.insert(intent.key.as_str(), encode_intent(&intent).as_slice())?;
    }
    let (rows, mut records) = (txn.open_table(CONDEMNED)?, txn.open_table(RECORDS)?);
    for found in rows.iter()? {
        let (number, row) = found?;
        let key = condemned::decode(number.value(), row.value())?.key;
        let found = records.get(key.as_str())?.map(|row| Row::decode(key.as_str(), row.value()));
        if let Some(Row { record, moved }) = found.transpose()? {
            let row = Row { record: Record { condemned: true, ..record }, moved };
            records.insert(key.as_str(), row.encode(key.as_str()).as_slice())?;
        }
    }
    Ok(())
}

/// Layout 4: replacements are counted, and may be held.
fn fourth(txn: &redb::WriteTransaction) -> Result<(), Error> {
    Overwrites::open(txn)?;
    let mut meta = txn.open_table(META)?;
    let sums = meta::sums_3(&meta)?;
    meta::put_sums(&mut meta, &sums)
}

fn decode_intent_2(key: &str, bytes: &[u8]) -> Result<Intent, Damage> {
    let mut r = Reader::open(bytes)?;
    let (print, part_size, at) = (read_print(&mut r)?, r.u64()?, read_stamp(&mut r)?);
    r.end()?;
    Ok(Intent { key: Key::raw(key), print, part_size, at, terms: None, upload: None })
}

#[cfg(test)]
mod tests {
    use super::super::{Database, Ledger, OpenError, medium::Medium};
    use super::*;
    use crate::model::{Class, KeyRange};
    use redb::{Builder, StorageBackend, backends::FileBackend};
    use std::{
        fs::{self, File},
        io::{self, ErrorKind},
        path::{Path, PathBuf},
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };

    /// A file on a disk that goes away: after some writes nothing reaches it any more.
    #[derive(Debug)]
    struct Disk(FileBackend, Arc<AtomicI64>);

    impl Disk {
        fn counted(&self) -> io::Result<()> {
            match self.1.fetch_sub(1, Ordering::Relaxed) {
                1.. => Ok(()),
                _ => Err(ErrorKind::Other.into()),
            }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.counted()?;
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.counted()?;
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.counted().is_err() {
                // torn by what cut it off
                self.0.write(offset, &data[..data.len() / 2])?;
                return Err(ErrorKind::Other.into());
            }
            self.0.write(offset, data)
        }
    }

    struct Place(PathBuf, Arc<AtomicI64>);

    impl Medium for Place {
        fn open(&self, cache_bytes: usize) -> Result<redb::Database, Error> {
            let file = File::options().read(true).write(true).open(&self.0).map_err(Error::Io)?;
            let disk = Disk(FileBackend::new(file)?, Arc::clone(&self.1));
            Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(disk)?)
        }

        fn set_aside(&self, kind: &str) -> io::Result<Option<PathBuf>> {
            panic!("what can be read is not {kind}")
        }

        fn name(&self) -> String {
            "L".into()
        }
    }

    async fn rows(ledger: &Database) -> (Vec<(Key, Record)>, Vec<Intent>) {
        let all = KeyRange::Under(Key::raw(""));
        (ledger.page(&all, None, usize::MAX).await.expect("read"), ledger.intents().await.expect("read"))
    }

    #[tokio::test]
    async fn c65_a_migration_that_is_cut_off_anywhere_is_taken_again() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept/ledger-1.redb");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        let open = |writes: i64| {
            let place = Place(path.clone(), Arc::new(AtomicI64::new(writes)));
            // a small cache writes pages before the commit
            Database::start(Box::new(place), 1 << 15, None)
        };
        let copy = || fs::copy(&kept, &path).expect("copied");
        copy();
        let want = rows(&open(i64::MAX).expect("opened").ledger).await;
        let (mut cut, mut writes) = (0, 0);
        loop {
            copy();
            match open(writes) {
                Err(OpenError::Fault(fault)) => assert_eq!(fault.class, Class::Transient, "{fault}"),
                Err(held) => panic!("{held}"),
                // what is written after the last commit may be lost
                Ok(opened) if rows(&opened.ledger).await == want => break,
                Ok(_) => panic!("opened after {writes} writes, with other rows"),
            }
            let opened = open(i64::MAX).expect("opened again");
            assert_eq!(opened.fresh, None);
            assert!(rows(&opened.ledger).await == want, "cut off after {writes} writes");
            (cut, writes) = (cut + 1, writes + 1 + writes / 16);
        }
        assert!(cut > 20, "cut off {cut} times");
    }
}
