//! `ls`: what the bucket holds of a mirror.

use super::{
    Common, Exit, Failure,
    lines::path_of,
    paint::{Paint, Tone},
    print::{ended, json, print},
    sums::requests,
    which,
};
use crate::{
    config::Config,
    model::{Class, Fault, Head, Key, RelPath, RemoteMeta, Said},
    service::{
        assembly::{self, Commons},
        columns::{escaped, rights, time},
        telemetry,
    },
    store::{Depth, Page, S3, Start, Store, listed, patiently},
};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf};
use tracing::Instrument;

/// Objects that are asked for at the same time.
const ABREAST: usize = 32;

/// The words of `ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord ls                                 what lies at the top of the only mirror
  s3mirrord ls --mirror www -l docs/           with mode, owner and time of each file
  s3mirrord ls --mirror www -R --json | jq -r 'select(.event == \"object\") | .path'

It asks the bucket alone, by listing; with --long each object by HEAD, too. Control characters in names are escaped.

Exit codes: 0, 1 the bucket has nothing of that name, 2 usage or configuration, 3 store or credentials.")]
pub(super) struct Args {
    /// Which mirror of the configuration
    #[arg(long, value_name = "NAME", value_hint = clap::ValueHint::Other)]
    mirror: Option<String>,
    /// Tell mode, owner and time of each file: a HEAD each
    #[arg(short, long)]
    long: bool,
    /// All that is below, and not only the entries of the directory
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    json: bool,
    /// A file or a directory, as it is named below the root [default: the root]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
}

/// What is listed.
enum Row {
    Object(Key, RemoteMeta),
    /// With its `/`.
    Directory(Key),
}

impl Row {
    fn key(&self) -> &Key {
        let (Self::Object(key, _) | Self::Directory(key)) = self;
        key
    }
}

/// As scripts read it.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    mirror: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// When the object was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
}

#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    mirror: &'a str,
    objects: u64,
    directories: u64,
    bytes: u64,
    requests: &'a BTreeMap<String, u64>,
    exit: u8,
}

/// Lists.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let mut config = Config::load(&common.config)?;
    which::one(&mut config, args.mirror.as_deref(), args.path.as_slice(), &common.config)?;
    let mirror = &config.mirrors[0];
    let path = args.path.as_ref().map_or(Ok(RelPath::root()), |path| which::below(&mirror.root, path))?;
    let listing = async {
        let store = assembly::store(&Commons::new(&config), mirror).await?;
        let (paint, sums) = (Paint::stdout(), (0, 0, 0));
        let mut ls = Ls { args: &args, mirror: &mirror.name, store, paint, sums, marked: false };
        ls.list(&path).await?;
        let (objects, directories, bytes) = ls.sums;
        let none = objects + directories == 0 && !ls.marked && !path.is_root();
        let exit = if none { Exit::Some } else { Exit::InSync };
        let sent = ls.store.requests();
        if args.json {
            print(&json(&Summary {
                event: "summary",
                mirror: &mirror.name,
                objects,
                directories,
                bytes,
                requests: &sent,
                exit: exit.code(),
            }));
        } else if common.verbose > common.quiet {
            let (files, bytes) = (HumanCount(objects), HumanBytes(bytes));
            print(&format!("{files} objects, {bytes}\n  requests: {}", requests(&sent)));
        }
        if exit == Exit::Some {
            tracing::error!("the bucket has nothing named {path}");
        }
        Ok::<_, Failure>(exit)
    };
    listing.instrument(telemetry::about(&mirror.name)).await
}

struct Ls<'a> {
    args: &'a Args,
    mirror: &'a str,
    store: S3,
    paint: Paint,
    /// Objects, directories, bytes.
    sums: (u64, u64, u64),
    /// The directory itself is there, whatever is in it.
    marked: bool,
}

impl Ls<'_> {
    async fn list(&mut self, path: &RelPath) -> Result<(), Fault> {
        let (itself, below) = (Key::of(path), Key::directory(path));
        if itself != below {
            // what has this very name comes first
            let mut own = vec![];
            for key in [itself, Key::of_link(path)] {
                own.extend(listed(&self.store, &key).await?.map(|meta| Row::Object(key, meta)));
            }
            self.show(own, path.parent()).await?;
        }
        let depth = if self.args.recursive { Depth::All } else { Depth::Children };
        let mut start = Start::First;
        while !ended() {
            let page = self.page(&below, depth, start).await?;
            let row = |(key, meta): (Key, RemoteMeta)| match meta.size == 0 && key.is_directory_marker() {
                true => Row::Directory(key),
                false => Row::Object(key, meta),
            };
            let mut rows: Vec<_> = page.objects.into_iter().map(row).collect();
            rows.extend(page.directories.into_iter().map(Row::Directory));
            // the directory's own marker is the directory
            self.marked |= rows.iter().any(|row| *row.key() == below);
            rows.retain(|row| !row.key().is_reserved() && *row.key() != below);
            rows.sort_by(|a, b| a.key().cmp(b.key()));
            self.show(rows, Some(path.clone())).await?;
            match page.next {
                Some(token) => start = Start::Token(token),
                None => break,
            }
        }
        Ok(())
    }

    async fn page(&self, prefix: &Key, depth: Depth, start: Start) -> Result<Page, Fault> {
        patiently(|| self.store.list(prefix, depth, start.clone())).await
    }

    /// Shows rows, as they are named below `dir`.
    async fn show(&mut self, rows: Vec<Row>, dir: Option<RelPath>) -> Result<(), Fault> {
        let below = Key::directory(&dir.unwrap_or_else(RelPath::root));
        let store = &self.store;
        let long = self.args.long;
        let looked = stream::iter(rows).map(|row| async move {
            let head = if long { look(store, row.key()).await? } else { None };
            Ok::<_, Fault>((row, head))
        });
        let looked: Vec<_> = looked.buffered(ABREAST).try_collect().await?;
        for (row, head) in looked {
            match &row {
                Row::Object(_, meta) => {
                    self.sums.0 += 1;
                    self.sums.2 += meta.size;
                }
                Row::Directory(_) => self.sums.1 += 1,
            }
            print(&if self.args.json { self.told(&row, head) } else { self.line(&row, head, &below) });
        }
        Ok(())
    }

    fn told(&self, row: &Row, head: Option<Head>) -> String {
        let (path, path_b64) = path_of(row.key());
        let (event, meta) = match row {
            Row::Object(_, meta) => ("object", Some(meta)),
            Row::Directory(_) => ("directory", None),
        };
        let said = head.as_ref().map(Said::by).unwrap_or_default();
        json(&Told {
            event,
            mirror: self.mirror,
            path,
            path_b64,
            size: meta.map(|meta| meta.size),
            etag: meta.map(|meta| meta.etag.to_string()),
            modified: meta.and_then(|meta| meta.modified).map(time),
            mtime: said.mtime.map(time),
            mode: said.mode.map(|mode| format!("{mode:o}")),
            uid: said.owner.map(|(uid, _)| uid),
            gid: said.owner.map(|(_, gid)| gid),
        })
    }

    fn line(&self, row: &Row, head: Option<Head>, below: &Key) -> String {
        let name = named(row.key(), below);
        let (size, name) = match row {
            Row::Object(_, meta) => (meta.size.to_string(), name),
            Row::Directory(_) => ("-".to_owned(), self.paint.with(Tone::Strong, name).to_string()),
        };
        if !self.args.long {
            return format!("{size:>14}  {name}");
        }
        let said = head.as_ref().map(Said::by).unwrap_or_default();
        let mode = said.mode.map_or("?".to_owned(), rights);
        let owner = said.owner.map_or("?".to_owned(), |(uid, gid)| format!("{uid}:{gid}"));
        let mtime = said.mtime.map_or("?".to_owned(), time);
        format!("{mode:<10}  {owner:<11}  {size:>14}  {mtime:<30}  {name}")
    }
}

/// What HEAD tells; nothing of what is not there, such as a directory without a marker, or cannot be asked for.
async fn look(store: &S3, key: &Key) -> Result<Option<Head>, Fault> {
    match patiently(|| store.head(key)).await {
        Err(fault) if matches!(fault.class, Class::Denied | Class::Permanent) => {
            tracing::warn!("{fault}");
            Ok(None)
        }
        head => head,
    }
}

/// The name below a directory, safe to print; of a key that no file can have the key itself.
fn named(key: &Key, below: &Key) -> String {
    let text = key.as_str().strip_prefix(below.as_str()).unwrap_or(key.as_str());
    let (name, slash) = text.strip_suffix('/').map_or((text, ""), |name| (name, "/"));
    let told = Key::raw(name).path().map_or_else(|| escaped(name), |path| path.to_string());
    told + slash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_below_their_directory() {
        for (key, below, want) in [
            ("a", "", "a"),
            ("d/a", "d/", "a"),
            ("d/e/a", "d/", "e/a"),
            ("d/", "", "d/"),
            ("\u{201B}FF", "", "\u{FFFD}"),
            ("a\u{1b}[31m", "", "a\\u{1b}[31m"),
            ("a//b\n", "", "a//b\\n"),
        ] {
            assert_eq!(named(&Key::raw(key), &Key::raw(below)), want, "{key:?}");
        }
    }
}
