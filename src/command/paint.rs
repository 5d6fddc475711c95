//! Colours, on a terminal and nowhere else.

use std::{
    env, fmt,
    io::{IsTerminal, stdout},
};

/// Whether stdout is a terminal, and takes colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    /// Somebody is looking.
    pub(super) terminal: bool,
    colours: bool,
}

/// What a text means to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// It went well.
    Good,
    /// It wants attention.
    Warn,
    /// It went wrong.
    Bad,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

impl Paint {
    /// For stdout. No colours with `$NO_COLOR` or on a dumb terminal.
    pub(super) fn stdout() -> Self {
        let terminal = stdout().is_terminal();
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { terminal, colours: terminal && !refused }
    }

    /// `text` in the colour of `tone`, if there are colours.
    pub(super) fn with<T: fmt::Display>(self, tone: Tone, text: T) -> Painted<T> {
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        Painted { code: self.colours.then_some(code), text }
    }
}

/// A text in its colour.
pub(super) struct Painted<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => {
                write!(f, "\x1b[{code}m")?;
                self.text.fmt(f)?;
                f.write_str("\x1b[0m")
            }
            None => self.text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_wrap_the_text_and_keep_its_width() {
        let on = Paint { terminal: true, colours: true };
        let off = Paint { terminal: false, colours: false };
        assert_eq!(format!("{:<4}|", on.with(Tone::Good, "ab")), "\x1b[32mab  \x1b[0m|");
        assert_eq!(format!("{:<4}|", off.with(Tone::Bad, "ab")), "ab  |");
    }
}
