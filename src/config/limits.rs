//! What bounds deletes, and how long things wait.

use super::{
    duration,
    problem::{Complaint, Shown},
    raw::{Reader, Table},
    schema::{DEBOUNCE, MAX_DELETE, MAX_OVERWRITE, Shape},
};
use std::{ops::RangeInclusive, time::Duration};
use toml::de::DeValue;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is not said of a budget.
const USUAL: Budget = Budget { count: 10_000, percent: 20, window: HOUR };

/// What becomes of an object whose file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DeletePolicy {
    /// It is deleted, once that is proven.
    Mirror,
    /// It stays.
    Keep,
    /// As `Mirror`, and it is copied to the trash before; so is one that is replaced.
    #[value(skip)]
    Trash,
}

/// More deletes, or replacements, than this are held for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So many in the window.
    pub count: u64,
    /// Share of the records at the window's start, 1 to 100; counts only above 100 of them.
    pub percent: u8,
    /// Length of the sliding window, a second to a week: as long as deletes and replacements are remembered.
    pub window: Duration,
}

/// Deletes and times of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) delete: DeletePolicy,
    pub(super) delete_grace: Duration,
    pub(super) max_delete: Option<Budget>,
    pub(super) max_overwrite: Option<Budget>,
    pub(super) quiet: Duration,
    pub(super) longest: Duration,
    pub(super) rescan: Duration,
    pub(super) relist: Duration,
    pub(super) scrub: Option<Duration>,
    pub(super) drill: Option<Duration>,
    pub(super) listers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            delete: DeletePolicy::Mirror,
            delete_grace: Duration::from_secs(10),
            max_delete: Some(USUAL),
            max_overwrite: None,
            quiet: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            rescan: HOUR,
            relist: DAY,
            scrub: None,
            drill: None,
            listers: 16,
        }
    }
}

impl Limits {
    /// Reads these keys of a `[[mirror]]`; what is wrong is noted and read as if it were not there.
    pub(super) fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> Self {
        let usual = Self::default();
        let (quiet, longest) = debounce(table, &usual, reader);
        Self {
            delete: delete(table, reader).unwrap_or(usual.delete),
            delete_grace: span(table, "delete_grace", Duration::ZERO..=30 * DAY, reader)
                .unwrap_or(usual.delete_grace),
            max_delete: budget(table, &MAX_DELETE, reader).unwrap_or(usual.max_delete),
            max_overwrite: budget(table, &MAX_OVERWRITE, reader).unwrap_or(usual.max_overwrite),
            quiet,
            longest,
            rescan: span(table, "rescan", SECOND..=366 * DAY, reader).unwrap_or(usual.rescan),
            relist: span(table, "relist", SECOND..=366 * DAY, reader).unwrap_or(usual.relist),
            scrub: at_times(table, "scrub", reader),
            drill: at_times(table, "drill", reader),
            listers: listers(table, reader).unwrap_or(usual.listers),
        }
    }
}

/// A time that may be `"off"`, as it is by default.
fn at_times(table: &Table<'_>, key: &'static str, reader: &mut Reader<'_>) -> Option<Duration> {
    match table.get(key).and_then(|given| given.value.as_str()) {
        Some("off") => None,
        _ => span(table, key, SECOND..=366 * DAY, reader),
    }
}

fn listers(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<usize> {
    table.number("listers", 1..=64, reader).and_then(|listers| usize::try_from(listers).ok())
}

fn delete(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<DeletePolicy> {
    let given = table.text("delete", reader)?;
    let remedy = "write delete = \"mirror\", \"keep\" or \"trash\"";
    let complaint = match given.value {
        "mirror" => return Some(DeletePolicy::Mirror),
        "keep" => return Some(DeletePolicy::Keep),
        "trash" => return Some(DeletePolicy::Trash),
        other => Complaint::new(format!("`delete = {}` is not a policy", Shown(other)), remedy),
    };
    reader.complain(given.at, complaint);
    None
}

/// `None` if nothing, or nothing that can be read, is said of it; `Some(None)` if it is off.
fn budget(table: &Table<'_>, shape: &'static Shape, reader: &mut Reader<'_>) -> Option<Option<Budget>> {
    let given = table.get(shape.title)?;
    match given.value {
        DeValue::String(text) if text == "off" => return Some(None),
        DeValue::Table(_) => {}
        other => {
            let wanted = "a table or \"off\"";
            reader.complain(given.at, table.mistyped(shape.title, wanted, other));
            return None;
        }
    }
    let inner = table.table(shape.title, shape, reader)?;
    let mut budget = USUAL;
    if let Some(count) = inner.number("count", 0..=u64::MAX, reader) {
        budget.count = count;
    }
    if let Some(percent) = inner.number("percent", 1..=100, reader) {
        budget.percent = u8::try_from(percent).unwrap_or(100);
    }
    if let Some(window) = span(&inner, "window", SECOND..=7 * DAY, reader) {
        budget.window = window;
    }
    Some(Some(budget))
}

fn debounce(table: &Table<'_>, usual: &Limits, reader: &mut Reader<'_>) -> (Duration, Duration) {
    let Some(inner) = table.table("debounce", &DEBOUNCE, reader) else {
        return (usual.quiet, usual.longest);
    };
    let quiet = span(&inner, "quiet", Duration::ZERO..=HOUR, reader).unwrap_or(usual.quiet);
    let longest = span(&inner, "longest", Duration::ZERO..=DAY, reader).unwrap_or(usual.longest);
    if quiet > longest {
        let at = inner.get("quiet").or_else(|| inner.get("longest")).and_then(|given| given.at);
        let (q, l) = (humantime::format_duration(quiet), humantime::format_duration(longest));
        let message = format!("`quiet` ({q}) is longer than `longest` ({l})");
        reader.complain(at, Complaint::new(message, "write `longest` no shorter than `quiet`"));
    }
    (quiet, longest)
}

/// A span of time: a text.
pub(super) fn span(
    table: &Table<'_>,
    key: &str,
    range: RangeInclusive<Duration>,
    reader: &mut Reader<'_>,
) -> Option<Duration> {
    if let Some((at, DeValue::Integer(number))) = table.get(key).map(|given| (given.at, given.value)) {
        return reader.check(at, duration::parse(key, &number.to_string(), &range));
    }
    let given = table.text(key, reader)?;
    reader.check(given.at, duration::parse(key, given.value, &range))
}
