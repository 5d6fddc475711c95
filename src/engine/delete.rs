//! The road of a delete: found absent, condemned, found absent again, licensed, gone (promise I2).
//!
//! Pending deletes live in the ledger's `condemned` table, so that six million of them cost no memory.
//! The docket keeps only *marks*: up to which commit rows were condemned by when.

use super::{context::Context, report::ABSENT};
use crate::{
    ledger::Ledger,
    local::{Prune, Tree},
    model::{Against, Change, Class, Condemned, ETag, Fault, Key, Local, RelPath, Sameness, Scope, Seq},
    plan::{Judgement, License, Refusal},
    queue::Mono,
    store::Store,
};
use futures::{StreamExt, stream};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Rows looked at and deleted together.
const BATCH: usize = 256;
/// Deletes in flight at the same time.
const ABREAST: usize = 16;
/// Absent files whose rows are not written yet; more of them make the surveys wait.
const MOST: usize = 4096;

/// Rows last seen absent by this commit were so at this time, when this was the newest note.
#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: Seq,
    at: Mono,
    born: u64,
}

/// What waits to be deleted.
#[derive(Debug, Default)]
pub(super) struct Docket {
    absent: Vec<(Key, ETag)>,
    marks: VecDeque<Mark>,
    /// Rows last seen absent before this commit were not seen absent by this session.
    begin: Seq,
    /// Rows last seen absent up to this commit had their grace.
    ripe: Seq,
    pub(super) judging: bool,
    pub(super) sentencing: bool,
}

/// A pass over the condemned rows.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    begin: Seq,
    upto: Seq,
    after: u64,
    /// How long ago, at least, the rows were seen absent.
    pub(super) absent_for: Duration,
    /// There are further pages.
    pub(super) more: bool,
    /// Rows could not be dealt with for now.
    pub(super) left: bool,
    /// Rows that are held.
    pub(super) waiting: usize,
}

impl Docket {
    /// `begin` is the ledger's counter now.
    pub(super) fn new(begin: Seq) -> Self {
        Self { begin, ..Self::default() }
    }

    /// The survey found no file for this object of ours.
    pub(super) fn absent(&mut self, key: Key, etag: ETag) {
        self.absent.push((key, etag));
    }

    /// True while surveys may go on.
    pub(super) fn has_room(&self) -> bool {
        self.absent.len() < MOST
    }

    /// Absent files to be looked at once more and condemned.
    pub(super) fn take_absent(&mut self) -> Option<Vec<(Key, ETag)>> {
        if self.sentencing || self.absent.is_empty() {
            return None;
        }
        self.sentencing = true;
        let rest = self.absent.split_off(self.absent.len().min(BATCH * 4));
        Some(std::mem::replace(&mut self.absent, rest))
    }

    /// Rows were written by commit `seq`. Marks within a sixteenth of the grace are one.
    pub(super) fn condemned(&mut self, seq: Seq, now: Mono, born: u64, grace: Duration) {
        let close = |last: &Mark| now.saturating_sub(last.at) < grace / 16;
        if self.marks.len() > 1 && self.marks.back().is_some_and(close) {
            self.marks.pop_back();
        }
        self.marks.push_back(Mark { seq, at: now, born });
    }

    /// When the next rows may be judged.
    pub(super) fn next(&self, grace: Duration) -> Option<Mono> {
        self.marks.front().map(|mark| mark.at + grace)
    }

    /// The first commit that counts.
    pub(super) fn begin(&self) -> Seq {
        self.begin
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.all_sentenced() && self.marks.is_empty() && !self.judging
    }

    /// Begins a sweep of the rows whose grace is over and before which nothing is undecided; `oldest` is the number of
    /// the oldest note that is not decided and tried yet.
    pub(super) fn sweep(&mut self, now: Mono, grace: Duration, oldest: Option<u64>) -> Option<Sweep> {
        let mut ripe = None;
        while let Some(mark) = self.marks.front() {
            if self.judging || mark.at + grace > now || oldest.is_some_and(|oldest| oldest <= mark.born) {
                break;
            }
            ripe = self.marks.pop_front();
        }
        let mark = ripe?;
        self.judging = true;
        self.ripe = self.ripe.max(mark.seq);
        Some(Sweep {
            begin: self.begin,
            upto: mark.seq,
            after: 0,
            absent_for: now - mark.at,
            more: false,
            left: false,
            waiting: 0,
        })
    }

    /// A pass ended.
    pub(super) fn swept(&mut self) {
        self.judging = false;
    }

    /// Nothing of the rows up to the last pass is left to be judged again.
    pub(super) fn dealt_with(&mut self) {
        self.marks.retain(|mark| mark.seq > self.ripe);
    }

    /// True if no absent file waits for its second look.
    pub(super) fn all_sentenced(&self) -> bool {
        self.absent.is_empty() && !self.sentencing
    }

    /// Judges the rows whose grace is over once more, at `when`.
    pub(super) fn judge_again(&mut self, when: Mono, grace: Duration) {
        let mark = Mark { seq: self.ripe, at: when.saturating_sub(grace), born: 0 };
        let place = self.marks.partition_point(|other| other.at <= mark.at);
        self.marks.insert(place, mark);
    }
}

/// Drops rows that this session's first comparison did not find absent again.
pub(super) async fn purge<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    begin: Seq,
) -> Result<(), Fault> {
    let mut after = 0;
    loop {
        let rows = ctx.ledger.condemned(after, BATCH).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.row;
        let old: Vec<_> =
            rows.into_iter().filter(|row| row.seen < begin).map(|row| Change::Acquit(row.key)).collect();
        if !old.is_empty() {
            ctx.ledger.commit(old).await?;
        }
    }
}

/// Looks at absent files once more; what to write, and where to look again.
pub(super) async fn sentence<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    absent: Vec<(Key, ETag)>,
) -> Result<(Vec<Change>, Vec<Scope>), Fault> {
    let paths: Vec<RelPath> = absent.iter().filter_map(|(key, _)| key.path()).collect();
    let looks = ctx.tree.look(paths).await?;
    let (mut changes, mut again) = (vec![], vec![]);
    for ((key, etag), local) in absent.into_iter().filter(|(key, _)| key.path().is_some()).zip(looks) {
        match local {
            Local::Absent(_) => changes.push(Change::Condemn(key, etag)),
            Local::Present(_) => again.extend(key.path().map(Scope::File)),
            Local::Skipped(_) | Local::Unknown => {}
        }
    }
    Ok((changes, again))
}

/// One page of a sweep.
pub(super) struct Docketed {
    pub(super) rows: Vec<Condemned>,
    /// Why unapproved rows are held; `None` if they are not.
    pub(super) held: Option<String>,
    /// Rows of this page that are held.
    pub(super) waiting: Vec<Key>,
    pub(super) more: bool,
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
    let rows = ctx.ledger.condemned(sweep.after, BATCH).await?;
    let more = rows.len() == BATCH;
    sweep.after = rows.last().map_or(sweep.after, |row| row.row);
    let seen = rows.into_iter().filter(|row| (sweep.begin..=sweep.upto).contains(&row.seen));
    let (rows, waiting): (Vec<_>, Vec<_>) = seen.partition(|row| held.is_none() || row.approved || row.moved);
    Ok(Docketed { rows, held, waiting: waiting.into_iter().map(|row| row.key).collect(), more })
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
    Ok(match limits.judge(spent.deleted, spent.records, tally) {
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
    /// Later.
    Left(Option<Fault>),
}

/// What came of a page of rows, and what to write for each.
pub(super) type Executed = Vec<(Condemned, Fate, Vec<Change>)>;

/// Looks again, licenses, deletes.
pub(super) async fn execute<T: Tree, S: Store, L: Ledger>(
    ctx: Arc<Context<T, S, L>>,
    rows: Vec<Condemned>,
    held: bool,
    absent_for: Duration,
) -> Executed {
    let (rows, void) = match still_condemned(&ctx, rows).await {
        Ok(sorted) => sorted,
        Err((rows, fault)) => return left(rows, &fault),
    };
    let void = void.into_iter().map(|row| (row, Fate::Acquitted(None, Against::Ledger), vec![]));
    let paths = rows.iter().filter_map(|row| row.key.path()).collect();
    let looks = match claimed_look(&ctx, paths).await {
        Ok(looks) if looks.len() == rows.len() => looks,
        Ok(_) => vec![Local::Unknown; rows.len()],
        Err(fault) => return left(rows, &fault),
    };
    let ctx = &ctx;
    let dealt: Executed = stream::iter(rows.into_iter().zip(looks))
        .map(|(row, now)| async move {
            let granted = License::grant(&row, ctx.root, Some(absent_for), ctx.options.grace, &now, held);
            let (fate, changes) = match granted {
                Ok(license) => delete(ctx, &row, license).await,
                Err(Refusal::Present) => acquit(&row, Against::Ledger),
                Err(Refusal::Skipped) => {
                    (Fate::Acquitted(None, Against::Ledger), vec![Change::Acquit(row.key.clone())])
                }
                Err(Refusal::Root | Refusal::Early | Refusal::Unknown | Refusal::Held) => {
                    (Fate::Left(None), vec![])
                }
            };
            (row, fate, changes)
        })
        .buffer_unordered(ABREAST)
        .collect()
        .await;
    dealt.into_iter().chain(void).collect()
}

fn left(rows: Vec<Condemned>, fault: &Fault) -> Executed {
    rows.into_iter().map(|row| (row, Fate::Left(Some(fault.clone())), vec![])).collect()
}

/// Rows that are still as they were, and those that are not: the page was read before the slots of its
/// keys were taken, and what was in flight then may have dealt with them.
async fn still_condemned<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    rows: Vec<Condemned>,
) -> Result<(Vec<Condemned>, Vec<Condemned>), (Vec<Condemned>, Fault)> {
    let first = rows.first().map_or(0, |row| row.row.saturating_sub(1));
    match ctx.ledger.condemned(first, BATCH).await {
        Ok(now) => {
            Ok(rows.into_iter().partition(|row| now.iter().any(|n| (n.row, &n.etag) == (row.row, &row.etag))))
        }
        Err(fault) => Err((rows, fault)),
    }
}

async fn claimed_look<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    paths: Vec<RelPath>,
) -> Result<Vec<Local>, Fault> {
    ctx.claim().await?;
    ctx.tree.look(paths).await
}

async fn delete<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    row: &Condemned,
    license: License,
) -> (Fate, Vec<Change>) {
    match ctx.store.delete(license.key(), license.etag()).await {
        Ok(()) => {
            tracing::debug!(key = %row.key, proof = license.proof(), why = ABSENT, "deleted");
            let costs = !row.approved && !row.moved;
            (Fate::Deleted, vec![Change::Deleted { key: row.key.clone(), at: (ctx.options.wall)(), costs }])
        }
        Err(fault) if fault.class == Class::Changed => acquit(row, Against::Bucket),
        // the first of several attempts may have done it, whatever the last was told
        Err(fault) => (Fate::Left(Some(fault)), vec![Change::Doubt(row.key.clone())]),
    }
}

fn acquit(row: &Condemned, against: Against) -> (Fate, Vec<Change>) {
    (Fate::Acquitted(row.key.path().map(Scope::File), against), vec![Change::Acquit(row.key.clone())])
}
