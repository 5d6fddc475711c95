//! What the ledger and the bucket show of a scope, read ahead in *sections*: a page of the ledger's rows and
//! the range of the listing that should hold just those. So many requests are on their way at a time, pages
//! are full, and the merge takes everything in key order.

use super::super::context::Context;
use super::{
    Reach,
    listing::{Bounds, Item, Span, Trouble, ask},
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Against, Class, Fault, Key, KeyRange, Record},
    plan::Split,
    store::{Depth, Start, Store},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Pages of subdirectories that are read to cut a listing.
const PAGES: usize = 16;
/// How deep subdirectories are looked for.
const DEEP: usize = 8;

/// Rows of the ledger; a subdirectory, as far as direct entries go, is a key without a row.
pub(super) type Rows = Vec<(Key, Option<Record>)>;

/// One section. Where it ends is `None` for the end of its side.
struct Section {
    rows: Option<(Rows, Option<Key>)>,
    span: Option<(Span, Option<Key>)>,
    last: bool,
}

/// More of one side.
pub(super) enum More<T> {
    Items(T),
    /// There is nothing more up to this key.
    Clear(Key),
    End,
}

/// How a scope is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) depth: Depth,
    pub(super) against: Against,
    /// The store lists unsorted: only with direct entries.
    pub(super) gather: bool,
}

/// Two of the three sides of a scope.
pub(super) struct Ahead {
    sections: mpsc::Receiver<Section>,
    reader: AbortOnDropHandle<Result<(), Fault>>,
    rows: VecDeque<(Rows, Option<Key>)>,
    spans: VecDeque<(Span, Option<Key>)>,
    /// The end of the rows, of the listing, and of the sections was seen.
    rows_ended: bool,
    spans_ended: bool,
    ended: bool,
}

impl Ahead {
    /// Begins to read what lies under `prefix`.
    pub(super) fn begin<T: Tree, S: Store, L: Ledger>(
        ctx: &Arc<Context<T, S, L>>,
        prefix: Key,
        way: Way,
        reach: Reach,
    ) -> Self {
        let (send, sections) = mpsc::channel(ctx.options.listers);
        let reader = Reader { ctx: ctx.clone(), prefix, way, reach, send };
        let reading = async move {
            match way.depth {
                Depth::Children => reader.children().await,
                Depth::All => reader.tree().await,
            }
        };
        let reader = AbortOnDropHandle::new(tokio::spawn(reading.in_current_span()));
        Self {
            sections,
            reader,
            rows: VecDeque::new(),
            spans: VecDeque::new(),
            rows_ended: false,
            spans_ended: way.against == Against::Ledger,
            ended: false,
        }
    }

    /// More of the ledger, and up to where it is all.
    pub(super) async fn rows(&mut self) -> Result<Option<(Rows, Option<Key>)>, Fault> {
        while self.rows.is_empty() && !self.rows_ended && !self.ended {
            self.section().await?;
        }
        let rows = self.rows.pop_front();
        self.rows_ended |= rows.as_ref().is_none_or(|(_, upto)| upto.is_none());
        Ok(rows)
    }

    /// More of the listing.
    pub(super) async fn items(&mut self) -> Result<More<Vec<Item>>, Trouble> {
        loop {
            let Some((span, _)) = self.spans.front_mut() else {
                if self.spans_ended || self.ended {
                    return Ok(More::End);
                }
                self.section().await?;
                continue;
            };
            if let Some(items) = span.next().await? {
                return Ok(More::Items(items));
            }
            match self.spans.pop_front().and_then(|(_, upto)| upto) {
                Some(upto) => return Ok(More::Clear(upto)),
                None => self.spans_ended = true,
            }
        }
    }

    async fn section(&mut self) -> Result<(), Fault> {
        let Some(section) = self.sections.recv().await else {
            // the reader ended before the last section: it says why
            let ended = (&mut self.reader).await;
            let broken =
                |e: &dyn std::fmt::Display| Fault::new(Class::Transient, "read ahead", e.to_string());
            return match ended {
                Ok(Err(fault)) => Err(fault),
                Ok(Ok(())) => Err(broken(&"it ended early")),
                Err(error) => Err(broken(&error)),
            };
        };
        self.ended = section.last;
        self.rows.extend(section.rows);
        self.spans.extend(section.span);
        Ok(())
    }
}

struct Reader<T, S, L> {
    ctx: Arc<Context<T, S, L>>,
    prefix: Key,
    way: Way,
    reach: Reach,
    send: mpsc::Sender<Section>,
}

impl<T: Tree, S: Store, L: Ledger> Reader<T, S, L> {
    /// Everything below the prefix: each page of the ledger cuts off a range of the listing.
    async fn tree(self) -> Result<(), Fault> {
        let listed = self.way.against == Against::Bucket;
        let split = Arc::new(Mutex::new(Split::by_rows(self.ctx.options.page)));
        let (mut from, mut after) = (None, None);
        loop {
            let most = if listed { units(&split) } else { self.ctx.options.page };
            self.reach.reading();
            let (rows, next) = self.rows(from.take(), most).await?;
            if next.is_none() && after.is_none() && listed {
                return self.by_directories(rows).await;
            }
            let upto = next.as_ref().and_then(|_| rows.last().map(|(key, _)| key.clone()));
            upto.iter().for_each(|upto| self.reach.read(upto.clone()));
            let bounds = Bounds { prefix: self.prefix.clone(), after: after.take(), upto: upto.clone() };
            let span = listed.then(|| (Span::begin(&self.ctx, bounds, rows.len(), &split), upto.clone()));
            let last = next.is_none();
            if !self.give(Section { rows: Some((rows, upto.clone())), span, last }).await || last {
                return Ok(());
            }
            (from, after) = (next, upto);
        }
    }

    /// At most `most` rows, and the key of the one after them.
    async fn rows(&self, from: Option<Key>, most: usize) -> Result<(Rows, Option<Key>), Fault> {
        let range = KeyRange::Under(self.prefix.clone());
        let mut rows = self.ctx.ledger.page(&range, from, most + 1).await?;
        let next = if rows.len() > most { rows.pop().map(|(key, _)| key) } else { None };
        Ok((rows.into_iter().map(|(key, record)| (key, Some(record))).collect(), next))
    }

    /// The ledger knows no more than these rows. If the bucket holds more than a page, its directories cut the listing.
    async fn by_directories(&self, rows: Rows) -> Result<(), Fault> {
        let whole = Bounds { prefix: self.prefix.clone(), after: None, upto: None };
        let mut page = ask(&self.ctx, &self.prefix, Depth::All, Start::First).await?;
        while let Some(token) = page.next.take_if(|_| page.objects.is_empty()) {
            page = ask(&self.ctx, &self.prefix, Depth::All, Start::Token(token)).await?;
        }
        let end = page.objects.last().map(|(key, _)| key.clone()).filter(|_| page.next.is_some());
        let first = Section {
            rows: Some((rows, None)),
            span: Some((Span::ready(page, &whole), end.clone())),
            last: end.is_none(),
        };
        let Some(mut after) = end else {
            self.give(first).await;
            return Ok(());
        };
        let mut cuts: VecDeque<Key> =
            self.directories().await?.into_iter().filter(|cut| *cut > after).collect();
        if !self.give(first).await {
            return Ok(());
        }
        let split = Arc::new(Mutex::new(Split::by_directories(self.ctx.options.page)));
        loop {
            let taken = units(&split).min(cuts.len());
            let upto = cuts.drain(..taken).next_back();
            let upto = upto.filter(|_| !cuts.is_empty());
            let bounds = Bounds { prefix: self.prefix.clone(), after: Some(after), upto: upto.clone() };
            let span = Some((Span::begin(&self.ctx, bounds, taken, &split), upto.clone()));
            let last = upto.is_none();
            if !self.give(Section { rows: None, span, last }).await {
                return Ok(());
            }
            match upto {
                Some(upto) => after = upto,
                None => return Ok(()),
            }
        }
    }

    /// The first level of subdirectories that has more than one, as far as some pages show them.
    async fn directories(&self) -> Result<Vec<Key>, Fault> {
        let mut prefix = self.prefix.clone();
        for _ in 0..DEEP {
            let (mut found, mut start) = (vec![], Start::First);
            for _ in 0..PAGES {
                let page = ask(&self.ctx, &prefix, Depth::Children, start).await?;
                // a directory that is mostly files is not worth to be read for the others
                let worth = page.directories.len() >= page.objects.len();
                found.extend(page.directories);
                match page.next.filter(|_| worth) {
                    Some(token) => start = Start::Token(token),
                    None => break,
                }
            }
            match found.as_slice() {
                [one] => prefix = one.clone(),
                _ => {
                    found.sort();
                    return Ok(found);
                }
            }
        }
        Ok(vec![])
    }

    /// The direct entries of a directory. What lies below a subdirectory is leapt over and stands as one `sub/`.
    async fn children(self) -> Result<(), Fault> {
        let mut span = match (self.way.against, self.way.gather) {
            (Against::Ledger, _) => None,
            (Against::Bucket, false) => Some((Span::children(&self.ctx, self.prefix.clone()), None)),
            (Against::Bucket, true) => Some((Span::gathered(&self.ctx, self.prefix.clone()), None)),
        };
        let (mut from, mut most) = (None, self.ctx.options.page);
        loop {
            let (page, next) = self.rows(from.take(), most).await?;
            let (mut rows, mut leap) = (vec![], None);
            for (key, record) in page {
                let rest = &key.as_str()[self.prefix.as_str().len()..];
                let Some(at) = rest.find('/') else {
                    rows.push((key, record));
                    continue;
                };
                let sub = &key.as_str()[..self.prefix.as_str().len() + at];
                rows.push((Key::raw(format!("{sub}/")), None));
                // `0` is the byte after `/`
                leap = Some(Key::raw(format!("{sub}0")));
                break;
            }
            let last = leap.is_none() && next.is_none();
            let upto = rows.last().map(|(key, _)| key.clone()).filter(|_| !last);
            if !self.give(Section { rows: Some((rows, upto)), span: span.take(), last }).await || last {
                return Ok(());
            }
            // after one subdirectory often comes the next
            most = if leap.is_some() { 1 } else { self.ctx.options.page };
            from = leap.or(next);
        }
    }

    /// False if nobody listens any more.
    async fn give(&self, section: Section) -> bool {
        self.send.send(section).await.is_ok()
    }
}

fn units(split: &Mutex<Split>) -> usize {
    split.lock().unwrap_or_else(PoisonError::into_inner).units()
}
