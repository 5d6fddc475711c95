//! Proving again what was proven: the file is read, the object is asked for or fetched.

use super::{Held, Work};
use crate::{
    ledger::Ledger,
    local::{Hashes, Tree},
    model::{Change, Class, Did, Fault, Only, Outcome, Record},
    store::Store,
};

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// Holds the file against the ledger's digest, and the object against the ledger; with `fetch` its bytes.
    pub(super) async fn scrub(
        &self,
        held: &Held<T::File>,
        record: Option<Record>,
        fetch: bool,
    ) -> Result<Outcome, Fault> {
        let (ctx, key) = (self.ctx, &self.job.key);
        let proven = record.and_then(|record| record.digest.map(|digest| (record, digest)));
        let Some((record, digest)) = proven else { return Ok(Outcome::Stale) };
        let mut hashes = Hashes::new(&ctx.hashing, held.meta.print.size, digest.part_size);
        let alike = hashes.is(&*held.file, &digest).await?;
        if !self.rests(held).await? {
            return Ok(Outcome::Stale);
        }
        if !alike {
            tracing::warn!(%key, "the file changed and nothing showed it, as when it is written through a map");
            let unseen = Change::Proof(key.clone(), Record { print: None, ..record });
            return Ok(self.done(Did::Scrubbed { proven: false }, vec![unseen]));
        }
        let head = match ctx.store.head(key).await {
            Ok(head) => head,
            Err(fault) => return self.unproven(fault),
        };
        match head {
            None => return self.put(held, Only::New).await,
            Some(head) if head.meta.etag != record.etag => return Ok(Outcome::Stale),
            Some(_) if !fetch => return Ok(self.done(Did::Scrubbed { proven: true }, vec![])),
            Some(_) => {}
        }
        match ctx.store.digest(key, &record.etag, digest.part_size).await {
            Ok(found) if found == digest.sha256 => Ok(self.done(Did::Scrubbed { proven: true }, vec![])),
            Ok(_) => self.put(held, Only::Match(record.etag)).await,
            Err(fault) => self.unproven(fault),
        }
    }

    /// What may not be looked at, or not be fetched, is no worse for it.
    fn unproven(&self, fault: Fault) -> Result<Outcome, Fault> {
        if !matches!(fault.class, Class::Permanent | Class::Denied) {
            return Err(fault);
        }
        tracing::warn!(key = %self.job.key, %fault, "the scrub could not prove it again");
        Ok(self.done(Did::Scrubbed { proven: false }, vec![]))
    }
}
