//! The budget of replacements (`max_overwrite`): many files that change within an hour may be harm that is being done to
//! them, and the bucket holds what they were. Above it the objects stay as they are until an operator has looked.

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{
        Change, Class, ETag, Fault, Key, Local, Overwrite, Record, Refrained, RelPath, Sameness, Scope, Stamp,
    },
    plan::{Judgement, Limits},
    store::Store,
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Rows that are read and looked at together.
const PAGE: usize = 1000;
/// Files that are looked for one by one when they may go; of more, everything is looked at.
const ONE_BY_ONE: usize = 64;

/// Replacements that are under way: they cost, and the ledger does not know of them yet.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// One is judged at a time: each has to know of the one before.
    turn: tokio::sync::Mutex<()>,
    keys: Mutex<BTreeSet<Key>>,
}

impl UnderWay {
    fn keys(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was done and written down, or was not done.
    pub(super) fn over(&self, key: &Key) {
        self.keys().remove(key);
    }
}

/// Whether an object may be replaced.
pub(super) enum Ruling {
    /// It may, and what to write when it was.
    Free(Option<Change>),
    /// It may not.
    Held(Refrained),
}

/// Judges the replacement of the object with this tag by what its file is now.
pub(super) async fn judge<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    etag: &ETag,
) -> Result<Ruling, Fault> {
    let Some(limits) = ctx.options.overwrites else { return Ok(Ruling::Free(None)) };
    let _turn = ctx.overwrites.turn.lock().await;
    let (at, since) = window(ctx, limits);
    let others = ctx.overwrites.keys().iter().filter(|other| *other != key).cloned().collect();
    let asked = ctx.ledger.overwriting(key, others, since).await?;
    // which of two tags is the object's, the bucket knows
    if let Some(row) = asked.row.as_ref().filter(|row| row.etag != *etag)
        && let Ok(Some(head)) = ctx.store.head(key).await
        && head.meta.etag == row.etag
    {
        return Err(Fault::new(Class::Changed, format!("replace {key}"), "another object is there"));
    }
    let row = asked.row.as_ref().filter(|row| row.etag == *etag);
    if asked.counted || row.is_some_and(|row| row.approved) {
        return Ok(Ruling::Free(None));
    }
    let own = u64::from(asked.row.as_ref().is_some_and(|row| !row.approved));
    let pending = asked.held.saturating_sub(own).saturating_add(asked.others).saturating_add(1);
    Ok(match limits.judge("max_overwrite", asked.window.done, pending, asked.window.records) {
        Judgement::Free => {
            ctx.overwrites.keys().insert(key.clone());
            Ruling::Free(Some(Change::Overwritten { key: key.clone(), at, since }))
        }
        Judgement::Held(why) => {
            let change = row.is_none().then(|| Change::Refrain(key.clone(), etag.clone()));
            Ruling::Held(Refrained { why, change })
        }
    })
}

/// What to write when it turns out that an object was replaced by us, and nobody knew.
pub(super) fn found<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>, key: &Key) -> Option<Change> {
    let (at, since) = window(ctx, ctx.options.overwrites?);
    Some(Change::Overwritten { key: key.clone(), at, since })
}

/// Now, and when the window began.
fn window<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>, limits: Limits) -> (Stamp, Stamp) {
    let at = (ctx.options.wall)();
    let back = i64::try_from(limits.window.as_secs()).unwrap_or(i64::MAX);
    (at, Stamp { sec: at.sec.saturating_sub(back), ..at })
}

/// What a review of the held replacements found.
#[derive(Debug, Default)]
pub(super) struct Reviewed {
    /// Where to look again: they may go now.
    pub(super) again: Vec<Scope>,
    /// Why the rest waits; `None` if none does.
    pub(super) held: Option<String>,
}

/// Looks at all that is held: drops what is to be replaced no longer, and tells what may go. `None` under a root that is
/// not proven to be ours: what it holds says nothing of them.
pub(super) async fn review<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
) -> Result<Option<Reviewed>, Fault> {
    if ctx.root != Sameness::Same {
        return Ok(None);
    }
    if ctx.ledger.tally().await?.last_overwrite == 0 {
        return Ok(Some(Reviewed::default()));
    }
    let (mut after, mut released, mut waiting) = (0, vec![], vec![]);
    loop {
        let rows = ctx.ledger.overwrites(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.row;
        let (rows, void) = to_be_replaced(ctx, rows).await?;
        if !void.is_empty() {
            ctx.ledger.commit(void).await?;
        }
        for row in rows {
            let some = if row.approved { &mut released } else { &mut waiting };
            if some.len() <= ONE_BY_ONE {
                some.extend(row.key.path().map(Scope::File));
            }
        }
    }
    let held = if waiting.is_empty() { None } else { reason(ctx).await? };
    if held.is_none() {
        released.append(&mut waiting);
    }
    if released.len() > ONE_BY_ONE {
        released = vec![Scope::everything()];
    }
    Ok(Some(Reviewed { again: released, held }))
}

async fn reason<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<Option<String>, Fault> {
    let Some(limits) = ctx.options.overwrites else { return Ok(None) };
    let (_, since) = window(ctx, limits);
    let asked = ctx.ledger.overwriting(&Key::raw(""), vec![], since).await?;
    let judged = limits.judge("max_overwrite", asked.window.done, asked.held, asked.window.records);
    Ok(match judged {
        Judgement::Free => None,
        Judgement::Held(why) => Some(why),
    })
}

/// Those whose file is there and is not what the object holds; and what to write of the others.
async fn to_be_replaced<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    rows: Vec<Overwrite>,
) -> Result<(Vec<Overwrite>, Vec<Change>), Fault> {
    let (rows, paths): (Vec<_>, Vec<RelPath>) =
        rows.into_iter().filter_map(|row| row.key.path().map(|path| (row, path))).unzip();
    let looks = ctx.tree.look(paths.clone()).await?;
    let (mut kept, mut void) = (vec![], vec![]);
    for ((row, path), look) in rows.into_iter().zip(paths).zip(looks) {
        let there = match look {
            Local::Unknown => true,
            Local::Present(meta) => {
                let record = ctx.ledger.get(&row.key).await?;
                let same = |record: &Record| record.etag == row.etag && record.print == Some(meta.print);
                !ctx.prune.excludes(&path, false) && !record.as_ref().is_some_and(same)
            }
            Local::Absent(_) | Local::Skipped(_) => false,
        };
        match there {
            true => kept.push(row),
            false => void.push(Change::Abandon(row.key)),
        }
    }
    Ok((kept, void))
}
