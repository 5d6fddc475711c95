//! Deletes, or replacements, that cost budget: counted by the minute of wall time.
//!
//! A clock that jumped ahead and back leaves minutes that lie in the future. They count: a budget that
//! is spent too early holds them, and an operator releases them; one that forgets lets too much go.

use super::Window;
use super::bytes::{Damage, Reader, Writer};
use crate::model::Stamp;
use redb::{ReadableTable, Table, TableDefinition};

/// Minute since 1970 → deletes, and records before the first of them.
pub(super) const WINDOW: TableDefinition<'static, i64, &[u8]> = TableDefinition::new("window");

/// Minutes that are kept before the newest: 7 days, longer than any window that makes sense.
const KEPT: i64 = 7 * 24 * 60;

/// One more, with the number of records before it. Forgets minutes that are too old. True if it is the first of its minute.
pub(super) fn count(
    table: &mut Table<'_, i64, &'static [u8]>,
    at: Stamp,
    records: u64,
) -> Result<bool, redb::Error> {
    let minute = at.minute();
    let before = table.get(minute)?.map(|row| decode(row.value())).transpose()?;
    let row = Window {
        done: before.map_or(0, |w| w.done).saturating_add(1),
        records: before.map_or(records, |w| w.records),
    };
    table.insert(minute, encode(row).as_slice())?;
    if before.is_none() {
        table.retain_in(..minute.saturating_sub(KEPT), |_, _| false)?;
    }
    Ok(before.is_none())
}

/// One less: it is counted elsewhere.
pub(super) fn uncount(table: &mut Table<'_, i64, &'static [u8]>, minute: i64) -> Result<(), redb::Error> {
    let row = table.get(minute)?.map(|row| decode(row.value())).transpose()?;
    if let Some(row) = row {
        table.insert(minute, encode(Window { done: row.done.saturating_sub(1), ..row }).as_slice())?;
    }
    Ok(())
}

/// All that were done since; `present` records if nothing was.
pub(super) fn since(
    table: &impl ReadableTable<i64, &'static [u8]>,
    since: Stamp,
    present: u64,
) -> Result<Window, redb::Error> {
    let mut sum: Option<Window> = None;
    for row in table.range(since.minute()..)? {
        let row = decode(row?.1.value())?;
        let so_far = sum.get_or_insert(Window { done: 0, records: row.records });
        so_far.done = so_far.done.saturating_add(row.done);
    }
    Ok(sum.unwrap_or(Window { done: 0, records: present }))
}

fn encode(row: Window) -> Vec<u8> {
    Writer::new().u64(row.done).u64(row.records).seal()
}

fn decode(bytes: &[u8]) -> Result<Window, Damage> {
    let mut r = Reader::open(bytes)?;
    let row = Window { done: r.u64()?, records: r.u64()? };
    r.end()?;
    Ok(row)
}
