//! One range of a listing, read by a task of its own: pages in key order, one ahead of who takes them.

use super::super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Class, Fault, Key, RelPath, RemoteMeta},
    plan::{Side, Split, Unsorted},
    store::{Depth, Page, Start, Store},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// What a listing shows: an object, or a subdirectory (`sub/`, without an answer of its own).
pub(super) type Item = (Key, Option<RemoteMeta>);

/// Why a listing came to no end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store does not list in key order.
    Unsorted(Unsorted),
    /// A request failed.
    Fault(Fault),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a range of a listing holds: keys under `prefix`, above `after` and up to `upto`.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) prefix: Key,
    pub(super) after: Option<Key>,
    pub(super) upto: Option<Key>,
}

/// A range on its way.
pub(super) struct Span {
    pages: mpsc::Receiver<Vec<Item>>,
    task: AbortOnDropHandle<Result<(), Trouble>>,
}

impl Span {
    /// Begins to list a range of the tree. `split` learns what its `units` turned out to hold.
    pub(super) fn begin<T: Tree, S: Store, L: Ledger>(
        ctx: &Arc<Context<T, S, L>>,
        bounds: Bounds,
        units: usize,
        split: &Arc<Mutex<Split>>,
    ) -> Self {
        let (ctx, split) = (ctx.clone(), split.clone());
        Self::spawn(|send| async move {
            let (mut objects, mut requests) = (0, 0);
            let mut start = bounds.after.clone().map_or(Start::First, Start::After);
            loop {
                let page = ask(&ctx, &bounds.prefix, Depth::All, start).await?;
                requests += 1;
                let next = page.next.clone();
                let (items, ended) = within(page, &bounds)?;
                objects += items.len();
                if send.send(items).await.is_err() {
                    return Ok(());
                }
                start = match next.filter(|_| !ended) {
                    Some(token) => Start::Token(token),
                    None => break,
                };
            }
            split.lock().unwrap_or_else(PoisonError::into_inner).saw(units, objects, requests);
            Ok(())
        })
    }

    /// Begins to list the direct entries of a directory.
    pub(super) fn children<T: Tree, S: Store, L: Ledger>(ctx: &Arc<Context<T, S, L>>, prefix: Key) -> Self {
        let ctx = ctx.clone();
        Self::spawn(|send| async move {
            let mut start = Start::First;
            loop {
                let page = ask(&ctx, &prefix, Depth::Children, start).await?;
                let next = page.next.clone();
                let mut items = items(page);
                items.sort_by(|a, b| a.0.cmp(&b.0));
                if send.send(items).await.is_err() {
                    return Ok(());
                }
                start = match next {
                    Some(token) => Start::Token(token),
                    None => return Ok(()),
                };
            }
        })
    }

    /// Begins to list the direct entries of a directory of a store that does not sort: given whole, from a map.
    pub(super) fn gathered<T: Tree, S: Store, L: Ledger>(ctx: &Arc<Context<T, S, L>>, prefix: Key) -> Self {
        let ctx = ctx.clone();
        Self::spawn(|send| async move {
            let (mut all, mut start) = (BTreeMap::new(), Start::First);
            loop {
                let page = ask(&ctx, &prefix, Depth::Children, start).await?;
                let next = page.next.clone();
                all.extend(items(page));
                start = match next {
                    Some(token) => Start::Token(token),
                    None => break,
                };
            }
            send.send(all.into_iter().collect()).await.ok();
            Ok(())
        })
    }

    /// A range that is there already.
    pub(super) fn ready(page: Page, bounds: &Bounds) -> Self {
        let given = within(page, bounds);
        Self::spawn(|send| async move {
            send.send(given?.0).await.ok();
            Ok(())
        })
    }

    fn spawn<F>(list: impl FnOnce(mpsc::Sender<Vec<Item>>) -> F) -> Self
    where
        F: Future<Output = Result<(), Trouble>> + Send + 'static,
    {
        let (send, pages) = mpsc::channel(1);
        Self { pages, task: AbortOnDropHandle::new(tokio::spawn(list(send).in_current_span())) }
    }

    /// The next page; `None` when the range has been listed to its end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Item>>, Trouble> {
        if let Some(page) = self.pages.recv().await {
            return Ok(Some(page));
        }
        // only a task that came to its end proves that there is no more
        match (&mut self.task).await {
            Ok(ended) => ended.map(|()| None),
            Err(error) => Err(Fault::new(Class::Transient, "list the bucket", error).into()),
        }
    }
}

/// One request, when it is its turn.
pub(super) async fn ask<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    prefix: &Key,
    depth: Depth,
    start: Start,
) -> Result<Page, Fault> {
    let _turn = ctx.listers.acquire().await.map_err(|e| Fault::new(Class::Transient, "list", e))?;
    ctx.store.list(prefix, depth, start).await
}

/// How the object of this key is listed.
pub(in crate::engine) async fn find<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
) -> Result<Option<RemoteMeta>, Fault> {
    let parent = || key.path().and_then(|path| path.parent()).unwrap_or_else(RelPath::root);
    // a marker is the first of what is in its directory
    let prefix = if key.is_directory() { key.clone() } else { Key::directory(&parent()) };
    // one character shorter: few keys lie between
    let before = key.as_str().char_indices().next_back().map_or("", |(end, _)| &key.as_str()[..end]);
    let mut start = match before.len() > prefix.as_str().len() {
        true => Start::After(Key::raw(before)),
        false => Start::First,
    };
    loop {
        let page = ask(ctx, &prefix, Depth::Children, start).await?;
        let passed = !ctx.unsorted() && page.objects.last().is_some_and(|(last, _)| last > key);
        if let Some((_, meta)) = page.objects.into_iter().find(|(listed, _)| listed == key) {
            return Ok(Some(meta));
        }
        match page.next.filter(|_| !passed) {
            Some(token) => start = Start::Token(token),
            None => return Ok(None),
        }
    }
}

fn items(page: Page) -> Vec<Item> {
    let objects = page.objects.into_iter().map(|(key, meta)| (key, Some(meta)));
    objects.chain(page.directories.into_iter().map(|key| (key, None))).collect()
}

/// The items of a page that lie within the bounds, and whether it reaches their end. Order is checked before
/// anything is cut off: of a page that is not sorted no part can be believed to be whole.
fn within(page: Page, bounds: &Bounds) -> Result<(Vec<Item>, bool), Trouble> {
    let mut items = items(page);
    let before = bounds.after.iter().chain(items.iter().map(|(key, _)| key));
    if let Some((before, (key, _))) = before
        .zip(items.iter().skip(usize::from(bounds.after.is_none())))
        .find(|(before, (key, _))| *before >= key)
    {
        let unsorted = Unsorted { side: Side::Remote, key: key.clone(), before: before.clone() };
        return Err(Trouble::Unsorted(unsorted));
    }
    let Some(upto) = &bounds.upto else { return Ok((items, false)) };
    let ended = items.last().is_some_and(|(key, _)| key >= upto);
    items.truncate(items.partition_point(|(key, _)| key <= upto));
    Ok((items, ended))
}
