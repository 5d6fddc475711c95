//! The road of a delete: found absent, condemned, found absent again, licensed, gone (promise I2).

use super::{context::Context, docket::Sweep, report::ABSENT, trash};
use crate::{
    ledger::Ledger,
    local::{Prune, Tree},
    model::{
        Against, Change, Class, Condemned, ETag, Fault, Key, Local, RelPath, Sameness, Scope, Seq, Went,
    },
    plan::{Judgement, License, Refusal},
    store::{BATCH, Store},
};
use futures::{StreamExt, future::join_all, stream};
use std::{collections::BTreeMap, iter::repeat, sync::Arc, time::Duration};

/// Rows of a page that go one by one: more would wait too long for their turn after they were looked at.
const ALONE: usize = 256;
/// Such rows are looked at and deleted at the same time.
const ABREAST: usize = 16;

/// Rows that are read, looked at and deleted together.
fn page<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> usize {
    ctx.options.page.min(BATCH)
}

/// Drops rows that this session's first comparison did not find absent again.
pub(super) async fn purge<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    begin: Seq,
) -> Result<(), Fault> {
    let mut after = 0;
    loop {
        let rows = ctx.ledger.condemned(after, page(&ctx)).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.row;
        let old: Vec<_> =
            rows.into_iter().filter(|row| row.seen < begin).map(|row| Change::Acquit(row.key)).collect();
        if !old.is_empty() {
            ctx.ledger.commit(old).await?;
        }
    }
}

/// Looks at absent files once more; what to write, and where to look again. `begin`: the first commit of this session,
/// which alone knows how long a file has been away.
pub(super) async fn sentence<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    absent: Vec<(Key, ETag)>,
    begin: Seq,
) -> Result<(Vec<Change>, Vec<Scope>), Fault> {
    let looks = ctx.tree.look(absent.iter().map(|(key, _)| key.clone()).collect()).await?;
    let (mut changes, mut again) = (vec![], vec![]);
    for ((key, etag), local) in absent.into_iter().zip(looks) {
        match local {
            Local::Absent(_) => changes.push(Change::Condemn(key, etag, begin)),
            Local::Present(_) => again.extend(key.place().map(Scope::File)),
            Local::Skipped(_) | Local::Unknown => {}
        }
    }
    Ok((changes, again))
}

/// One page of a sweep.
pub(super) struct Docketed {
    pub(super) rows: Vec<Condemned>,
    /// Why rows [wait](waits); `None` if they do not.
    pub(super) held: Option<String>,
    pub(super) more: bool,
}

/// True if this row is held when deletes are `held`.
pub(super) fn waits(row: &Condemned, held: bool) -> bool {
    held && !row.approved && !row.moved
}

/// Reads the next page of the sweep and asks the budget.
pub(super) async fn docketed<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    sweep: &mut Sweep,
) -> Result<Docketed, Fault> {
    let held = reason_to_hold(&ctx).await?;
    if held.is_some() != ctx.ledger.held().await? {
        ctx.ledger.commit(vec![Change::Hold(held.is_some())]).await?;
    }
    let page = page(&ctx);
    let mut rows = ctx.ledger.condemned(sweep.after, page).await?;
    let mut alone = 0;
    let fit = rows.iter().take_while(|row| {
        let goes = !waits(row, held.is_some());
        alone += usize::from(goes && (sweep.alone || !ctx.store.batches(&row.key)));
        alone <= ALONE
    });
    let fit = fit.count();
    let more = fit < rows.len() || rows.len() == page;
    rows.truncate(fit);
    sweep.after = rows.last().map_or(sweep.after, |row| row.row);
    rows.retain(|row| (sweep.begin..=sweep.upto).contains(&row.seen));
    Ok(Docketed { rows, held, more })
}

async fn reason_to_hold<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
) -> Result<Option<String>, Fault> {
    let window = ctx.options.limits.map_or(Duration::ZERO, |limits| limits.window);
    let mut since = (ctx.options.wall)();
    since.sec = since.sec.saturating_sub(i64::try_from(window.as_secs()).unwrap_or(i64::MAX));
    let (tally, spent) = ctx.ledger.spent(since).await?;
    if ctx.root != Sameness::Same {
        return Ok(Some("the root cannot be proven to be the same directory as before".into()));
    }
    if tally.records > 0 && tally.pending > 0 && is_empty(ctx).await? {
        return Ok(Some("the root is empty, and it was not".into()));
    }
    let Some(limits) = ctx.options.limits else { return Ok(None) };
    Ok(match limits.judge("max_delete", spent.done, tally.pending, spent.records) {
        Judgement::Free => None,
        Judgement::Held(why) => Some(why),
    })
}

async fn is_empty<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<bool, Fault> {
    let mut walk = Box::pin(ctx.tree.walk(&Scope::Children(RelPath::root()), Prune::default()));
    while let Some(entries) = walk.next().await {
        if !entries?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How one row fared.
pub(super) enum Fate {
    /// The object is gone.
    Deleted,
    /// The row is dropped: the file is there, or the object is not the one condemned.
    Acquitted(Option<Scope>, Against),
    /// It waits for an operator, and its file is not there.
    Held,
    /// Later.
    Left(Option<Fault>),
    /// Nothing of this mirror can go on.
    Stopped(Fault),
}

impl Fate {
    /// Why the store did not do it, if that may pass.
    fn passing(&self) -> Option<&Fault> {
        let Self::Left(fault) = self else { return None };
        fault.as_ref().filter(|fault| matches!(fault.class, Class::Transient | Class::Throttled))
    }
}

/// What came of a page of rows, and what to write for each.
pub(super) type Executed = Vec<(Condemned, Fate, Vec<Change>)>;

/// Looks again, licenses, deletes: at once what may go in one request, the rest one by one. A licence is for the next
/// request: those that go alone are looked at anew, as many as are deleted at the same time.
pub(super) async fn execute<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    rows: Vec<Condemned>,
    held: bool,
    sweep: &Sweep,
) -> Executed {
    let (rows, void) = match still_condemned(&ctx, rows).await {
        Ok(sorted) => sorted,
        Err((rows, fault)) => return left(rows, &fault),
    };
    let void = void.into_iter().map(|row| (row, Fate::Acquitted(None, Against::Ledger), vec![]));
    let mut dealt: Executed = void.collect();
    let court = Court { ctx: &ctx, held, sweep };
    let (waiting, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| waits(row, held));
    dealt.extend(court.review(waiting).await);
    if rows.is_empty() {
        return dealt;
    }
    // by it the store is known
    if let Err(fault) = ctx.claim().await {
        dealt.extend(left(rows, &fault));
        return dealt;
    }
    let (mut together, mut singly): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| !sweep.alone && ctx.store.batches(&row.key));
    if together.len() == 1 {
        singly.append(&mut together);
    }
    let (together, singly) = tokio::join!(court.delete_together(together), court.delete_singly(singly));
    dealt.extend(together);
    dealt.extend(singly);
    dealt
}

/// What rows of a page are judged by.
struct Court<'a, T, S, L> {
    ctx: &'a Context<T, S, L>,
    held: bool,
    sweep: &'a Sweep,
}

impl<T: Tree, S: Store, L: Ledger> Court<'_, T, S, L> {
    async fn delete_together(&self, rows: Vec<Condemned>) -> Executed {
        let (rows, mut dealt) = self.kept(rows).await;
        let (doomed, refused) = self.licensed(rows).await;
        dealt.extend(refused);
        let objects: Vec<_> =
            doomed.iter().map(|(_, license)| (license.key().clone(), license.etag().clone())).collect();
        let mut said = match objects.is_empty() {
            true => BTreeMap::new(),
            false => self.ctx.store.delete_together(&objects).await,
        };
        dealt.extend(doomed.into_iter().map(|(row, license)| {
            let said = said.remove(license.key()).unwrap_or_else(|| Err(unmentioned(&row.key)));
            fared(self.ctx, row, &license, said)
        }));
        dealt
    }

    async fn delete_singly(&self, rows: Vec<Condemned>) -> Executed {
        let (mut dealt, mut groups) = (vec![], stream::iter(rows).chunks(ABREAST));
        while let Some(group) = groups.next().await {
            let (group, not_kept) = self.kept(group).await;
            dealt.extend(not_kept);
            let (doomed, refused) = self.licensed(group).await;
            dealt.extend(refused);
            let deletes = doomed.into_iter().map(|(row, license)| async move {
                let said = self.ctx.store.delete(license.key(), license.etag()).await;
                fared(self.ctx, row, &license, said)
            });
            let done = join_all(deletes).await;
            let fault = in_vain(&done);
            dealt.extend(done);
            if let Some(fault) = fault {
                // the store as a whole: what comes next would fail, too
                dealt.extend(left(groups.concat().await, &fault));
                break;
            }
        }
        dealt
    }

    /// Those whose objects are in the trash now, and what becomes of the others. What is copied takes its
    /// time, so the licences that say what is worth it are none to delete by.
    async fn kept(&self, rows: Vec<Condemned>) -> (Vec<Condemned>, Executed) {
        if self.ctx.options.trash.is_none() {
            return (rows, vec![]);
        }
        let (doomed, mut dealt) = self.licensed(rows).await;
        let (mut kept, mut groups) = (vec![], stream::iter(doomed).chunks(ABREAST));
        while let Some(group) = groups.next().await {
            let copies = group.into_iter().map(|(row, license)| async move {
                let copied = match self.ctx.turns.are_over() {
                    true => Ok(()),
                    false => trash::keep(self.ctx, license.key(), license.etag(), Went::Deleted).await,
                };
                (row, copied)
            });
            let (mut done, mut failed) = (vec![], vec![]);
            for (row, copied) in join_all(copies).await {
                match copied {
                    Ok(()) => done.push(row),
                    Err(fault) if matches!(fault.class, Class::Changed | Class::Missing) => {
                        let (fate, changes) = replaced(&row);
                        failed.push((row, fate, changes));
                    }
                    Err(fault) => failed.extend(left(vec![row], &fault)),
                }
            }
            let fault = in_vain(&failed);
            kept.extend(done);
            dealt.extend(failed);
            if let Some(fault) = fault {
                dealt.extend(left(groups.concat().await.into_iter().map(|(row, _)| row).collect(), &fault));
                break;
            }
        }
        (kept, dealt)
    }

    /// Looks again at rows that are held: those whose file is back hold others no longer.
    async fn review(&self, rows: Vec<Condemned>) -> Executed {
        let keys = rows.iter().map(|row| row.key.clone()).collect();
        if rows.is_empty() || self.ctx.root != Sameness::Same {
            return rows.into_iter().map(|row| (row, Fate::Held, vec![])).collect();
        }
        let looks = match self.ctx.tree.look(keys).await {
            Ok(looks) => looks,
            Err(fault) => return left(rows, &fault),
        };
        let looks = looks.into_iter().chain(repeat(Local::Unknown));
        let reviewed = rows.into_iter().zip(looks).map(|(row, now)| match now {
            Local::Present(_) => refused(row, Refusal::Present),
            Local::Skipped(_) => refused(row, Refusal::Skipped),
            Local::Absent(_) | Local::Unknown => (row, Fate::Held, vec![]),
        });
        reviewed.collect()
    }

    /// Looks again: those that may be deleted now, and what becomes of the others. When the session ends, none may.
    async fn licensed(&self, rows: Vec<Condemned>) -> (Vec<(Condemned, License)>, Executed) {
        if rows.is_empty() || self.ctx.turns.are_over() {
            return (vec![], rows.into_iter().map(|row| (row, Fate::Left(None), vec![])).collect());
        }
        let keys = rows.iter().map(|row| row.key.clone()).collect();
        let looks = match self.ctx.tree.look(keys).await {
            Ok(looks) if looks.len() == rows.len() => looks,
            Ok(_) => vec![Local::Unknown; rows.len()],
            Err(fault) => return (vec![], left(rows, &fault)),
        };
        let (mut doomed, mut dealt) = (vec![], vec![]);
        let (root, absent_for) = (self.ctx.root, Some(self.sweep.absent_for));
        for (row, now) in rows.into_iter().zip(looks) {
            if self.ctx.nested.holds(&row.key) {
                dealt.push(refused(row, Refusal::Skipped));
                continue;
            }
            match License::grant(&row, root, absent_for, self.ctx.options.grace, &now, self.held) {
                Ok(license) => doomed.push((row, license)),
                Err(refusal) => dealt.push(refused(row, refusal)),
            }
        }
        (doomed, dealt)
    }
}

/// Why the store did none of these, if that may pass.
fn in_vain(done: &Executed) -> Option<Fault> {
    let passing: Vec<_> = done.iter().filter_map(|(_, fate, _)| fate.passing()).collect();
    passing.last().filter(|_| passing.len() == ABREAST).map(|fault| (*fault).clone())
}

fn refused(row: Condemned, refusal: Refusal) -> (Condemned, Fate, Vec<Change>) {
    let (fate, changes) = match refusal {
        Refusal::Present => acquit(&row, Against::Ledger),
        Refusal::Skipped => (Fate::Acquitted(None, Against::Ledger), vec![Change::Acquit(row.key.clone())]),
        Refusal::Root | Refusal::Early | Refusal::Unknown | Refusal::Held => (Fate::Left(None), vec![]),
    };
    (row, fate, changes)
}

/// None of these were tried. What the fault means is what it means for a job (`worker::outcome`).
fn left(rows: Vec<Condemned>, fault: &Fault) -> Executed {
    let fate = |fault: Fault| match fault.class {
        Class::Fatal | Class::Owned => Fate::Stopped(fault),
        _ => Fate::Left(Some(fault)),
    };
    rows.into_iter().map(|row| (row, fate(fault.clone()), vec![])).collect()
}

/// Rows that are still as they were, and those that are not: the page was read before the slots of its
/// keys were taken, and what was in flight then may have dealt with them.
async fn still_condemned<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    rows: Vec<Condemned>,
) -> Result<(Vec<Condemned>, Vec<Condemned>), (Vec<Condemned>, Fault)> {
    let first = rows.first().map_or(0, |row| row.row.saturating_sub(1));
    match ctx.ledger.condemned(first, page(ctx)).await {
        Ok(now) => {
            let now: BTreeMap<_, _> = now.into_iter().map(|row| (row.row, row.etag)).collect();
            Ok(rows.into_iter().partition(|row| now.get(&row.row) == Some(&row.etag)))
        }
        Err(fault) => Err((rows, fault)),
    }
}

fn unmentioned(key: &Key) -> Fault {
    Fault::new(Class::Transient, format!("DeleteObjects {key}"), "the answer does not say what became of it")
}

/// What the answer for one row means.
fn fared<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    row: Condemned,
    license: &License,
    said: Result<(), Fault>,
) -> (Condemned, Fate, Vec<Change>) {
    let (fate, changes) = match said {
        Ok(()) => {
            ctx.parted(&row.key);
            tracing::debug!(key = %row.key, proof = license.proof(), why = ABSENT, "deleted");
            let costs = row.costs();
            (Fate::Deleted, vec![Change::Deleted { key: row.key.clone(), at: (ctx.options.wall)(), costs }])
        }
        Err(fault) if fault.class == Class::Changed => replaced(&row),
        // the first of several attempts may have done it, whatever the last was told
        Err(fault) => (Fate::Left(Some(fault)), vec![Change::Doubt(row.key.clone())]),
    };
    (row, fate, changes)
}

/// It is another object now, or gone: what the proof says of it holds no longer, and nothing may rest on it meanwhile.
fn replaced(row: &Condemned) -> (Fate, Vec<Change>) {
    let (fate, mut changes) = acquit(row, Against::Bucket);
    changes.push(Change::Doubt(row.key.clone()));
    (fate, changes)
}

fn acquit(row: &Condemned, against: Against) -> (Fate, Vec<Change>) {
    (Fate::Acquitted(row.key.place().map(Scope::File), against), vec![Change::Acquit(row.key.clone())])
}
