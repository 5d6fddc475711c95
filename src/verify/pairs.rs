//! What disk, bucket and ledger show of each key, in key order: walk ⋈ LIST ⋈ ledger.

use super::Sides;
use crate::{
    ledger::{Database, Ledger},
    local::{Entry, Tree},
    model::{Absence, Class, Fault, Key, KeyRange, Local, Record, RelPath, RemoteMeta, Scope, Skip},
    plan::{Merge, Merged, Side, Step, Unsorted},
    store::{Depth, Page, S3, Start, Store, listed, patiently},
};
use futures::{Stream, StreamExt, stream, stream::BoxStream};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Rows of the ledger that are read together.
const ROWS: usize = 1000;
/// Pages of a listing that wait to be compared.
const AHEAD: usize = 2;

/// What is known of one key.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) key: Key,
    pub(super) local: Local,
    pub(super) remote: Option<RemoteMeta>,
    pub(super) record: Option<Record>,
}

/// What a listing shows.
type Items = Vec<(Key, Option<RemoteMeta>)>;

/// All keys of the file at `path`, and of what is below it. What the ledger alone knows is nothing.
pub(super) fn pairs(sides: &Sides, path: &RelPath) -> impl Stream<Item = Result<Pair, Fault>> {
    let Sides { tree, prune, store, ledger } = sides;
    let (itself, link, below) = (Key::of(path), Key::of_link(path), Key::directory(path));
    let rows = ledger.clone().map(|ledger| (ledger, Some(itself.clone())));
    let reader = Reader {
        sides,
        merge: Merge::default(),
        walk: tree.walk(&Scope::Tree(path.clone()), prune.clone()).boxed(),
        pages: listing(store.clone(), itself, link, below),
        rows,
    };
    stream::try_unfold(
        reader,
        |mut reader| async move { Ok(reader.next().await?.map(|pair| (pair, reader))) },
    )
}

struct Reader<'a> {
    sides: &'a Sides,
    merge: Merge,
    walk: BoxStream<'static, Result<Vec<Entry>, Fault>>,
    pages: Pages,
    /// The ledger, and from which key on it is to be read.
    rows: Option<(Database, Option<Key>)>,
}

impl Reader<'_> {
    async fn next(&mut self) -> Result<Option<Pair>, Fault> {
        loop {
            match self.merge.step() {
                Step::End => return Ok(None),
                Step::Need(side) => self.feed(side).await?,
                // of what lies below what is left out, or cannot be read, nothing is known
                Step::Next(merged) if merged.covered => {}
                Step::Next(merged) => {
                    if let Some(pair) = self.pair(*merged) {
                        return Ok(Some(pair));
                    }
                }
            }
        }
    }

    fn pair(&self, merged: Merged) -> Option<Pair> {
        let Merged { key, local, remote, record, .. } = merged;
        let (remote, record) = (remote.flatten(), record.flatten());
        if key.is_reserved() || key.as_str().is_empty() || (local.is_none() && remote.is_none()) {
            return None;
        }
        let absent = || match self.sides.prune.excludes_known(&key, &Local::Unknown, record.as_ref()) {
            true => Local::Skipped(Skip::Excluded),
            false => Local::Absent(Absence { ancestor: RelPath::root(), instead: None }),
        };
        let local = local.unwrap_or_else(absent);
        Some(Pair { key, local, remote, record })
    }

    async fn feed(&mut self, side: Side) -> Result<(), Fault> {
        let pushed = match side {
            Side::Local => self.walk.next().await.transpose()?.map(|items| self.merge.push_local(items)),
            Side::Remote => self.pages.next().await?.map(|items| self.merge.push_remote(items)),
            Side::Ledger => self.rows().await?.map(|items| self.merge.push_ledger(items)),
        };
        match pushed {
            Some(pushed) => pushed.map_err(unsorted),
            None => {
                self.merge.end(side);
                Ok(())
            }
        }
    }

    /// More of the ledger. It may know keys that are nobody's here: they pass by.
    async fn rows(&mut self) -> Result<Option<Vec<(Key, Option<Record>)>>, Fault> {
        let Some((ledger, from)) = &mut self.rows else { return Ok(None) };
        let Some(first) = from.take() else { return Ok(None) };
        let range = KeyRange::Under(Key::raw(self.pages.prefix.as_str()));
        let mut rows = ledger.page(&range, Some(first), ROWS + 1).await?;
        if rows.len() > ROWS {
            *from = rows.pop().map(|(key, _)| key);
        }
        Ok(Some(rows.into_iter().map(|(key, record)| (key, Some(record))).collect()))
    }
}

/// A listing, read ahead by a task of its own: a request keeps its place among others, whoever waits for what.
struct Pages {
    /// What all its keys begin with.
    prefix: Key,
    pages: mpsc::Receiver<Items>,
    task: AbortOnDropHandle<Result<(), Fault>>,
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Items>, Fault> {
        if let Some(items) = self.pages.recv().await {
            return Ok(Some(items));
        }
        match (&mut self.task).await {
            Ok(done) => done.map(|()| None),
            Err(ended) => Err(Fault::new(Class::Transient, "list the bucket", ended)),
        }
    }
}

/// The objects of `itself`, as a file or as a link, and those `below` it.
fn listing(store: S3, itself: Key, link: Key, below: Key) -> Pages {
    let (send, pages) = mpsc::channel(AHEAD);
    let prefix = itself.clone();
    let reading = async move {
        // nobody listens any more
        let _ended = read(&store, [&itself, &link], &below, &send).await?;
        Ok(())
    };
    let task = AbortOnDropHandle::new(tokio::spawn(reading.in_current_span()));
    Pages { prefix, pages, task }
}

/// Reads it; `None` if nobody listens.
async fn read(
    store: &S3,
    itself: [&Key; 2],
    below: &Key,
    send: &mpsc::Sender<Items>,
) -> Result<Option<()>, Fault> {
    if itself[0] != below {
        // what has this very name comes first
        let mut own = vec![];
        for key in itself.into_iter().filter(|key| *key < below) {
            own.extend(listed(store, key).await?.map(|meta| (key.clone(), meta)));
        }
        own.sort_by(|a, b| a.0.cmp(&b.0));
        if send.send(items(own)).await.is_err() {
            return Ok(None);
        }
    }
    let (mut start, mut first) = (Start::First, true);
    loop {
        let page = page(store, below, Depth::All, start).await?;
        if first && !page.objects.is_sorted_by(|a, b| a.0 < b.0) {
            tracing::warn!("the store does not list in key order; all that it lists is held in memory");
            let all = gather(store, below, page).await?;
            return Ok(send.send(all).await.ok());
        }
        first = false;
        if send.send(items(page.objects)).await.is_err() {
            return Ok(None);
        }
        match page.next {
            Some(token) => start = Start::Token(token),
            None => return Ok(Some(())),
        }
    }
}

async fn page(store: &S3, prefix: &Key, depth: Depth, start: Start) -> Result<Page, Fault> {
    patiently(|| store.list(prefix, depth, start.clone())).await
}

/// All of a listing that is in no order.
async fn gather(store: &S3, prefix: &Key, first: Page) -> Result<Items, Fault> {
    let (mut all, mut page) = (BTreeMap::new(), first);
    loop {
        all.extend(page.objects.into_iter().map(|(key, meta)| (key, Some(meta))));
        let Some(token) = page.next else { return Ok(all.into_iter().collect()) };
        page = self::page(store, prefix, Depth::All, Start::Token(token)).await?;
    }
}

fn items(objects: Vec<(Key, RemoteMeta)>) -> Items {
    objects.into_iter().map(|(key, meta)| (key, Some(meta))).collect()
}

fn unsorted(unsorted: Unsorted) -> Fault {
    let fault = Fault::new(Class::Fatal, "compare disk and bucket", unsorted);
    fault.remedy("`s3mirrord once --dry-run` compares such a store directory by directory")
}
