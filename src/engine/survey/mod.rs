//! A scope becomes a stream of triples: walk ⋈ listing ⋈ ledger, as many pages in memory as there are listers.
//! Keys that are in sync are only counted.
//!
//! | room | |
//! |---|---|
//! | `ahead` | ledger and listing, read ahead, cut into ranges |
//! | `fresh` | files that are new by their names, and what they were before |
//! | `listing` | one range of the listing |
//! | `named` | one path, as a file, a link and a directory |
//! | `window` | what was read and not told yet |

mod ahead;
mod fresh;
mod listing;
mod named;
mod window;

pub use fresh::kin_of;
pub(super) use window::{Reach, Window};

use super::{context::Context, live::Stored};
use crate::{
    ledger::Ledger,
    local::{Entry, Tree},
    model::{
        Absence, Against, Class, Fault, Keep, Key, Local, Record, RelPath, RemoteMeta, Said, Scope, Seq,
        Triple,
    },
    plan::{Merge, Merged, Side, Step, Unsorted, Verdict, decide},
    queue::Note,
    store::{Depth, Store},
};
use ahead::{Ahead, More, Way};
use fresh::Fresh;
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use listing::Trouble;
use std::{collections::VecDeque, sync::Arc};

pub(super) use listing::find;

/// Keys in sync that are told together: so long is a survey polled before others get their turn.
const TOGETHER: u64 = 512;

/// What a survey yields.
pub(super) enum Seen {
    /// What is known of one key that is not in sync. Boxed: most of a survey's items wait in a queue.
    Triple(Box<Triple>),
    /// These files are in sync.
    InSync(InSync),
    /// What was told so far is void: it is told again.
    Anew,
    /// This is to be looked at as well.
    Also(Scope, Against),
    /// It ended: whole, or with a fault.
    End(Result<(), Fault>),
}

/// Files in sync, and the range in which their keys lie.
pub(super) struct InSync {
    pub(super) files: Stored,
    pub(super) first: Key,
    pub(super) last: Key,
}

/// The stream of `note`. Its last item is [`Seen::End`].
pub(super) fn survey<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    note: &Note,
    reach: Reach,
) -> impl Stream<Item = Seen> + Send + use<T, S, L> {
    let survey = Survey {
        asked: ctx.ledger.now(),
        against: note.against,
        scope: note.scope.clone(),
        out: VecDeque::new(),
        in_sync: None,
        fresh: Fresh::default(),
        next: None,
        state: State::Begin,
        below: vec![],
        reach,
        ctx,
    };
    stream::unfold(Some(survey), |survey| async move {
        let mut survey = survey?;
        let ended = loop {
            if let Some(in_sync) =
                survey.in_sync.take_if(|n| !survey.out.is_empty() || n.files.objects >= TOGETHER)
            {
                return Some((Seen::InSync(in_sync), Some(survey)));
            }
            if let Some(seen) = survey.out.pop_front() {
                return Some((seen, Some(survey)));
            }
            match survey.advance().await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        if let Some(in_sync) = survey.in_sync.take() {
            survey.state = State::Ended(ended);
            return Some((Seen::InSync(in_sync), Some(survey)));
        }
        Some((Seen::End(ended), None))
    })
}

struct Survey<T, S, L> {
    ctx: Arc<Context<T, S, L>>,
    scope: Scope,
    against: Against,
    /// The ledger's counter from before anything was asked: what was proven since then, this survey does not know.
    asked: Seq,
    out: VecDeque<Seen>,
    /// Keys before those of `out`.
    in_sync: Option<InSync>,
    /// Keys after those of `in_sync`; and what came after them.
    fresh: Fresh,
    next: Option<Box<Merged>>,
    state: State,
    /// Directories that are still to be looked at, one by one: of a store that lists out of order.
    below: Vec<RelPath>,
    reach: Reach,
}

enum State {
    Begin,
    Range(Box<Range>),
    Ended(Result<(), Fault>),
}

/// A range of keys on its way through the merge.
struct Range {
    directory: RelPath,
    prefix: Key,
    way: Way,
    merge: Merge,
    walk: BoxStream<'static, Result<Vec<Entry>, Fault>>,
    ahead: Ahead,
}

impl<T: Tree, S: Store, L: Ledger> Survey<T, S, L> {
    /// One step; false at the end.
    async fn advance(&mut self) -> Result<bool, Fault> {
        match &mut self.state {
            State::Begin => self.begin().await?,
            State::Range(_) => match self.step().await {
                Ok(()) => {}
                Err(Trouble::Fault(fault)) => return Err(fault),
                Err(Trouble::Unsorted(unsorted)) => self.unsorted(unsorted)?,
            },
            State::Ended(result) => return std::mem::replace(result, Ok(())).map(|()| false),
        }
        Ok(true)
    }

    async fn begin(&mut self) -> Result<(), Fault> {
        self.state = match self.scope.clone() {
            Scope::File(path) => {
                if self.single(&path, true).await? && !self.marker(&path).await? {
                    self.out.push_back(Seen::Also(Scope::Tree(path), self.against));
                }
                State::Ended(Ok(()))
            }
            Scope::Children(dir) => self.open(dir, Depth::Children),
            Scope::Tree(dir) => {
                if !dir.is_root() {
                    self.single(&dir, false).await?;
                }
                self.open(dir, Depth::All)
            }
        };
        Ok(())
    }

    /// Begins to look at the entries of a directory. Those of a store that lists out of order are looked at
    /// directory by directory.
    fn open(&self, directory: RelPath, depth: Depth) -> State {
        let gather = self.against == Against::Bucket && self.ctx.unsorted();
        let depth = if gather { Depth::Children } else { depth };
        let scope = match depth {
            Depth::All => Scope::Tree(directory.clone()),
            Depth::Children => Scope::Children(directory.clone()),
        };
        let way = Way { depth, against: self.against, gather };
        let walk = self.ctx.tree.walk(&scope, self.ctx.prune.clone()).boxed();
        let prefix = Key::directory(&directory);
        let ahead = Ahead::begin(&self.ctx, prefix.clone(), way, self.reach.clone());
        State::Range(Box::new(Range { directory, prefix, way, merge: Merge::default(), walk, ahead }))
    }

    /// Runs the merge until it yields something.
    async fn step(&mut self) -> Result<(), Trouble> {
        while self.out.is_empty() && self.in_sync.as_ref().is_none_or(|n| n.files.objects < TOGETHER) {
            let State::Range(range) = &mut self.state else { return Ok(()) };
            let step = match self.next.take() {
                Some(merged) => Step::Next(merged),
                None => range.merge.step(),
            };
            match step {
                Step::Next(merged) if self.fresh.is_empty() || merged.is_fresh() => {
                    self.merged(*merged);
                    if self.fresh.is_full() {
                        self.tell_fresh().await?;
                    }
                }
                // keys are told in their order
                Step::Next(merged) => {
                    self.next = Some(merged);
                    self.tell_fresh().await?;
                }
                Step::Need(_) | Step::End if !self.fresh.is_empty() => self.tell_fresh().await?,
                Step::Need(side) => range.feed(side).await?,
                Step::End => {
                    self.state = match self.below.pop() {
                        Some(directory) => self.open(directory, Depth::Children),
                        None => State::Ended(Ok(())),
                    };
                }
            }
        }
        Ok(())
    }

    fn merged(&mut self, merged: Merged) {
        let State::Range(range) = &self.state else { return };
        let Merged { key, local, remote, record, covered } = merged;
        if covered {
            return; // whatever the other sides show, nothing may be done
        }
        if range.way.depth == Depth::Children && key.is_directory() && key != range.prefix {
            self.subdirectory(&key, local.as_ref(), record.is_some() || remote == Some(None));
            return;
        }
        let record = record.flatten();
        if key.is_directory_marker() && !self.marks(&key, local.as_ref(), record.as_ref()) {
            return;
        }
        let absent = || Local::Absent(Absence { ancestor: range.directory.clone(), instead: None });
        let local = local.unwrap_or_else(absent);
        let remote = match self.against {
            Against::Bucket => remote.flatten(),
            Against::Ledger => record.as_ref().and_then(|record| listed(record, &local)),
        };
        self.triple(key, local, remote, record);
    }

    /// True if what is told of a directory is to be heeded: what could not be entered always is, a marker where they are
    /// stored. Whenever something is made or removed in it its time changes,
    /// which is left to the looks at whole trees; those at its entries heed only its mode and owner.
    fn marks(&self, key: &Key, local: Option<&Local>, record: Option<&Record>) -> bool {
        let among_its_entries = matches!(&self.scope, Scope::Children(dir) if Key::directory(dir) == *key);
        let keep = Keep { mtime: false, ..self.ctx.options.keep.plain() };
        let news = || matches!(local, Some(Local::Present(meta)) if record.is_none_or(|row| !keep.is_within(Said::of(row).agrees(meta))));
        let entered = !matches!(local, Some(Local::Unknown | Local::Skipped(_)));
        !entered || self.ctx.options.directories && (!among_its_entries || news())
    }

    /// `key` is a subdirectory; `elsewhere` says whether bucket or ledger have one.
    fn subdirectory(&mut self, key: &Key, local: Option<&Local>, elsewhere: bool) {
        if local.is_some_and(|local| !matches!(local, Local::Absent(_))) {
            return;
        }
        // what lies below `a//` is nobody's file
        let name = key.as_str().strip_suffix('/').unwrap_or_default();
        let Some(path) = Key::raw(name).path() else { return };
        let here = local.is_some();
        let State::Range(range) = &self.state else { return };
        match (&self.scope, range.way.gather) {
            // one that only one side has is a tree to be looked at
            (Scope::Children(_), _) if here != elsewhere => {
                self.out.push_back(Seen::Also(Scope::Tree(path), self.against));
            }
            (Scope::Tree(_), true) => self.below.push(path),
            _ => {}
        }
    }

    fn triple(&mut self, key: Key, local: Local, remote: Option<RemoteMeta>, record: Option<Record>) {
        let fresh = local.is_fresh(record.as_ref());
        let triple = Triple { key, local, remote, record, asked: self.asked, kin: None };
        if fresh { self.fresh.push(triple) } else { self.tell(triple) }
    }

    async fn tell_fresh(&mut self) -> Result<(), Fault> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let fresh = self.fresh.take(&self.ctx.ledger).await?;
        fresh.into_iter().for_each(|triple| self.tell(triple));
        Ok(())
    }

    fn tell(&mut self, triple: Triple) {
        match decide(&triple, self.ctx.view()) {
            Verdict::InSync => {
                let size = triple.record.map_or(0, |record| record.size);
                let in_sync = self.in_sync.get_or_insert_with(|| InSync {
                    files: Stored::default(),
                    first: triple.key.clone(),
                    last: triple.key.clone(),
                });
                in_sync.files.objects += u64::from(!triple.key.is_directory());
                in_sync.files.bytes += size;
                // directory by directory keys do not come in order
                if triple.key < in_sync.first {
                    in_sync.first = triple.key;
                } else if triple.key > in_sync.last {
                    in_sync.last = triple.key;
                }
            }
            _ => self.out.push_back(Seen::Triple(Box::new(triple))),
        }
    }

    /// The store lists out of order: from now on it is compared directory by directory, each with all that the
    /// store shows of it in memory. What was told so far is told again.
    fn unsorted(&mut self, unsorted: Unsorted) -> Result<(), Fault> {
        let State::Range(range) = &self.state else { return Ok(()) };
        if unsorted.side != Side::Remote || range.way.gather {
            return Err(Fault::new(Class::Transient, format!("compare {}", range.directory), unsorted));
        }
        tracing::warn!(%unsorted, "the store does not list in key order; comparing directory by directory");
        let (directory, depth) = (range.directory.clone(), range.way.depth);
        self.ctx.lists_unsorted();
        self.reach.lose();
        self.in_sync = None;
        self.fresh.clear();
        self.next = None;
        self.out = VecDeque::from([Seen::Anew]);
        self.state = self.open(directory, depth);
        Ok(())
    }
}

impl Range {
    /// More of one side, or its end.
    async fn feed(&mut self, side: Side) -> Result<(), Trouble> {
        let merge = &mut self.merge;
        let pushed = match side {
            Side::Local => match self.walk.next().await.transpose()? {
                Some(mut entries) => {
                    // the scope's own key was looked at by itself
                    if !self.directory.is_root() {
                        entries.retain(|(key, _)| key.as_str().starts_with(self.prefix.as_str()));
                    }
                    Some(merge.push_local(entries))
                }
                None => None,
            },
            Side::Remote if self.way.against == Against::Ledger => None,
            Side::Remote => match self.ahead.items().await? {
                More::Items(items) => Some(merge.push_remote(items)),
                More::Clear(upto) => {
                    merge.clear(side, upto);
                    Some(Ok(()))
                }
                More::End => None,
            },
            Side::Ledger => self.ahead.rows().await?.map(|(rows, upto)| {
                upto.into_iter().for_each(|upto| merge.clear(side, upto));
                merge.push_ledger(rows)
            }),
        };
        match pushed {
            Some(pushed) => pushed.map_err(Trouble::Unsorted),
            None => {
                merge.end(side);
                Ok(())
            }
        }
    }
}

/// A proof, as the listing would show it; `None` if only the store can tell. Where there is no file, nothing rests on
/// it: the delete is done once more.
fn listed(record: &Record, local: &Local) -> Option<RemoteMeta> {
    let known = RemoteMeta { size: record.size, etag: record.etag.clone(), modified: None };
    (!record.doubted || matches!(local, Local::Absent(_))).then_some(known)
}
