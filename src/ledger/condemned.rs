//! The objects that are to be deleted: rows in the order of their numbers, and one row at most a key.

use super::bytes::{Damage, Reader, Writer};
use super::meta::Sums;
use crate::model::{Condemned, ETag, Key, Seq};
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use std::ops::Bound;

/// Row number → condemned object.
pub(super) const CONDEMNED: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("condemned");
/// Key → row number.
pub(super) const ROW_OF: TableDefinition<'static, &str, u64> = TableDefinition::new("condemned_rows");

/// Rows that are approved at a time: what is held in memory.
const STEP: usize = 1000;

/// Both tables, in a transaction.
pub(super) struct Rows<'txn> {
    rows: Table<'txn, u64, &'static [u8]>,
    of: Table<'txn, &'static str, u64>,
}

impl<'txn> Rows<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self { rows: txn.open_table(CONDEMNED)?, of: txn.open_table(ROW_OF)? })
    }

    fn find(&self, key: &Key) -> Result<Option<Condemned>, redb::Error> {
        let Some(row) = self.of.get(key.as_str())?.map(|row| row.value()) else { return Ok(None) };
        match self.rows.get(row)? {
            Some(bytes) => Ok(Some(decode(row, bytes.value())?)),
            None => Err(redb::Error::Corrupted(format!("condemned row {row} is missing"))),
        }
    }

    fn write(&mut self, row: &Condemned) -> Result<(), redb::Error> {
        self.rows.insert(row.row, encode(row).as_slice())?;
        Ok(())
    }

    /// Writes a row of the key, in the place of one with another tag. One with this tag stays, and is renewed if it is
    /// from before `since`. `moved`: its content is known to live on.
    pub(super) fn condemn(
        &mut self,
        sums: &mut Sums,
        key: Key,
        etag: ETag,
        moved: bool,
        since: Seq,
    ) -> Result<(), redb::Error> {
        let seen = sums.seq;
        if let Some(row) = self.find(&key)?.filter(|row| row.etag == etag) {
            return if row.seen < since { self.write(&Condemned { seen, ..row }) } else { Ok(()) };
        }
        self.drop(sums, &key)?;
        sums.rows += 1;
        sums.condemned += 1;
        self.of.insert(key.as_str(), sums.rows)?;
        let row = Condemned { row: sums.rows, key, etag, seen, approved: false, moved };
        sums.pending += u64::from(row.costs());
        self.write(&row)
    }

    /// True if the key has a row that costs budget.
    pub(super) fn costs(&self, key: &Key) -> Result<bool, redb::Error> {
        Ok(self.find(key)?.is_some_and(|row| row.costs()))
    }

    /// Drops the key's row, if there is one.
    pub(super) fn drop(&mut self, sums: &mut Sums, key: &Key) -> Result<(), redb::Error> {
        let Some(row) = self.find(key)? else { return Ok(()) };
        self.of.remove(key.as_str())?;
        self.rows.remove(row.row)?;
        sums.condemned = less(sums.condemned)?;
        if row.costs() {
            sums.pending = less(sums.pending)?;
        }
        Ok(())
    }

    /// The key's row, if it has this tag, costs no budget any more.
    pub(super) fn moved(&mut self, sums: &mut Sums, key: &Key, etag: &ETag) -> Result<(), redb::Error> {
        let Some(row) = self.find(key)?.filter(|row| row.etag == *etag) else { return Ok(()) };
        if row.costs() {
            sums.pending = less(sums.pending)?;
        }
        self.write(&Condemned { moved: true, ..row })
    }

    /// Marks all rows up to `last`.
    pub(super) fn approve(&mut self, sums: &mut Sums, last: u64) -> Result<(), redb::Error> {
        let mut after = 0;
        loop {
            let page = page(&self.rows, after, STEP)?;
            let Some(end) = page.last().map(|row| row.row) else { return Ok(()) };
            for row in page.into_iter().take_while(|row| row.row <= last).filter(|row| !row.approved) {
                if row.costs() {
                    sums.pending = less(sums.pending)?;
                }
                self.write(&Condemned { approved: true, ..row })?;
            }
            if end >= last {
                return Ok(());
            }
            after = end;
        }
    }
}

/// At most `most` rows numbered above `after`.
pub(super) fn page(
    rows: &impl ReadableTable<u64, &'static [u8]>,
    after: u64,
    most: usize,
) -> Result<Vec<Condemned>, redb::Error> {
    let range = rows.range((Bound::Excluded(after), Bound::Unbounded))?;
    range
        .take(most)
        .map(|row| {
            let (number, bytes) = row?;
            Ok(decode(number.value(), bytes.value())?)
        })
        .collect()
}

/// The number of the newest row, 0 if there is none.
pub(super) fn last(rows: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64, redb::Error> {
    Ok(rows.last()?.map_or(0, |(number, _)| number.value()))
}

/// One less: a sum that would go below zero shows that the tables do not fit together.
pub(super) fn less(sum: u64) -> Result<u64, redb::Error> {
    sum.checked_sub(1)
        .ok_or_else(|| redb::Error::Corrupted("the ledger's counters do not fit its rows".into()))
}

fn encode(row: &Condemned) -> Vec<u8> {
    Writer::new()
        .text(row.key.as_str())
        .text(&row.etag.to_string())
        .u64(row.seen)
        .u8(row.approved.into())
        .u8(row.moved.into())
        .seal()
}

pub(super) fn decode(row: u64, bytes: &[u8]) -> Result<Condemned, Damage> {
    let mut r = Reader::open(bytes)?;
    let row = Condemned {
        row,
        key: Key::raw(r.text()?),
        etag: ETag::new(r.text()?),
        seen: r.u64()?,
        approved: r.flag()?,
        moved: r.flag()?,
    };
    r.end()?;
    Ok(row)
}
