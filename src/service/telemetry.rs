//! Logs: to stderr, as text for people or JSON for machines, or to the journal with fields of their own.
//!
//! Names of files and texts of stores end up in log lines. Control characters in them are escaped, so that
//! a name can neither move a terminal's cursor nor forge a line.

use super::{
    journal::Journal,
    levels::{self, Levels},
    line::{Json, Text},
    screen::Stderr,
};
use crate::config::Mirror;
use std::{
    env,
    fmt::{self, Write},
    io::{self, IsTerminal},
};
use tracing::{Level, Span, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    field::MakeExt,
    fmt::{MakeWriter, format},
    layer::SubscriberExt,
};

/// Libraries that say more than an operator wants, and at lower levels what nobody should log: requests
/// with their headers. A prefix of the target each.
pub(super) const CHATTY: [&str; 8] = ["aws_", "h2", "hyper", "ignore", "globset", "notify", "rustls", "s3s"];

/// Of these, those whose warnings are told by us in better words, with what to do: credentials that a provider does not have, and a
/// host without certificates, which matters to nobody who needs none; or a region that an instance's metadata do not have.
pub(super) const TOLD: [&str; 3] =
    ["aws_config::imds::region", "aws_config::meta", "aws_smithy_http_client::client::tls"];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
    /// To the systemd journal, with the fields `MIRROR=` and `KEY=` to search by (journalctl MIRROR=www).
    Journald,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is shown without `-v` and `-q`: `WARN` for a command, `INFO` for the daemon.
    pub usual: Level,
    /// One up for each `-v`, one down for each `-q`.
    pub verbosity: i8,
    /// How lines look.
    pub format: LogFormat,
}

/// Sends logs to stderr from now on, or to the journal: to stderr all the same where there is none. Colours only on a
/// terminal, and not with `$NO_COLOR`; no time of day where the journal puts its own.
///
/// # Errors
/// It was called before.
pub fn init(options: Options) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    if options.format == LogFormat::Journald {
        return match Journal::open() {
            Ok(journal) => {
                let journal = journal.with_filter(Levels(options));
                tracing::subscriber::set_global_default(Registry::default().with(journal))
            }
            Err(error) => {
                init(Options { format: LogFormat::Text, ..options })?;
                tracing::warn!("the journal does not listen ({error}): this is logged to standard error");
                Ok(())
            }
        };
    }
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let colours = io::stderr().is_terminal() && !set("NO_COLOR");
    let times = !set("JOURNAL_STREAM");
    tracing::subscriber::set_global_default(subscriber(options, colours, times, || Stderr))
}

/// What is logged within it says that it is about this mirror.
pub fn about(mirror: &str) -> Span {
    // of the level that no `-q` takes away as long as there are lines
    tracing::error_span!("mirror", mirror)
}

/// Logs of these mirrors as much as they say, from now on.
pub fn heed(mirrors: &[Mirror]) {
    levels::set(mirrors.iter().filter_map(|mirror| Some((mirror.name.clone(), mirror.log_level?))));
}

/// The level that so many `-v` and `-q` make of the usual one.
pub(super) fn level(usual: Level, verbosity: i8) -> LevelFilter {
    let ladder = [
        LevelFilter::OFF,
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let usual = ladder.iter().position(|step| *step == usual).unwrap_or_default();
    ladder[usual.saturating_add_signed(isize::from(verbosity)).min(ladder.len() - 1)]
}

fn subscriber<W>(options: Options, colours: bool, times: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match options.format {
        LogFormat::Json => lines.json().event_format(Json::new()).boxed(),
        LogFormat::Text | LogFormat::Journald => {
            let fields = format::debug_fn(|out, field, value| match field.name() {
                "message" => write!(Escaped(out), "{value:?}"),
                name => write!(Escaped(out), "{name}={value:?}"),
            });
            let text = Text { times, targets: options.verbosity > 0 };
            lines.fmt_fields(fields.delimited(" ")).event_format(text).boxed()
        }
    };
    Registry::default().with(lines.with_filter(Levels(options)))
}

/// Writes control characters as escapes.
pub(super) struct Escaped<'w, W>(pub(super) &'w mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() {
                write!(self.0, "{}", c.escape_default())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(options: Options, colours: bool, work: impl FnOnce()) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let to = subscriber(options, colours, false, move || writer.clone());
        tracing::subscriber::with_default(to, work);
        let bytes = memory.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn options(verbosity: i8, format: LogFormat) -> Options {
        Options { usual: Level::WARN, verbosity, format }
    }

    #[test]
    fn v_and_q_move_the_level() {
        for (usual, verbosity, want) in [
            (Level::WARN, 0, LevelFilter::WARN),
            (Level::INFO, 0, LevelFilter::INFO),
            (Level::WARN, 1, LevelFilter::INFO),
            (Level::WARN, 3, LevelFilter::TRACE),
            (Level::WARN, 9, LevelFilter::TRACE),
            (Level::INFO, -1, LevelFilter::WARN),
            (Level::WARN, -2, LevelFilter::OFF),
            (Level::WARN, -9, LevelFilter::OFF),
        ] {
            assert_eq!(level(usual, verbosity), want, "{usual} {verbosity}");
        }
    }

    #[test]
    fn c30_no_name_can_forge_a_line_or_move_the_cursor() {
        let name = "x\n ERROR forged\r\x1b[2J\u{9b}";
        for format in [LogFormat::Text, LogFormat::Json] {
            for colours in [false, true] {
                let told = logged(options(0, format), colours, || {
                    tracing::warn!(path = name, shown = %name, debug = ?name, "about {name}");
                });
                assert_eq!(told.matches('\n').count(), 1, "{told:?}");
                assert!(
                    told.ends_with('\n') && !told.contains("\x1b[2J") && !told.contains('\r'),
                    "{told:?}"
                );
                assert_eq!(told.matches("forged").count(), 4, "{told:?}");
            }
        }
        let plain = logged(options(0, LogFormat::Text), false, || tracing::warn!(n = 1, s = "é", "said"));
        assert_eq!(plain, " WARN said n=1 s=\"é\"\n");
        let coloured = logged(options(0, LogFormat::Text), true, || tracing::warn!("said"));
        assert!(coloured.contains("\x1b["), "{coloured:?}");
    }

    #[test]
    fn libraries_say_only_what_matters() {
        let told = logged(options(3, LogFormat::Text), false, || {
            tracing::debug!(target: "aws_smithy_runtime::client", "authorization: hush");
            tracing::trace!(target: "hyper_util::client", "hush");
            tracing::warn!(target: "aws_config::imds", "loud");
            tracing::warn!(target: "aws_config::meta::credentials::chain", "hush");
            tracing::warn!(target: "aws_config::imds::region", "hush");
            tracing::trace!(target: "s3mirrord::engine", "ours");
        });
        assert!(told.contains("loud") && told.contains("ours") && !told.contains("hush"), "{told}");
        let told = logged(options(-1, LogFormat::Text), false, || {
            tracing::warn!(target: "aws_config::imds", "loud");
        });
        assert_eq!(told, "", "-q quietens libraries too");
    }

    #[test]
    fn a_line_ends_with_what_is_said_of_the_span_around_it() {
        let work = || {
            let span = tracing::error_span!("mirror", mirror = "w}w");
            span.in_scope(|| tracing::warn!(n = 1, "said"));
        };
        let told = logged(options(-1, LogFormat::Text), false, || {
            let span = tracing::error_span!("mirror", mirror = "www");
            span.in_scope(|| tracing::error!(n = 1, "said"));
        });
        assert_eq!(told, "ERROR said n=1 mirror=\"www\"\n", "with -q, too");
        let told = logged(options(0, LogFormat::Json), false, work);
        let object: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(
            (&object["message"], &object["n"], &object["mirror"]),
            (&"said".into(), &1.into(), &"w}w".into())
        );
        assert!(object["span"].is_null() && object["spans"].is_null(), "{told}");
    }

    #[test]
    fn of_a_mirror_as_much_is_logged_as_it_says() {
        let work = || {
            for mirror in ["loud-one", "quiet-one", "usual-one"] {
                about(mirror).in_scope(|| {
                    tracing::debug!("debug");
                    tracing::info!("info");
                    tracing::debug!(target: "hyper_util::client", "hush");
                    tracing::info_span!("inner").in_scope(|| tracing::warn!("warn"));
                    tracing::error!("error");
                });
            }
            tracing::debug!("of nobody");
            tracing::warn!("of all");
        };
        // of no mirror of another test
        levels::set([("loud-one".to_owned(), Level::DEBUG), ("quiet-one".to_owned(), Level::ERROR)]);
        let told = logged(options(0, LogFormat::Text), false, work);
        let more = logged(options(1, LogFormat::Text), false, work);
        let less = logged(options(-1, LogFormat::Text), false, work);
        levels::set([]);
        let of = |told: &str, mirror: &str| {
            let lines = told.lines().filter(|line| line.ends_with(&format!("mirror={mirror:?}")));
            lines
                .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&told, "loud-one"), ["DEBUG", "INFO", "WARN", "ERROR"], "{told}");
        assert_eq!(
            (of(&told, "quiet-one"), of(&told, "usual-one")),
            (vec!["ERROR".into()], vec!["WARN".into(), "ERROR".into()]),
            "{told}"
        );
        assert!(told.contains("of all") && !told.contains("hush") && !told.contains("of nobody"), "{told}");
        assert_eq!(of(&less, "quiet-one"), ["ERROR"], "{less}");
        assert_eq!(of(&more, "quiet-one"), ["WARN", "ERROR"], "-v goes on from there: {more}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let told = logged(options(1, LogFormat::Json), false, || tracing::info!(count = 3, "said"));
        let object: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(
            (&object["message"], &object["count"], &object["level"]),
            (&"said".into(), &3.into(), &"INFO".into())
        );
    }
}
