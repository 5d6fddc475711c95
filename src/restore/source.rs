//! What is brought: of each key the object whose bytes its file is to have, as it is now or as it was.

use super::{Live, Past, trash};
use crate::{
    model::{Class, Fault, Key, RelPath, RemoteMeta, Version},
    plan::{Moment, Seen, Was},
    store::{S3, Spot},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) spot: Spot,
    pub(super) meta: RemoteMeta,
    /// Whatever else is there meanwhile is not what was asked for.
    pub(super) fixed: bool,
}

/// What a listing tells of a key.
pub(super) enum Shown {
    /// Its object, as it is now.
    Now(RemoteMeta),
    /// A version of it.
    Version(Version),
    /// What the trash holds of it, and what is there.
    Gone(Vec<trash::Copy>, Option<RemoteMeta>),
}

/// A key and what is told of it, or why that cannot be had.
pub(super) type Item = (Key, Result<Shown, Fault>);

/// Which object it is; `None`: at that moment there was none.
///
/// # Errors
/// That is not known, or could not be asked.
pub(super) async fn settle(
    store: &S3,
    live: &Live,
    key: &Key,
    shown: Shown,
    moment: Option<Moment>,
) -> Result<Option<Found>, Fault> {
    match (shown, moment) {
        (Shown::Now(meta), _) => Ok(Some(Found { spot: key.clone().into(), meta, fixed: false })),
        (Shown::Version(Version { id, object: Some(meta), .. }), _) => {
            Ok(Some(Found { spot: Spot { key: key.clone(), version: Some(id) }, meta, fixed: true }))
        }
        (Shown::Gone(copies, present), Some(moment)) => {
            trash::settle(store, live, key, copies, present, moment).await
        }
        (Shown::Version(_) | Shown::Gone(..), _) => Ok(None),
    }
}

/// What cannot be told of a key.
pub(super) fn unknown(key: &Key, why: &str) -> Fault {
    Fault::new(Class::Permanent, format!("restore {key}"), why)
        .remedy("choose another time for it, or look through what the bucket holds of it by hand")
}

/// True if it is the key of this file or link, or lies below this directory.
pub(super) fn is_within(key: &Key, path: &RelPath) -> bool {
    *key == Key::of(path)
        || *key == Key::of_link(path)
        || key.as_str().starts_with(Key::directory(path).as_str())
}

/// What keys below these paths were, by their versions.
pub(super) fn versions<'a>(
    store: &'a S3,
    live: &'a Live,
    moment: Moment,
    paths: Vec<RelPath>,
) -> impl Stream<Item = Result<Item, Fault>> + 'a {
    stream::iter(paths).flat_map(move |path| {
        let prefix = Key::of(&path);
        keys(store, live, moment, prefix)
            .try_filter(move |(key, _)| std::future::ready(is_within(key, &path)))
    })
}

/// The marker of a directory, if it may have one: as it was, where versions tell, else as it is.
pub(super) async fn marker(
    store: &S3,
    live: &Live,
    path: &RelPath,
    past: Option<&Past>,
) -> Result<Option<Spot>, Fault> {
    let key = Key::directory(path);
    let Some(Past::Versions(moment)) = past else { return Ok(Some(key.into())) };
    // it comes before all that is below it
    let first = Box::pin(keys(store, live, *moment, key.clone())).try_next().await?;
    match first {
        Some((of, Ok(Shown::Version(version)))) if of == key => {
            Ok(Some(Spot { key, version: Some(version.id) }))
        }
        Some((of, Err(fault))) if of == key => Err(fault),
        _ => Ok(None),
    }
}

/// What is known of the keys so far.
struct Group {
    key: Key,
    seen: Seen,
}

impl Group {
    fn end(self) -> Option<Item> {
        match self.seen.was() {
            Was::Nothing => None,
            Was::There(version) => Some((self.key, Ok(Shown::Version(version)))),
            Was::Unknown(why) => {
                let fault = unknown(&self.key, why);
                Some((self.key, Err(fault)))
            }
        }
    }
}

/// The versions of a key may spread over pages: it is told of when the next key comes.
fn keys<'a>(
    store: &'a S3,
    live: &'a Live,
    moment: Moment,
    prefix: Key,
) -> impl Stream<Item = Result<Item, Fault>> + 'a {
    let begin = (None, Some(None::<Group>));
    stream::try_unfold(begin, move |(after, open)| {
        let prefix = prefix.clone();
        async move {
            let Some(mut open) = open else { return Ok::<_, Fault>(None) };
            let page = live.silence().patiently(|| store.versions(&prefix, after.clone())).await?;
            let mut done = vec![];
            for (key, version) in page.versions {
                let group = match open.take() {
                    Some(group) if group.key == key => group,
                    Some(group) if group.key > key => return Err(unsorted(&group.key, &key)),
                    former => {
                        done.extend(former.and_then(Group::end));
                        Group { key, seen: Seen::new(moment) }
                    }
                };
                open.insert(group).seen.add(version);
            }
            let open = match &page.next {
                Some(_) => Some(open),
                None => {
                    done.extend(open.and_then(Group::end));
                    None
                }
            };
            Ok(Some((stream::iter(done.into_iter().map(Ok)), (page.next, open))))
        }
    })
    .try_flatten()
}

fn unsorted(before: &Key, after: &Key) -> Fault {
    let cause = format!("it shows {after} after {before}: of keys that come twice nothing can be told");
    Fault::new(Class::Fatal, "ListObjectVersions", cause)
        .remedy("restore what is there now, or older versions with the store's own tools")
}
