//! Looking closer: are the file and the object equal, and whose is an object without a file?

use super::{Held, Work};
use crate::{
    engine::survey::find,
    ledger::Ledger,
    local::{Hashes, Tree},
    model::{
        Capabilities, Change, Class, Did, Digest, ETag, Fault, Head, Keep, Kept, Key, Kind, Only, Op,
        Outcome, Record, RemoteMeta, Said,
    },
    plan::{Evidence, Facts, evidence},
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
        let own = self.ctx.store.part_size(print.size);
        let mut hashes = Hashes::new(&self.ctx.hashing, print.size, own);
        let (mut head, mut refuted, mut can) = (None, vec![], self.ctx.binding.capabilities);
        let mut remote = match &listed {
            Some(remote) => remote.clone(),
            None => match self.shown(&mut head).await? {
                Some(remote) => remote,
                None => return self.put(held, Only::New).await,
            },
        };
        let equal = loop {
            let (record, head_of) = (record.as_ref(), head.as_ref());
            let facts = Facts { print, record, remote: &remote, own, refuted: &refuted, head: head_of, can };
            let (file, etag, rung) = (&*held.file, remote.etag.to_string(), evidence(&facts));
            match &rung {
                Evidence::Differs => break None,
                Evidence::Proven(digest) => break Some(*digest),
                Evidence::Digest(digest) => break hashes.is(file, digest).await?.then_some(*digest),
                Evidence::Crc64Nvme(crc) => {
                    break if hashes.is_crc64(file, *crc).await? { hashes.any() } else { None };
                }
                Evidence::Md5 if hashes.is_md5(file, &etag).await? => break hashes.any(),
                Evidence::Md5OfParts(sizes) if hashes.is_md5_of_parts(file, &etag, sizes).await? => {
                    break hashes.any();
                }
                Evidence::Md5 | Evidence::Md5OfParts(_) => refuted.push(rung),
                Evidence::Capabilities => can = Some(self.capabilities().await?),
                Evidence::Head => match self.head(&mut head).await {
                    Ok(None) => return self.put(held, Only::New).await,
                    Ok(Some(now)) => {
                        if now.etag != remote.etag {
                            refuted.clear();
                        }
                        remote = now;
                    }
                    // of what it tells nothing, nothing shows that it is equal
                    Err(fault) if matches!(fault.class, Class::Permanent | Class::Denied) => break None,
                    Err(fault) => return Err(fault),
                },
            }
        };
        if !self.rests(held).await? {
            return Ok(Outcome::Busy);
        }
        match equal {
            Some(digest) => self.equal(held, record, remote, head, digest).await,
            // what has content is no directory's marker, and stays
            None if self.job.key.is_directory() && remote.size > 0 => Ok(self.done(Did::Learnt, vec![])),
            None => self.put(held, Only::Match(remote.etag)).await,
        }
    }

    /// What the store honours. An object that has to be compared by more than its tag is about to be replaced
    /// unless that proves it equal, so the prefix is claimed as for a write.
    async fn capabilities(&self) -> Result<Capabilities, Fault> {
        match self.ctx.options.dry_run {
            // nothing may be written: what most stores honour
            true => Ok(Capabilities { verifies_sha256: true, etag_is_md5: true, ..Capabilities::default() }),
            false => Ok(self.ctx.claim().await?.capabilities()),
        }
    }

    async fn equal(
        &self,
        held: &Held<T::File>,
        record: Option<Record>,
        remote: RemoteMeta,
        mut head: Option<Head>,
        digest: Digest,
    ) -> Result<Outcome, Fault> {
        let ours = record.as_ref().is_some_and(|r| r.etag == remote.etag);
        // what is due was not seen to be written
        let known = record.filter(|r| ours && !r.metadata_due);
        let said = known.as_ref().map(Said::of).unwrap_or_default();
        // whether it is a file's or another's the metadata alone tells, and a restore goes by that
        let either = self.job.key.link().is_some();
        let node = held.meta.attributes.kind() == Kind::Special;
        let maybe_node = self.ctx.options.nodes && remote.size == 0 && !self.job.key.is_directory();
        let unsure = either || node || known.is_none() && maybe_node;
        if unsure && said.mode.is_none() && head.is_none() {
            match self.head(&mut head).await {
                Err(fault) if !matches!(fault.class, Class::Permanent | Class::Denied) => return Err(fault),
                Ok(Some(now)) if now.etag == remote.etag => {}
                Ok(_) => return Ok(Outcome::Stale),
                Err(_) => {}
            }
        }
        let said = said.or(head.as_ref().map(Said::by).unwrap_or_default());
        let mistaken = said.mistakes(&held.meta, either);
        // what another tool wrote stays as it is until the file changes
        let written_by_us = ours || head.as_ref().is_some_and(|h| self.is_ours(&self.job.key, h));
        let has = known.as_ref().map(|r| r.kept.digest).or(head.as_ref().map(|h| h.extra.digest()));
        // where it is no longer kept, objects have it until their metadata is written anew
        let keep = self.ctx.options.keep;
        let beside = keep.is_beside() || held.extra.device.is_some();
        // only what was not looked for before is looked at; of time, mode and owner only if the object has them by us
        let unchanged = known.as_ref().is_some_and(|r| {
            let lacks = r.attributes.is_some() && !keep.plain().is_within(r.kept.looked);
            r.print == Some(held.meta.print) && !lacks
        });
        // an object that says to be of another kind is replaced: what it was may be wanted back
        let other_device = held.extra.device.is_some() && has != Some(held.extra.digest());
        if written_by_us
            && (mistaken && said.mode.is_some() || other_device && has.is_some_and(|has| has != 0))
        {
            return self.put(held, Only::Match(remote.etag)).await;
        }
        let agrees = said.agrees(&held.meta);
        let drifted = !keep.plain().is_within(agrees);
        let metadata_due = mistaken
            || written_by_us && (drifted && !unchanged || beside && has != Some(held.extra.digest()));
        // what is no longer kept is known as long as it is as it was
        let looked = Keep {
            mtime: keep.mtime || agrees.mtime,
            mode: keep.mode || agrees.mode,
            owner: keep.owner || agrees.owner,
            ..keep
        };
        let record = Record {
            print: held.print(),
            attributes: said.attributes().filter(|_| !metadata_due),
            kept: Kept { looked, digest: has.unwrap_or_default() },
            metadata_due,
            doubted: false,
            condemned: false,
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
        if let Some(listed) = listed.as_ref().filter(|_| !self.ctx.options.adopt) {
            if self.ctx.ledger.foreign(key).await?.as_ref() == Some(&listed.etag) {
                self.ctx.nested.found(key);
                return Ok(self.done(Did::Foreign, vec![]));
            }
            if record.is_none() && self.ctx.is_older(listed.modified) {
                return Ok(self.foreign(listed.etag.clone()));
            }
        }
        let head = match (self.ctx.store.head(key).await, listed) {
            (Ok(Some(head)), _) => head,
            (Ok(None), _) => {
                let at = (self.ctx.options.wall)();
                return Ok(self.done(Did::Learnt, vec![Change::Gone(key.clone(), at)]));
            }
            // what tells nothing of itself was not written by us
            (Err(fault), Some(listed)) if fault.class == Class::Permanent => {
                return Ok(self.foreign(listed.etag.clone()));
            }
            (Err(fault), _) => return Err(fault),
        };
        let ours = self.is_ours(key, &head) || record.as_ref().is_some_and(|r| r.etag == head.meta.etag);
        if !ours && (!self.ctx.options.adopt || self.ctx.nested.asked(self.ctx, key).await?) {
            return Ok(self.foreign(head.meta.etag));
        }
        let record = Record {
            print: None,
            attributes: Said::by(&head).attributes(),
            kept: Kept { looked: Keep::default(), digest: head.extra.digest() },
            metadata_due: false,
            doubted: false,
            condemned: false,
            size: head.meta.size,
            etag: head.meta.etag,
            digest: head.sha256.map(|sha256| Digest { sha256, part_size: head.part_size }),
            seq: 0,
        };
        let did = if ours { Did::Learnt } else { Did::Adopted };
        Ok(self.done(did, vec![Change::Proof(key.clone(), record)]))
    }

    /// It is somebody else's, and will be as long as it has this tag.
    fn foreign(&self, etag: ETag) -> Outcome {
        self.ctx.nested.found(&self.job.key);
        self.done(Did::Foreign, vec![Change::Foreign(self.job.key.clone(), etag)])
    }

    fn is_ours(&self, key: &Key, head: &Head) -> bool {
        head.own.as_deref() == Some(&*self.ctx.own(key))
    }

    /// What the bucket shows of the object: by HEAD or, where that is denied, by a listing.
    pub(super) async fn shown(&self, head: &mut Option<Head>) -> Result<Option<RemoteMeta>, Fault> {
        match self.head(head).await {
            Err(fault) if fault.class == Class::Denied => find(self.ctx, &self.job.key).await,
            shown => shown,
        }
    }

    async fn head(&self, head: &mut Option<Head>) -> Result<Option<RemoteMeta>, Fault> {
        *head = self.ctx.store.head(&self.job.key).await?;
        Ok(head.as_ref().map(|h| h.meta.clone()))
    }
}
