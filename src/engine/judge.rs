//! What a survey saw becomes a job, a condemned row, or nothing.

use super::{ROUNDS, session::Session, survey::Seen, worker};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Against, Class, Fault, Job, Key, Local, Only, Op, Scope, Skip, Triple},
    plan::{Verdict, decide},
    queue::{Mono, Note, delay},
    store::Store,
};
use tokio::time::Instant;

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    pub(super) fn seen(&mut self, id: u64, seen: Seen) {
        let now = self.now();
        match seen {
            Seen::Triple(triple) => {
                let Some((note, _)) = self.surveying.get(&id) else { return };
                let (born, failures) = (note.born, note.failures);
                self.judge(*triple, born, failures);
            }
            Seen::InSync(keys) => self.life.report.with(|status| status.sums.unchanged += keys),
            Seen::Also(scope, against) => self.pending.retry(scope, against, now, Mono::ZERO, 0),
            Seen::End(result) => {
                let Some((note, begun)) = self.surveying.remove(&id) else { return };
                match result {
                    Ok(()) => self.looked(&note, now.saturating_sub(begun)),
                    Err(fault) => self.blind(note, fault, now),
                }
            }
        }
    }

    fn looked(&mut self, note: &Note, time: Mono) {
        if note.scope != Scope::everything() {
            return;
        }
        self.scan_time = time;
        if note.against == Against::Bucket && !self.relisted {
            self.relisted = true;
            self.purge = true;
        }
    }

    fn blind(&mut self, note: Note, fault: Fault, now: Mono) {
        let failures = note.failures + 1;
        if matches!(fault.class, Class::Fatal | Class::Owned) || (self.ctx.options.once && failures >= ROUNDS)
        {
            return self.fail(fault);
        }
        tracing::warn!(%fault, attempt = failures, "looking again later");
        let jitter = self.life.jitter.f64();
        self.pace.failure(now, jitter);
        self.pending.retry(note.scope, note.against, now, delay(failures, jitter), failures);
    }

    /// Decides what is to be done about a key, and begins it.
    fn judge(&mut self, triple: Triple, born: u64, failures: u32) {
        if triple.key.is_reserved() {
            return;
        }
        match &triple.local {
            Local::Skipped(Skip::Excluded) => return,
            Local::Skipped(kind) => return self.skipped(&triple.key, *kind),
            Local::Unknown => return self.unknown(&triple.key),
            Local::Present(_) | Local::Absent(_) => {}
        }
        let Some(path) = triple.key.path() else {
            let marker = triple.key.is_directory_marker();
            return self.life.report.with(|status| status.sums.foreign += u64::from(!marker));
        };
        if matches!(triple.local, Local::Absent(_)) && self.ctx.prune.excludes(&path, false) {
            return;
        }
        if self.jobs.busy(&triple.key) {
            return;
        }
        let verdict = decide(&triple, self.ctx.view());
        let Triple { key, local, remote, asked, .. } = triple;
        let expect = match local {
            Local::Present(meta) => Some(meta),
            _ => None,
        };
        let job = |op, why| Job { key: key.clone(), op, expect, why, asked };
        match verdict {
            // those in sync were only counted
            Verdict::InSync | Verdict::Leave => {}
            Verdict::Condemn(etag) => self.docket.absent(key, etag),
            Verdict::Put(only, why) => self.start(&[], job(Op::Put(only), why), born, failures),
            Verdict::Metadata(why) => self.start(&[], job(Op::Metadata, why), born, failures),
            Verdict::Prove(why) => self.start(&[], job(Op::Prove(remote), why), born, failures),
            Verdict::Copy(from) => {
                let copy = job(Op::Copy(from.clone()), "renamed");
                let put = job(Op::Put(Only::New), "new file");
                match self.jobs.is_free(&from) {
                    true => self.start(&[&from], copy, born, failures),
                    false => self.start(&[], put, born, failures),
                }
            }
        }
    }

    fn start(&mut self, also: &[&Key], job: Job, born: u64, failures: u32) {
        let keys: Vec<Key> = std::iter::once(&job.key).chain(also.iter().copied()).cloned().collect();
        if !self.jobs.take(&keys.iter().collect::<Vec<_>>(), born) {
            return;
        }
        let (ctx, seen) = (self.ctx.clone(), Instant::now());
        self.workers.spawn(async move {
            let outcome = worker::work(ctx, job.clone(), seen).await;
            (keys, job, failures, outcome)
        });
    }

    fn skipped(&self, key: &Key, kind: Skip) {
        tracing::debug!(%key, ?kind, "skipped");
        self.life.report.with(|status| status.sums.skipped += 1);
    }

    fn unknown(&self, key: &Key) {
        // why has been told where it was tried
        tracing::debug!(%key, "it cannot be read; nothing is deleted there");
        self.life.report.with(|status| status.unknown += 1);
    }
}
