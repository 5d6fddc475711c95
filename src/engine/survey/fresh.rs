//! Files that neither bucket nor ledger knows. Whether one is another's twin (the same file under another name, to be
//! copied by the store) is asked of the ledger for many of them together: a tree that is new costs few questions.

use crate::{
    ledger::Ledger,
    model::{Fault, Fingerprint, Key, LocalMeta},
};

/// So many are asked for together.
const TOGETHER: usize = 128;

/// New files, in the order in which they are to be told.
#[derive(Debug, Default)]
pub(super) struct Fresh(Vec<(Key, LocalMeta)>);

impl Fresh {
    pub(super) fn push(&mut self, key: Key, meta: LocalMeta) {
        self.0.push((key, meta));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= TOGETHER
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// All of them, each with its twin if it has one.
    pub(super) async fn take<L: Ledger>(
        &mut self,
        ledger: &L,
    ) -> Result<Vec<(Key, LocalMeta, Option<Key>)>, Fault> {
        let fresh = std::mem::take(&mut self.0);
        let inodes: Vec<_> = fresh.iter().map(|(_, meta)| meta.print.inode).collect();
        let mut told = Vec::with_capacity(fresh.len());
        for ((key, meta), others) in fresh.into_iter().zip(ledger.by_inodes(inodes).await?) {
            let twin = twin(ledger, &key, meta.print, others).await?;
            told.push((key, meta, twin));
        }
        Ok(told)
    }
}

/// The one of `others` whose proof was taken of the same inode, size and mtime.
async fn twin<L: Ledger>(
    ledger: &L,
    key: &Key,
    print: Fingerprint,
    others: Vec<Key>,
) -> Result<Option<Key>, Fault> {
    for other in others {
        let record = if other == *key { None } else { ledger.get(&other).await? };
        let known = record.filter(|r| r.digest.is_some()).and_then(|r| r.print);
        if known.is_some_and(|p| (p.inode, p.size, p.mtime) == (print.inode, print.size, print.mtime)) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}
