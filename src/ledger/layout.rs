//! What a file turns out to be when it is opened, and how a new ledger begins.
//!
//! An older layout is migrated; a newer one is set aside, since what it proves can be proven anew.

use super::medium::{Medium, random};
use super::{batch, condemned, inode, meta, migrate, overwrites, panics, record, window};
use crate::model::Seq;
use redb::{Database, Error, ReadableDatabase, ReadableTableMetadata};

/// A ledger, ready.
pub(super) struct Live {
    pub(super) engine: Database,
    pub(super) id: u64,
    pub(super) seq: Seq,
}

/// What was found.
pub(super) enum Found {
    /// A ledger.
    Whole(Live),
    /// A database without tables: just made, or a crash came before its first commit.
    Empty(Database),
    /// A ledger of this newer layout.
    Newer(u32),
}

/// Opens what is there. Bytes that redb does not expect may make it panic: that is damage as well.
pub(super) fn find(medium: &dyn Medium, cache_bytes: usize) -> Result<Found, Error> {
    panics::caught(|| look(medium.open(cache_bytes)?)).unwrap_or_else(|cause| Err(Error::Corrupted(cause)))
}

/// Opens a medium that has to be empty, and begins a ledger.
pub(super) fn begin(medium: &dyn Medium, cache_bytes: usize) -> Result<Live, Error> {
    match find(medium, cache_bytes)? {
        Found::Empty(engine) => populate(engine),
        Found::Whole(_) | Found::Newer(_) => Err(Error::Corrupted("it came back".into())),
    }
}

/// Begins a ledger in a database without tables.
pub(super) fn populate(engine: Database) -> Result<Live, Error> {
    let id = random();
    let txn = engine.begin_write()?;
    batch::create(&txn, id)?;
    txn.commit()?;
    Ok(Live { engine, id, seq: 0 })
}

fn look(engine: Database) -> Result<Found, Error> {
    let txn = engine.begin_read()?;
    if txn.list_tables()?.next().is_none() && txn.list_multimap_tables()?.next().is_none() {
        drop(txn);
        return Ok(Found::Empty(engine));
    }
    let table = txn.open_table(meta::META)?;
    let (schema, id) = meta::name(&table)?.ok_or_else(|| Error::Corrupted("it is not a ledger".into()))?;
    if schema > meta::SCHEMA {
        return Ok(Found::Newer(schema));
    }
    if schema < meta::SCHEMA {
        drop((table, txn));
        migrate::step(&engine, schema, id)?;
        return look(engine);
    }
    let sums = meta::sums(&table)?;
    meta::binding(&table)?;
    meta::held(&table)?;
    meta::scrubbed(&table)?;
    meta::unsynced(&table)?;
    txn.open_table(record::FOREIGN)?;
    txn.open_table(record::INTENTS)?;
    txn.open_table(window::WINDOW)?;
    txn.open_table(inode::INODES)?;
    let lengths = (
        txn.open_table(record::RECORDS)?.len()?,
        txn.open_table(condemned::CONDEMNED)?.len()?,
        txn.open_table(condemned::ROW_OF)?.len()?,
    );
    let held =
        (txn.open_table(overwrites::OVERWRITES)?.len()?, txn.open_table(overwrites::OVERWRITE_OF)?.len()?);
    txn.open_table(overwrites::OVERWRITTEN)?;
    txn.open_table(overwrites::OVERWRITE_WINDOW)?;
    let records = sums.records.checked_add(sums.directories);
    let fits = records.is_some_and(|all| lengths == (all, sums.condemned, sums.condemned))
        && sums.pending <= sums.condemned
        && held.0 == held.1
        && sums.overwrites <= held.0;
    if !fits {
        return Err(Error::Corrupted("the ledger's counters do not fit its rows".into()));
    }
    drop((table, txn));
    Ok(Found::Whole(Live { engine, id, seq: sums.seq }))
}
