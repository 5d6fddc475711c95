//! Copying on the server: renames, and metadata alone. No bytes are sent.

use super::{Held, Work};
use crate::{
    engine::trash,
    ledger::Ledger,
    local::{Hashes, Tree},
    model::{Change, Class, Did, Digest, ETag, Fault, Key, Local, Only, Outcome, Record, Spec},
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
        match self.duplicate(held, (from, &record.etag), digest, Only::New).await {
            Ok(Some(mut changes)) => {
                changes.push(Change::Moved(from.clone(), record.etag));
                Ok(self.done(did, changes))
            }
            Ok(None) => Ok(Outcome::Busy),
            // gone, changed, archived, not to be read: what is on the disk can always be sent
            Err(fault) => match fault.class {
                Class::Permanent | Class::Denied | Class::Missing | Class::Changed => {
                    self.put(held, Only::New).await
                }
                _ => Err(fault),
            },
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
        match self.duplicate(held, (&self.job.key, &etag), digest, Only::Match(etag.clone())).await {
            Ok(Some(changes)) => Ok(self.done(Did::Metadata, changes)),
            Ok(None) => Ok(Outcome::Busy),
            Err(fault) if matches!(fault.class, Class::Permanent | Class::Denied) => {
                self.put(held, Only::Match(etag)).await
            }
            Err(fault) => Err(fault),
        }
    }

    /// The proof of `from`, if the path it stands for does not have the file's inode any more.
    async fn renamed(&self, held: &Held<T::File>, from: &Key) -> Result<Option<Record>, Fault> {
        let there = self.ctx.tree.look(vec![from.clone()]).await?.pop();
        match there {
            Some(Local::Present(meta)) if meta.print.inode != held.meta.print.inode => {}
            Some(Local::Absent(_)) => {}
            _ => return Ok(None),
        }
        self.ctx.ledger.get(from).await
    }

    /// Has the server make the object of `from`: in one request or, if that would be too much for one, in parts.
    /// What there is to be recorded of it; `None` if the file changed meanwhile.
    async fn duplicate(
        &self,
        held: &Held<T::File>,
        from: (&Key, &ETag),
        digest: Digest,
        only: Only,
    ) -> Result<Option<Vec<Change>>, Fault> {
        let (store, spec) = (&self.ctx.store, self.copied(held, digest));
        let Some(part_size) = store.copy_part_size(&spec) else {
            trash::before(self.ctx, &self.job.key, &only, (digest, held.meta.attributes.kind())).await?;
            let remote = store.copy(from, &self.job.key, &spec, only).await?;
            return Ok(Some(vec![self.proof(held, remote, digest)]));
        };
        let staged = self.stage_copy(held, from, &spec, part_size).await?;
        self.land(held, (staged, digest), only, true).await
    }

    fn copied(&self, held: &Held<T::File>, digest: Digest) -> Spec {
        Spec {
            sha256: Some(digest.sha256),
            part_size: digest.part_size,
            ..self.ctx.spec(&self.job.key, &held.meta, &held.extra)
        }
    }
}
