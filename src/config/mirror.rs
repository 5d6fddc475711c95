//! One `[[mirror]]`: a directory and the prefix that is to equal it.

use super::{
    bandwidth,
    heartbeat::Heartbeat,
    hooks::Hooks,
    labels,
    limits::{Budget, DeletePolicy, Limits},
    names::{bucket, name, prefix, root},
    objects::{self, Rule},
    prices::Prices,
    problem::{Complaint, Shown},
    raw::{Given, Reader, Table},
    s3::{Layer, S3, store},
    schema::{OBJECTS, PRICES, S3 as S3_SHAPE},
    target::Target,
    trash::Trash,
};
use crate::{
    model::{Keep, ObjectOptions, Rates, RelPath},
    plan::Filter,
};
use std::{path::Path, path::PathBuf, time::Duration};

/// A directory and the prefix that is to equal it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Its name, unique: 1 to 64 of `A`–`Z`, `a`–`z`, `0`–`9`, `_`, `-`, `.`, not beginning with `.`.
    /// Its state lies in the directory of this name.
    pub name: String,
    /// The directory: absolute, no `..`; whether it exists is not known.
    pub root: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// Empty, or ends in `/`.
    pub prefix: String,
    /// Gitignore patterns that [`Filter::new`] takes.
    pub exclude: Vec<String>,
    /// Symbolic links are mirrored, as what they lead to.
    pub links: bool,
    /// FIFOs and devices are mirrored, each as an empty object.
    pub special_files: bool,
    /// Directories are mirrored, with mode, owner and time.
    pub directories: bool,
    /// What is kept of each beside its content.
    pub keep: Keep,
    /// With the names of owners.
    pub owner_names: bool,
    /// What becomes of objects whose file is gone.
    pub delete: DeletePolicy,
    /// Where they go before that, and objects before they are replaced.
    pub trash: Option<Trash>,
    /// How long a file must stay away before its object is deleted, 0 to 30 days.
    pub delete_grace: Duration,
    /// More deletes are held; `None`: they never are.
    pub max_delete: Option<Budget>,
    /// More files than this whose objects would be replaced are held; `None`: any number.
    pub max_overwrite: Option<Budget>,
    /// How long a file must rest before it is looked at, 0 to an hour.
    pub quiet: Duration,
    /// How long a file that does not rest waits at most, `quiet` to a day.
    pub longest: Duration,
    /// Time between scans of the disk against the ledger, a second to a year.
    pub rescan: Duration,
    /// Time between scans of disk, ledger and bucket, a second to a year.
    pub relist: Duration,
    /// In what time every object is proven again, a second to a year; `None`: it is not.
    pub scrub: Option<Duration>,
    /// By fetching it.
    pub scrub_fetch: bool,
    /// How often some files are restored and compared, a second to a year; `None`: they are not.
    pub drill: Option<Duration>,
    /// Pages of a listing that are asked for at the same time, 1 to 64.
    pub listers: usize,
    /// What its objects get beside bytes and metadata.
    pub options: ObjectOptions,
    /// What some of them get over that; later rules win.
    pub rules: Vec<Rule>,
    /// The requester pays, and we are the requester.
    pub requester_pays: bool,
    /// What is run before its files are read, and after.
    pub hooks: Hooks,
    /// Where it says that it is well; `None`: nowhere.
    pub heartbeat: Option<Heartbeat>,
    /// How much the daemon logs of it; `None`: as much as of all.
    pub log_level: Option<tracing::Level>,
    /// Bytes a second that it may send.
    pub bandwidth: Rates,
    /// How the store is reached.
    pub s3: S3,
    /// What it asks for.
    pub prices: Prices,
    /// Our own state, if it lies below `root`: never a part of the mirror.
    pub leave_out: Option<RelPath>,
}

/// What was read of one `[[mirror]]`, for the checks that compare it with the others.
pub(super) struct Draft {
    pub(super) name: Option<Given<String>>,
    pub(super) target: Option<Given<Target>>,
    pub(super) root: Option<Given<PathBuf>>,
    /// Where its trash is.
    pub(super) trash: Option<Given<Target>>,
    /// Whole, if nothing that must be there is missing.
    pub(super) mirror: Option<Mirror>,
}

impl Draft {
    /// Reads one `[[mirror]]`; `shared` is `[s3]` and `[prices]`, `credentials` where relative
    /// `credentials_file`s lie.
    pub(super) fn read(
        table: &Table<'_>,
        shared: (&Layer, &Prices),
        credentials: Option<&Path>,
        reader: &mut Reader<'_>,
    ) -> Self {
        let name = checked(table, "name", name, reader);
        let root = checked(table, "root", root, reader);
        let bucket = checked(table, "bucket", bucket, reader);
        let prefix = match table.get("prefix") {
            Some(_) => checked(table, "prefix", prefix, reader),
            None => Some(Given { at: table.at, value: String::new() }),
        };
        let exclude = patterns(table, "exclude", reader).unwrap_or_default();
        let limits = Limits::read(table, reader);
        let options = objects::read(table, reader);
        let rules = rules(table, reader);
        let links = table.boolean("links", reader).unwrap_or(true);
        let directories = table.boolean("directories", reader).unwrap_or(true);
        let special_files = table.boolean("special_files", reader).unwrap_or(false);
        let owner_names = table.boolean("owner_names", reader).unwrap_or(true);
        let keep = Keep {
            mtime: table.boolean("mtime", reader).unwrap_or(true),
            mode: table.boolean("mode", reader).unwrap_or(true),
            owner: table.boolean("owner", reader).unwrap_or(true),
            xattrs: table.boolean("xattrs", reader).unwrap_or(false),
            hard_links: table.boolean("hard_links", reader).unwrap_or(false),
        };
        let each = std::iter::once(&options).chain(rules.iter().map(|rule| &rule.options));
        let beside = each.filter_map(|options| options.metadata.as_deref()).map(labels::taken).max();
        if let (true, Some(Given { at, .. })) = (keep.xattrs, table.get("xattrs"))
            && beside.is_some_and(|beside| beside > labels::MOST_BESIDE_XATTRS)
        {
            let message = "`metadata` leaves no room for the extended attributes of `xattrs = true`";
            let remedy =
                format!("have its names and values take at most {} bytes", labels::MOST_BESIDE_XATTRS);
            reader.complain(at, Complaint::new(message, remedy));
        }
        let scrub_fetch = table.boolean("scrub_fetch", reader).unwrap_or(false);
        let requester_pays = table.boolean("requester_pays", reader).unwrap_or(false);
        let bandwidth = bandwidth::read(table, reader).unwrap_or_default();
        let hooks = Hooks::read(table, reader);
        let heartbeat = Heartbeat::read(table, reader);
        let log_level = log_level(table, reader);
        let own = table.table("s3", &S3_SHAPE, reader).map(|inner| Layer::read(&inner, reader));
        let s3 = own.unwrap_or_default().over(shared.0).resolve(credentials);
        let own = table.table("prices", &PRICES, reader);
        let prices = own.map_or_else(|| shared.1.clone(), |own| Prices::read(&own, shared.1, reader));

        let trash =
            prefix.as_ref().and_then(|mirror| Trash::read(table, limits.delete, &mirror.value, reader));
        let target = |at: Option<usize>, prefix: &str| {
            let value = Target {
                store: store(s3.endpoint_url.as_deref()),
                bucket: bucket.as_ref()?.value.clone(),
                prefix: prefix.to_owned(),
            };
            Some(Given { at, value })
        };
        let away = trash.as_ref().and_then(|trash| target(trash.at, &trash.value.prefix));
        let target = prefix.as_ref().and_then(|prefix| target(prefix.at, &prefix.value));
        let mirror = (|| {
            let (name, root, target) = (name.as_ref()?, root.as_ref()?, target.as_ref()?);
            let (name, root) = (name.value.clone(), root.value.clone());
            let mirror = Mirror::new(name, root, &target.value, exclude, limits, s3);
            let trash = trash.map(|trash| trash.value);
            let mirror =
                Mirror { links, directories, special_files, keep, scrub_fetch, trash, prices, ..mirror };
            Some(Mirror {
                options,
                owner_names,
                rules,
                requester_pays,
                hooks,
                heartbeat,
                log_level,
                bandwidth,
                ..mirror
            })
        })();
        Self { name, target, root, trash: away, mirror }
    }
}

impl Mirror {
    /// At the usual prices.
    pub(super) fn new(
        name: String,
        root: PathBuf,
        target: &Target,
        exclude: Vec<String>,
        limits: Limits,
        s3: S3,
    ) -> Self {
        Self {
            name,
            root,
            bucket: target.bucket.clone(),
            prefix: target.prefix.clone(),
            exclude,
            links: true,
            special_files: false,
            directories: true,
            keep: Keep::default(),
            owner_names: true,
            delete: limits.delete,
            trash: None,
            delete_grace: limits.delete_grace,
            max_delete: limits.max_delete,
            max_overwrite: limits.max_overwrite,
            quiet: limits.quiet,
            longest: limits.longest,
            rescan: limits.rescan,
            relist: limits.relist,
            scrub: limits.scrub,
            scrub_fetch: false,
            drill: limits.drill,
            listers: limits.listers,
            options: ObjectOptions::default(),
            rules: Vec::new(),
            requester_pays: false,
            hooks: Hooks::default(),
            heartbeat: None,
            log_level: None,
            bandwidth: Rates::default(),
            s3,
            prices: Prices::default(),
            leave_out: None,
        }
    }
}

/// `log_level`.
fn log_level(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<tracing::Level> {
    const KEY: &str = "log_level";
    let given = table.text(KEY, reader)?;
    let level = match given.value {
        "error" => tracing::Level::ERROR,
        "warn" => tracing::Level::WARN,
        "info" => tracing::Level::INFO,
        "debug" => tracing::Level::DEBUG,
        "trace" => tracing::Level::TRACE,
        other => {
            let message = format!("`{KEY} = {}` is none", Shown(other));
            let remedy = "write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
            reader.complain(given.at, Complaint::new(message, remedy));
            return None;
        }
    };
    Some(level)
}

/// A text that must be there and pass its check.
fn checked<T>(
    table: &Table<'_>,
    key: &str,
    check: impl FnOnce(&str) -> Result<T, Complaint>,
    reader: &mut Reader<'_>,
) -> Option<Given<T>> {
    let text = table.text(key, reader);
    let given = table.required(key, text, reader)?;
    Some(Given { at: given.at, value: reader.check(given.at, check(given.value))? })
}

/// Every `[[mirror.objects]]`.
fn rules(table: &Table<'_>, reader: &mut Reader<'_>) -> Vec<Rule> {
    let tables = table.tables("objects", &OBJECTS, reader).unwrap_or_default();
    tables
        .iter()
        .filter_map(|table| {
            let patterns = patterns(table, "match", reader);
            let patterns = table.required("match", patterns, reader);
            let options = objects::read(table, reader);
            let idle = |what, remedy| Complaint::new(format!("{} {what}", table.shape.place()), remedy);
            if patterns.as_ref().is_some_and(Vec::is_empty) {
                reader
                    .complain(table.at, idle("matches nothing", "write match = [\"*.html\", \"/static/\"]"));
            }
            if table.is_bare("match") {
                let remedy = "write what these objects get, as in storage_class = \"STANDARD\"";
                reader.complain(table.at, idle("says nothing of its objects", remedy));
            }
            Some(Rule { patterns: patterns?, options })
        })
        .collect()
}

/// A list of gitignore patterns.
fn patterns(table: &Table<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let given = table.texts(key, reader)?;
    let patterns: Vec<String> = given.iter().map(|pattern| pattern.value.to_owned()).collect();
    for (at, why) in Filter::new(&patterns).err().unwrap_or_default() {
        let message = format!("the pattern {} cannot work: {why}", Shown(&patterns[at]));
        let remedy = "write it as in a .gitignore file, with `\\` before what is meant as it stands";
        reader.complain(given[at].at, Complaint::new(message, remedy));
    }
    Some(patterns)
}
