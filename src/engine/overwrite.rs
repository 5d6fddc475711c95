//! The budget of replacements (`max_overwrite`): many files that change within an hour may be harm that is being done to
//! them, and the bucket holds what they were. Above it the objects stay as they are until an operator has looked.
//!
//! What may go is counted, durably, before it is sent: whether an answer is lost or the process is killed, it has been
//! counted. That costs no more commits than the budget allows replacements, and one a minute for a file that is written all
//! the time.

use super::context::Context;
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Change, Class, ETag, Fault, Key, Local, Overwrite, Record, Refrained, Sameness, Scope, Stamp},
    plan::{Judgement, Limits},
    store::Store,
};

/// Rows that are read and looked at together.
const PAGE: usize = 1000;
/// Files that are looked for one by one when they may go; of more, everything is looked at.
const ONE_BY_ONE: usize = 64;

/// Judges the replacement of the object with this tag by what its file is now; `Some` if it may not be.
///
/// # Errors
/// `Changed` if another object is there than was expected; I/O errors of the ledger.
pub(super) async fn judge<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    key: &Key,
    etag: &ETag,
) -> Result<Option<Refrained>, Fault> {
    let Some(limits) = ctx.options.overwrites else { return Ok(None) };
    // one after the other: each has to know of the one before
    let _turn = ctx.overwrites.lock().await;
    let (at, since) = window(ctx, limits);
    let asked = ctx.ledger.overwriting(key, since).await?;
    // which of two tags is the object's, the bucket knows
    if let Some(row) = asked.row.as_ref().filter(|row| row.etag != *etag)
        && let Ok(Some(head)) = ctx.store.head(key).await
        && head.meta.etag == row.etag
    {
        return Err(Fault::new(Class::Changed, format!("replace {key}"), "another object is there"));
    }
    let row = asked.row.as_ref().filter(|row| row.etag == *etag);
    if row.is_some_and(|row| row.approved) {
        return Ok(None);
    }
    let counted = Change::Overwritten { key: key.clone(), at, since };
    if asked.counted.is_none() {
        let own = u64::from(asked.row.as_ref().is_some_and(|row| !row.approved));
        let pending = asked.held.saturating_sub(own).saturating_add(1);
        let judged = limits.judge("max_overwrite", asked.window.done, pending, asked.window.records);
        if let Judgement::Held(why) = judged {
            let change = row.is_none().then(|| Change::Refrain(key.clone(), etag.clone()));
            return Ok(Some(Refrained { why, change }));
        }
    }
    // of a file that is written all the time the last of a minute's replacements is as good as the first
    if asked.counted.is_none_or(|counted| counted < at.minute()) || asked.row.is_some() {
        let free = asked.row.map(|row| Change::Abandon(key.clone(), row.row));
        ctx.ledger.commit([counted].into_iter().chain(free).collect()).await?;
    }
    Ok(None)
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
    /// Rows of what is to be replaced no longer.
    pub(super) void: Vec<(Key, u64)>,
    /// Why the rest waits; `None` if none does.
    pub(super) held: Option<String>,
}

/// Looks at all that is held: what is to be replaced no longer, and what may go: all if there is room for all, and, if an
/// operator has just `released` some, those. `None` under a root that is not proven to be ours: what it holds says nothing of
/// them.
pub(super) async fn review<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    released: bool,
) -> Result<Option<Reviewed>, Fault> {
    if ctx.root != Sameness::Same {
        return Ok(None);
    }
    let mut reviewed = Reviewed::default();
    if ctx.ledger.tally().await?.last_overwrite == 0 {
        return Ok(Some(reviewed));
    }
    let (mut after, mut free, mut waiting, mut held) = (0, vec![], vec![], 0);
    loop {
        let rows = ctx.ledger.overwrites(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        if ctx.turns.are_over() {
            return Ok(None);
        }
        after = last.row;
        let (rows, void) = still_due(ctx, rows).await?;
        reviewed.void.extend(void);
        for row in rows {
            held += u64::from(!row.approved);
            let some = if row.approved { &mut free } else { &mut waiting };
            if some.len() <= ONE_BY_ONE {
                some.extend(row.key.place().map(Scope::File));
            }
        }
    }
    reviewed.held = if held == 0 { None } else { reason(ctx, held).await? };
    if !released {
        free.clear();
    }
    if reviewed.held.is_none() {
        free.append(&mut waiting);
    }
    reviewed.again = if free.len() > ONE_BY_ONE { vec![Scope::everything()] } else { free };
    Ok(Some(reviewed))
}

/// Drops rows of what is to be replaced no longer, so that they keep nothing else back in a pass.
pub(super) async fn tidy<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) {
    let tidied = async {
        let void = review(ctx, false).await?.map(|reviewed| reviewed.void).unwrap_or_default();
        if !void.is_empty() {
            let drop = |(key, row)| Change::Abandon(key, row);
            ctx.ledger.commit(void.into_iter().map(drop).collect()).await?;
        }
        Ok::<_, Fault>(())
    };
    if let Err(fault) = tidied.await {
        tracing::warn!(%fault, "what is held could not be reviewed");
    }
}

async fn reason<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    held: u64,
) -> Result<Option<String>, Fault> {
    let Some(limits) = ctx.options.overwrites else { return Ok(None) };
    let (_, since) = window(ctx, limits);
    let window = ctx.ledger.overwritten(since).await?;
    Ok(match limits.judge("max_overwrite", window.done, held, window.records) {
        Judgement::Free => None,
        Judgement::Held(why) => Some(why),
    })
}

/// Those whose file is there and is not what the object holds, and the others.
async fn still_due<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    rows: Vec<Overwrite>,
) -> Result<(Vec<Overwrite>, Vec<(Key, u64)>), Fault> {
    let looks = ctx.tree.look(rows.iter().map(|row| row.key.clone()).collect()).await?;
    let (mut due, mut void) = (vec![], vec![]);
    for (row, look) in rows.into_iter().zip(looks) {
        let is_due = match &look {
            Local::Unknown => true,
            Local::Present(meta) => {
                let record = ctx.ledger.get(&row.key).await?;
                let same = |record: &Record| record.etag == row.etag && record.print == Some(meta.print);
                !ctx.prune.excludes_key(&row.key, &look) && !record.as_ref().is_some_and(same)
            }
            Local::Absent(_) | Local::Skipped(_) => false,
        };
        match is_due {
            true => due.push(row),
            false => void.push((row.key, row.row)),
        }
    }
    Ok((due, void))
}
