//! What a survey saw becomes a job, a condemned row, or nothing.

use super::{
    Deed, Ending, Event, ROUNDS,
    commit::After,
    session::{Session, Surveyed},
    settle::Worked,
    survey::{InSync, Seen},
    worker::{self, Manner},
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Against, Change, Class, Fault, Job, Key, Local, Only, Op, Sameness, Scope, Skip, Triple},
    plan::{Verdict, decide},
    queue::{Mono, Note, delay},
    store::Store,
};
use std::collections::BTreeSet;
use tokio::time::Instant;
use tracing::Instrument;

/// What a job takes over from the note that led to it.
#[derive(Clone, Copy)]
struct From {
    born: u64,
    failures: u32,
    swift: bool,
    /// There was no quiet.
    restless: bool,
    /// When the change was noted.
    since: Mono,
}

impl From {
    fn of(note: &Note, now: Mono) -> Self {
        let (swift, since) = (note.is_swift(), note.since.unwrap_or(now));
        Self { born: note.born, failures: note.failures, swift, restless: note.restless, since }
    }
}

impl<T: Tree, S: Store, L: Ledger> Session<'_, T, S, L> {
    pub(super) fn seen(&mut self, id: u64, seen: Seen) {
        let now = self.now();
        match seen {
            Seen::Triple(triple) => {
                if matches!(triple.local, Local::Unknown | Local::Skipped(Skip::Mount)) {
                    // what lies below is not told of, and may well be there, whatever a look saw that came to it before
                    for surveyed in self.surveying.values_mut() {
                        surveyed.awaited.retain(|key| !key.is_at_or_below(&triple.key));
                    }
                }
                let Some(Surveyed { note, window, awaited, .. }) = self.surveying.get_mut(&id) else {
                    return;
                };
                if matches!(triple.local, Local::Present(_) | Local::Absent(_)) && awaited.remove(&triple.key)
                {
                    self.life.report.with(|status| status.unreadable.remove(&triple.key));
                }
                let (from, failures, against) = (From::of(note, now), note.failures, note.against);
                let since = note.since;
                let old = window.is_old(&triple.key);
                window.pass(&triple.key);
                let whole = self.whole == Some(id);
                if whole {
                    self.count(&triple);
                }
                match triple.key.place().filter(|_| old) {
                    Some(path) => {
                        self.pending.owe(Scope::File(path), against, now, Mono::ZERO, failures, since);
                    }
                    None => self.judge(*triple, &from, against),
                }
            }
            Seen::InSync(InSync { files, first, last }) => {
                if let Some(surveyed) = self.surveying.get_mut(&id) {
                    surveyed.in_sync += files.objects;
                    surveyed.window.pass(&last);
                    // what is under way may come of an older state of the file: it is looked at again then
                    self.jobs.seen(first..=last, surveyed.note.against);
                }
                if self.whole == Some(id) {
                    self.life.report.live().came_to_all(files);
                }
            }
            Seen::Anew => {
                let anew = self.surveying.get(&id).map(|surveyed| self.remembered(&surveyed.note.scope));
                if let (Some(surveyed), Some(awaited)) = (self.surveying.get_mut(&id), anew) {
                    (surveyed.in_sync, surveyed.awaited) = (0, awaited);
                    // what it begins anew with may be older than what comes of what it told
                    self.jobs.seen(.., surveyed.note.against);
                }
                if self.whole == Some(id) {
                    self.look_begins();
                }
            }
            Seen::Also(scope, against) => {
                let Some(surveyed) = self.surveying.get_mut(&id) else { return };
                // that look will tell
                surveyed.awaited.retain(|key| !scope.holds(key));
                self.pending.owe(scope, against, now, Mono::ZERO, 0, surveyed.note.since);
            }
            Seen::End(result) => {
                let Some(surveyed) = self.surveying.remove(&id) else { return };
                let Surveyed { note, begun, in_sync, awaited, .. } = surveyed;
                if self.whole.take_if(|whole| *whole == id).is_some() {
                    // what another root has says nothing of what the bucket holds
                    let whole = result.is_ok() && self.ctx.root != Sameness::Changed;
                    self.life.report.live().look_ends(whole);
                    if result.is_ok() {
                        self.life.unsynced.look_ends();
                        self.life.report.with(|status| status.unreadable.look_ends());
                    }
                }
                match result {
                    // a look that is broken off comes to the same files again; a single file was looked at before
                    Ok(()) => {
                        awaited.iter().for_each(|key| self.nothing_at(key));
                        let first = !matches!(note.scope, Scope::File(_));
                        self.life.report.live().unchanged.add(if first { in_sync } else { 0 });
                        self.looked(&note, now.saturating_sub(begun));
                    }
                    Err(fault) => self.blind(note, fault, now),
                }
            }
        }
    }

    /// A look at everything begins, or begins anew.
    pub(super) fn look_begins(&mut self) {
        self.life.unsynced.look_begins();
        self.life.report.live().look_begins();
        self.life.report.with(|status| status.unreadable.look_begins());
    }

    /// Keys below `scope` whose files failed or could not be read, or are to arrive before an object that is kept for them goes.
    pub(super) fn remembered(&self, scope: &Scope) -> BTreeSet<Key> {
        if let Scope::File(path) = scope {
            let keys = [Key::of(path), Key::of_link(path), Key::directory(path)].into_iter();
            let told = |key: &Key| {
                self.life.report.with(|status| status.failing.contains_key(key) || status.unreadable.is(key))
            };
            let known = |key: &Key| told(key) || self.sources.awaits(key) || self.life.unsynced.has(key);
            return keys.filter(known).collect();
        }
        let held = |key: &&Key| scope.holds(key);
        let mut keys: BTreeSet<_> = self.life.report.with(|status| {
            status.failing.keys().chain(status.unreadable.places()).filter(held).cloned().collect()
        });
        keys.extend(self.sources.awaited().chain(self.life.unsynced.keys()).filter(held).cloned());
        keys
    }

    /// There is no file of this name, or it is in sync: it does not fail any more, and nothing is kept for it.
    fn nothing_at(&mut self, key: &Key) {
        self.life.report.with(|status| status.unreadable.remove(key));
        if !self.jobs.is_free(key) {
            return;
        }
        self.life.report.with(|status| status.fails_no_longer(key));
        self.life.unsynced.in_sync(key);
        self.vanished(key);
    }

    /// There is no file of this name.
    fn vanished(&mut self, key: &Key) {
        if let Some(former) = self.sources.vanished(key) {
            self.look_for(&former);
        }
    }

    fn looked(&mut self, note: &Note, time: Mono) {
        if !note.scope.is_everything() {
            return;
        }
        self.timetable.took = time;
        self.sources.seen_since(self.looks);
        self.looks += 1;
        let compared = note.against != Against::Ledger;
        self.life.report.live().looked_by((self.ctx.options.wall)().sec, compared);
        if compared && !self.relisted {
            self.relisted = true;
            self.purge = Some(note.born);
        }
    }

    /// For those who ask how far the look is, and how much the bucket is to hold.
    fn count(&self, triple: &Triple) {
        let live = self.life.report.live();
        match (&triple.local, &triple.record) {
            _ if triple.key.is_directory() => {}
            (Local::Present(meta), _) => live.came_to(Some(meta.print.size)),
            (Local::Absent(_), Some(_)) if self.ctx.options.deletes => live.came_to(None),
            (Local::Absent(_), Some(record)) => live.came_to(Some(record.size)),
            _ => {}
        }
    }

    fn blind(&mut self, note: Note, fault: Fault, now: Mono) {
        let (failures, once) = (note.failures + 1, self.ctx.options.once);
        let lasting = matches!(fault.class, Class::Denied | Class::Fatal | Class::Owned);
        let one = match &note.scope {
            Scope::File(path) if !lasting => Some(Key::of(path)),
            _ => None,
        };
        if lasting || (once && failures >= ROUNDS && one.is_none()) {
            return self.fail(fault);
        }
        tracing::warn!(%fault, attempt = failures, "looking again later");
        let jitter = self.life.jitter.f64();
        match one {
            // it may be this one alone that the store fails
            Some(key) => {
                self.store_failed();
                self.life.unsynced.differs(&key, note.since.unwrap_or(now));
                if failures >= ROUNDS && !self.is_told(&key) {
                    self.tell(&unseen(key, fault));
                }
                if once && failures >= ROUNDS {
                    return;
                }
            }
            None => {
                self.ctx.turns.failed(jitter);
            }
        }
        self.pending.owe(note.scope, note.against, now, delay(failures, jitter), failures, note.since);
    }

    /// Decides what is to be done about a key, and begins it.
    fn judge(&mut self, triple: Triple, from: &From, against: Against) {
        if triple.key.is_reserved() {
            return;
        }
        match &triple.local {
            Local::Skipped(kind) => return self.skipped(&triple.key, *kind),
            Local::Unknown => return self.unknown(&triple.key),
            Local::Present(_) | Local::Absent(_) => {}
        }
        if triple.key.place().is_none() {
            return self.life.report.live().foreign.add(1);
        }
        let Triple { key, local, record, .. } = &triple;
        if matches!(local, Local::Absent(_)) && self.ctx.prune.excludes_known(key, local, record.as_ref()) {
            self.life.unsynced.in_sync(key);
            return;
        }
        if self.jobs.busy(&triple.key, against) {
            self.life.unsynced.differs_again(&triple.key, from.since);
            return;
        }
        let verdict = decide(&triple, self.ctx.view());
        match (&triple.local, &verdict) {
            (Local::Absent(_), Verdict::Leave) => self.nothing_at(&triple.key),
            (Local::Absent(_), _) => self.vanished(&triple.key),
            _ => {}
        }
        if self.has_to_rest(&triple, &verdict, from, against) {
            return;
        }
        let Triple { key, local, remote, asked, kin, .. } = triple;
        let expect = match local {
            Local::Present(meta) => Some(meta),
            _ => None,
        };
        let former = kin.map(|kin| kin.key);
        let job = |op, why| Job { key: key.clone(), op, expect, former: former.clone(), why, asked };
        match verdict {
            // those in sync were only counted
            Verdict::InSync | Verdict::Leave => self.nothing_to_do(&key),
            Verdict::Condemn(_) if self.ctx.nested.holds(&key) => self.nothing_to_do(&key),
            Verdict::Condemn(etag) => {
                self.news = true;
                let since =
                    self.life.unsynced.in_sync(&key).map_or(from.since, |known| known.min(from.since));
                self.docket.absent(key, etag, since);
            }
            Verdict::Acquit => self.acquit(key),
            Verdict::Put(only, why) => self.start(&[], job(Op::Put(only), why), from),
            Verdict::Metadata(why) => self.start(&[], job(Op::Metadata, why), from),
            Verdict::Prove(why) => self.start(&[], job(Op::Prove(remote), why), from),
            Verdict::Copy(twin) => {
                let copy = job(Op::Copy(twin.clone()), "renamed");
                let put = job(Op::Put(Only::New), "new file");
                match self.jobs.is_free(&twin) {
                    true => self.start(&[&twin], copy, from),
                    false => self.start(&[], put, from),
                }
            }
        }
    }

    /// Of another root that is not known.
    fn nothing_to_do(&mut self, key: &Key) {
        if self.ctx.root != Sameness::Changed {
            self.life.report.with(|status| status.fails_no_longer(key));
            self.life.unsynced.in_sync(key);
        }
    }

    /// The file of a condemned object is back as it was.
    fn acquit(&mut self, key: Key) {
        self.life.report.live().unchanged.add(1);
        self.life.unsynced.in_sync(&key);
        if !self.ctx.options.dry_run && self.jobs.take_beside(&key) {
            self.batch.push(Change::Acquit(key.clone()));
            self.after.push(After::Row { key, deleted: false, again: None });
        }
    }

    /// True if the file is to be read, and changed each time that it was. It is looked at again then.
    fn has_to_rest(&mut self, triple: &Triple, verdict: &Verdict, from: &From, against: Against) -> bool {
        let From { failures, since, .. } = *from;
        let reads = matches!(verdict, Verdict::Put(..) | Verdict::Copy(_) | Verdict::Prove(_));
        let Local::Present(meta) = &triple.local else { return false };
        let now = self.now();
        let wait = (reads && !self.ctx.options.once)
            .then(|| self.restless.wait(&triple.key, &meta.print, now, against))
            .flatten();
        if let (Some((wait, against)), Some(path)) = (wait, triple.key.place()) {
            self.life.unsynced.differs(&triple.key, since);
            self.pending.retry(Scope::File(path), against.max(self.against()), now, wait, failures);
        }
        wait.is_some()
    }

    fn start(&mut self, also: &[&Key], job: Job, from: &From) {
        let keys: Vec<Key> = std::iter::once(&job.key).chain(also.iter().copied()).cloned().collect();
        if !self.jobs.take(&keys.iter().collect::<Vec<_>>(), from.born) {
            return;
        }
        self.life.unsynced.differs(&job.key, from.since);
        let (ctx, seen, From { failures, swift, .. }) = (self.ctx.clone(), Instant::now(), *from);
        // of a pass, the last round
        let last = self.ctx.options.once && failures + 1 >= ROUNDS;
        let restless = self.restless.is_known(&job.key);
        let manner = Manner { seen, swift, patient: last || restless || from.restless, restless };
        let work = async move {
            let (outcome, took) = worker::work(ctx, job.clone(), manner).await;
            Worked { keys, job, failures, outcome, took }
        };
        self.news = true;
        self.workers.spawn(work.in_current_span());
    }

    fn skipped(&mut self, key: &Key, kind: Skip) {
        self.life.unsynced.in_sync(key);
        // what is no part of the mirror does not fail it, nor does what lies below
        self.life.report.with(|status| {
            let below = |other: &&Key| other.is_at_or_below(key);
            let all: Vec<_> = status.failing.keys().filter(below).cloned().collect();
            all.iter().for_each(|key| status.fails_no_longer(key));
            status.unreadable.leave_out(key);
        });
        if kind == Skip::Excluded {
            return;
        }
        tracing::debug!(%key, ?kind, "skipped");
        self.life.report.live().skipped.add(1);
    }

    fn unknown(&self, key: &Key) {
        // why has been told where it was tried
        tracing::debug!(%key, "it cannot be read; nothing is deleted there");
        self.life.report.with(|status| status.unreadable.add(key));
    }
}

/// What there is of it in the bucket could not be found out.
fn unseen(key: Key, fault: Fault) -> Event {
    let why = "what the bucket holds of it is not known";
    Event::Action { key, deed: Deed::Put, from: None, why, ending: Ending::Failed(fault), bytes: 0 }
}
