//! What `once` prints of a mirror: a line for each action, and the sums.

use super::{
    Exit,
    paint::{Paint, Tone},
};
use crate::{
    engine::{Deed, Ending, Event, Sums},
    model::{Fault, Key},
    service::{cost::Cost, screen::above},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// Outcomes that a later one may replace, kept until the end; more of them are printed as they come.
const KEPT: usize = 10_000;

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// One object a line.
    Json,
    /// For people: the actions if asked for, and the sums.
    Text {
        /// Actions too.
        actions: bool,
        /// The sums.
        sums: bool,
    },
}

/// Prints what is done to one mirror. A path gets one line: its last outcome.
pub(super) struct Lines {
    mirror: String,
    /// What people call it.
    label: String,
    style: Style,
    paint: Paint,
    open: Mutex<BTreeMap<Key, String>>,
}

/// What was done about one path, as scripts read it.
#[derive(Serialize)]
pub(super) struct Action<'a> {
    event: &'static str,
    mirror: &'a str,
    op: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Action<'a> {
    /// Of a key of `mirror`; why and from where can be added.
    pub(super) fn new(mirror: &'a str, op: &'static str, key: &Key, outcome: &'static str) -> Self {
        let (path, path_b64) = path_of(key);
        Self { event: "action", mirror, op, path, path_b64, from: None, why: None, outcome, error: None }
    }

    /// With why it failed, if it did.
    pub(super) fn error(self, fault: Option<&Fault>) -> Self {
        Self { error: fault.map(Fault::to_string), ..self }
    }
}

/// The sums of a pass.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    event: &'static str,
    mirror: &'a str,
    unchanged: u64,
    uploaded: u64,
    copied: u64,
    metadata: u64,
    deleted: u64,
    held: u64,
    overwrites_held: u64,
    foreign: u64,
    failed: u64,
    skipped: u64,
    busy: u64,
    adopted: u64,
    bytes: u64,
    bytes_read: u64,
    requests: &'a BTreeMap<String, u64>,
    seconds: f64,
    exit: u8,
    /// Places that could not be read.
    unknown: u64,
    /// What it costs; `null` if the mirror could not be opened.
    cost: Option<&'a Cost>,
    /// Why the pass came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) sums: Sums,
    pub(super) unknown: u64,
    pub(super) requests: BTreeMap<String, u64>,
    pub(super) cost: Option<Cost>,
    /// The cost is at the prices of nobody's configuration.
    pub(super) usual_prices: bool,
    pub(super) time: Duration,
    pub(super) exit: Exit,
    pub(super) error: Option<String>,
    pub(super) dry_run: bool,
}

fn op(deed: Deed) -> &'static str {
    match deed {
        Deed::Put => "put",
        Deed::Copy => "copy",
        Deed::Metadata => "metadata",
        Deed::Delete => "delete",
    }
}

fn outcome(ending: &Ending) -> (&'static str, Tone, Option<&Fault>) {
    match ending {
        Ending::Done => ("done", Tone::Good, None),
        Ending::Planned => ("planned", Tone::Good, None),
        Ending::Held => ("held", Tone::Warn, None),
        Ending::Busy => ("stale", Tone::Warn, None),
        Ending::Failed(fault) => ("failed", Tone::Bad, Some(fault)),
    }
}

/// The name of a file as text, and as base64 of its bytes if text cannot say it.
pub(super) fn path_of(key: &Key) -> (String, Option<String>) {
    let Some(path) = key.path() else { return (key.as_str().to_owned(), None) };
    match std::str::from_utf8(path.as_bytes()) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let text = String::from_utf8_lossy(path.as_bytes()).into_owned();
            (text, Some(BASE64_STANDARD.encode(path.as_bytes())))
        }
    }
}

/// A key as people know it: the file's name, control characters escaped.
pub(super) fn shown(key: &Key) -> String {
    key.path().map_or_else(|| key.to_string(), |path| path.to_string())
}

impl Lines {
    pub(super) fn new(mirror: &str, label: String, style: Style, paint: Paint) -> Self {
        Self { mirror: mirror.to_owned(), label, style, paint, open: Mutex::default() }
    }

    /// Takes an event of the engine.
    pub(super) fn note(&self, event: &Event) {
        let Event::Action { key, deed, from, why, ending, .. } = event else { return };
        if matches!(self.style, Style::Text { actions: false, .. }) {
            return;
        }
        let line = self.action(key, *deed, from.as_ref(), why, ending);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let last = matches!(ending, Ending::Done | Ending::Planned);
        if last || (open.len() >= KEPT && !open.contains_key(key)) {
            open.remove(key);
            print(&line);
        } else {
            open.insert(key.clone(), line);
        }
    }

    fn action(&self, key: &Key, deed: Deed, from: Option<&Key>, why: &str, ending: &Ending) -> String {
        let (outcome, tone, fault) = outcome(ending);
        if self.style == Style::Json {
            let action = Action::new(&self.mirror, op(deed), key, outcome).error(fault);
            let action = Action { from: from.map(|from| path_of(from).0), why: Some(why), ..action };
            return json(&action);
        }
        let mut line = format!("{:<8} {:<8} {}", self.paint.with(tone, outcome), op(deed), shown(key));
        if let Some(from) = from {
            line += &format!(" from {}", shown(from));
        }
        match fault {
            Some(fault) => line += &format!("  {}", self.paint.with(tone, fault)),
            None => line += &format!("  {}", self.paint.with(Tone::Faint, why)),
        }
        line
    }

    /// The pass is over: what was kept, and the sums.
    pub(super) fn end(&self, pass: &Pass) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        open.values().for_each(|line| print(line));
        match self.style {
            Style::Json => print(&json(&self.summary(pass))),
            Style::Text { sums: true, .. } => print(&self.told(pass)),
            Style::Text { .. } => {}
        }
    }

    fn summary<'a>(&'a self, pass: &'a Pass) -> Summary<'a> {
        let sums = &pass.sums;
        Summary {
            event: "summary",
            mirror: &self.mirror,
            unchanged: sums.unchanged,
            uploaded: sums.uploaded,
            copied: sums.copied,
            metadata: sums.metadata,
            deleted: sums.deleted,
            held: sums.held,
            overwrites_held: sums.overwrites_held,
            foreign: sums.foreign,
            failed: sums.failed,
            skipped: sums.skipped,
            busy: sums.busy,
            adopted: sums.adopted,
            bytes: sums.bytes,
            bytes_read: sums.bytes_read,
            requests: &pass.requests,
            seconds: (pass.time.as_secs_f64() * 1000.0).round() / 1000.0,
            exit: pass.exit.code(),
            unknown: pass.unknown,
            cost: pass.cost.as_ref(),
            error: pass.error.clone(),
        }
    }

    fn told(&self, pass: &Pass) -> String {
        let mut text = format!("{}: ", self.paint.with(Tone::Strong, &self.label));
        if pass.dry_run {
            text += "would be ";
        }
        text += &amounts(&pass.sums, pass.unknown);
        text += &format!(", in {:.1} s", pass.time.as_secs_f64());
        if !pass.requests.is_empty() {
            text += &format!("\n  requests: {}", requests(&pass.requests));
        }
        if let Some(cost) = &pass.cost {
            text += &format!("\n  cost: this pass {}; {}", cost.amount(cost.pass), month(cost));
            if pass.usual_prices {
                text +=
                    &self.paint.with(Tone::Faint, ", at the prices of S3 Standard in us-east-1").to_string();
            }
        }
        text
    }
}

/// Requests by operation, the most of one first.
pub(super) fn requests(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let told: Vec<_> =
        counts.iter().map(|(operation, count)| format!("{} {operation}", HumanCount(**count))).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

/// What a month costs, and of what it is made.
pub(super) fn month(cost: &Cost) -> String {
    let every = match cost.interval_seconds {
        seconds if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    };
    let lists = format!("{} for a comparison every {every}", cost.amount(cost.requests_month));
    match (cost.storage_month, cost.stored_bytes) {
        (Some(storage), Some(bytes)) => {
            let storage = format!("{} for {} stored", cost.amount(storage), HumanBytes(bytes));
            format!("a month {} ({lists}, {storage})", cost.month())
        }
        _ => format!("a month {lists}"),
    }
}

/// The sums in words, without those that are nothing.
pub(super) fn amounts(sums: &Sums, unknown: u64) -> String {
    let uploaded = match sums.uploaded {
        0 => String::new(),
        n => format!("{} uploaded ({})", HumanCount(n), HumanBytes(sums.bytes)),
    };
    let rest = [
        (sums.copied, "copied"),
        (sums.metadata, "with new metadata"),
        (sums.adopted, "adopted"),
        (sums.deleted, "deleted"),
        (sums.held, "deletes held"),
        (sums.overwrites_held, "replacements held"),
        (sums.failed, "failed"),
        (sums.busy, "busy"),
        (unknown, "unreadable"),
        (sums.unchanged, "unchanged"),
        (sums.foreign, "foreign"),
        (sums.skipped, "skipped"),
    ];
    let rest = rest.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", HumanCount(n)));
    let all: Vec<_> = Some(uploaded).filter(|text| !text.is_empty()).into_iter().chain(rest).collect();
    if all.is_empty() { "nothing there".to_owned() } else { all.join(", ") }
}

/// On one line. What a terminal may obey stands in texts alone, and is escaped there: DEL and U+0080 to U+009F, too, which
/// JSON does not ask for.
pub(super) fn json(value: &impl Serialize) -> String {
    let plain = serde_json::to_string(value).expect("plain data");
    if !plain.contains(char::is_control) {
        return plain;
    }
    let mut out = String::with_capacity(plain.len() + 8);
    for c in plain.chars() {
        if c.is_control() { out += &format!("\\u{:04x}", u32::from(c)) } else { out.push(c) }
    }
    out
}

/// Why a line could not be printed: the first such error.
static BROKEN: OnceLock<io::Error> = OnceLock::new();

/// To stdout. What cannot be printed is no reason to stop mirroring; that nobody listens any more is not even an
/// error, as `head` does it to everybody.
pub(super) fn print(line: &str) {
    static TERMINAL: OnceLock<bool> = OnceLock::new();
    let write = || {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush())
    };
    let terminal = *TERMINAL.get_or_init(|| io::stdout().is_terminal());
    let written = if terminal { above(write) } else { write() };
    if let Err(error) = written {
        BROKEN.get_or_init(|| error);
    }
}

/// Why not everything was printed that somebody waits for.
pub(super) fn broken() -> Option<&'static io::Error> {
    BROKEN.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// True if nothing more needs to be printed: it would get nowhere.
pub(super) fn ended() -> bool {
    BROKEN.get().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, RelPath};

    fn lines(style: Style) -> Lines {
        let paint = Paint::stdout();
        Lines::new("www", "www".to_owned(), style, paint)
    }

    fn key(path: &[u8]) -> Key {
        Key::of(&RelPath::new(path).expect("valid path"))
    }

    #[test]
    fn actions_are_told_as_scripts_expect_them() {
        let lines = lines(Style::Json);
        for (told, want) in [
            (
                lines.action(&key(b"a\nb"), Deed::Put, None, "new file", &Ending::Done),
                r#"{"event":"action","mirror":"www","op":"put","path":"a\nb","why":"new file","outcome":"done"}"#,
            ),
            (
                lines.action(&key(b"caf\xe9"), Deed::Copy, Some(&key(b"x/y")), "renamed", &Ending::Planned),
                "{\"event\":\"action\",\"mirror\":\"www\",\"op\":\"copy\",\"path\":\"caf\u{fffd}\",\"path_b64\":\"Y2Fm6Q==\",\"from\":\"x/y\",\"why\":\"renamed\",\"outcome\":\"planned\"}",
            ),
            (
                lines.action(
                    &key(b"x"),
                    Deed::Delete,
                    None,
                    "the file is gone",
                    &Ending::Failed(Fault::new(Class::Transient, "DeleteObject x", "503")),
                ),
                r#"{"event":"action","mirror":"www","op":"delete","path":"x","why":"the file is gone","outcome":"failed","error":"DeleteObject x: 503"}"#,
            ),
        ] {
            assert_eq!(told, want);
        }
    }

    #[test]
    fn sums_have_the_keys_that_scripts_expect() {
        let lines = lines(Style::Json);
        let requests = BTreeMap::from([("ListObjectsV2".to_owned(), 1)]);
        let pass =
            Pass { requests, time: Duration::from_micros(1_234_567), exit: Exit::Held, ..Pass::default() };
        let told: serde_json::Value = serde_json::from_str(&json(&lines.summary(&pass))).expect("JSON");
        let names = [
            "event",
            "mirror",
            "unchanged",
            "uploaded",
            "copied",
            "metadata",
            "deleted",
            "held",
            "foreign",
            "failed",
            "skipped",
            "busy",
            "adopted",
            "bytes",
            "bytes_read",
            "requests",
            "seconds",
            "exit",
        ];
        assert!(names.iter().all(|name| !told[name].is_null()), "{told}");
        assert_eq!((&told["seconds"], &told["exit"]), (&1.235.into(), &4.into()));
        assert_eq!(told["requests"]["ListObjectsV2"], 1);
    }

    #[test]
    fn people_read_what_it_cost() {
        let counts = [("GetObject", 1), ("ListObjectsV2", 1000), ("PutObject", 1)];
        let requests: BTreeMap<_, _> = counts.map(|(op, n)| (op.to_owned(), n)).into();
        let cost = Cost {
            currency: "USD".into(),
            pass: 0.005,
            requests_month: 0.15,
            storage_month: Some(2.142),
            interval_seconds: 86_400,
            stored_bytes: Some(100 << 30),
        };
        let sums = Sums { unchanged: 1_000_000, uploaded: 1, bytes: 5, ..Sums::default() };
        let time = Duration::from_millis(3210);
        let mut pass = Pass { sums, requests, cost: Some(cost), usual_prices: true, time, ..Pass::default() };
        let lines = lines(Style::Text { actions: false, sums: true });
        assert_eq!(
            lines.told(&pass),
            "www: 1 uploaded (5 B), 1,000,000 unchanged, in 3.2 s\n  \
             requests: 1,000 ListObjectsV2, 1 GetObject, 1 PutObject\n  \
             cost: this pass under USD 0.01; a month USD 2.29 (USD 0.15 for a comparison every 24h, \
             USD 2.14 for 100.00 GiB stored), at the prices of S3 Standard in us-east-1"
        );
        let unknown = |cost| Cost { storage_month: None, stored_bytes: None, interval_seconds: 90, ..cost };
        (pass.usual_prices, pass.cost) = (false, pass.cost.map(unknown));
        let told = lines.told(&pass);
        assert!(told.ends_with("; a month USD 0.15 for a comparison every 1m 30s"), "{told}");
        assert_eq!(lines.told(&Pass::default()), "www: nothing there, in 0.0 s");
    }

    #[test]
    fn people_read_what_there_was() {
        let sums = Sums { uploaded: 3, bytes: 2048, unchanged: 7, held: 1, ..Sums::default() };
        assert_eq!(amounts(&sums, 0), "3 uploaded (2.00 KiB), 1 deletes held, 7 unchanged");
        let many = Sums { unchanged: 1_234_567, ..Sums::default() };
        assert_eq!(amounts(&many, 0), "1,234,567 unchanged");
        assert_eq!(amounts(&Sums::default(), 0), "nothing there");
        let text = Style::Text { actions: true, sums: true };
        let told = lines(text).action(&key(b"a\x1b"), Deed::Put, None, "new file", &Ending::Busy);
        assert!(told.contains("a\\u{1b}") && told.contains("stale"), "{told}");
    }
}
