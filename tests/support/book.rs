//! The fake of `Ledger`: maps, with commits that take time, fail, and may be cut off by a crash.

use super::world::{Fake, World};
use s3mirrord::{
    ledger::{Ledger, Overwriting, Window},
    model::{
        Binding, Change, Class, Condemned, ETag, Fault, Intent, Key, KeyRange, Overwrite, Record, Scrubbed,
        Seq, Stamp, Tally,
    },
};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub seq: Seq,
    pub records: BTreeMap<Key, Record>,
    pub condemned: BTreeMap<u64, Condemned>,
    pub foreign: BTreeMap<Key, ETag>,
    pub intents: BTreeMap<Key, Intent>,
    pub moved: BTreeMap<Key, ETag>,
    /// By minute: deletes that cost, and the records before the first of them.
    pub deleted: BTreeMap<i64, (u64, u64)>,
    pub overwrites: BTreeMap<u64, Overwrite>,
    /// The minute in which a replacement of the key was counted.
    pub counted: BTreeMap<Key, i64>,
    /// By minute: replacements that were counted, and the records before the first of them.
    pub overwritten: BTreeMap<i64, (u64, u64)>,
    pub binding: Option<Binding>,
    pub held: bool,
    pub scrubbed: Option<Scrubbed>,
    pub unsynced: Option<Stamp>,
    pub rows: u64,
}

impl Book {
    /// Records, but those of directories.
    pub fn files(&self) -> u64 {
        self.records.keys().filter(|key| !key.is_directory()).count() as u64
    }

    fn row(&self, key: &Key) -> Option<u64> {
        self.condemned.values().find(|c| c.key == *key).map(|c| c.row)
    }

    fn drop_row(&mut self, key: &Key) {
        if let Some(row) = self.row(key) {
            self.condemned.remove(&row);
        }
    }

    fn gone(&mut self, key: &Key) {
        self.drop_row(key);
        self.abandon(key);
        self.records.remove(key);
        self.foreign.remove(key);
        self.moved.remove(key);
    }

    fn abandon(&mut self, key: &Key) {
        self.overwrites.retain(|_, row| row.key != *key);
    }

    fn overwritten(&mut self, key: Key, at: Stamp, since: Stamp) {
        let (minute, first, records) = (at.minute(), since.minute(), self.files());
        match self.counted.get(&key).copied().filter(|counted| *counted >= first) {
            Some(counted) if counted >= minute => return,
            Some(counted) => self.overwritten.get_mut(&counted).unwrap().0 -= 1,
            None => {}
        }
        self.counted.insert(key, minute);
        self.overwritten.entry(minute).or_insert((0, records)).0 += 1;
    }

    fn deleted(&mut self, key: &Key, at: Stamp, costs: bool) {
        let records = self.files();
        self.gone(key);
        if costs {
            self.deleted.entry(at.minute()).or_insert((0, records)).0 += 1;
        }
    }

    /// Deletes since `minute`, and the records at its begin.
    pub fn window(&self, minute: i64) -> (u64, u64) {
        self.sum(&self.deleted, minute)
    }

    /// As [`Book::window`], of replacements.
    pub fn overwrite_window(&self, minute: i64) -> (u64, u64) {
        self.sum(&self.overwritten, minute)
    }

    fn sum(&self, rows: &BTreeMap<i64, (u64, u64)>, minute: i64) -> (u64, u64) {
        let mut rows = rows.range(minute..).map(|(_, row)| *row).peekable();
        let records = rows.peek().map_or(self.files(), |row| row.1);
        (rows.map(|row| row.0).sum(), records)
    }

    pub fn apply(&mut self, batch: Vec<Change>) -> Seq {
        self.seq += 1;
        let seq = self.seq;
        for change in batch {
            match change {
                Change::Proof(key, record) => {
                    self.gone(&key);
                    self.records.insert(key, Record { seq, condemned: false, ..record });
                }
                Change::Gone(key, at) => {
                    let row = self.row(&key).and_then(|row| self.condemned.get(&row));
                    let costs = row.is_some_and(Condemned::costs);
                    self.deleted(&key, at, costs);
                }
                Change::Deleted { key, at, costs } => self.deleted(&key, at, costs),
                Change::Condemn(key, etag, since) => {
                    if let Some(record) = self.records.get_mut(&key) {
                        record.condemned = true;
                    }
                    match self.row(&key).and_then(|row| self.condemned.get_mut(&row)) {
                        Some(row) if row.etag == etag && row.seen >= since => {}
                        Some(row) if row.etag == etag => row.seen = seq,
                        _ => {
                            self.drop_row(&key);
                            self.rows += 1;
                            let moved = self.moved.get(&key) == Some(&etag);
                            let row =
                                Condemned { row: self.rows, key, etag, seen: seq, approved: false, moved };
                            self.condemned.insert(self.rows, row);
                        }
                    }
                }
                Change::Acquit(key) => {
                    self.drop_row(&key);
                    if let Some(record) = self.records.get_mut(&key) {
                        record.condemned = false;
                    }
                }
                Change::Doubt(key) => {
                    if let Some(record) = self.records.get_mut(&key).filter(|record| !record.doubted) {
                        (record.doubted, record.seq) = (true, seq);
                    }
                }
                Change::Moved(key, etag) => {
                    if let Some(row) = self.row(&key).and_then(|row| self.condemned.get_mut(&row)) {
                        row.moved |= row.etag == etag;
                    }
                    if self.records.get(&key).is_some_and(|record| record.etag == etag) {
                        self.moved.insert(key, etag);
                    }
                }
                Change::Approve(upto) => {
                    self.condemned.range_mut(..=upto).for_each(|(_, row)| row.approved = true)
                }
                Change::Refrain(key, etag) => {
                    if !self.overwrites.values().any(|row| row.key == key && row.etag == etag) {
                        self.abandon(&key);
                        self.rows += 1;
                        let row = Overwrite { row: self.rows, key, etag, approved: false };
                        self.overwrites.insert(self.rows, row);
                    }
                }
                Change::Abandon(key, row) => {
                    self.overwrites.remove(&row).inspect(|dropped| assert_eq!(dropped.key, key));
                }
                Change::ApproveOverwrites(upto) => {
                    self.overwrites.range_mut(..=upto).for_each(|(_, row)| row.approved = true)
                }
                Change::Overwritten { key, at, since } => self.overwritten(key, at, since),
                Change::Intend(intent) => {
                    self.intents.insert(intent.key.clone(), intent);
                }
                Change::Settled(key) => {
                    self.intents.remove(&key);
                }
                Change::Foreign(key, etag) => {
                    self.gone(&key);
                    self.foreign.insert(key, etag);
                }
                Change::Bind(binding) => self.binding = Some(binding),
                Change::Hold(held) => self.held = held,
                Change::Scrubbed(mark) => self.scrubbed = Some(mark),
                Change::Unsynced(since) => self.unsynced = since,
            }
        }
        seq
    }
}

impl Ledger for Fake {
    fn now(&self) -> Seq {
        self.with(|w| w.book.seq)
    }

    fn id(&self) -> u64 {
        7
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Fault> {
        Ok(self.with(|w| w.book.records.get(key).cloned()))
    }

    async fn foreign(&self, key: &Key) -> Result<Option<ETag>, Fault> {
        Ok(self.with(|w| w.book.foreign.get(key).cloned()))
    }

    async fn page(
        &self,
        range: &KeyRange,
        from: Option<Key>,
        most: usize,
    ) -> Result<Vec<(Key, Record)>, Fault> {
        let rows = self.with(|w| {
            let rows = w
                .book
                .records
                .iter()
                .filter(|(k, _)| range.contains(k) && from.as_ref().is_none_or(|f| *k >= f));
            rows.take(most).map(|(k, r)| (k.clone(), r.clone())).collect()
        });
        self.lag(1).await;
        Ok(rows)
    }

    async fn by_inodes(&self, inodes: Vec<u64>) -> Result<Vec<Vec<Key>>, Fault> {
        let keys = |w: &mut World, inode: u64| {
            let of = |r: &Record| r.print.is_some_and(|p| p.inode == inode);
            w.book.records.iter().filter(|(_, r)| of(r)).map(|(k, _)| k.clone()).collect()
        };
        Ok(self.with(|w| inodes.into_iter().map(|inode| keys(w, inode)).collect()))
    }

    async fn condemned(&self, after: u64, most: usize) -> Result<Vec<Condemned>, Fault> {
        let rows =
            self.with(|w| w.book.condemned.range(after + 1..).take(most).map(|(_, c)| c.clone()).collect());
        // what was read may be old when it is looked at
        self.lag(30).await;
        Ok(rows)
    }

    async fn intents(&self) -> Result<Vec<Intent>, Fault> {
        Ok(self.with(|w| w.book.intents.values().cloned().collect()))
    }

    async fn tally(&self) -> Result<Tally, Fault> {
        Ok(self.with(|w| Tally {
            records: w.book.files(),
            directories: w.book.records.len() as u64 - w.book.files(),
            condemned: w.book.condemned.len() as u64,
            pending: w.book.condemned.values().filter(|row| row.costs()).count() as u64,
            last_row: w.book.condemned.keys().next_back().copied().unwrap_or(0),
            overwrites: w.book.overwrites.values().filter(|row| !row.approved).count() as u64,
            last_overwrite: w.book.overwrites.keys().next_back().copied().unwrap_or(0),
        }))
    }

    async fn window(&self, since: Stamp) -> Result<Window, Fault> {
        let (done, records) = self.with(|w| w.book.window(since.minute()));
        Ok(Window { done, records })
    }

    async fn spent(&self, since: Stamp) -> Result<(Tally, Window), Fault> {
        Ok((self.tally().await?, self.window(since).await?))
    }

    async fn overwrites(&self, after: u64, most: usize) -> Result<Vec<Overwrite>, Fault> {
        let page = |w: &mut World| {
            w.book.overwrites.range(after + 1..).take(most).map(|(_, row)| row.clone()).collect()
        };
        let rows = self.with(page);
        self.lag(30).await;
        Ok(rows)
    }

    async fn overwriting(&self, key: &Key, since: Stamp) -> Result<Overwriting, Fault> {
        let window = self.overwritten(since).await?;
        let asked = self.with(|w| Overwriting {
            row: w.book.overwrites.values().find(|row| row.key == *key).cloned(),
            counted: w.book.counted.get(key).copied().filter(|at| *at >= since.minute()),
            held: w.book.overwrites.values().filter(|row| !row.approved).count() as u64,
            window,
        });
        self.lag(4).await;
        Ok(asked)
    }

    async fn overwritten(&self, since: Stamp) -> Result<Window, Fault> {
        let (done, records) = self.with(|w| w.book.overwrite_window(since.minute()));
        Ok(Window { done, records })
    }

    async fn binding(&self) -> Result<Option<Binding>, Fault> {
        Ok(self.with(|w| w.book.binding.clone()))
    }

    async fn held(&self) -> Result<bool, Fault> {
        Ok(self.with(|w| w.book.held))
    }

    async fn scrubbed(&self) -> Result<Option<Scrubbed>, Fault> {
        Ok(self.with(|w| w.book.scrubbed.clone()))
    }

    async fn unsynced(&self) -> Result<Option<Stamp>, Fault> {
        Ok(self.with(|w| w.book.unsynced))
    }

    async fn commit(&self, batch: Vec<Change>) -> Result<Seq, Fault> {
        self.lag(8).await;
        self.fault("ledger disk full", 40, Class::Transient)?;
        if self.with(|w| w.full) {
            self.with(|w| w.count("ledger disk full for long"));
            return Err(Fault::new(Class::Transient, "write the ledger", "ENOSPC"));
        }
        let seq = self.with(|w| {
            // I5: nothing is recorded that the store did not confirm
            for change in &batch {
                if let Change::Proof(key, record) = change
                    && !w.shelf.tags.contains(&(key.clone(), record.etag.clone()))
                {
                    w.broke(format!("I5: {key} is recorded as {:?}, which it never was", record.etag));
                }
            }
            for change in &batch {
                if let Change::Deleted { key, .. } = change
                    && w.book.row(key).is_none()
                {
                    w.broke(format!("I2: {key} is recorded as deleted, and was not condemned"));
                }
                if let Change::Deleted { key, .. } = change
                    && !w.shelf.confirmed.contains(key)
                {
                    w.broke(format!("I5: {key} is recorded as deleted, and the store did not say so"));
                }
            }
            for change in &batch {
                if let Change::Overwritten { key, since, .. } = change
                    && w.book.counted.get(key).is_none_or(|minute| *minute < since.minute())
                {
                    w.admit(key);
                }
            }
            w.undurable = Some(w.book.clone());
            if w.stormy && w.rng.u8(0..30) == 0 {
                w.kept = w.book.clone();
            }
            batch.iter().for_each(|change| w.log(format_args!("ledger: {change:?}")));
            w.book.apply(batch)
        });
        // what a crash comes upon now is lost, or not
        self.lag(if self.with(|w| w.may("a ledger write lost at a crash")) { 60 } else { 4 }).await;
        self.with(|w| w.undurable = None);
        Ok(seq)
    }
}
