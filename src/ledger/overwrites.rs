//! Replacements: those that are held, as rows in the order of their numbers, and those that were done of late.
//!
//! A file that is written all day costs once a window: what tells of harm is how many files changed, not how often.

use super::bytes::{Damage, Reader, Writer};
use super::condemned::less;
use super::meta::{self, META, Sums};
use super::{Overwriting, Window, window};
use crate::model::{ETag, Key, Overwrite, Stamp};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use std::ops::Bound;

/// Row number → replacement that is held.
pub(super) const OVERWRITES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("overwrites");
/// Key → row number.
pub(super) const OVERWRITE_OF: TableDefinition<'static, &str, u64> = TableDefinition::new("overwrite_rows");
/// Key → the minute in which it was counted.
pub(super) const OVERWRITTEN: TableDefinition<'static, &str, i64> = TableDefinition::new("overwritten");
/// As [`window::WINDOW`], of replacements.
pub(super) const OVERWRITE_WINDOW: TableDefinition<'static, i64, &[u8]> =
    TableDefinition::new("overwrite_window");

/// Rows that are approved at a time: what is held in memory.
const STEP: usize = 1000;

/// All four tables, in a transaction.
pub(super) struct Overwrites<'txn> {
    rows: Table<'txn, u64, &'static [u8]>,
    of: Table<'txn, &'static str, u64>,
    counted: Table<'txn, &'static str, i64>,
    window: Table<'txn, i64, &'static [u8]>,
}

impl<'txn> Overwrites<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            rows: txn.open_table(OVERWRITES)?,
            of: txn.open_table(OVERWRITE_OF)?,
            counted: txn.open_table(OVERWRITTEN)?,
            window: txn.open_table(OVERWRITE_WINDOW)?,
        })
    }

    /// Writes a row of the key, in the place of one with another tag. One with this tag stays.
    pub(super) fn hold(&mut self, sums: &mut Sums, key: Key, etag: ETag) -> Result<(), redb::Error> {
        if find(&self.rows, &self.of, &key)?.is_some_and(|row| row.etag == etag) {
            return Ok(());
        }
        self.drop(sums, &key)?;
        sums.rows += 1;
        sums.overwrites += 1;
        self.of.insert(key.as_str(), sums.rows)?;
        self.write(&Overwrite { row: sums.rows, key, etag, approved: false })
    }

    /// Drops the key's row, if there is one.
    pub(super) fn drop(&mut self, sums: &mut Sums, key: &Key) -> Result<(), redb::Error> {
        let Some(row) = find(&self.rows, &self.of, key)? else { return Ok(()) };
        self.of.remove(key.as_str())?;
        self.rows.remove(row.row)?;
        if !row.approved {
            sums.overwrites = less(sums.overwrites)?;
        }
        Ok(())
    }

    /// Drops the key's row, if it is this one.
    pub(super) fn abandon(&mut self, sums: &mut Sums, key: &Key, row: u64) -> Result<(), redb::Error> {
        let is = self.of.get(key.as_str())?.is_some_and(|of| of.value() == row);
        if is { self.drop(sums, key) } else { Ok(()) }
    }

    /// Marks all rows up to `last`.
    pub(super) fn approve(&mut self, sums: &mut Sums, last: u64) -> Result<(), redb::Error> {
        let mut after = 0;
        loop {
            let rows = page(&self.rows, after, STEP)?;
            let Some(end) = rows.last().map(|row| row.row) else { return Ok(()) };
            for row in rows.into_iter().take_while(|row| row.row <= last).filter(|row| !row.approved) {
                sums.overwrites = less(sums.overwrites)?;
                self.write(&Overwrite { approved: true, ..row })?;
            }
            if end >= last {
                return Ok(());
            }
            after = end;
        }
    }

    /// Counts the key now, and no longer where it was counted since `since`; but never earlier than it was: the clock may
    /// have gone back, and go forward again.
    pub(super) fn count(
        &mut self,
        key: &Key,
        at: Stamp,
        since: Stamp,
        records: u64,
    ) -> Result<(), redb::Error> {
        let before = self.counted.get(key.as_str())?.map(|minute| minute.value());
        match before.filter(|minute| *minute >= since.minute()) {
            Some(minute) if minute >= at.minute() => return Ok(()),
            Some(minute) => window::uncount(&mut self.window, minute)?,
            None => {}
        }
        self.counted.insert(key.as_str(), at.minute())?;
        if window::count(&mut self.window, at, records)? {
            self.counted.retain(|_, minute| minute >= since.minute())?;
        }
        Ok(())
    }

    fn write(&mut self, row: &Overwrite) -> Result<(), redb::Error> {
        self.rows.insert(row.row, encode(row).as_slice())?;
        Ok(())
    }
}

/// What a replacement is judged by.
pub(super) fn judged(txn: &ReadTransaction, key: &Key, since: Stamp) -> Result<Overwriting, redb::Error> {
    let (rows, of) = (txn.open_table(OVERWRITES)?, txn.open_table(OVERWRITE_OF)?);
    let counted = txn.open_table(OVERWRITTEN)?.get(key.as_str())?.map(|minute| minute.value());
    Ok(Overwriting {
        row: find(&rows, &of, key)?,
        counted: counted.filter(|minute| *minute >= since.minute()),
        held: meta::sums(&txn.open_table(META)?)?.overwrites,
        window: self::since(txn, since)?,
    })
}

/// What was counted since then.
pub(super) fn since(txn: &ReadTransaction, since: Stamp) -> Result<Window, redb::Error> {
    let records = meta::sums(&txn.open_table(META)?)?.files();
    window::since(&txn.open_table(OVERWRITE_WINDOW)?, since, records)
}

/// The key's row.
pub(super) fn find(
    rows: &impl ReadableTable<u64, &'static [u8]>,
    of: &impl ReadableTable<&'static str, u64>,
    key: &Key,
) -> Result<Option<Overwrite>, redb::Error> {
    let Some(row) = of.get(key.as_str())?.map(|row| row.value()) else { return Ok(None) };
    match rows.get(row)? {
        Some(bytes) => Ok(Some(decode(row, bytes.value())?)),
        None => Err(redb::Error::Corrupted(format!("the held replacement {row} is missing"))),
    }
}

/// At most `most` rows numbered above `after`.
pub(super) fn page(
    rows: &impl ReadableTable<u64, &'static [u8]>,
    after: u64,
    most: usize,
) -> Result<Vec<Overwrite>, redb::Error> {
    let range = rows.range((Bound::Excluded(after), Bound::Unbounded))?.take(most);
    range
        .map(|row| row.map_err(redb::Error::from).and_then(|(n, row)| Ok(decode(n.value(), row.value())?)))
        .collect()
}

fn encode(row: &Overwrite) -> Vec<u8> {
    Writer::new().text(row.key.as_str()).text(&row.etag.to_string()).u8(row.approved.into()).seal()
}

fn decode(row: u64, bytes: &[u8]) -> Result<Overwrite, Damage> {
    let mut r = Reader::open(bytes)?;
    let row = Overwrite { row, key: Key::raw(r.text()?), etag: ETag::new(r.text()?), approved: r.flag()? };
    r.end()?;
    Ok(row)
}
