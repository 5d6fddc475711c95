//! What goes to stdout, a line at a time.

use crate::service::screen::above;
use serde::Serialize;
use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    sync::OnceLock,
};

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
