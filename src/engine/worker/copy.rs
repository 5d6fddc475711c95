//! Copying on the server: renames, and metadata alone. No bytes are sent.

use super::{Held, Work, hash::Hashes};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Change, Class, Did, Digest, Fault, Key, Local, Only, Outcome, Record, Spec},
    store::Store,
};

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// The file was renamed: copies the object `from`, if it holds the file's content.
    pub(super) async fn copy(&self, held: &Held<T::File>, from: &Key) -> Result<Outcome, Fault> {
        let Some(record) = self.renamed(held, from).await? else { return self.put(held, Only::New).await };
        let Some(digest) = record.digest else { return self.put(held, Only::New).await };
        let mut hashes = Hashes::new(&self.ctx.hashing, held.meta.print.size, digest.part_size);
        if !hashes.is(&*held.file, &digest).await? {
            return self.put(held, Only::New).await;
        }
        if !self.rests(held).await? {
            return Ok(Outcome::Busy);
        }
        let did = Did::Copied(from.clone());
        if self.ctx.options.dry_run {
            return Ok(self.done(did, vec![]));
        }
        self.ctx.claim().await?;
        let (key, spec) = (&self.job.key, self.copied(held, digest));
        match self.ctx.store.copy((from, &record.etag), key, &spec, Only::New).await {
            Ok(remote) => {
                let moved = Change::Moved(from.clone(), record.etag);
                Ok(self.done(did, vec![self.proof(held, remote, digest), moved]))
            }
            // gone, changed, archived, too large: what is on the disk can always be sent
            Err(fault) if matches!(fault.class, Class::Permanent | Class::Missing | Class::Changed) => {
                self.put(held, Only::New).await
            }
            Err(fault) => Err(fault),
        }
    }

    /// The content is proven equal; only time, mode or owner are to be written.
    pub(super) async fn metadata(
        &self,
        held: &Held<T::File>,
        record: Option<Record>,
    ) -> Result<Outcome, Fault> {
        let Some(Record { etag, digest: Some(digest), .. }) = record else { return Ok(Outcome::Stale) };
        if self.ctx.options.dry_run {
            return Ok(self.done(Did::Metadata, vec![]));
        }
        self.ctx.claim().await?;
        let (key, spec) = (&self.job.key, self.copied(held, digest));
        match self.ctx.store.copy((key, &etag), key, &spec, Only::Match(etag.clone())).await {
            Ok(remote) => Ok(self.done(Did::Metadata, vec![self.proof(held, remote, digest)])),
            Err(fault) if fault.class == Class::Permanent => self.put(held, Only::Match(etag)).await,
            Err(fault) => Err(fault),
        }
    }

    /// The proof of `from`, if the path it stands for does not have the file's inode any more.
    async fn renamed(&self, held: &Held<T::File>, from: &Key) -> Result<Option<Record>, Fault> {
        let Some(path) = from.path() else { return Ok(None) };
        let there = self.ctx.tree.look(vec![path]).await?.pop();
        match there {
            Some(Local::Present(meta)) if meta.print.inode != held.meta.print.inode => {}
            Some(Local::Absent(_)) => {}
            _ => return Ok(None),
        }
        self.ctx.ledger.get(from).await
    }

    fn copied(&self, held: &Held<T::File>, digest: Digest) -> Spec {
        Spec {
            sha256: Some(digest.sha256),
            part_size: digest.part_size,
            ..self.ctx.spec(&self.job.key, &held.meta)
        }
    }
}
