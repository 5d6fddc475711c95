//! Which keys were proven of which inode: how a rename is seen. In step with the proofs' fingerprints.

use crate::model::{Fingerprint, Key};
use redb::{MultimapTable, MultimapTableDefinition, ReadableMultimapTable};

/// Inode → keys.
pub(super) const INODES: MultimapTableDefinition<'static, u64, &str> = MultimapTableDefinition::new("inodes");

/// The proof of `key` had the fingerprint `old` and now has `new`.
pub(super) fn replace(
    table: &mut MultimapTable<'_, u64, &'static str>,
    key: &Key,
    old: Option<&Fingerprint>,
    new: Option<&Fingerprint>,
) -> Result<(), redb::Error> {
    let (old, new) = (old.map(|p| p.inode), new.map(|p| p.inode));
    if old == new {
        return Ok(());
    }
    if let Some(inode) = old {
        table.remove(inode, key.as_str())?;
    }
    if let Some(inode) = new {
        table.insert(inode, key.as_str())?;
    }
    Ok(())
}

/// The keys of one inode, in key order.
pub(super) fn keys(
    table: &impl ReadableMultimapTable<u64, &'static str>,
    inode: u64,
) -> Result<Vec<Key>, redb::Error> {
    table.get(inode)?.map(|key| Ok(Key::raw(key?.value()))).collect()
}
