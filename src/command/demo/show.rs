//! Events as lines, while they happen.

use crate::{
    command::{
        lines::shown,
        paint::{Paint, Tone},
        print::print,
    },
    config::Mirror,
    engine::{Deed, Ending, Event, Sink},
};
use indicatif::HumanBytes;
use std::{sync::Arc, time::Duration};

/// Shows the events of a mirror on stdout.
pub(super) fn sink(_: &Mirror) -> Sink {
    let paint = Paint::stdout();
    Arc::new(move |at, event| {
        if let Some(line) = line(at, event, paint) {
            print(&line);
        }
    })
}

fn line(at: Duration, event: &Event, paint: Paint) -> Option<String> {
    let (tone, word, rest) = match event {
        Event::Action { key, deed, from, why, ending, bytes } => {
            let name = shown(key);
            let rest = match (deed, from) {
                (Deed::Put, _) => format!("{name} ({})", HumanBytes(*bytes)),
                (Deed::Copy, Some(from)) => {
                    format!("{} → {name} (on the server, no bytes sent)", shown(from))
                }
                _ => name,
            };
            match ending {
                Ending::Done | Ending::Planned => {
                    (Tone::Good, verb(*deed), format!("{rest}  {}", paint.with(Tone::Faint, why)))
                }
                Ending::Held => (Tone::Warn, "held", rest),
                Ending::Busy => (Tone::Warn, "busy", format!("{rest}, it keeps changing")),
                Ending::Failed(fault) => (Tone::Bad, "failed", format!("{rest}: {fault}")),
            }
        }
        Event::Opened => return None,
        Event::Settled => (Tone::Good, "in sync", String::new()),
        Event::Held(why) => (Tone::Warn, "held", format!("deletes wait for an operator: {why}")),
        Event::OverwritesHeld(why) => {
            (Tone::Warn, "held", format!("changed files wait for an operator: {why}"))
        }
        Event::Released | Event::OverwritesReleased => (Tone::Good, "released", String::new()),
        Event::Trouble(fault) => (Tone::Bad, "trouble", fault.to_string()),
        Event::Degraded(fault) => (Tone::Warn, "degraded", fault.to_string()),
        Event::Restored => (Tone::Good, "watching", "changes are seen as they happen again".into()),
    };
    let at = format!("{:6.2}s", at.as_secs_f64());
    let line = format!("{}  {:<8} {rest}", paint.with(Tone::Faint, at), paint.with(tone, word));
    Some(line.trim_end().to_owned())
}

fn verb(deed: Deed) -> &'static str {
    match deed {
        Deed::Put => "upload",
        Deed::Copy => "copy",
        Deed::Metadata => "metadata",
        Deed::Delete => "delete",
    }
}
