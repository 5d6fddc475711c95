//! The whole file: its top, and what its mirrors must not be to each other.

use super::{
    Config, MEMORY, Mirror, bandwidth, bytes, metrics,
    mirror::Draft,
    objects::unknown_class,
    prices::Prices,
    problem::{Complaint, Problem},
    raw::{Access, Reader, Table},
    s3::{Layer, absolute},
    schema::{MIRROR, PRICES, S3, TOP},
    surroundings::Surroundings,
};
use crate::model::RelPath;
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Reads a whole configuration; `access` is to its file, where there is one.
pub(super) fn read(
    text: &str,
    path: &Path,
    access: Option<Access>,
    around: &Surroundings,
) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader::new(text, path, access);
    let document = reader.parse();
    let top = Table::open(&TOP, None, document.get_ref(), &mut reader);
    let state_dir = state_dir(&top, path, around, &mut reader);
    let memory_limit = memory_limit(&top, &mut reader).unwrap_or(MEMORY);
    let bandwidth = bandwidth::read(&top, &mut reader).unwrap_or_default();
    let metrics = metrics::read(&top, &mut reader);
    let shared =
        top.table("s3", &S3, &mut reader).map(|table| Layer::read(&table, &mut reader)).unwrap_or_default();
    let usual = Prices::default();
    let prices = top.table("prices", &PRICES, &mut reader);
    let prices = prices.map_or(usual.clone(), |table| Prices::read(&table, &usual, &mut reader));
    let tables = top.tables("mirror", &MIRROR, &mut reader);
    let tables = top.required("mirror", tables, &mut reader).unwrap_or_default();
    if let Some(list) = top.get("mirror").filter(|list| list.value.as_array().is_some_and(|a| a.is_empty())) {
        let message = "`mirror` is empty: there is nothing to do";
        reader.complain(list.at, Complaint::new(message, "write at least one [[mirror]]"));
    }
    let credentials = around.credentials();
    let read = |table| Draft::read(table, (&shared, &prices), credentials.as_deref(), &mut reader);
    let mut drafts: Vec<Draft> = tables.iter().map(read).collect();
    compare(&drafts, &mut reader);
    part(&drafts, &mut reader);

    let mut warnings = Vec::new();
    for draft in &mut drafts {
        if let (Some(mirror), Some(state_dir)) = (&mut draft.mirror, &state_dir) {
            let place = draft.root.as_ref().and_then(|root| root.at);
            reader.check(place, settle(mirror, state_dir, &mut warnings));
        }
    }
    let problems = reader.finish();
    match state_dir {
        Some(state_dir) if problems.is_empty() => {
            let mirrors = drafts.into_iter().filter_map(|draft| draft.mirror).collect();
            Ok(Config { state_dir, memory_limit, bandwidth, metrics, mirrors, warnings })
        }
        _ => Err(problems),
    }
}

fn state_dir(
    top: &Table<'_>,
    path: &Path,
    around: &Surroundings,
    reader: &mut Reader<'_>,
) -> Option<PathBuf> {
    if top.get("state_dir").is_some() {
        let given = top.text("state_dir", reader)?;
        return reader.check(given.at, absolute("state_dir", given.value));
    }
    let usual = around.state_dir(Some(path));
    top.required("state_dir", usual, reader)
}

fn memory_limit(top: &Table<'_>, reader: &mut Reader<'_>) -> Option<u64> {
    const KEY: &str = "memory_limit";
    // two parts of the usual size at the least
    let range = 16 << 20..=1 << 40;
    let given = top.text(KEY, reader)?;
    reader.check(given.at, bytes::parse(KEY, given.value, &range))
}

/// Notes names and targets that two mirrors share, at the later one.
fn compare(drafts: &[Draft], reader: &mut Reader<'_>) {
    for (n, later) in drafts.iter().enumerate() {
        let earlier = &drafts[..n];
        if let Some(name) = &later.name
            && earlier.iter().filter_map(|e| e.name.as_ref()).any(|e| e.value == name.value)
        {
            let message = format!("there are two mirrors of the name `{}`", name.value);
            reader.complain(name.at, Complaint::new(message, "give each a name of its own"));
        }
        let Some(target) = &later.target else { continue };
        for other in earlier {
            if let Some(taken) = other.target.as_ref().filter(|e| e.value.overlaps(&target.value)) {
                let whose = other.name.as_ref().map_or("another mirror", |name| &name.value);
                let message = format!(
                    "the prefix {:?} overlaps {:?} of `{whose}` in the bucket {}",
                    target.value.prefix, taken.value.prefix, target.value.bucket
                );
                let remedy = "give each mirror a prefix that is neither equal to nor below another's";
                reader.complain(target.at, Complaint::new(message, remedy));
            }
        }
    }
}

/// Notes trashes that lie in a mirror, or overlap another's: what is in one would be taken for what is in the other.
fn part(drafts: &[Draft], reader: &mut Reader<'_>) {
    for (n, draft) in drafts.iter().enumerate() {
        let Some(trash) = &draft.trash else { continue };
        let whose =
            |draft: &Draft| draft.name.as_ref().map_or("a mirror".into(), |name| format!("`{}`", name.value));
        let prefixes = drafts.iter().filter_map(|other| Some((other.target.as_ref()?, other, "the prefix")));
        let trashes =
            drafts[..n].iter().filter_map(|other| Some((other.trash.as_ref()?, other, "the trash")));
        let taken = prefixes.chain(trashes).find(|(taken, ..)| taken.value.overlaps(&trash.value));
        if let Some((taken, other, what)) = taken {
            let (own, prefix) = (&trash.value.prefix, &taken.value.prefix);
            let message = format!("the trash {own:?} overlaps {what} {prefix:?} of {}", whose(other));
            let remedy = match prefix.is_empty() {
                true => {
                    "give that mirror a prefix: where the whole bucket is a mirror there is no place for a trash"
                }
                false => "write a trash_prefix that is neither equal to nor below nor above that",
            };
            reader.complain(trash.at, Complaint::new(message, remedy));
        }
    }
}

/// Finds out whether our state lies below the root, and warns of what the operator should know.
pub(super) fn settle(
    mirror: &mut Mirror,
    state_dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<(), Complaint> {
    let (root, state) = (real(&mirror.root), real(state_dir));
    if root.starts_with(&state) {
        return Err(Complaint::new(
            format!("the root {root:?} is, or lies in, the state_dir {state:?}"),
            "write another state_dir, or another root",
        ));
    }
    if let Ok(below) = state.strip_prefix(&root) {
        mirror.leave_out = RelPath::new(below.as_os_str().as_bytes()).ok();
        warnings.push(format!("{}: state_dir {state:?} lies below the root: it is left out", mirror.name));
    }
    if let Some(file) = mirror.s3.credentials_file.as_deref().filter(|file| file.is_relative()) {
        warnings.push(format!(
            "{}: credentials_file {file:?} is relative to $CREDENTIALS_DIRECTORY, which is not set: \
             it is there only under a unit with LoadCredential=",
            mirror.name
        ));
    }
    let rules = mirror.rules.iter().map(|rule| &rule.options);
    for class in rules.chain([&mirror.options]).filter_map(unknown_class) {
        warnings.push(format!(
            "{}: storage_class {class:?} is none of Amazon S3's: right for a store of another kind that has it",
            mirror.name
        ));
    }
    Ok(())
}

/// The path with the links in it resolved, as far down as it exists.
fn real(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|above| {
            let found = fs::canonicalize(above).ok()?;
            let rest = path.strip_prefix(above).ok()?;
            // Joining an empty rest would leave a slash at the end.
            Some(if rest.as_os_str().is_empty() { found } else { found.join(rest) })
        })
        .unwrap_or_else(|| path.to_owned())
}
