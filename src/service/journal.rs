//! The journal of systemd: each line as people read it, and each thing that it says once more as a field to search by
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>).

use super::{screen::Stderr, telemetry::Escaped};
use std::{
    fmt::{Debug, Write as _},
    io::{self, Write as _},
    os::unix::net::UnixDatagram,
    path::PathBuf,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

const SOCKET: &str = "/run/systemd/journal/socket";
/// What is too long for a datagram goes with each of its fields cut to so many bytes.
const CUT: usize = 8 << 10;
/// The longest name of a field, in bytes (systemd.journal-fields(7)).
const LONGEST_NAME: usize = 64;

/// Sends what happens to the journal.
pub(super) struct Journal {
    from: UnixDatagram,
    to: PathBuf,
}

impl Journal {
    /// # Errors
    /// Nobody listens.
    pub(super) fn open() -> io::Result<Self> {
        Self::at(SOCKET.into())
    }

    fn at(to: PathBuf) -> io::Result<Self> {
        let journal = Self { from: UnixDatagram::unbound()?, to };
        journal.send(&[])?;
        Ok(journal)
    }

    fn send(&self, entry: &[u8]) -> io::Result<()> {
        // by its name each time: a journal that was started again has another socket
        self.from.send_to(entry, &self.to).map(drop)
    }
}

/// What an event, or the spans around it, say besides the message.
#[derive(Default)]
struct Fields(Vec<Said>);

#[derive(Clone)]
struct Said {
    name: &'static str,
    value: String,
    /// As it stands in a line.
    shown: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push(Said { name: field.name(), value: value.to_owned(), shown: format!("{value:?}") });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        self.0.push(Said { name: field.name(), shown: value.clone(), value });
    }
}

impl Fields {
    fn message(&self) -> &str {
        self.0.iter().find(|said| said.name == "message").map_or("", |said| &said.value)
    }

    fn others(&self) -> impl Iterator<Item = &Said> {
        self.0.iter().filter(|said| said.name != "message")
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.0.extend(around.others().cloned());
            }
        }
        let line = line(&fields);
        let sent = self.send(&entry(event, &fields, &line, usize::MAX)).or_else(|error| {
            match error.raw_os_error() {
                Some(code) if code == rustix::io::Errno::MSGSIZE.raw_os_error() => {
                    self.send(&entry(event, &fields, &line, CUT))
                }
                _ => Err(error),
            }
        });
        if sent.is_err() {
            // nobody listens any more
            let _ = writeln!(Stderr, "{:>5} {line}", event.metadata().level());
        }
    }
}

/// As it would stand in a log of lines.
fn line(fields: &Fields) -> String {
    let mut line = String::new();
    let mut to = Escaped(&mut line);
    let _ = to.write_str(fields.message());
    for Said { name, shown, .. } in fields.others() {
        let _ = write!(to, " {name}={shown}");
    }
    line
}

/// A datagram: severities as syslog(3) has them, and values with their lengths, so that none can forge a field.
fn entry(event: &Event<'_>, fields: &Fields, line: &str, longest: usize) -> Vec<u8> {
    let meta = event.metadata();
    let priority = match *meta.level() {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    let mut entry = vec![];
    let mut put = |name: &str, value: &str| {
        let value = &value[..value.floor_char_boundary(longest)];
        entry.extend_from_slice(name.as_bytes());
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    };
    put("MESSAGE", line);
    put("PRIORITY", priority);
    put("SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
    put("TARGET", meta.target());
    if let (Some(file), Some(at)) = (meta.file(), meta.line()) {
        put("CODE_FILE", file);
        put("CODE_LINE", &at.to_string());
    }
    for Said { name: field, value, .. } in fields.others() {
        put(&name(field), value);
    }
    entry
}

/// A name as the journal takes it: letters, digits and `_`, and none of its own, which begin with that. Ours have letters.
fn name(field: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = field.chars().map(known).take(LONGEST_NAME).collect();
    name.trim_start_matches(|c: char| !c.is_ascii_uppercase()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    #[test]
    fn names_are_such_as_the_journal_takes() {
        for (field, want) in [("key", "KEY"), ("_r#type", "R_TYPE"), ("9x.y", "X_Y"), ("é", "")] {
            assert_eq!(name(field), want, "{field}");
        }
        assert_eq!(name(&"x".repeat(100)).len(), LONGEST_NAME);
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_cut_and_comes() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("socket");
        let socket = UnixDatagram::bind(&to).expect("bound");
        let journal = Journal::at(to).expect("it listens");
        let receive = || {
            let mut bytes = vec![0; 1 << 20];
            let n = socket.recv(&mut bytes).expect("received");
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        };
        assert_eq!(receive(), "", "the first only asks");
        tracing::subscriber::with_default(Registry::default().with(journal), || {
            tracing::warn!(key = "k", long = "\u{e9}".repeat(1 << 20), "said");
        });
        let told = receive();
        assert!(told.len() < 4 * CUT && told.contains("said key=\"k\" long=\"\u{e9}"), "{}", told.len());
        assert!(told.contains("\nKEY\n") && told.contains("\nLONG\n"));
    }
}
