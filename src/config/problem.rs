//! What is wrong with a configuration: where, what, and what to write instead.

use std::{fmt, path::PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` if it is about no place in it.
    pub line: Option<usize>,
    /// Column in that line, from 1, in characters.
    pub column: Option<usize>,
    /// What is wrong. Never holds a secret; control characters are escaped.
    pub message: String,
    /// What to write or do instead.
    pub remedy: String,
}

/// Everything that is wrong, in the order of the file: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file; `None` for a command line.
    pub file: Option<PathBuf>,
    /// The problems.
    pub list: Vec<Problem>,
}

/// What is wrong with a value, told by a check that does not know where the value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Complaint {
    pub(super) fn new(message: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self { message: escaped(&message.to_string()), remedy: escaped(&remedy.to_string()) }
    }

    /// The complaint at a byte of `text`, or at no place.
    pub(super) fn at(self, place: Option<(&str, usize)>) -> Problem {
        let position = place.map(|(text, at)| position(text, at));
        Problem {
            line: position.map(|p| p.0),
            column: position.map(|p| p.1),
            message: self.message,
            remedy: self.remedy,
        }
    }
}

/// A value as a message may quote it. A missing quote can make half of the file one value, keys and all: so
/// nothing is shown of one that holds a line break, and of a long one the beginning.
pub(super) struct Shown<'v>(pub(super) &'v str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 80;
        if self.0.contains(['\n', '\r']) {
            return f.write_str("…");
        }
        match self.0.char_indices().nth(MOST) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Line and column, from 1, of a byte.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |nl| nl + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// As compilers write it, one line each: `config.toml:12:1: what is wrong; what to write`.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.list.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            if let Some(file) = &self.file {
                write!(f, "{}:", escaped(&file.to_string_lossy()))?;
            }
            if let Some(line) = problem.line {
                write!(f, "{line}:")?;
            }
            if let Some(column) = problem.column {
                write!(f, "{column}:")?;
            }
            if self.file.is_some() {
                write!(f, " ")?;
            }
            write!(f, "{}; {}", problem.message, problem.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_in_characters() {
        for (at, want) in [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (2, 3)), (99, (2, 4))] {
            assert_eq!(position("ab\nxéz", at), want, "{at}");
        }
    }

    #[test]
    fn values_are_shown_in_part() {
        assert_eq!(Shown("a\"\t").to_string(), "\"a\\\"\\t\"");
        assert_eq!(Shown("a\nkey = 1").to_string(), "…");
        assert_eq!(Shown(&"é".repeat(81)).to_string(), format!("{:?}…", "é".repeat(80)));
    }

    #[test]
    fn problems_read_like_those_of_a_compiler() {
        let bad = |place| Complaint::new("`a\x1b` is bad", "write `b`").at(place);
        let list = vec![bad(Some(("x\ny", 2))), bad(None)];
        let told = Problems { file: Some("/etc/c.toml".into()), list: list.clone() }.to_string();
        assert_eq!(
            told,
            "/etc/c.toml:2:1: `a\\u{1b}` is bad; write `b`\n/etc/c.toml: `a\\u{1b}` is bad; write `b`"
        );
        let told = Problems { file: None, list: list[1..].to_vec() }.to_string();
        assert_eq!(told, "`a\\u{1b}` is bad; write `b`");
    }
}
