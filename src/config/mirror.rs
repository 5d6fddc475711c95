//! One `[[mirror]]`: a directory and the prefix that is to equal it.

use super::{
    bandwidth,
    heartbeat::Heartbeat,
    hooks::Hooks,
    labels,
    limits::{Budget, DeletePolicy, Limits},
    objects::{self, Rule},
    prices::Prices,
    problem::{Complaint, Shown},
    raw::{Given, Reader, Table},
    s3::{Layer, S3, absolute, store},
    schema::{OBJECTS, PRICES, S3 as S3_SHAPE},
    trash::Trash,
};
use crate::{
    model::{Keep, MAX_KEY_BYTES, ObjectOptions, Rates, RelPath},
    plan::Filter,
};
use std::{fs, path::Path, path::PathBuf, time::Duration};

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

/// Where it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) store: String,
    pub(super) bucket: String,
    pub(super) prefix: String,
}

impl Target {
    /// True if an object of one could be an object of the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.store == other.store
            && self.bucket == other.bucket
            && (self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix))
    }
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
            let mirror = Mirror { links, directories, keep, scrub_fetch, trash, prices, options, ..mirror };
            Some(Mirror { owner_names, rules, requester_pays, hooks, heartbeat, bandwidth, ..mirror })
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
            bandwidth: Rates::default(),
            s3,
            prices: Prices::default(),
            leave_out: None,
        }
    }
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

fn name(text: &str) -> Result<String, Complaint> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.') {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("`name = {}` cannot name a directory of state", Shown(text)),
        "write 1 to 64 of A-Z a-z 0-9 _ - . and begin with none of the dots",
    ))
}

/// A root, which is no link. One that is missing, or cannot be looked at, is told when it is mirrored.
pub(super) fn root(text: &str) -> Result<PathBuf, Complaint> {
    let path = absolute("root", text)?;
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
        return Ok(path);
    }
    let message = format!("`root = {}` is a link", Shown(text));
    Err(match fs::canonicalize(&path).or_else(|_| fs::read_link(&path)) {
        Ok(target) => Complaint::new(message, format!("write where it leads: root = {target:?}")),
        Err(_) => Complaint::new(message, "write where it leads"),
    })
}

pub(super) fn bucket(text: &str) -> Result<String, Complaint> {
    if let Some((bucket, prefix)) =
        text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
    {
        return Err(Complaint::new(
            format!("`bucket = {}` is a URL", Shown(text)),
            format!("write bucket = {} and prefix = {}", Shown(bucket), Shown(prefix)),
        ));
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let shape = (3..=63).contains(&text.len()) && text.bytes().all(plain) && !text.contains("..");
    let address = text.parse::<std::net::Ipv4Addr>().is_ok();
    if shape && edge(bytes.first()) && edge(bytes.last()) && !address {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("`bucket = {}` is not a bucket's name", Shown(text)),
        "write 3 to 63 of a-z 0-9 - . with a letter or digit at both ends",
    ))
}

/// What the keys of a mirror begin with: room is left for the names of files, and for our own record beside them.
pub(super) fn prefix(text: &str) -> Result<String, Complaint> {
    prefix_of("prefix", text, MAX_KEY_BYTES - 64)
}

/// A prefix of at most so many bytes: empty, or ending in `/`.
pub(super) fn prefix_of(key: &str, text: &str, most: usize) -> Result<String, Complaint> {
    let wrong =
        |what: &str, remedy: String| Err(Complaint::new(format!("`{key} = {}` {what}", Shown(text)), remedy));
    let plain: Vec<_> =
        text.split('/').filter(|part| !matches!(*part, "" | "." | ".." | ".s3mirrord")).collect();
    let meant = plain.join("/") + if plain.is_empty() { "" } else { "/" };
    if text.chars().any(char::is_control) {
        return wrong("holds a control character", "take it out".to_owned());
    }
    if text.starts_with('/') {
        return wrong("begins with `/`", format!("keys do not: {key} = {}", Shown(&meant)));
    }
    let body = text.strip_suffix('/').unwrap_or(text);
    if !body.is_empty() && body.split('/').any(|part| matches!(part, "" | "." | ".." | ".s3mirrord")) {
        return wrong(
            "has an empty, `.`, `..` or `.s3mirrord` part",
            format!("write {key} = {}", Shown(&meant)),
        );
    }
    if text.len() > most {
        return wrong("leaves no room for names", format!("write at most {most} bytes"));
    }
    Ok(if body.is_empty() { String::new() } else { format!("{body}/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_in_a_slash() {
        for (text, want) in [
            ("", Ok("")),
            ("a", Ok("a/")),
            ("web-1/www/", Ok("web-1/www/")),
            ("a b/é", Ok("a b/é/")),
            ("/a", Err("prefix = \"a/\"")),
            ("/", Err("prefix = \"\"")),
            ("a//b", Err("prefix = \"a/b/\"")),
            ("a//", Err("prefix = \"a/\"")),
            ("a/../b", Err("prefix = \"a/b/\"")),
            ("a/.s3mirrord/", Err("prefix = \"a/\"")),
            ("a\nb", Err("take it out")),
            (&"x".repeat(961), Err("at most 960")),
        ] {
            match (prefix(text), want) {
                (Ok(got), want) => assert_eq!(Ok(&*got), want, "{text:?}"),
                (Err(c), Err(says)) => assert!(c.remedy.contains(says), "{text:?}: {c:?}"),
                (Err(c), Ok(_)) => panic!("{text:?}: {c:?}"),
            }
        }
    }

    #[test]
    fn names_and_buckets_are_plain() {
        for (text, good) in
            [("www", true), ("A_b-c.9", true), ("", false), (".x", false), ("a/b", false), ("é", false)]
        {
            assert_eq!(name(text).is_ok(), good, "{text:?}");
        }
        assert!(name(&"x".repeat(64)).is_ok() && name(&"x".repeat(65)).is_err());
        for (text, good) in [
            ("backups", true),
            ("a.b-9", true),
            ("ab", false),
            ("Backups", false),
            ("a_b", false),
            ("-ab", false),
            ("ab.", false),
            ("a..b", false),
            ("10.0.0.1", false),
            ("arn:aws:s3:::x", false),
        ] {
            assert_eq!(bucket(text).is_ok(), good, "{text:?}");
        }
        let url = bucket("s3://b/p/q").expect_err("a URL");
        assert_eq!(url.remedy, "write bucket = \"b\" and prefix = \"p/q\"");
    }

    #[test]
    fn c63_targets_overlap_when_one_could_hold_the_others_keys() {
        let at = |store: &str, prefix: &str| Target {
            store: store.to_owned(),
            bucket: "b".to_owned(),
            prefix: prefix.to_owned(),
        };
        for (a, b, want) in [
            ("a/", "a/", true),
            ("a/", "a/b/", true),
            ("", "a/", true),
            ("a/", "ab/", false),
            ("a/", "b/", false),
        ] {
            assert_eq!(at("x", a).overlaps(&at("x", b)), want, "{a} {b}");
            assert_eq!(at("x", b).overlaps(&at("x", a)), want, "{b} {a}");
            assert!(!at("x", a).overlaps(&at("y", b)));
        }
    }

    #[test]
    fn a_link_is_refused_with_its_target() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let real = fs::canonicalize(dir.path()).expect("real path").join("real");
        fs::create_dir(&real).expect("made");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        assert_eq!(root(&real.to_string_lossy()), Ok(real.clone()));
        for spelled in [format!("{}", link.display()), format!("{}/", link.display())] {
            let told = root(&spelled).expect_err("a link");
            assert!(told.remedy.contains(&format!("root = {real:?}")), "{told:?}");
        }
        assert!(root("/no/such/place").is_ok());
    }
}
