//! What each [`Change`] does to the tables, within one transaction.

use super::bytes::Damage;
use super::condemned::{Rows, less};
use super::inode::{self, INODES};
use super::meta::{self, META, Sums};
use super::overwrites::Overwrites;
use super::record::{FOREIGN, INTENTS, RECORDS, Row, encode_intent, encode_tag};
use super::window::{self, WINDOW};
use crate::model::{Change, ETag, Key, Record, Seq};
use redb::{ReadableTable, Table, WriteTransaction};

type Keyed<'txn> = Table<'txn, &'static str, &'static [u8]>;

/// Every table, open for writing, and the counters as they will be.
struct Batch<'txn> {
    records: Keyed<'txn>,
    inodes: Table<'txn, &'static [u8], ()>,
    condemned: Rows<'txn>,
    foreign: Keyed<'txn>,
    intents: Keyed<'txn>,
    window: Table<'txn, i64, &'static [u8]>,
    overwrites: Overwrites<'txn>,
    meta: Keyed<'txn>,
    sums: Sums,
}

/// Applies `changes` in their order and counts one step, even for none of them. The transaction is not
/// committed.
pub(super) fn apply(txn: &WriteTransaction, changes: Vec<Change>) -> Result<Seq, redb::Error> {
    let mut batch = Batch::open(txn)?;
    batch.sums.seq += 1;
    for change in changes {
        batch.change(change)?;
    }
    meta::put_sums(&mut batch.meta, &batch.sums)?;
    Ok(batch.sums.seq)
}

/// Makes the tables of an empty database.
pub(super) fn create(txn: &WriteTransaction, id: u64) -> Result<(), redb::Error> {
    let mut meta = txn.open_table(META)?;
    meta::put_name(&mut meta, meta::SCHEMA, id)?;
    meta::put_sums(&mut meta, &Sums::default())?;
    drop(meta);
    Batch::open(txn).map(drop)
}

impl<'txn> Batch<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let meta = txn.open_table(META)?;
        Ok(Self {
            records: txn.open_table(RECORDS)?,
            inodes: txn.open_table(INODES)?,
            condemned: Rows::open(txn)?,
            foreign: txn.open_table(FOREIGN)?,
            intents: txn.open_table(INTENTS)?,
            window: txn.open_table(WINDOW)?,
            overwrites: Overwrites::open(txn)?,
            sums: meta::sums(&meta)?,
            meta,
        })
    }

    fn change(&mut self, change: Change) -> Result<(), redb::Error> {
        match change {
            Change::Proof(key, record) => self.proof(&key, record),
            Change::Gone(key, at) => {
                if self.condemned.costs(&key)? {
                    window::count(&mut self.window, at, self.sums.records)?;
                }
                self.gone(&key)
            }
            Change::Deleted { key, at, costs } => {
                if costs {
                    window::count(&mut self.window, at, self.sums.records)?;
                }
                self.gone(&key)
            }
            Change::Condemn(key, etag, since) => {
                let row = self.mark(&key, true)?;
                let moved = row.is_some_and(|row| row.moved && row.record.etag == etag);
                self.condemned.condemn(&mut self.sums, key, etag, moved, since)
            }
            Change::Acquit(key) => {
                self.mark(&key, false)?;
                self.condemned.drop(&mut self.sums, &key)
            }
            Change::Doubt(key) => self.doubt(&key),
            Change::Moved(key, etag) => self.moved(&key, &etag),
            Change::Approve(last) => self.condemned.approve(&mut self.sums, last),
            Change::Refrain(key, etag) => self.overwrites.hold(&mut self.sums, key, etag),
            Change::Abandon(key, row) => self.overwrites.abandon(&mut self.sums, &key, row),
            Change::ApproveOverwrites(last) => self.overwrites.approve(&mut self.sums, last),
            Change::Overwritten { key, at, since } => {
                self.overwrites.count(&key, at, since, self.sums.records)
            }
            Change::Intend(intent) => {
                self.intents.insert(intent.key.as_str(), encode_intent(&intent).as_slice())?;
                Ok(())
            }
            Change::Settled(key) => {
                self.intents.remove(key.as_str())?;
                Ok(())
            }
            Change::Foreign(key, etag) => {
                self.forget(&key)?;
                self.condemned.drop(&mut self.sums, &key)?;
                self.overwrites.drop(&mut self.sums, &key)?;
                self.foreign.insert(key.as_str(), encode_tag(&etag).as_slice())?;
                Ok(())
            }
            Change::Bind(binding) => meta::put_binding(&mut self.meta, &binding),
            Change::Hold(held) => meta::put_held(&mut self.meta, held),
            Change::Scrubbed(mark) => meta::put_scrubbed(&mut self.meta, &mark),
            Change::Unsynced(since) => meta::put_unsynced(&mut self.meta, since),
        }
    }

    fn row(&self, key: &Key) -> Result<Option<Row>, redb::Error> {
        let row = self.records.get(key.as_str())?;
        Ok(row.map(|row| Row::decode(key.as_str(), row.value())).transpose()?)
    }

    /// Writes to the proof whether its object is condemned, and gives it back. It is no newer for it.
    fn mark(&mut self, key: &Key, condemned: bool) -> Result<Option<Row>, redb::Error> {
        let Some(Row { record, moved }) = self.row(key)? else { return Ok(None) };
        if record.condemned == condemned {
            return Ok(Some(Row { record, moved }));
        }
        let row = Row { record: Record { condemned, ..record }, moved };
        self.records.insert(key.as_str(), row.encode(key.as_str()).as_slice())?;
        Ok(Some(row))
    }

    /// A proof says that the file is there: what was known of its absence is void, `moved` too.
    fn proof(&mut self, key: &Key, record: Record) -> Result<(), redb::Error> {
        self.condemned.drop(&mut self.sums, key)?;
        self.overwrites.drop(&mut self.sums, key)?;
        self.foreign.remove(key.as_str())?;
        let row = Row { record: Record { seq: self.sums.seq, condemned: false, ..record }, moved: false };
        let old = self
            .records
            .insert(key.as_str(), row.encode(key.as_str()).as_slice())?
            .map(|old| Row::decode(key.as_str(), old.value()))
            .transpose()?;
        if old.is_none() {
            *self.counter(key) += 1;
        }
        let old = old.and_then(|row| row.record.print);
        inode::replace(&mut self.inodes, key, old.as_ref(), row.record.print.as_ref())
    }

    /// Where the records of what this key stands for are counted.
    fn counter(&mut self, key: &Key) -> &mut u64 {
        if key.is_directory() { &mut self.sums.directories } else { &mut self.sums.records }
    }

    fn gone(&mut self, key: &Key) -> Result<(), redb::Error> {
        self.forget(key)?;
        self.condemned.drop(&mut self.sums, key)?;
        self.overwrites.drop(&mut self.sums, key)?;
        self.foreign.remove(key.as_str())?;
        Ok(())
    }

    /// Drops the proof.
    fn forget(&mut self, key: &Key) -> Result<(), redb::Error> {
        let old: Option<Result<Row, Damage>> =
            self.records.remove(key.as_str())?.map(|row| Row::decode(key.as_str(), row.value()));
        let Some(old) = old.transpose()? else { return Ok(()) };
        let counter = self.counter(key);
        *counter = less(*counter)?;
        inode::replace(&mut self.inodes, key, old.record.print.as_ref(), None)
    }

    /// Counts as a new proof, so that nothing that was asked before vouches for it.
    fn doubt(&mut self, key: &Key) -> Result<(), redb::Error> {
        let Some(Row { record, moved }) = self.row(key)?.filter(|row| !row.record.doubted) else {
            return Ok(());
        };
        let row = Row { record: Record { doubted: true, seq: self.sums.seq, ..record }, moved };
        self.records.insert(key.as_str(), row.encode(key.as_str()).as_slice())?;
        Ok(())
    }

    /// Remembered on the proof as well, for a row that is condemned later. The proof is no newer for it.
    fn moved(&mut self, key: &Key, etag: &ETag) -> Result<(), redb::Error> {
        if let Some(row) = self.row(key)?.filter(|row| row.record.etag == *etag && !row.moved) {
            self.records.insert(key.as_str(), Row { moved: true, ..row }.encode(key.as_str()).as_slice())?;
        }
        self.condemned.moved(&mut self.sums, key, etag)
    }
}
