//! Files that are not those which the ledger knows by their names. Whether one was another's before (the same inode under
//! another name: to be copied by the store, or at least not to be lost there) is asked of the ledger for many of them
//! together: a tree that is new costs few questions.

use crate::{
    ledger::Ledger,
    model::{Fault, Fingerprint, Key, Kin, Local, Triple},
};

/// So many are asked for together.
const TOGETHER: usize = 128;

/// Fresh files, in the order in which they are to be told.
#[derive(Debug, Default)]
pub(super) struct Fresh(Vec<Triple>);

impl Fresh {
    pub(super) fn push(&mut self, triple: Triple) {
        self.0.push(triple);
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

    /// All of them, each with its kin if it has one.
    pub(super) async fn take<L: Ledger>(&mut self, ledger: &L) -> Result<Vec<Triple>, Fault> {
        let mut fresh = std::mem::take(&mut self.0);
        let inodes = fresh.iter().filter_map(print).map(|print| print.inode).collect();
        for (triple, others) in fresh.iter_mut().zip(ledger.by_inodes(inodes).await?) {
            triple.kin = match print(triple) {
                Some(print) => kin(ledger, &triple.key, print, others).await?,
                None => None,
            };
        }
        Ok(fresh)
    }
}

fn print(triple: &Triple) -> Option<Fingerprint> {
    match &triple.local {
        Local::Present(meta) => Some(meta.print),
        _ => None,
    }
}

/// What a file of another inode than was proven may have been before, under another name.
///
/// # Errors
/// I/O errors of the ledger.
pub async fn kin_of<L: Ledger>(ledger: &L, key: &Key, print: Fingerprint) -> Result<Option<Kin>, Fault> {
    let others = ledger.by_inodes(vec![print.inode]).await?.pop().unwrap_or_default();
    kin(ledger, key, print, others).await
}

/// The one of `others` whose proof was taken of the same inode: if there is one, of the same size and mtime, too.
async fn kin<L: Ledger>(
    ledger: &L,
    key: &Key,
    print: Fingerprint,
    others: Vec<Key>,
) -> Result<Option<Kin>, Fault> {
    let mut kin = None;
    for other in others.into_iter().filter(|other| other != key) {
        let Some(record) = ledger.get(&other).await? else { continue };
        let Some(known) = record.print.filter(|known| known.inode == print.inode) else { continue };
        let twin = record.digest.is_some() && (known.size, known.mtime) == (print.size, print.mtime);
        if twin {
            return Ok(Some(Kin { key: other, twin }));
        }
        kin.get_or_insert(Kin { key: other, twin });
    }
    Ok(kin)
}
