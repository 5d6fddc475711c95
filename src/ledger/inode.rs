//! Which keys were proven of which inode: how a rename is seen. In step with the proofs' fingerprints.
//!
//! One row a key, with nothing in it: the inode's bytes and then the key's are the row's name. What is found here is
//! held against the proof before anything is made of it.

use crate::model::{Fingerprint, Key};
use redb::{ReadableTable, Table, TableDefinition};

/// Inode and key.
pub(super) const INODES: TableDefinition<'static, &[u8], ()> = TableDefinition::new("proven_inodes");

/// The proof of `key` had the fingerprint `old` and now has `new`.
pub(super) fn replace(
    table: &mut Table<'_, &'static [u8], ()>,
    key: &Key,
    old: Option<&Fingerprint>,
    new: Option<&Fingerprint>,
) -> Result<(), redb::Error> {
    let (old, new) = (old.map(|p| p.inode), new.map(|p| p.inode));
    if old == new {
        return Ok(());
    }
    if let Some(inode) = old {
        table.remove(name(inode, key.as_str()).as_slice())?;
    }
    if let Some(inode) = new {
        table.insert(name(inode, key.as_str()).as_slice(), ())?;
    }
    Ok(())
}

/// The keys of one inode, in key order.
pub(super) fn keys(
    table: &impl ReadableTable<&'static [u8], ()>,
    inode: u64,
) -> Result<Vec<Key>, redb::Error> {
    let prefix = name(inode, "");
    let mut keys = vec![];
    for row in table.range(prefix.as_slice()..)? {
        let (name, ()) = row.map(|(name, _)| (name, ()))?;
        let Some(key) = name.value().strip_prefix(prefix.as_slice()) else { break };
        let key = std::str::from_utf8(key)
            .map_err(|_| redb::Error::Corrupted(format!("a key of inode {inode} is no text")))?;
        keys.push(Key::raw(key));
    }
    Ok(keys)
}

/// How many bytes the inode takes, the bytes with the highest first, the key: so no inode's rows begin as another's do,
/// and all are in order.
fn name(inode: u64, key: &str) -> Vec<u8> {
    let zeros = (inode.leading_zeros() / 8) as usize;
    let bytes = &inode.to_be_bytes()[zeros..];
    let mut name = Vec::with_capacity(1 + bytes.len() + key.len());
    name.push(bytes.len() as u8);
    name.extend_from_slice(bytes);
    name.extend_from_slice(key.as_bytes());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_in_the_order_of_inodes() {
        let inodes = [0, 1, 0xFF, 0x100, 0x1234, 0xFFFF_FFFF, 1 << 32, u64::MAX];
        let names: Vec<_> = inodes.iter().map(|inode| name(*inode, "")).collect();
        assert!(names.is_sorted());
        assert_eq!(names.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 2, 3, 3, 5, 6, 9]);
        for (i, one) in names.iter().enumerate() {
            let begins = |other: &&Vec<u8>| other.starts_with(one);
            assert_eq!(names.iter().filter(begins).count(), 1, "inode {}", inodes[i]);
        }
    }
}
