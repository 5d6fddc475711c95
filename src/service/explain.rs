//! What is known of one file from all sides, and what would be done about it: by the daemon for those who ask it, and by
//! `explain` itself where no daemon runs.

use super::{columns, proposal};
use crate::{
    config::{DeletePolicy, Mirror},
    engine,
    ledger::{Database, Ledger},
    local::{Directory, Tree},
    model::{
        Attributes, Class, Fault, Head, Instead, Key, Kind, Local, Record, RelPath, RemoteMeta, Said,
        Sameness, Skip, Stamp, Triple, Version,
    },
    plan::{Filter, Verdict, View, decide},
    service::assembly,
    store::{S3, Store, listed, patiently},
};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    time::{SystemTime, UNIX_EPOCH},
};

/// Condemned rows that are read at a time.
const PAGE: usize = 1000;

/// What is asked.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The disk.
    pub tree: &'a Directory,
    /// The bucket.
    pub store: &'a S3,
    /// The proofs; `None` if they cannot be asked for.
    pub ledger: Option<&'a Database>,
    /// How it is configured.
    pub mirror: &'a Mirror,
}

/// The answer. All texts are safe to print.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The file's name below the root,
    pub path: String,
    /// and its key below the prefix.
    pub key: String,
    /// The pattern that decides on it.
    pub rule: Option<Pattern>,
    /// It is no part of the mirror.
    pub left_out: bool,
    /// What the disk shows,
    pub disk: Side,
    /// the bucket,
    pub bucket: Side,
    /// and the ledger, of when they were last proven equal.
    pub ledger: Side,
    /// What would be done now: `nothing`, `put`, `copy`, `metadata`, `compare`, `delete`,
    pub verdict: String,
    /// and why.
    pub why: String,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// Versions in the bucket, the newest first; empty if it keeps none, or does not tell.
    pub versions: Vec<Kept>,
}

/// A pattern of `exclude`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// As it is configured,
    pub pattern: String,
    /// at this place of the list, from 1.
    pub number: usize,
    /// What it matches: the file, or a directory above it.
    pub entry: String,
    /// It excludes that; else it takes it back in.
    pub excludes: bool,
}

/// How one side shows a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// `file`, `directory`, `object`, `proof`, `nothing`, or why it cannot be told.
    pub is: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Last modification of the file.
    pub mtime: Option<String>,
    /// Type and permission bits.
    pub mode: Option<String>,
    /// Owner and group.
    pub owner: Option<String>,
    /// The object's tag.
    pub etag: Option<String>,
    /// Inode of the file.
    pub inode: Option<u64>,
}

/// A version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// When it came.
    pub modified: Option<String>,
    /// Bytes; `None` for a delete.
    pub size: Option<u64>,
    /// It is what is there.
    pub latest: bool,
}

/// An object, as far as it may be asked for.
struct Object {
    meta: Option<RemoteMeta>,
    head: Option<Head>,
    fault: Option<Fault>,
}

impl Known<'_> {
    /// Asks all sides.
    ///
    /// # Errors
    /// The root, the bucket or the ledger cannot be asked; no file has this key.
    pub async fn explain(&self, key: &Key) -> Result<Explanation, Fault> {
        let none = || Fault::new(Class::Changed, format!("explain {key}"), "no file can have this name");
        let path = key.path().ok_or_else(none)?;
        let look = async |key: &Key| {
            let local = self.tree.look(vec![key.clone()]).await?.pop();
            Ok::<_, Fault>(local.unwrap_or(Local::Unknown))
        };
        let as_file = look(key).await?;
        let instead = match &as_file {
            Local::Absent(absence) => absence.instead,
            _ => None,
        };
        // a link, or a directory, has a key of its own
        let key = &match instead {
            Some(Instead::Link) => Key::of_link(&path),
            Some(Instead::Directory) if self.mirror.directories => Key::directory(&path),
            None if matches!(as_file, Local::Absent(_)) => self.was(key, &path).await?,
            _ => key.clone(),
        };
        let local = if *key == Key::of(&path) && instead.is_none() { as_file } else { look(key).await? };
        let is_directory = instead == Some(Instead::Directory);
        let directory = is_directory || key.is_directory();
        let prune = assembly::prune(self.mirror);
        let object = self.object(key).await?;
        let record = match self.ledger {
            Some(ledger) => ledger.get(key).await?,
            None => None,
        };
        let left_out = prune.excludes(&path, directory) || prune.excludes_known(key, &local, record.as_ref());
        let mut notes = vec![];
        let (verdict, why) = match left_out {
            true => ("nothing".to_owned(), "it is excluded".to_owned()),
            false if directory && !key.is_directory() => {
                ("nothing".to_owned(), "a directory, and they are not stored".to_owned())
            }
            false => self.verdict(key, &local, &object, record.as_ref(), &mut notes).await?,
        };
        self.note(key, &object, record.as_ref(), &mut notes).await?;
        Ok(Explanation {
            path: path.to_string(),
            key: key.to_string(),
            rule: self.rule(&path, directory),
            left_out,
            disk: disk(&local, is_directory),
            bucket: bucket(&object),
            ledger: match (self.ledger, &record) {
                (None, _) => Side { is: "not at hand".to_owned(), ..Side::default() },
                (Some(_), None) => Side { is: "nothing".to_owned(), ..Side::default() },
                (Some(_), Some(record)) => proof(record),
            },
            verdict,
            why,
            notes,
            versions: self.versions(key).await,
        })
    }

    /// The key of what is gone: that of a file unless a link, or a directory, is known of that name, and no file.
    async fn was(&self, key: &Key, path: &RelPath) -> Result<Key, Fault> {
        for key in [key.clone(), Key::of_link(path), Key::directory(path)] {
            let proven = match self.ledger {
                Some(ledger) => ledger.get(&key).await?.is_some(),
                None => false,
            };
            if proven || listed(self.store, &key).await?.is_some() {
                return Ok(key);
            }
        }
        Ok(key.clone())
    }

    fn rule(&self, path: &RelPath, is_dir: bool) -> Option<Pattern> {
        // the configuration has checked the patterns
        let filter = Filter::new(&self.mirror.exclude).ok()?;
        let rule = filter.rule(path, is_dir)?;
        let pattern = self.mirror.exclude.get(rule.pattern)?;
        Some(Pattern {
            pattern: columns::escaped(pattern),
            number: rule.pattern + 1,
            entry: rule.entry.to_string(),
            excludes: rule.out,
        })
    }

    async fn object(&self, key: &Key) -> Result<Object, Fault> {
        let fault = match patiently(|| self.store.head(key)).await {
            Ok(head) => {
                let meta = head.as_ref().map(|head| head.meta.clone());
                return Ok(Object { meta, head, fault: None });
            }
            Err(fault) if matches!(fault.class, Class::Denied | Class::Permanent) => fault,
            Err(fault) => return Err(fault),
        };
        let meta = listed(self.store, key).await?;
        Ok(Object { meta, head: None, fault: Some(fault) })
    }

    /// What would be done, and why.
    async fn verdict(
        &self,
        key: &Key,
        local: &Local,
        object: &Object,
        record: Option<&Record>,
        notes: &mut Vec<String>,
    ) -> Result<(String, String), Fault> {
        let Some(ledger) = self.ledger else {
            return Ok(("unknown".to_owned(), "the ledger is not at hand".to_owned()));
        };
        let changed = proposal::other_root(self.tree, ledger).await?.is_some();
        if changed {
            notes.push("the root is another directory than the one that was mirrored".to_owned());
        }
        let root = if changed { Sameness::Changed } else { Sameness::Same };
        let kin = match local {
            Local::Present(meta) if local.is_fresh(record) => engine::kin(ledger, key, meta.print).await?,
            _ => None,
        };
        let deletes = self.mirror.delete != DeletePolicy::Keep;
        let triple = Triple {
            key: key.clone(),
            local: local.clone(),
            remote: object.meta.clone(),
            record: record.cloned(),
            asked: ledger.now(),
            kin,
        };
        let told = |verdict: &str, why: &str| (verdict.to_owned(), why.to_owned());
        let grace = humantime::format_duration(self.mirror.delete_grace);
        Ok(match decide(&triple, View { root, deletes, keep: self.mirror.keep }) {
            Verdict::InSync => told("nothing", "both sides are proven equal"),
            Verdict::Leave => told("nothing", nothing(local, &triple, changed)),
            Verdict::Put(_, why) => told("put", why),
            Verdict::Copy(from) => ("copy".to_owned(), format!("it was {from} before")),
            Verdict::Metadata(why) => told("metadata", why),
            Verdict::Prove(why) => told("compare", why),
            Verdict::Condemn(_) => {
                let why = format!("the file is gone; the object goes if it is still so {grace} later");
                ("delete".to_owned(), why)
            }
            Verdict::Acquit => told("nothing", "the file is back: its object is not to be deleted any more"),
        })
    }

    /// What the ledger says besides, and whose the object is.
    async fn note(
        &self,
        key: &Key,
        object: &Object,
        record: Option<&Record>,
        notes: &mut Vec<String>,
    ) -> Result<(), Fault> {
        let Some(ledger) = self.ledger else { return Ok(()) };
        if let (Some(binding), Some(head)) = (ledger.binding().await?, &object.head) {
            let ours = head.own.as_deref() == Some(&*binding.mirror.own(&self.mirror.prefix, key));
            let adopted = record.is_some_and(|record| record.etag == head.meta.etag);
            notes.push(
                match (ours, adopted) {
                    (true, _) => "the object is ours",
                    (false, true) => "another tool wrote the object, and it was adopted",
                    (false, false) => {
                        "another tool wrote the object: it is foreign as long as there is no file"
                    }
                }
                .to_owned(),
            );
        }
        if let Some(record) = record {
            let flags = [
                (record.doubted, "a delete of the object was sent, and its answer was lost"),
                (record.metadata_due, "time, mode or owner are still to be written to the object"),
                (record.print.is_none(), "the file is to be read again when it is looked at"),
            ];
            notes.extend(flags.into_iter().filter(|(is, _)| *is).map(|(_, note)| note.to_owned()));
        }
        if record.is_some_and(|record| record.condemned) {
            notes.push(self.condemned(ledger, key).await?);
        }
        if let Some(row) = ledger.overwriting(key, now()).await?.row {
            let state = if row.approved { "released" } else { "held: see `s3mirrord approve`" };
            notes.push(format!("the replacement of the object is {state}"));
        }
        if ledger.foreign(key).await?.is_some() {
            notes.push("the object was found to be foreign".to_owned());
        }
        Ok(())
    }

    async fn condemned(&self, ledger: &Database, key: &Key) -> Result<String, Fault> {
        let held = ledger.held().await?;
        let mut after = 0;
        loop {
            let rows = ledger.condemned(after, PAGE).await?;
            if let Some(row) = rows.iter().find(|row| row.key == *key) {
                return Ok(match (row.approved, row.moved, held) {
                    (true, ..) => "the object is condemned, and its delete released",
                    (_, true, _) => "the object is condemned: its content lives on under another name",
                    (_, _, true) => "the object is condemned, and deletes are held: see `s3mirrord approve`",
                    _ => "the object is condemned: it goes when its grace is over",
                }
                .to_owned());
            }
            let Some(last) = rows.last() else { return Ok("the object is condemned".to_owned()) };
            after = last.row;
        }
    }

    /// The newest of a hundred or so; nothing if there is only what is there.
    async fn versions(&self, key: &Key) -> Vec<Kept> {
        let mut versions = match self.store.versions(key, None).await {
            Ok(page) => page.versions,
            Err(fault) => {
                tracing::debug!(%fault, "which versions there are is not known");
                return vec![];
            }
        };
        versions.retain(|(of, _)| of == key);
        if versions.iter().all(|(_, version)| &*version.id == "null") {
            return vec![];
        }
        versions.sort_by_key(|(_, version)| Reverse((version.latest, version.modified)));
        let kept = |(_, version): (Key, Version)| Kept {
            id: columns::escaped(&version.id),
            modified: Some(columns::time(version.modified)),
            size: version.object.map(|object| object.size),
            latest: version.latest,
        };
        versions.into_iter().map(kept).collect()
    }
}

/// Why nothing is done.
fn nothing(local: &Local, triple: &Triple, changed: bool) -> &'static str {
    match local {
        Local::Unknown => "it cannot be read, so nothing is known",
        Local::Skipped(Skip::Link) => "links are not stored",
        Local::Skipped(Skip::Special) => "special files are not stored",
        Local::Skipped(Skip::Mount) => "it is a mount point, or below one",
        Local::Skipped(Skip::Excluded) => "it is excluded",
        _ if changed => "another root is in the place of the one that was mirrored",
        Local::Present(_) => "an object with content is no directory's marker, and stays",
        Local::Absent(_) if triple.remote.is_none() => "neither side has it",
        _ => "objects of files that are gone are kept (`delete = \"keep\"`)",
    }
}

fn disk(local: &Local, directory: bool) -> Side {
    let is = match local {
        _ if directory => "directory",
        Local::Present(meta) if meta.attributes.kind() == Kind::Link => "link",
        Local::Present(meta) if meta.attributes.kind() == Kind::Special => "FIFO or device",
        Local::Present(_) => "file",
        Local::Absent(_) => "nothing",
        Local::Unknown => "cannot be read",
        Local::Skipped(Skip::Link) => "link",
        Local::Skipped(Skip::Special) => "special file",
        Local::Skipped(Skip::Mount) => "mount point",
        Local::Skipped(Skip::Excluded) => "excluded",
    };
    let mut side = Side { is: is.to_owned(), ..Side::default() };
    if let Local::Present(meta) = local {
        side.size = Some(meta.print.size);
        side.mtime = Some(columns::time(meta.print.mtime));
        side.inode = Some(meta.print.inode);
        let Attributes { mode, uid, gid } = meta.attributes;
        side.have(Said { mtime: None, mode: Some(mode), owner: Some((uid, gid)) });
    }
    side
}

fn bucket(object: &Object) -> Side {
    let is = match (&object.meta, &object.fault) {
        (_, Some(fault)) => columns::escaped(&format!("cannot be told: {fault}")),
        (Some(_), None) => "object".to_owned(),
        (None, None) => "nothing".to_owned(),
    };
    let mut side = Side { is, ..Side::default() };
    side.size = object.meta.as_ref().map(|meta| meta.size);
    side.etag = object.meta.as_ref().map(|meta| columns::escaped(&meta.etag.to_string()));
    side.mtime = object.head.as_ref().and_then(|head| head.mtime).map(columns::time);
    side.have(object.head.as_ref().map(Said::by).unwrap_or_default());
    side
}

fn proof(record: &Record) -> Side {
    let mut side = Side { is: "proof".to_owned(), ..Side::default() };
    side.size = Some(record.size);
    side.etag = Some(columns::escaped(&record.etag.to_string()));
    side.mtime = record.print.map(|print| columns::time(print.mtime));
    side.inode = record.print.map(|print| print.inode);
    side.have(Said::of(record));
    side
}

impl Side {
    fn have(&mut self, said: Said) {
        self.mode = said.mode.map(columns::rights);
        self.owner = said.owner.map(|(uid, gid)| format!("{uid}:{gid}"));
    }
}

fn now() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp { sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nsec: since.subsec_nanos() }
}
