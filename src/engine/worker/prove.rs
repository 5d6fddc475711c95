//! Looking closer: are the file and the object equal, and whose is an object without a file?

use super::{Held, Work, hash::Hashes};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Change, Did, Digest, Fault, Head, Key, Only, Op, Outcome, Record, RemoteMeta},
    plan::{Evidence, evidence},
    store::Store,
};

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// Compares the open file with the object by the cheapest evidence, and sends it if they differ.
    pub(super) async fn prove(
        &self,
        held: &Held<T::File>,
        record: Option<Record>,
        listed: Option<RemoteMeta>,
    ) -> Result<Outcome, Fault> {
        let print = &held.meta.print;
        let (mut head, mut hashes, mut etag_tried) = (None, Hashes::default(), false);
        let mut remote = match listed {
            Some(remote) => remote,
            None => match self.head(&mut head).await? {
                Some(remote) => remote,
                None => return self.put(held, Only::New).await,
            },
        };
        let equal = loop {
            match evidence(print, record.as_ref(), &remote, head.as_ref(), etag_tried) {
                Evidence::Differs => break None,
                Evidence::Digest(digest) => {
                    break hashes.is(&*held.file, print.size, &digest).await?.then_some(digest);
                }
                Evidence::Md5 => {
                    if hashes.is_md5(&*held.file, print.size, remote.etag.as_str()).await? {
                        break hashes.any();
                    }
                    etag_tried = true;
                }
                Evidence::Md5OfParts(sizes) => {
                    if hashes
                        .part_size(&*held.file, print.size, remote.etag.as_str(), &sizes)
                        .await?
                        .is_some()
                    {
                        break hashes.any();
                    }
                    etag_tried = true;
                }
                Evidence::Head => match self.head(&mut head).await? {
                    None => return self.put(held, Only::New).await,
                    Some(now) => {
                        etag_tried &= now.etag == remote.etag;
                        remote = now;
                    }
                },
            }
        };
        if !self.unchanged(held).await? {
            return Ok(Outcome::Stale);
        }
        match equal {
            Some(digest) => self.equal(held, record, remote, head, digest).await,
            None => self.put(held, Only::Match(remote.etag)).await,
        }
    }

    async fn equal(
        &self,
        held: &Held<T::File>,
        record: Option<Record>,
        remote: RemoteMeta,
        head: Option<Head>,
        digest: Digest,
    ) -> Result<Outcome, Fault> {
        let ours = record.as_ref().is_some_and(|r| r.etag == remote.etag);
        let known = record.filter(|_| ours);
        let had = known.as_ref().and_then(|r| r.attributes).or(head.as_ref().and_then(|h| h.attributes));
        let mtime =
            known.as_ref().and_then(|r| r.print).map(|p| p.mtime).or(head.as_ref().and_then(|h| h.mtime));
        // what another tool wrote stays as it is until the file changes
        let written_by_us = ours || head.as_ref().is_some_and(|h| self.is_ours(&self.job.key, h));
        let metadata_due =
            written_by_us && (had, mtime) != (Some(held.meta.attributes), Some(held.meta.print.mtime));
        let record = Record {
            print: Some(held.meta.print),
            attributes: had.filter(|_| !metadata_due),
            metadata_due,
            size: remote.size,
            etag: remote.etag,
            digest: Some(digest),
            seq: 0,
        };
        let did = if ours { Did::Learnt } else { Did::Adopted };
        Ok(self.done(did, vec![Change::Proof(self.job.key.clone(), record)]))
    }

    /// There is no file: is the object ours, someone else's, or gone?
    pub(super) async fn whose(&self, record: Option<Record>) -> Result<Outcome, Fault> {
        let key = &self.job.key;
        let Op::Prove(listed) = &self.job.op else { return Ok(Outcome::Stale) };
        if let Some(listed) = listed
            && self.ctx.ledger.foreign(key).await?.as_ref() == Some(&listed.etag)
            && !self.ctx.options.adopt
        {
            return Ok(self.done(Did::Foreign, vec![]));
        }
        let Some(head) = self.ctx.store.head(key).await? else {
            return Ok(self.done(Did::Learnt, vec![Change::Gone(key.clone())]));
        };
        let ours = self.is_ours(key, &head) || record.as_ref().is_some_and(|r| r.etag == head.meta.etag);
        if !ours && !self.ctx.options.adopt {
            return Ok(self.done(Did::Foreign, vec![Change::Foreign(key.clone(), head.meta.etag)]));
        }
        let record = Record {
            print: None,
            attributes: head.attributes,
            metadata_due: false,
            size: head.meta.size,
            etag: head.meta.etag,
            digest: head.sha256.map(|sha256| Digest { sha256, part_size: head.part_size }),
            seq: 0,
        };
        let did = if ours { Did::Learnt } else { Did::Adopted };
        Ok(self.done(did, vec![Change::Proof(key.clone(), record)]))
    }

    fn is_ours(&self, key: &Key, head: &Head) -> bool {
        head.own.as_deref() == Some(&*self.ctx.own(key))
    }

    async fn head(&self, head: &mut Option<Head>) -> Result<Option<RemoteMeta>, Fault> {
        *head = self.ctx.store.head(&self.job.key).await?;
        Ok(head.as_ref().map(|h| h.meta.clone()))
    }
}
