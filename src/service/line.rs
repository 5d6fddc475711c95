//! How a log line looks: the event, and at its end what the spans around it say: the mirror it is about.

use std::fmt;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{self, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// A line for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// With the time of day.
    pub(super) times: bool,
    /// With the module that speaks.
    pub(super) targets: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let colour = match *level {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            _ => "34",
        };
        // a colour, and the end of it
        let paint = |colour| match to.has_ansi_escapes() {
            true => (format!("\x1b[{colour}m"), "\x1b[0m"),
            false => (String::new(), ""),
        };
        let ((colour, end), (faint, _)) = (paint(colour), paint("2"));
        if self.times {
            to.write_str(&faint)?;
            SystemTime.format_time(&mut to)?;
            write!(to, "{end} ")?;
        }
        write!(to, "{colour}{level:>5}{end} ")?;
        if self.targets {
            write!(to, "{faint}{target}:{end} ")?;
        }
        ctx.format_fields(to.by_ref(), event)?;
        around(ctx, |fields| write!(to, " {fields}"))?;
        writeln!(to)
    }
}

/// One object a line.
#[derive(Debug)]
pub(super) struct Json(format::Format<format::Json>);

impl Json {
    pub(super) fn new() -> Self {
        Self(format().json().flatten_event(true).with_current_span(false).with_span_list(false))
    }
}

fn format() -> format::Format {
    format::Format::default()
}

impl<S> FormatEvent<S, format::JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, format::JsonFields>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        // both are objects of at least one entry: theirs become ours
        let open = line.trim_end();
        to.write_str(open.strip_suffix('}').unwrap_or(open))?;
        around(ctx, |fields| {
            let inner = fields.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            write!(to, ",{}", inner.unwrap_or(fields))
        })?;
        writeln!(to, "}}")
    }
}

/// The fields of the spans around an event, from the outermost in.
fn around<S, N>(ctx: &FmtContext<'_, S, N>, mut write: impl FnMut(&str) -> fmt::Result) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
        let extensions = span.extensions();
        if let Some(fields) = extensions.get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
            write(fields)?;
        }
    }
    Ok(())
}
