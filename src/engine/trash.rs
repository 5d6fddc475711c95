//! The trash: what is about to be deleted or replaced is copied there before, on the server, and goes when it is old.
//!
//! Only a copy that the store has confirmed lets a delete or a replacement go on. What cannot be copied (it is archived,
//! or sealed with a customer's key, or a policy denies it) stays as it is, and is told of: nothing is lost for it.

use super::{context::Context, worker::settle};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{
        Attributes, Change, Class, Digest, ETag, Extra, Fault, Fingerprint, Intent, Keep, Key, Kind, Only,
        RemoteMeta, Spec, Stamp, TRASH, Trashed, Went,
    },
    plan::Expiry,
    store::{Depth, Start, Store},
};
use futures::{StreamExt, stream};
use std::time::Duration;

/// Expired objects that are deleted at the same time.
const ABREAST: usize = 16;

/// `delete = "trash"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trash {
    /// Where it is in the bucket, outside the mirror's prefix, ending in `/`.
    pub prefix: String,
    /// How long what is there is kept, at least; `None`: for ever.
    pub keep: Option<Duration>,
}

/// Copies what a write on the condition `only` would replace, unless that has the same bytes and neither is a FIFO or device,
/// which have none. On a store without
/// conditions it is looked whether there is something.
///
/// # Errors
/// `Changed` if there is another object than was expected.
pub(super) async fn before<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    only: &Only,
    (digest, kind): (Digest, Kind),
) -> Result<(), Fault> {
    if ctx.options.trash.is_none() {
        return Ok(());
    }
    match only {
        Only::Match(etag) => {
            let record = ctx.ledger.get(key).await?.filter(|record| record.etag == *etag);
            let same = record.is_some_and(|record| {
                let node = [Some(kind), record.kind()].contains(&Some(Kind::Special));
                record.digest == Some(digest) && !node
            });
            // a write whose answer was lost may have been done, and not every store heeds the condition
            if (same || ctx.is_kept(key, etag)) && !ctx.claim().await?.capabilities().conditional_put {
                is_there(ctx, key, etag).await?;
            }
            if same { Ok(()) } else { keep(ctx, key, etag, Went::Replaced).await }
        }
        Only::New | Only::Always if ctx.claim().await?.capabilities().conditional_put => Ok(()),
        Only::New | Only::Always => match ctx.store.head(key).await? {
            None => Ok(()),
            Some(_) => Err(Fault::new(Class::Changed, format!("put {key}"), "an object is there already")),
        },
    }
}

/// # Errors
/// `Changed` if it is gone or has another tag.
async fn is_there<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    etag: &ETag,
) -> Result<RemoteMeta, Fault> {
    let head = ctx.store.head(key).await?.filter(|head| head.meta.etag == *etag);
    let changed = || Fault::new(Class::Changed, format!("look at {key}"), "it is gone, or another now");
    head.map(|head| head.meta).ok_or_else(changed)
}

/// Copies the object to the trash, if there is one.
///
/// # Errors
/// `Changed` if it is gone or has another tag.
pub(super) async fn keep<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    etag: &ETag,
    went: Went,
) -> Result<(), Fault> {
    let Some(trash) = &ctx.options.trash else { return Ok(()) };
    // a directory's marker holds nothing
    if key.is_directory() || ctx.is_kept(key, etag) {
        return Ok(());
    }
    let at = (ctx.options.wall)();
    let to = Trashed::new(key, etag, at, &trash.prefix, went);
    let copied = async {
        match ctx.store.copy_part_size(&spec(size(ctx, key, etag).await?)) {
            None => ctx.store.keep((key, etag), &to).await,
            Some(part_size) => keep_parts(ctx, (key, etag), &to, at, part_size).await,
        }
    };
    copied
        .await
        .map_err(|fault| Fault { what: format!("keep {key} in the trash: {}", fault.what), ..fault })?;
    tracing::debug!(%key, trash = to.key.trash_name(), "kept in the trash");
    ctx.kept(key, etag);
    Ok(())
}

/// Copies by parts. What a crash leaves open, the journaled intent has ended.
async fn keep_parts<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    from: (&Key, &ETag),
    trashed: &Trashed,
    at: Stamp,
    part_size: u64,
) -> Result<(), Fault> {
    let to = &trashed.key;
    // of the same second: what was left open of it would be forgotten with its intent
    if ctx.is_unsettled(to) {
        settle(ctx, to).await?;
    }
    let print = Fingerprint { size: 0, mtime: Stamp::default(), ctime: Stamp::default(), inode: 0 };
    let intent = Intent { key: to.clone(), print, part_size, at, terms: None, upload: None };
    ctx.ledger.commit(vec![Change::Intend(intent)]).await?;
    let kept = ctx.store.keep(from, trashed).await;
    let settled = match kept {
        Ok(()) => ctx.ledger.commit(vec![Change::Settled(to.clone())]).await.map(drop),
        Err(_) => settle(ctx, to).await,
    };
    if let Err(fault) = settled {
        // not before: it would be ended while it is on its way
        ctx.unsettled(to);
        tracing::warn!(%fault, "an upload to the trash may be left open; it is ended later");
    }
    kept
}

async fn size<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    etag: &ETag,
) -> Result<u64, Fault> {
    if let Some(record) = ctx.ledger.get(key).await?.filter(|record| record.etag == *etag) {
        return Ok(record.size);
    }
    Ok(is_there(ctx, key, etag).await?.size)
}

/// Of an object of which only the size is known.
fn spec(size: u64) -> Spec {
    Spec {
        size,
        mtime: Stamp::default(),
        attributes: Attributes { mode: 0, uid: 0, gid: 0 },
        names: None,
        keep: Keep::default(),
        extra: Extra::default(),
        own: String::new(),
        sha256: None,
        part_size: None,
    }
}

/// Deletes what is old in the trash, day by day, and nothing that has not the form in which we write: how many.
pub(super) async fn expire<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<u64, Fault> {
    let Some(keep) = ctx.options.trash.as_ref().and_then(|trash| trash.keep) else { return Ok(0) };
    let expiry = Expiry::by((ctx.options.wall)().sec, keep);
    let days = days(ctx).await?;
    // a host's clock that jumped ahead empties no trash
    let Some(now) = ctx.store.clock() else { return Ok(0) };
    let expiry = expiry.and(Expiry::by(now, keep));
    let mut gone = 0;
    for day in days.into_iter().filter(|day| expiry.reaches(day)) {
        let mut start = Start::First;
        loop {
            let page = ctx.store.list(&day, Depth::All, start).await?;
            let mut old = page.objects;
            old.retain(|(key, meta)| expiry.covers(key, meta));
            if !old.is_empty() {
                ctx.claim().await?;
                gone += delete(ctx, old).await?;
            }
            match page.next {
                _ if ctx.turns.are_over() => return Ok(gone),
                Some(token) => start = Start::Token(token),
                None => break,
            }
        }
    }
    Ok(gone)
}

async fn delete<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    old: Vec<(Key, RemoteMeta)>,
) -> Result<u64, Fault> {
    let deletes = stream::iter(old).map(|(key, meta)| async move {
        match ctx.turns.are_over() {
            true => Ok(0),
            false => ctx.store.delete(&key, &meta.etag).await.map(|()| 1),
        }
    });
    let mut deletes = deletes.buffer_unordered(ABREAST);
    let mut gone = 0;
    while let Some(done) = deletes.next().await {
        match done {
            Ok(one) => gone += one,
            // it stays: retained, replaced just now, or denied
            Err(fault) if matches!(fault.class, Class::Changed | Class::Permanent) => {
                tracing::warn!(%fault, "it stays in the trash");
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(gone)
}

/// The directories of the trash: one for each day, and what others put there.
async fn days<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<Vec<Key>, Fault> {
    let (mut days, mut start) = (vec![], Start::First);
    loop {
        let page = ctx.store.list(&Key::raw(TRASH), Depth::Children, start).await?;
        days.extend(page.directories);
        match page.next {
            Some(token) => start = Start::Token(token),
            None => return Ok(days),
        }
    }
}
