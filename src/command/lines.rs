//! What `once` prints of a mirror: a line for each action, its last outcome, and in the end the sums.

use super::{
    paint::{Paint, Tone},
    print::{json, print},
    sums::Pass,
};
use crate::{
    engine::{Deed, Ending, Event},
    model::{Fault, Key},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
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
            let action = Action::new(&self.mirror, deed.word(), key, outcome).error(fault);
            let action = Action { from: from.map(|from| path_of(from).0), why: Some(why), ..action };
            return json(&action);
        }
        let mut line = format!("{:<8} {:<8} {}", self.paint.with(tone, outcome), deed.word(), shown(key));
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
            Style::Json => print(&json(&pass.summary(&self.mirror))),
            Style::Text { sums: true, .. } => print(&pass.told(&self.label, self.paint)),
            Style::Text { .. } => {}
        }
    }
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
    fn people_read_names_that_move_no_cursor() {
        let text = Style::Text { actions: true, sums: true };
        let told = lines(text).action(&key(b"a\x1b"), Deed::Put, None, "new file", &Ending::Busy);
        assert!(told.contains("a\\u{1b}") && told.contains("stale"), "{told}");
    }
}
