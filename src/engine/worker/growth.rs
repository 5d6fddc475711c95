//! Uploading a file that does not rest: a log is appended to for ever, and is to have an object all the same.
//!
//! It is read to its end, and looked at: at that moment it was as long as what had been read. Then it is read again, as
//! it is sent. If both reads gave the same, nothing of it changed from before that moment until after it: the object
//! is the file as it was then (promise I3). What is written to its beginning makes the two differ, and nothing becomes
//! visible. Neither read is held in memory.

use super::{Held, How, Work};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Digest, Fault, LocalMeta, Only, Op, Outcome, Source},
    plan::{Motion, motion},
    store::Store,
};

/// How often it may pass the size at which files go up in other parts, while it is read.
const FORMS: u32 = 3;

impl<T: Tree, S: Store, L: Ledger> Work<'_, T, S, L> {
    /// Sends the file as it is at one moment, if it only grows from then on.
    pub(super) async fn put_restless(&self, held: &Held<T::File>, only: Only) -> Result<Outcome, Fault> {
        let Some((first, then)) = self.read_to_its_end(held).await? else { return Ok(Outcome::Busy) };
        if !goes_on(&held.meta, &then) {
            return Ok(Outcome::Busy);
        }
        // opened anew: of a small file that is open, what was read of it is known
        let (file, now) = self.open(&then).await?;
        if !goes_on(&then, &now) {
            return Ok(Outcome::Busy);
        }
        let again = Held { file, meta: then, extra: held.extra.clone(), how: How::Grows };
        let (staged, second) = self.stage(&again).await?;
        let now = again.file.stat().await?;
        let parts = self.in_parts(&again);
        if first != second || !goes_on(&then, &now) {
            self.drop_staged(parts).await?;
            return Ok(Outcome::Busy);
        }
        // it has come to rest if it is as the survey saw it: the clock has gone past that
        let print = (now == held.meta).then_some(now.print);
        let recorded = self.commit(&again, (staged, second), only, print, parts).await?;
        Ok(self.sent(&again, Some(recorded)))
    }

    /// The digest that staging it will give, of what it held at one moment, and how it was then.
    async fn read_to_its_end(&self, held: &Held<T::File>) -> Result<Option<(Digest, LocalMeta)>, Fault> {
        let mut size = held.meta.print.size;
        for _ in 0..FORMS {
            let form = self.ctx.store.part_size(size);
            let Some((digest, then)) = self.ctx.hashing.catch_up(&*held.file, form).await? else {
                return Ok(None);
            };
            size = then.print.size;
            if self.ctx.store.part_size(size) == form {
                return Ok(Some((digest, then)));
            }
        }
        Ok(None)
    }

    /// The file has grown since it was to be compared: what the bucket holds is another content by now.
    pub(super) async fn replace(&self, held: &Held<T::File>) -> Result<Outcome, Fault> {
        let listed = match &self.job.op {
            Op::Prove(Some(listed)) => Some(listed.etag.clone()),
            _ => self.shown(&mut None).await?.map(|shown| shown.etag),
        };
        let only = listed.map_or(Only::New, Only::Match);
        self.put(held, only).await
    }
}

/// True if the file is as it was, or has only become longer.
fn goes_on(then: &LocalMeta, now: &LocalMeta) -> bool {
    matches!(motion(then, now, true), Motion::Rests | Motion::Grows)
}
