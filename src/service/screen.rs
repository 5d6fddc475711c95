//! The last line of a terminal, written anew again and again: how far a pass is. What is written for good goes
//! above it.
//!
//! The line is taken away before anything else is written and comes back when it is next shown, so that a
//! flood of lines costs no redrawing. It is drawn in one write over what was there: nothing flickers.

use rustix::termios::tcgetwinsize;
use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Whether the line is on the screen.
static SHOWN: Mutex<bool> = Mutex::new(false);
/// Back to the first column, and clear to the end of the line.
const AWAY: &[u8] = b"\r\x1b[K";
/// The width of a terminal that does not know its own.
const USUAL: usize = 80;

fn shown() -> MutexGuard<'static, bool> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_away(shown: &mut bool) {
    if std::mem::take(shown) {
        // a terminal that went away is told by what is written next
        let _ = io::stderr().write_all(AWAY);
    }
}

/// Writes to the terminal, above the line if there is one.
pub fn above<R>(write: impl FnOnce() -> R) -> R {
    let mut shown = shown();
    take_away(&mut shown);
    write()
}

/// stderr, above the line if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        above(|| io::stderr().write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The line. It goes with the value.
#[derive(Debug)]
pub struct LastLine(());

impl LastLine {
    /// The last line of stderr, if that is a terminal that can write over what is there.
    pub fn new() -> Option<Self> {
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        (io::stderr().is_terminal() && !dumb).then_some(Self(()))
    }

    /// Shows `text`, as much of it as there is room for, in place of what was shown.
    pub fn show(&self, text: &str) {
        let width = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
        let mut shown = shown();
        // it is only for the eye
        *shown = io::stderr().write_all(&frame(text, width)).is_ok();
    }
}

impl Drop for LastLine {
    fn drop(&mut self) {
        take_away(&mut shown());
    }
}

/// What is written for `text` on a terminal of `width` columns (0: it does not know): never as much as would
/// begin another line.
fn frame(text: &str, width: usize) -> Vec<u8> {
    let room = if width == 0 { USUAL } else { width } - 1;
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(room);
    format!("\r{}\x1b[K", plain.collect::<String>()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_stays_on_its_line() {
        for (text, width, want) in [
            ("abc", 10, "\rabc\x1b[K"),
            ("abcdef", 4, "\rabc\x1b[K"),
            ("a\nb\x1b", 10, "\ra b \x1b[K"),
            ("é…é", 3, "\ré…\x1b[K"),
            ("abc", 1, "\r\x1b[K"),
        ] {
            assert_eq!(String::from_utf8(frame(text, width)).expect("text"), want, "{text} {width}");
        }
        assert_eq!(frame(&"x".repeat(100), 0).len(), 79 + 4);
    }
}
