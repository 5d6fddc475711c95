//! What was at a moment, by what the trash holds of it and by what is there.
//!
//! The names of what went since are held while it lasts: some hundred bytes each. The trash is listed before what is there:
//! what goes in between is found by listing its last days once more.

use super::{
    Live,
    source::{Found, Item, Shown, is_within, unknown},
};
use crate::{
    model::{Class, Fault, Key, RelPath, RemoteMeta, TRASH},
    plan::{Gone, Moment, Past, Present, Says, bygone},
    store::{Depth, S3, Start, Store, Told},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

const DAY: i64 = 24 * 3600;
/// Seconds by which what is listed may be older than the answer that shows it.
const SLACK: i64 = 60;
/// Names that do not say a key, and are asked for it at the same time.
const ABREAST: usize = 16;

/// An object of the trash.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    key: Key,
    meta: RemoteMeta,
}

type Copies = BTreeMap<Key, Vec<Copy>>;

/// What the keys below these paths were. `present` lists what is there of one of them, in the order of keys. Keys of one may
/// lie between those of another (`a b` between `a` and `a/b`): so they come path by path.
pub(super) fn objects<'a, P: Stream<Item = Result<(Key, RemoteMeta), Fault>> + Send + 'a>(
    store: &'a S3,
    live: &'a Live,
    moment: Moment,
    paths: Vec<RelPath>,
    present: impl Fn(RelPath) -> P + Send + 'a,
) -> impl Stream<Item = Result<Item, Fault>> + 'a {
    let begin = async move {
        let since = (store.clock().unwrap_or(moment.0) - SLACK).max(moment.0);
        let mut first = copies(store, live, moment.0, &paths).await?;
        let recent = first.values().flatten().filter(|copy| at(copy) > since);
        let seen: HashSet<_> = recent.map(|copy| copy.key.clone()).collect();
        let all = paths.clone();
        let named = stream::iter(paths.clone()).flat_map(move |path| {
            let (of_path, others) =
                std::mem::take(&mut first).into_iter().partition(|(key, _)| is_within(key, &path));
            first = others;
            // a link that is named, too, has this very key
            let told = path.linked().filter(|link| all.contains(link)).map(|_| Key::of(&path));
            let is_new = move |(key, _): &(Key, RemoteMeta)| std::future::ready(told.as_ref() != Some(key));
            merged(of_path, present(path).try_filter(is_new))
        });
        let late = stream::once(async move {
            let mut late = copies(store, live, since, &paths).await?;
            let is_late = |copy: &Copy| at(copy) > since && !seen.contains(&copy.key);
            late.values_mut().for_each(|copies| copies.retain(is_late));
            late.retain(|_, copies| !copies.is_empty());
            Ok::<_, Fault>(stream::iter(gone(late)))
        });
        Ok::<_, Fault>(named.chain(late.try_flatten()))
    };
    stream::once(begin).try_flatten()
}

/// Each key once: with what the trash has of it, and what is there, if there is something.
fn merged<'a, P: Stream<Item = Result<(Key, RemoteMeta), Fault>> + Send + 'a>(
    copies: Copies,
    present: P,
) -> impl Stream<Item = Result<Item, Fault>> + Send + 'a {
    let shared = Arc::new(Mutex::new(copies));
    let all = Arc::clone(&shared);
    let there = present.map_ok(move |(key, meta)| {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = all.remove(&key).unwrap_or_default();
        let later = all.split_off(&key);
        let before = std::mem::replace(&mut *all, later);
        let this = (key, Ok(Shown::Gone(copies, Some(meta))));
        stream::iter(gone(before).chain([Ok(this)]).collect::<Vec<_>>())
    });
    let rest = stream::once(async move {
        let last = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
        Ok::<_, Fault>(stream::iter(gone(last)))
    });
    there.try_flatten().chain(rest.try_flatten())
}

/// Keys that are not there now.
fn gone(copies: Copies) -> impl Iterator<Item = Result<Item, Fault>> {
    copies.into_iter().map(|(key, copies)| Ok((key, Ok(Shown::Gone(copies, None)))))
}

/// When it was made, by the store's clock.
fn at(copy: &Copy) -> i64 {
    copy.meta.modified.map(|at| at.sec).or_else(|| copy.key.trashed_at()).unwrap_or_default()
}

/// What went from the day before the moment on; the clocks of host and store may be a day apart.
async fn copies(store: &S3, live: &Live, moment: i64, paths: &[RelPath]) -> Result<Copies, Fault> {
    let days = every(store, live, &Key::raw(TRASH), Depth::Children).await?.1;
    let mut all = Copies::new();
    for day in days.into_iter().filter(|day| day.trash_day_ends().is_some_and(|end| end > moment - DAY)) {
        let (mut objects, _) = every(store, live, &day, Depth::All).await?;
        objects.retain(|(key, _)| key.trashed_at().is_some());
        let named = stream::iter(objects).map(|(key, meta)| async move {
            let of = match key.trashed_key() {
                Some(of) => Some(of),
                // one that is gone by now is of no use
                None => live.silence().patiently(|| store.told(&key)).await?.and_then(|told| told.key),
            };
            Ok::<_, Fault>(of.map(|of| (of, Copy { key, meta })))
        });
        let mut named = named.buffer_unordered(ABREAST);
        while let Some(copy) = named.try_next().await? {
            if let Some((of, copy)) = copy.filter(|(of, _)| paths.iter().any(|path| is_within(of, path))) {
                all.entry(of).or_default().push(copy);
            }
        }
    }
    Ok(all)
}

async fn every(
    store: &S3,
    live: &Live,
    prefix: &Key,
    depth: Depth,
) -> Result<(Vec<(Key, RemoteMeta)>, Vec<Key>), Fault> {
    let (mut objects, mut directories, mut start) = (vec![], vec![], Start::First);
    loop {
        let page = live.silence().patiently(|| store.list(prefix, depth, start.clone())).await?;
        objects.extend(page.objects);
        directories.extend(page.directories);
        match page.next {
            Some(token) => start = Start::Token(token),
            None => return Ok((objects, directories)),
        }
    }
}

/// Which object it was, asking those that have to be asked.
pub(super) async fn settle(
    store: &S3,
    live: &Live,
    key: &Key,
    copies: Vec<Copy>,
    present: Option<RemoteMeta>,
    Moment(moment): Moment,
) -> Result<Option<Found>, Fault> {
    let found = |key: &Key, meta: &RemoteMeta| {
        Ok(Some(Found { spot: key.clone().into(), meta: meta.clone(), fixed: true }))
    };
    let mut gone: Vec<_> = copies.iter().map(|copy| Gone { at: at(copy), says: None }).collect();
    let mut there = match &present {
        None => None,
        Some(RemoteMeta { modified: Some(modified), .. }) => {
            Some(Present { modified: modified.sec, since: None })
        }
        Some(_) => return Err(unknown(key, "the store does not say when it was written")),
    };
    loop {
        match (bygone(moment, &gone, there), &present) {
            (Past::Ask(n), _) => {
                gone[n].says = Some(ask(store, live, key, &copies[n].key).await?.and_then(says))
            }
            (Past::AskPresent, Some(meta)) => {
                let told = ask(store, live, key, key).await?.filter(|told| told.meta.etag == meta.etag);
                let since = told.and_then(|told| told.written);
                let since = since.ok_or_else(|| unknown(key, "it was replaced while this was found out"))?;
                there = there.map(|there| Present { since: Some(since), ..there });
            }
            (Past::Copy(n), _) => return found(&copies[n].key, &copies[n].meta),
            (Past::Present, Some(meta)) => return found(key, meta),
            (Past::Unknown(why), _) => return Err(unknown(key, why)),
            (Past::Nothing | Past::AskPresent | Past::Present, _) => return Ok(None),
        }
    }
}

fn says(told: Told) -> Option<Says> {
    Some(Says { written: told.written?, went: told.went? })
}

async fn ask(store: &S3, live: &Live, key: &Key, object: &Key) -> Result<Option<Told>, Fault> {
    let asked = live.silence().patiently(|| store.told(object)).await;
    // those of others are asked as well
    asked.map_err(|fault| match fault.class {
        Class::Transient | Class::Throttled => {
            Fault { class: Class::Permanent, what: format!("restore {key}: {}", fault.what), ..fault }
        }
        _ => fault,
    })
}
