//! What the operator has run before a mirror's files are read, and after: a program and its words, without a shell.

use super::{
    limits::span,
    problem::Complaint,
    raw::{Reader, Table},
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The commands of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// The program and its words; none if empty.
    pub before: Vec<String>,
    /// The same.
    pub after: Vec<String>,
    /// How long one may take, a second to a day.
    pub timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { before: vec![], after: vec![], timeout: Duration::from_secs(60) }
    }
}

impl Hooks {
    /// Reads these keys of a `[[mirror]]`; what is wrong is noted.
    pub(super) fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> Self {
        let timeout = span(table, "hook_timeout", SECOND..=DAY, reader);
        Self {
            before: command(table, "before_read", reader),
            after: command(table, "after_read", reader),
            timeout: timeout.unwrap_or(Self::default().timeout),
        }
    }

    /// True if nothing is to be run.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

fn command(table: &Table<'_>, key: &str, reader: &mut Reader<'_>) -> Vec<String> {
    let Some(words) = table.texts(key, reader) else { return vec![] };
    let words: Vec<_> = words.iter().map(|word| word.value.to_owned()).collect();
    let nameless = words.first().is_none_or(String::is_empty);
    if nameless || words.iter().any(|word| word.contains('\0')) {
        let what = if nameless { "names no program" } else { "holds a word that no program can be given" };
        let remedy = format!("write the program and its words: {}", table.shape.example(key));
        reader.complain(
            table.get(key).and_then(|given| given.at),
            Complaint::new(format!("`{key}` {what}"), remedy),
        );
    }
    words
}
