//! The real ledger: a redb database in a file of its own.
//!
//! What redb asks for: a small cache (its default is 1 GiB), read transactions that are short (one held
//! open makes the file grow), and to be opened anew after any I/O error. All of it happens on threads of
//! the ledger's own, since a disk may hang.
//!
//! What cannot be seen: a ledger that was rolled back to an older copy of itself. Its proofs are still
//! held against the disk and the bucket, so it costs reading. And a batch whose last fsync failed may or
//! may not be there when the file is opened again, as with every database.

use super::layout::{self, Found};
use super::lock::{Held, LOCK_FILE, Lock, OpenError};
use super::medium::{Medium, OnDisk, Sheet};
use super::reason::Reason;
use super::record::{self, FOREIGN, RECORDS, Row};
use super::threads::{Threads, Unanswered};
use super::{Ledger, Overwriting, Window, batch, condemned, fault, inode, meta, overwrites, panics, window};
use crate::model::{
    Binding, Change, Class, Condemned, ETag, Fault, Intent, Key, KeyRange, Overwrite, Record, Scrubbed, Seq,
    Stamp, Tally,
};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio_util::sync::CancellationToken;

/// The ledger's name in its directory.
pub const LEDGER_FILE: &str = "ledger.redb";

/// Rows that room is made for at once when a page is read.
const PAGE: usize = 1024;

/// How to open a [`Database`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the ledger and its lock lie; made (mode 0700) if it is not there.
    pub directory: PathBuf,
    /// What redb may keep in memory, in bytes.
    pub cache_bytes: usize,
}

impl Options {
    /// A cache of 4 MiB: a survey reads in order, and gains nothing from more.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), cache_bytes: 4 << 20 }
    }
}

/// A ledger, and why it is a new one if it is.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Database,
    /// `None` if it was there and whole.
    pub fresh: Option<Reason>,
}

/// The ledger of one mirror, on redb. The file is closed and the lock given back with the last clone.
#[derive(Clone)]
pub struct Database(Arc<Shared>);

struct Shared {
    medium: Box<dyn Medium>,
    cache_bytes: usize,
    /// `None` after an I/O error, until the next call.
    engine: RwLock<Option<redb::Database>>,
    id: AtomicU64,
    seq: AtomicU64,
    threads: Threads,
    /// After the engine, so that it is dropped after it.
    _lock: Option<Lock>,
    /// Cancelled after that.
    closed: Closed,
}

struct Closed(CancellationToken);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.0.medium.name(), self.now())
    }
}

impl Database {
    /// Takes the lock and opens the ledger, or begins a new one. A file that cannot be read, or that a newer
    /// version wrote, is set aside as `ledger.redb.corrupt-N` or `.newer-N`. After a crash this
    /// takes as long as a read of the file.
    ///
    /// # Errors
    /// [`OpenError::Held`] if another holds the lock or the file; I/O errors.
    pub async fn open(options: Options) -> Result<Opened, OpenError> {
        blocking(move || {
            let lock = Lock::acquire(&options.directory)?;
            let path = options.directory.join(LEDGER_FILE);
            Self::start(Box::new(OnDisk(path)), options.cache_bytes, Some(lock))
        })
        .await
    }

    /// As [`Database::open`], but every change is thrown away in the end and the file is left as it is.
    ///
    /// # Errors
    /// As above.
    pub async fn rehearse(options: Options) -> Result<Opened, OpenError> {
        blocking(move || {
            let there = options.directory.is_dir();
            let lock = if there { Some(Lock::acquire(&options.directory)?) } else { None };
            let path = options.directory.join(LEDGER_FILE);
            Self::start(Box::new(sheet(Some(&path))?), options.cache_bytes, lock)
        })
        .await
    }

    /// An empty ledger that is thrown away in the end.
    ///
    /// # Errors
    /// I/O errors of the directory for temporary files.
    pub async fn scratch() -> Result<Self, OpenError> {
        let cache_bytes = Options::new("").cache_bytes;
        blocking(move || Ok(Self::start(Box::new(sheet(None)?), cache_bytes, None)?.ledger)).await
    }

    /// Keeps the file as `ledger.redb.other-N` and begins a new ledger, for one that is bound to another
    /// place: what it proves says nothing here. To be called before the ledger is used: id and counter
    /// begin anew. Returns where the old one is now.
    ///
    /// # Errors
    /// I/O errors; there may be no ledger then until the next call.
    pub async fn set_aside(&self) -> Result<Option<PathBuf>, Fault> {
        let shared = Arc::clone(&self.0);
        self.run("set aside", move || {
            let mut engine = shared.engine.write().unwrap_or_else(PoisonError::into_inner);
            *engine = None;
            let aside = shared.medium.set_aside("other").map_err(redb::Error::Io)?;
            let new = layout::begin(&*shared.medium, shared.cache_bytes)?;
            shared.id.store(new.id, Ordering::Release);
            shared.seq.store(new.seq, Ordering::Release);
            *engine = Some(new.engine);
            Ok(aside)
        })
        .await
    }

    /// Cancelled when the last clone is gone, the file is closed and the lock given back.
    pub fn closed(&self) -> CancellationToken {
        self.0.closed.0.clone()
    }

    pub(super) fn start(
        medium: Box<dyn Medium>,
        cache_bytes: usize,
        lock: Option<Lock>,
    ) -> Result<Opened, OpenError> {
        let failed = |e: redb::Error| match e {
            redb::Error::DatabaseAlreadyOpen => OpenError::Held(Held {
                path: PathBuf::from(medium.name()),
                holder: format!("a process that does not hold the `{LOCK_FILE}` beside it"),
            }),
            e => OpenError::Fault(fault::of("open", &medium.name(), &e)),
        };
        let aside =
            |kind| medium.set_aside(kind).map_err(|e| fault::io(format!("set aside {}", medium.name()), &e));
        let (live, fresh) = match layout::find(&*medium, cache_bytes) {
            Ok(Found::Whole(live)) => (Some(live), None),
            Ok(Found::Empty(engine)) => {
                (Some(layout::populate(engine).map_err(failed)?), Some(Reason::Missing))
            }
            Ok(Found::Newer(schema)) => (None, Some(Reason::Newer { schema, aside: aside("newer")? })),
            Err(e) if fault::is_damage(&e) => {
                (None, Some(Reason::Corrupt { cause: e.to_string(), aside: aside("corrupt")? }))
            }
            Err(e) => return Err(failed(e)),
        };
        let live = match live {
            Some(live) => live,
            None => layout::begin(&*medium, cache_bytes).map_err(failed)?,
        };
        let shared = Shared {
            medium,
            cache_bytes,
            engine: RwLock::new(Some(live.engine)),
            id: AtomicU64::new(live.id),
            seq: AtomicU64::new(live.seq),
            threads: Threads::start().map_err(|e| fault::io("start the ledger's threads", &e))?,
            _lock: lock,
            closed: Closed(CancellationToken::new()),
        };
        Ok(Opened { ledger: Self(Arc::new(shared)), fresh })
    }

    /// Runs on one of the ledger's threads. A panic is the database's, over bytes it did not expect.
    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let name = || self.0.medium.name();
        match self.0.threads.run(work).await {
            Ok(done) => done.map_err(|e| fault::of(what, &name(), &e)),
            Err(Unanswered::Panicked(cause)) => Err(fault::panicked(what, &name(), &cause)),
            Err(Unanswered::Ended) => Err(Fault::new(Class::Transient, what, "the ledger is being closed")),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let shared = Arc::clone(&self.0);
        self.run("read", move || shared.with(|engine| work(&engine.begin_read()?))).await
    }
}

/// Closing writes what the next opening needs; over damaged bytes that may panic, too.
impl Drop for Shared {
    fn drop(&mut self) {
        let engine = self.engine.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(cause) = panics::caught(move || drop(engine)) {
            tracing::warn!(
                ledger = self.medium.name(),
                cause,
                "the ledger is damaged: it could not be closed"
            );
        }
    }
}

impl Shared {
    /// Calls with the database, which is opened again if it failed before.
    fn with<T>(
        &self,
        work: impl FnOnce(&redb::Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let done = loop {
            if let Some(engine) = &*self.engine.read().unwrap_or_else(PoisonError::into_inner) {
                break work(engine);
            }
            self.reopen()?;
        };
        if done.as_ref().is_err_and(fault::needs_reopening) {
            *self.engine.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    fn reopen(&self) -> Result<(), redb::Error> {
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        if engine.is_some() {
            return Ok(());
        }
        match layout::find(&*self.medium, self.cache_bytes)? {
            Found::Whole(live) if live.id == self.id.load(Ordering::Acquire) => {
                self.seq.fetch_max(live.seq, Ordering::AcqRel);
                *engine = Some(live.engine);
                Ok(())
            }
            _ => Err(redb::Error::Corrupted("another ledger is in its place".into())),
        }
    }
}

fn sheet(over: Option<&Path>) -> Result<Sheet, Fault> {
    Sheet::over(over).map_err(|e| fault::io("lay a sheet over the ledger", &e))
}

/// Opening may read the whole file.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(Fault::new(Class::Fatal, "open the ledger", e).into()),
    }
}

fn tally(txn: &ReadTransaction) -> Result<Tally, redb::Error> {
    let row = condemned::last(&txn.open_table(condemned::CONDEMNED)?)?;
    let overwrite = condemned::last(&txn.open_table(overwrites::OVERWRITES)?)?;
    Ok(meta::sums(&txn.open_table(meta::META)?)?.tally(row, overwrite))
}

impl Ledger for Database {
    fn now(&self) -> Seq {
        self.0.seq.load(Ordering::Acquire)
    }

    fn id(&self) -> u64 {
        self.0.id.load(Ordering::Acquire)
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let key = key.clone();
        self.read(move |txn| {
            let row = txn.open_table(RECORDS)?.get(key.as_str())?;
            Ok(row.map(|row| Row::decode(key.as_str(), row.value())).transpose()?.map(|row| row.record))
        })
        .await
    }

    async fn foreign(&self, key: &Key) -> Result<Option<ETag>, Fault> {
        let key = key.clone();
        self.read(move |txn| {
            let row = txn.open_table(FOREIGN)?.get(key.as_str())?;
            Ok(row.map(|row| record::decode_tag(row.value())).transpose()?)
        })
        .await
    }

    async fn page(
        &self,
        range: &KeyRange,
        from: Option<Key>,
        most: usize,
    ) -> Result<Vec<(Key, Record)>, Fault> {
        let range = range.clone();
        self.read(move |txn| {
            let (KeyRange::One(first) | KeyRange::Under(first)) = &range;
            let first = from.as_ref().filter(|from| *from > first).unwrap_or(first);
            let table = txn.open_table(RECORDS)?;
            let mut page = Vec::with_capacity(most.min(PAGE));
            for row in table.range(first.as_str()..)?.take(most) {
                let (key, row) = row?;
                if !range.holds(key.value()) {
                    break;
                }
                page.push((Key::raw(key.value()), Row::decode(key.value(), row.value())?.record));
            }
            Ok(page)
        })
        .await
    }

    async fn by_inodes(&self, inodes: Vec<u64>) -> Result<Vec<Vec<Key>>, Fault> {
        self.read(move |txn| {
            let table = txn.open_table(inode::INODES)?;
            inodes.iter().map(|inode| inode::keys(&table, *inode)).collect()
        })
        .await
    }

    async fn condemned(&self, after: u64, most: usize) -> Result<Vec<Condemned>, Fault> {
        self.read(move |txn| condemned::page(&txn.open_table(condemned::CONDEMNED)?, after, most)).await
    }

    async fn intents(&self) -> Result<Vec<Intent>, Fault> {
        self.read(|txn| {
            let table = txn.open_table(record::INTENTS)?;
            let rows = table.iter()?;
            rows.map(|row| {
                let (key, row) = row?;
                Ok(record::decode_intent(key.value(), row.value())?)
            })
            .collect()
        })
        .await
    }

    async fn tally(&self) -> Result<Tally, Fault> {
        self.read(tally).await
    }

    async fn window(&self, since: Stamp) -> Result<Window, Fault> {
        self.read(move |txn| {
            let present = meta::sums(&txn.open_table(meta::META)?)?.records;
            window::since(&txn.open_table(window::WINDOW)?, since, present)
        })
        .await
    }

    async fn spent(&self, since: Stamp) -> Result<(Tally, Window), Fault> {
        self.read(move |txn| {
            let tally = tally(txn)?;
            let window = window::since(&txn.open_table(window::WINDOW)?, since, tally.records)?;
            Ok((tally, window))
        })
        .await
    }

    async fn overwrites(&self, after: u64, most: usize) -> Result<Vec<Overwrite>, Fault> {
        self.read(move |txn| overwrites::page(&txn.open_table(overwrites::OVERWRITES)?, after, most)).await
    }

    async fn overwriting(&self, key: &Key, since: Stamp) -> Result<Overwriting, Fault> {
        let key = key.clone();
        self.read(move |txn| overwrites::judged(txn, &key, since)).await
    }

    async fn overwritten(&self, since: Stamp) -> Result<Window, Fault> {
        self.read(move |txn| overwrites::since(txn, since)).await
    }

    async fn binding(&self) -> Result<Option<Binding>, Fault> {
        self.read(|txn| meta::binding(&txn.open_table(meta::META)?)).await
    }

    async fn held(&self) -> Result<bool, Fault> {
        self.read(|txn| meta::held(&txn.open_table(meta::META)?)).await
    }

    async fn scrubbed(&self) -> Result<Option<Scrubbed>, Fault> {
        self.read(|txn| meta::scrubbed(&txn.open_table(meta::META)?)).await
    }

    async fn unsynced(&self) -> Result<Option<Stamp>, Fault> {
        self.read(|txn| meta::unsynced(&txn.open_table(meta::META)?)).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Seq, Fault> {
        let shared = Arc::clone(&self.0);
        self.run("write", move || {
            let seq = shared.with(|engine| {
                let txn = engine.begin_write()?;
                let seq = batch::apply(&txn, changes)?;
                txn.commit()?;
                Ok(seq)
            })?;
            shared.seq.fetch_max(seq, Ordering::AcqRel);
            Ok(seq)
        })
        .await
    }
}
