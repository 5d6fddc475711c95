//! A scope becomes a stream of triples: walk ⋈ listing ⋈ ledger, a page of each in memory.

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::{Entry, Tree},
    model::{
        Absence, Against, Class, Fault, Fingerprint, Key, KeyRange, Local, Record, RelPath, RemoteMeta,
        Scope, Seq, Skip, Triple,
    },
    plan::{Merge, Merged, Side, Step, Unsorted},
    queue::Note,
    store::{Depth, Store},
};
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use std::{collections::VecDeque, sync::Arc};

/// Rows of the ledger read at a time.
const ROWS: usize = 512;

/// What a survey yields.
pub(super) enum Seen {
    /// What is known of one key. Boxed: most of a survey's items wait in a queue.
    Triple(Box<Triple>),
    /// This is to be looked at as well.
    Also(Scope, Against),
    /// It ended: whole, or with a fault.
    End(Result<(), Fault>),
}

/// The stream of `note`. Its last item is [`Seen::End`].
pub(super) fn survey<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    note: &Note,
) -> impl Stream<Item = Seen> + Send + use<T, S, L> {
    let survey = Survey {
        against: note.against,
        scope: note.scope.clone(),
        out: VecDeque::new(),
        state: State::Begin,
        listed: None,
        ctx,
    };
    stream::unfold(Some(survey), |survey| async move {
        let mut survey = survey?;
        loop {
            if let Some(seen) = survey.out.pop_front() {
                return Some((seen, Some(survey)));
            }
            match survey.advance().await {
                Ok(true) => {}
                Ok(false) => return Some((Seen::End(Ok(())), None)),
                Err(fault) => return Some((Seen::End(Err(fault)), None)),
            }
        }
    })
}

struct Survey<T, S, L> {
    ctx: Arc<Context<T, S, L>>,
    scope: Scope,
    against: Against,
    out: VecDeque<Seen>,
    state: State,
    /// Set when the store was found to list out of order: its whole listing, sorted.
    listed: Option<Vec<(Key, Option<RemoteMeta>)>>,
}

enum State {
    Begin,
    Range(Box<Range>),
    Done,
}

/// A range of keys on its way through the merge.
struct Range {
    directory: RelPath,
    depth: Depth,
    merge: Merge,
    walk: BoxStream<'static, Result<Vec<Entry>, Fault>>,
    token: Option<String>,
    begun: bool,
    row: Option<Key>,
}

impl<T: Tree, S: Store, L: Ledger> Survey<T, S, L> {
    /// One step; false at the end.
    async fn advance(&mut self) -> Result<bool, Fault> {
        match &mut self.state {
            State::Begin => self.begin().await?,
            State::Range(_) => {
                if let Err(unsorted) = self.range().await? {
                    self.gather(unsorted).await?;
                }
            }
            State::Done => return Ok(false),
        }
        Ok(true)
    }

    async fn begin(&mut self) -> Result<(), Fault> {
        self.state = match self.scope.clone() {
            Scope::File(path) => {
                if self.single(&path, true).await? {
                    self.out.push_back(Seen::Also(Scope::Tree(path), self.against));
                }
                State::Done
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

    fn open(&self, directory: RelPath, depth: Depth) -> State {
        let scope = match depth {
            Depth::All => Scope::Tree(directory.clone()),
            Depth::Children => Scope::Children(directory.clone()),
        };
        let walk = self.ctx.tree.walk(&scope, self.ctx.prune.clone()).boxed();
        let merge = Merge::default();
        State::Range(Box::new(Range { directory, depth, merge, walk, token: None, begun: false, row: None }))
    }

    /// The key of `path` itself; true if there is, or was, a directory of that name.
    async fn single(&mut self, path: &RelPath, alone: bool) -> Result<bool, Fault> {
        let key = Key::of(path);
        let asked = self.ctx.ledger.now();
        let record = self.ctx.ledger.get(&key).await?;
        let below = KeyRange::Under(Key::directory(path));
        let had = alone && !self.ctx.ledger.page(&below, None, 1).await?.is_empty();
        let local = match (self.ctx.prune)(path, false) {
            true => Local::Skipped(Skip::Excluded),
            false => self.ctx.tree.look(vec![path.clone()]).await?.pop().unwrap_or(Local::Unknown),
        };
        let is_directory = matches!(&local, Local::Absent(Absence { directory: true, .. }));
        let remote = match self.against {
            Against::Ledger => record.as_ref().map(listed),
            // a directory that never was a file has no object of its own name to ask for
            Against::Bucket if is_directory && record.is_none() => None,
            Against::Bucket => self.ctx.store.head(&key).await?.map(|head| head.meta),
        };
        if remote.is_some() || record.is_some() || !matches!(local, Local::Absent(_)) {
            self.triple(key, local, remote, record, asked).await?;
        }
        Ok(is_directory || had)
    }

    /// Runs the merge until it yields something.
    async fn range(&mut self) -> Result<Result<(), Unsorted>, Fault> {
        loop {
            let State::Range(range) = &mut self.state else { return Ok(Ok(())) };
            match range.merge.step() {
                Step::Need(side) => {
                    if let Err(unsorted) = self.feed(side).await? {
                        return Ok(Err(unsorted));
                    }
                }
                Step::Next(merged) => {
                    self.merged(*merged).await?;
                    return Ok(Ok(()));
                }
                Step::End => {
                    self.state = State::Done;
                    return Ok(Ok(()));
                }
            }
        }
    }

    async fn feed(&mut self, side: Side) -> Result<Result<(), Unsorted>, Fault> {
        let (ctx, against) = (self.ctx.clone(), self.against);
        let State::Range(range) = &mut self.state else { return Ok(Ok(())) };
        let prefix = Key::directory(&range.directory);
        match side {
            Side::Local => match range.walk.next().await.transpose()? {
                Some(mut entries) => {
                    // the scope's own key was looked at by itself
                    entries.retain(|(key, _)| key.as_str().starts_with(prefix.as_str()));
                    return Ok(range.merge.push_local(entries));
                }
                None => range.merge.end(Side::Local),
            },
            Side::Remote if against == Against::Ledger => {
                range.merge.end(Side::Remote);
            }
            Side::Remote => {
                if let Some(all) = self.listed.take() {
                    let pushed = range.merge.push_remote(all, ctx.ledger.now());
                    range.token = None;
                    range.begun = true;
                    return Ok(pushed);
                }
                if range.begun && range.token.is_none() {
                    range.merge.end(Side::Remote);
                    return Ok(Ok(()));
                }
                let asked = ctx.ledger.now();
                let page = ctx.store.list(&prefix, range.depth, range.token.take()).await?;
                range.begun = true;
                range.token = page.next;
                let mut items: Vec<_> =
                    page.objects.into_iter().map(|(key, meta)| (key, Some(meta))).collect();
                if !page.directories.is_empty() {
                    items.extend(page.directories.into_iter().map(|key| (key, None)));
                    items.sort_by(|a, b| a.0.cmp(&b.0));
                }
                return Ok(range.merge.push_remote(items, asked));
            }
            Side::Ledger => return feed_ledger(&ctx, range, against).await,
        }
        Ok(Ok(()))
    }

    async fn merged(&mut self, merged: Merged) -> Result<(), Fault> {
        let State::Range(range) = &self.state else { return Ok(()) };
        let Merged { key, local, remote, record, covered, asked } = merged;
        if covered {
            return Ok(()); // whatever the other sides show, nothing may be done
        }
        if range.depth == Depth::Children && key.as_str().ends_with('/') {
            let here = matches!(&local, Some(Local::Absent(Absence { directory: true, .. })));
            // a subdirectory that only one side has is a tree to be looked at
            if local.as_ref().is_none_or(|l| matches!(l, Local::Absent(_)))
                && here != (record.is_some() || remote == Some(None))
                && let Some(path) = Key::raw(key.as_str().trim_end_matches('/')).path()
            {
                self.out.push_back(Seen::Also(Scope::Tree(path), self.against));
            }
            return Ok(());
        }
        let record = record.flatten();
        let remote = match self.against {
            Against::Bucket => remote.flatten(),
            Against::Ledger => record.as_ref().map(listed),
        };
        let absent = || Local::Absent(Absence { ancestor: range.directory.clone(), directory: false });
        let local = local.unwrap_or_else(absent);
        self.triple(key, local, remote, record, asked).await
    }

    async fn triple(
        &mut self,
        key: Key,
        local: Local,
        remote: Option<RemoteMeta>,
        record: Option<Record>,
        asked: Seq,
    ) -> Result<(), Fault> {
        let twin = match (&local, &remote, &record) {
            (Local::Present(meta), None, None) => twin(&self.ctx.ledger, &key, meta.print).await?,
            _ => None,
        };
        self.out.push_back(Seen::Triple(Box::new(Triple { key, local, remote, record, asked, twin })));
        Ok(())
    }

    /// The store lists out of order: reads all of the range's listing, sorts it and begins again. Memory
    /// then grows with the listing.
    async fn gather(&mut self, unsorted: Unsorted) -> Result<(), Fault> {
        let State::Range(range) = &self.state else { return Ok(()) };
        if unsorted.side != Side::Remote || self.listed.is_some() {
            return Err(Fault::new(Class::Transient, format!("compare {}", range.directory), unsorted));
        }
        tracing::warn!(%unsorted, "the store does not list in key order; reading the whole listing into memory");
        let (directory, depth) = (range.directory.clone(), range.depth);
        let prefix = Key::directory(&directory);
        let (mut all, mut token) = (std::collections::BTreeMap::new(), None);
        loop {
            let page = self.ctx.store.list(&prefix, depth, token).await?;
            all.extend(page.objects.into_iter().map(|(key, meta)| (key, Some(meta))));
            all.extend(page.directories.into_iter().map(|key| (key, None)));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        self.out.clear();
        self.listed = Some(all.into_iter().collect());
        self.state = self.open(directory, depth);
        Ok(())
    }
}

/// The next rows of the ledger. With direct entries only, what lies below a subdirectory is leapt over and
/// stands as one `sub/`.
async fn feed_ledger<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    range: &mut Range,
    against: Against,
) -> Result<Result<(), Unsorted>, Fault> {
    let prefix = Key::directory(&range.directory);
    if against == Against::Ledger {
        range.merge.asked(ctx.ledger.now());
    }
    let rows = ctx.ledger.page(&KeyRange::Under(prefix.clone()), range.row.take(), ROWS).await?;
    let full = rows.len() == ROWS;
    let mut items = vec![];
    for (key, record) in rows {
        range.row = Some(Key::raw(format!("{key_str}\0", key_str = key.as_str())));
        let rest = &key.as_str()[prefix.as_str().len()..];
        match rest.find('/').filter(|_| range.depth == Depth::Children) {
            Some(at) => {
                let sub = Key::raw(&key.as_str()[..prefix.as_str().len() + at + 1]);
                // `0` is the byte after `/`
                range.row = Some(Key::raw(format!("{}0", sub.as_str().trim_end_matches('/'))));
                items.push((sub, None));
                return Ok(range.merge.push_ledger(items));
            }
            None => items.push((key, Some(record))),
        }
    }
    if !full {
        range.merge.end(Side::Ledger);
    }
    Ok(range.merge.push_ledger(items))
}

/// A key whose proof was taken of the same inode, size and mtime.
async fn twin<L: Ledger>(ledger: &L, key: &Key, print: Fingerprint) -> Result<Option<Key>, Fault> {
    for other in ledger.by_inode(print.inode).await? {
        let record = if other == *key { None } else { ledger.get(&other).await? };
        let known = record.filter(|r| r.digest.is_some()).and_then(|r| r.print);
        if known.is_some_and(|p| (p.inode, p.size, p.mtime) == (print.inode, print.size, print.mtime)) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// A proof, as the listing would show it.
fn listed(record: &Record) -> RemoteMeta {
    RemoteMeta { size: record.size, etag: record.etag.clone(), modified: None }
}
