//! What there is one of: schema, id, counters, binding, the hold.

use super::bytes::{Damage, Reader, Writer};
use super::record::{read_stamp, write_stamp};
use crate::model::{Binding, Capabilities, Key, MirrorId, RootId, Scrubbed, Seq, Stamp, Tally};
use redb::{ReadableTable, Table, TableDefinition};

/// Name → value.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

/// The layout of the tables. An older one is migrated; a ledger of a newer one is set aside: what it proves can be
/// proven anew.
pub(super) const SCHEMA: u32 = 5;

const NAME: &str = "ledger";
const SUMS: &str = "sums";
/// Apart, as older ones of this layout have no such row, and no such records.
const DIRECTORIES: &str = "directories";
const BINDING: &str = "binding";
const HELD: &str = "held";
const SCRUBBED: &str = "scrubbed";
/// Apart, as older ones of this layout have no such row.
const SKIPPED: &str = "scrub-skipped";
/// Apart, as older ones of this layout have no such row.
const PROBED: &str = "probed";
const UNSYNCED: &str = "unsynced";

type Writable<'txn> = Table<'txn, &'static str, &'static [u8]>;
type Found<T> = Result<Option<T>, redb::Error>;

/// What changes with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) seq: Seq,
    /// The newest number given to a row, condemned or held. Never back, so that no number means two rows.
    pub(super) rows: u64,
    /// Records, but those of directories,
    pub(super) records: u64,
    /// and those.
    pub(super) directories: u64,
    pub(super) condemned: u64,
    pub(super) pending: u64,
    /// Replacements that are held and not approved.
    pub(super) overwrites: u64,
}

impl Sums {
    pub(super) fn tally(&self, last_row: u64, last_overwrite: u64) -> Tally {
        let Self { records, directories, condemned, pending, overwrites, .. } = *self;
        Tally { records, directories, condemned, pending, last_row, overwrites, last_overwrite }
    }
}

/// Layout and id. This row keeps its form whatever the layout becomes, so that a newer one is told as such.
pub(super) fn name(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Found<(u32, u64)> {
    get(table, NAME, |r| Ok((r.u32()?, r.u64()?)))
}

pub(super) fn put_name(table: &mut Writable<'_>, schema: u32, id: u64) -> Result<(), redb::Error> {
    put(table, NAME, Writer::new().u32(schema).u64(id))
}

pub(super) fn sums(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Sums, redb::Error> {
    let found = get(table, SUMS, |r| {
        let older = sums_before_overwrites(r)?;
        Ok(Sums { overwrites: r.u64()?, ..older })
    })?;
    let directories = get(table, DIRECTORIES, |r| r.u64())?.unwrap_or(0);
    let found = found.map(|sums| Sums { directories, ..sums });
    found.ok_or_else(|| redb::Error::Corrupted("the ledger's counters are missing".into()))
}

/// As layouts up to 3 kept them.
pub(super) fn sums_3(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Sums, redb::Error> {
    let found = get(table, SUMS, sums_before_overwrites)?;
    found.ok_or_else(|| redb::Error::Corrupted("the ledger's counters are missing".into()))
}

fn sums_before_overwrites(r: &mut Reader<'_>) -> Result<Sums, Damage> {
    let (seq, rows, records) = (r.u64()?, r.u64()?, r.u64()?);
    let (condemned, pending) = (r.u64()?, r.u64()?);
    Ok(Sums { seq, rows, records, condemned, pending, ..Sums::default() })
}

pub(super) fn put_sums(table: &mut Writable<'_>, s: &Sums) -> Result<(), redb::Error> {
    let row = Writer::new().u64(s.seq).u64(s.rows).u64(s.records).u64(s.condemned).u64(s.pending);
    put(table, DIRECTORIES, Writer::new().u64(s.directories))?;
    put(table, SUMS, row.u64(s.overwrites))
}

pub(super) fn held(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<bool, redb::Error> {
    Ok(get(table, HELD, |r| r.flag())?.unwrap_or(false))
}

pub(super) fn put_held(table: &mut Writable<'_>, held: bool) -> Result<(), redb::Error> {
    put(table, HELD, Writer::new().u8(held.into()))
}

pub(super) fn scrubbed(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Found<Scrubbed> {
    let skipped = get(table, SKIPPED, |r| r.u64())?.unwrap_or(0);
    get(table, SCRUBBED, |r| {
        Ok(Scrubbed {
            after: r.option(|r| r.text().map(Key::raw))?,
            done: r.u64()?,
            skipped,
            begun: read_stamp(r)?,
            whole: r.option(read_stamp)?,
        })
    })
}

pub(super) fn put_scrubbed(table: &mut Writable<'_>, mark: &Scrubbed) -> Result<(), redb::Error> {
    put(table, SKIPPED, Writer::new().u64(mark.skipped))?;
    let row = Writer::new().option(mark.after.as_ref().map(Key::as_str), Writer::text).u64(mark.done);
    put(table, SCRUBBED, write_stamp(row, mark.begun).option(mark.whole, write_stamp))
}

pub(super) fn unsynced(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Found<Stamp> {
    Ok(get(table, UNSYNCED, |r| r.option(read_stamp))?.flatten())
}

pub(super) fn put_unsynced(table: &mut Writable<'_>, since: Option<Stamp>) -> Result<(), redb::Error> {
    put(table, UNSYNCED, Writer::new().option(since, write_stamp))
}

pub(super) fn binding(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Found<Binding> {
    let probed = get(table, PROBED, |r| r.option(read_stamp))?.flatten();
    get(table, BINDING, |r| {
        Ok(Binding {
            mirror: MirrorId(r.array()?),
            place: r.text()?.to_owned(),
            root: RootId { inode: r.u64()?, filesystem: r.option(|r| r.text().map(str::to_owned))? },
            claimed: r.option(read_stamp)?,
            capabilities: capabilities(r)?,
            probed,
        })
    })
}

/// After 1, the four that were always kept; after 2, batches as well: older versions asked for no more. After 3, six;
/// after 4, batches as well. What an older version found out is asked anew: its batches are not known.
fn capabilities(r: &mut Reader<'_>) -> Result<Option<Capabilities>, Damage> {
    let form = r.u8()?;
    if form == 0 {
        return Ok(None);
    }
    let four = Capabilities {
        conditional_put: r.flag()?,
        conditional_delete: r.flag()?,
        verifies_sha256: r.flag()?,
        etag_is_md5: r.flag()?,
        ..Capabilities::default()
    };
    let six =
        |r: &mut Reader<'_>| Ok(Capabilities { verifies_crc64: r.flag()?, verifies_md5: r.flag()?, ..four });
    match form {
        1 => Ok(Some(four)),
        2 => r.flag().map(|_| Some(four)),
        3 => six(r).map(Some),
        4 => six(r).and_then(|six| Ok(Some(Capabilities { conditional_batch: Some(r.flag()?), ..six }))),
        _ => Err(Damage::Form),
    }
}

fn put_capabilities(w: Writer, c: Option<Capabilities>) -> Writer {
    let Some(c) = c else { return w.u8(0) };
    let four = [c.conditional_put, c.conditional_delete, c.verifies_sha256, c.etag_is_md5];
    let [a, b, d, e] = four.map(u8::from);
    let six = [a, b, d, e, c.verifies_crc64.into(), c.verifies_md5.into()];
    match c.conditional_batch {
        None => w.u8(3).raw(&six),
        Some(batch) => w.u8(4).raw(&six).u8(batch.into()),
    }
}

pub(super) fn put_binding(table: &mut Writable<'_>, b: &Binding) -> Result<(), redb::Error> {
    let row = Writer::new()
        .raw(&b.mirror.0)
        .text(&b.place)
        .u64(b.root.inode)
        .option(b.root.filesystem.as_deref(), Writer::text)
        .option(b.claimed, write_stamp);
    put(table, PROBED, Writer::new().option(b.probed, write_stamp))?;
    put(table, BINDING, put_capabilities(row, b.capabilities))
}

fn get<T>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Damage>,
) -> Found<T> {
    let Some(row) = table.get(name)? else { return Ok(None) };
    let mut reader = Reader::open(row.value())?;
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(Some(value))
}

fn put(table: &mut Writable<'_>, name: &str, row: Writer) -> Result<(), redb::Error> {
    table.insert(name, row.seal().as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(row: Writer) -> Result<Option<Capabilities>, Damage> {
        let row = row.seal();
        let mut r = Reader::open(&row)?;
        let found = capabilities(&mut r)?;
        r.end()?;
        Ok(found)
    }

    #[test]
    fn capabilities_of_older_versions_are_read_and_new_ones_come_back() {
        let four = Capabilities { conditional_put: true, verifies_sha256: true, ..Capabilities::default() };
        assert_eq!(read(Writer::new().raw(&[1, 1, 0, 1, 0])), Ok(Some(four)), "as it was always written");
        assert_eq!(
            read(Writer::new().raw(&[2, 1, 0, 1, 0, 1])),
            Ok(Some(four)),
            "batches are asked for anew"
        );
        assert_eq!(read(Writer::new().raw(&[0])), Ok(None));
        for conditional_batch in [None, Some(false), Some(true)] {
            for (verifies_crc64, verifies_md5) in [(true, false), (false, true)] {
                let new = Some(Capabilities { conditional_batch, verifies_crc64, verifies_md5, ..four });
                assert_eq!(read(put_capabilities(Writer::new(), new)), Ok(new));
            }
        }
        for wrong in [
            &[1, 1, 0, 1][..],
            &[1, 1, 0, 1, 0, 1],
            &[2, 1, 0, 1, 0],
            &[3, 1, 0, 1, 0, 1],
            &[1, 2, 0, 1, 0],
            &[5, 1, 0, 1, 0, 1, 1],
        ] {
            assert_eq!(read(Writer::new().raw(wrong)), Err(Damage::Form), "{wrong:?}");
        }
    }
}
