//! The restore drill: now and then some files, picked at random, are restored from the bucket to a directory of ours, and held
//! against those on disk. A backup that nobody has restored is a hope.

use super::assembly::Sides;
use crate::{
    config::Mirror,
    ledger::{Database, Ledger},
    local::{CHUNK, Directory, File, Kinds, Target, Tree},
    model::{Class, Fault, Key, KeyRange, Kind, Local, LocalMeta, Record, RelPath, Source},
    plan::Replace,
    restore::{self, Ending, Live},
    store::S3,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{runtime::Handle, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// So many files at the most,
const FILES: usize = 20;
/// and no more bytes of them together.
const BYTES: u64 = 256 << 20;
/// What the restore may hold.
const MEMORY: u64 = 16 << 20;
/// Rows of the ledger that are read together.
const PAGE: usize = 1000;
/// The pause after one that could not be done.
const AGAIN: Duration = Duration::from_secs(3600);
/// Where it is remembered, and where files are restored to, in the state of the mirror.
const MEMO: &str = "drilled.json";
const SCRATCH: &str = "drill";

/// What the last drill came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drilled {
    /// When it was, in seconds since 1970.
    pub at: i64,
    /// Files that came back as they are on disk,
    pub files: u64,
    /// and their bytes.
    pub bytes: u64,
    /// Files that did not.
    pub failed: u64,
    /// When the last one without a failure was, in seconds since 1970.
    pub success: Option<i64>,
}

/// What is told of a mirror's drills. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<Option<Drilled>>>);

impl Told {
    /// The last one.
    pub fn last(&self) -> Option<Drilled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, drilled: Drilled) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(drilled);
    }
}

/// Drills again and again, for good: the first when one is due, by what is remembered in `state`.
pub async fn regularly(sides: Sides, mirror: Mirror, state: PathBuf, every: Duration, told: Told) {
    let memo = state.join(MEMO);
    let known = std::fs::read(&memo).ok().and_then(|text| serde_json::from_slice::<Drilled>(&text).ok());
    let since = known.as_ref().map_or(Duration::ZERO, |known| {
        every.saturating_sub(Duration::from_secs(now().saturating_sub(known.at).unsigned_abs()))
    });
    let mut success = known.as_ref().and_then(|known| known.success);
    known.into_iter().for_each(|known| told.tell(known));
    // not beside the first comparison
    let mut pause = since.max(every.min(Duration::from_secs(60)));
    loop {
        tokio::time::sleep(pause).await;
        pause = every;
        match drill(&sides, &mirror, &state.join(SCRATCH)).await {
            Ok(drilled) => {
                let ok = drilled.failed == 0 && drilled.files > 0;
                success = if ok { Some(drilled.at) } else { success };
                let drilled = Drilled { success, ..drilled };
                let (files, failed) = (drilled.files, drilled.failed);
                match failed {
                    0 => tracing::info!(
                        files,
                        bytes = drilled.bytes,
                        "a restore drill: files came back as they are"
                    ),
                    _ => tracing::error!(
                        files,
                        failed,
                        "a restore drill: some files did not come back as they are"
                    ),
                }
                if let Err(error) = serde_json::to_vec(&drilled)
                    .map_err(Into::into)
                    .and_then(|text| std::fs::write(&memo, text))
                {
                    tracing::warn!(%error, "what the drill came to is not remembered");
                }
                told.tell(drilled);
            }
            Err(fault) => {
                pause = every.min(AGAIN);
                let wait = humantime::format_duration(pause);
                tracing::warn!(%fault, "a restore drill could not be done; trying again in {wait}");
            }
        }
    }
}

async fn drill(sides: &Sides, mirror: &Mirror, scratch: &Path) -> Result<Drilled, Fault> {
    clear(scratch)?;
    let drilled = compare(sides, mirror, scratch).await;
    // whatever it came to, nothing is left
    clear(scratch)?;
    drilled
}

fn clear(scratch: &Path) -> Result<(), Fault> {
    match std::fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::new(Class::Transient, format!("clear {}", scratch.display()), error))
        }
        _ => Ok(()),
    }
}

/// Restores some files to `scratch`, and holds them against those on disk.
async fn compare(sides: &Sides, mirror: &Mirror, scratch: &Path) -> Result<Drilled, Fault> {
    let (tree, store, ledger) = sides;
    let sample = sample(ledger).await?;
    // what changed since says nothing of the bucket
    let there = tree.look(sample.iter().map(|(key, _)| key.clone()).collect()).await?;
    let rest = sample.into_iter().zip(there).filter(|((_, record), local)| is_proven(local, record));
    let sample: Vec<_> = rest.map(|(row, _)| row).collect();
    let paths: Vec<_> = sample.iter().filter_map(|(key, _)| key.place()).collect();
    if paths.is_empty() {
        return Err(Fault::new(Class::Transient, "drill", "there is no file yet that is proven and rests"));
    }
    let mut failed = bring(store.clone(), scratch.to_owned(), paths).await?;
    let restored = Directory::new(
        scratch,
        Kinds {
            links: mirror.links,
            directories: mirror.directories,
            nodes: mirror.special_files,
            keep: mirror.keep,
            owner_names: mirror.owner_names,
        },
    )?;
    let mut drilled = Drilled { at: now(), ..Drilled::default() };
    for (key, record) in sample {
        match unlike(tree, &restored, &key, &record, failed.remove(&key)).await {
            Ok(None) => {
                drilled.files += 1;
                drilled.bytes += record.size;
            }
            Ok(Some(why)) => {
                tracing::error!(key = %key, "it did not come back as it is: {why}");
                drilled.failed += 1;
            }
            // it is not what was stored any more
            Err(fault) if matches!(fault.class, Class::Changed | Class::Missing) => {}
            Err(fault) => {
                tracing::warn!(key = %key, %fault, "a restore drill leaves out what it cannot read on disk");
            }
        }
    }
    Ok(drilled)
}

/// True if what is on disk is what was proven.
fn is_proven(local: &Local, record: &Record) -> bool {
    matches!(local, Local::Present(meta) if record.print == Some(meta.print))
}

/// Restores these; what failed of them. On a thread of its own: a restore is not to be moved from one to another. It ends with
/// whoever waits for it.
async fn bring(store: S3, scratch: PathBuf, paths: Vec<RelPath>) -> Result<BTreeMap<Key, String>, Fault> {
    let stop = CancellationToken::new();
    let _ends = stop.clone().drop_guard();
    let (runtime, span) = (Handle::current(), Span::current());
    let done =
        spawn_blocking(move || span.in_scope(|| runtime.block_on(fetch(&store, &scratch, paths, &stop))))
            .await;
    done.unwrap_or_else(|ended| Err(Fault::new(Class::Transient, "restore", ended)))
}

async fn fetch(
    store: &S3,
    scratch: &Path,
    paths: Vec<RelPath>,
    stop: &CancellationToken,
) -> Result<BTreeMap<Key, String>, Fault> {
    let options = restore::Options {
        replace: Replace::Always,
        paths,
        // what is below the name of a file was picked by nobody
        alone: true,
        memory: MEMORY,
        ..restore::Options::default()
    };
    let (target, failed) = (Target::open(scratch, true)?, RefCell::new(BTreeMap::new()));
    let tell = |event: restore::Event| {
        if let Ending::Failed(fault) = event.ending {
            failed.borrow_mut().insert(event.key, fault.to_string());
        }
    };
    restore::run(store, &target, &options, &Live::default(), stop, tell).await?;
    Ok(failed.into_inner())
}

/// Files that are proven and rest, each as likely as the other.
async fn sample(ledger: &Database) -> Result<Vec<(Key, Record)>, Fault> {
    let (mut sample, mut seen, mut from) = (vec![], 0, None);
    let everything = KeyRange::Under(Key::raw(""));
    loop {
        let mut rows = ledger.page(&everything, from.take(), PAGE + 1).await?;
        let next = if rows.len() > PAGE { rows.pop().map(|(key, _)| key) } else { None };
        let fits = |(key, record): &(Key, Record)| {
            // without rights no device is made
            let is_node = record.kind() == Some(Kind::Special);
            !key.is_directory()
                && !is_node
                && record.print.is_some()
                && record.size <= BYTES / 4
                && !record.metadata_due
        };
        for row in rows.into_iter().filter(fits) {
            seen += 1;
            let at = fastrand::usize(..seen);
            match sample.len() {
                full if full == FILES && at < FILES => sample[at] = row,
                full if full == FILES => {}
                _ => sample.push(row),
            }
        }
        match next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    let mut bytes = 0;
    sample.retain(|(_, record): &(Key, Record)| {
        bytes += record.size;
        bytes <= BYTES
    });
    Ok(sample)
}

/// In what the restored file differs from the one on disk, or why it was not restored; `None` if in nothing.
///
/// # Errors
/// The one on disk cannot be read; `Changed` if it is not what was proven any more.
async fn unlike(
    tree: &Directory,
    restored: &Directory,
    key: &Key,
    record: &Record,
    failed: Option<String>,
) -> Result<Option<String>, Fault> {
    let why = match failed {
        Some(why) => Some(why),
        None => differs(&tree.open(key).await?, restored, key, record).await?,
    };
    let rests = match why {
        Some(_) => tree.look(vec![key.clone()]).await?.iter().all(|local| is_proven(local, record)),
        None => true,
    };
    match rests {
        true => Ok(why),
        false => Err(Fault::new(Class::Changed, format!("compare {key}"), "it changed")),
    }
}

async fn differs(
    here: &File,
    restored: &Directory,
    key: &Key,
    record: &Record,
) -> Result<Option<String>, Fault> {
    let mine = here.stat().await?;
    let there = match restored.open(key).await {
        Ok(there) => there,
        Err(fault) => return Ok(Some(fault.to_string())),
    };
    let its = match there.stat().await {
        Ok(its) => its,
        Err(fault) => return Ok(Some(fault.to_string())),
    };
    // of both the content is what a link leads to
    if mine.attributes.kind() != its.attributes.kind() {
        let word = |meta: &LocalMeta| if meta.attributes.kind() == Kind::Link { "link" } else { "file" };
        return Ok(Some(format!("a {} instead of a {}", word(&its), word(&mine))));
    }
    if mine.print.size != its.print.size {
        return Ok(Some(format!("{} bytes instead of {}", its.print.size, mine.print.size)));
    }
    for at in (0..mine.print.size).step_by(CHUNK) {
        let came = match there.read_at(at, CHUNK).await {
            Ok(came) => came,
            Err(fault) => return Ok(Some(fault.to_string())),
        };
        if here.read_at(at, CHUNK).await? != came {
            return Ok(Some(format!("other bytes from about {at} on")));
        }
    }
    let bits = |mode: u32| mode & 0o777;
    // what was not kept comes back otherwise
    let kept = record.kept.looked;
    if kept.mode
        && mine.attributes.kind() != Kind::Link
        && bits(mine.attributes.mode) != bits(its.attributes.mode)
    {
        return Ok(Some(format!(
            "mode {:o} instead of {:o}",
            bits(its.attributes.mode),
            bits(mine.attributes.mode)
        )));
    }
    let differs = kept.mtime && mine.print.mtime != its.print.mtime;
    Ok(differs.then(|| "another time of modification".to_owned()))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Keep, Kept};

    #[tokio::test]
    async fn what_changed_meanwhile_is_no_failure_of_a_drill() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let [here, there] = dirs.each_ref().map(|dir| dir.path().join("a"));
        for path in [&here, &there] {
            std::fs::write(path, "x").expect("write");
        }
        let [tree, restored] = dirs.each_ref().map(|dir| Directory::new(dir.path(), Kinds::default()));
        let (tree, restored) = (tree.expect("a root"), restored.expect("a root"));
        let key = Key::raw("a");
        let Some(Local::Present(meta)) = tree.look(vec![key.clone()]).await.expect("a look").pop() else {
            panic!("it is there");
        };
        let record = Record {
            print: Some(meta.print),
            kept: Kept { looked: Keep { mtime: false, ..Keep::default() }, digest: 0 },
            ..Record::bare(1, "e")
        };
        let ask = async |failed: Option<&str>| {
            unlike(&tree, &restored, &key, &record, failed.map(str::to_owned)).await.map_err(|f| f.class)
        };
        assert_eq!(ask(None).await, Ok(None));
        assert_eq!(ask(Some("it broke off")).await, Ok(Some("it broke off".to_owned())));
        std::fs::write(&there, "y").expect("write");
        assert!(matches!(ask(None).await, Ok(Some(_))), "other bytes");
        std::fs::write(&here, "other").expect("write");
        for failed in [None, Some("it broke off")] {
            assert_eq!(ask(failed).await, Err(Class::Changed), "{failed:?}");
        }
        std::fs::remove_file(&here).expect("remove");
        for (failed, class) in [(None, Class::Missing), (Some("it broke off"), Class::Changed)] {
            assert_eq!(ask(failed).await, Err(class), "{failed:?}");
        }
    }
}
