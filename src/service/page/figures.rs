//! A mirror's numbers, each with its name.

use super::html::Html;
use crate::service::{
    control::{MirrorStatus, ScrubStatus},
    drill::Drilled,
};
use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;
use std::time::Duration;

/// Those that say how it goes.
pub(super) fn main(mirror: &MirrorStatus, html: &mut Html) {
    html.raw("<dl class=\"figures\">");
    let behind = match mirror.unsynced_seconds {
        0 => "nothing".to_owned(),
        seconds => age(seconds),
    };
    row(html, "Behind (RPO)", behind);
    row(html, "Queue", queue(mirror));
    let rate =
        mirror.bytes_per_second.map_or("nothing is sent".to_owned(), |n| format!("{}/s", HumanBytes(n)));
    row(html, "Throughput", rate);
    let mut files = match mirror.files {
        Some(1) => "1 file".to_owned(),
        Some(files) => format!("{} files", HumanCount(files)),
        None => "the ledger does not answer".to_owned(),
    };
    if let Some(bytes) = mirror.cost.as_ref().and_then(|cost| cost.stored_bytes) {
        files += &format!(", {}", HumanBytes(bytes));
    }
    row(html, "In the bucket", files);
    html.raw("</dl>");
}

/// The others, for those who unfold them.
pub(super) fn rest(mirror: &MirrorStatus, html: &mut Html) {
    html.raw("<details><summary>More</summary><dl class=\"more\">");
    let done = format!(
        "{} uploaded ({}), {} copied, {} deleted",
        HumanCount(mirror.uploaded),
        HumanBytes(mirror.bytes),
        HumanCount(mirror.copied),
        HumanCount(mirror.deleted)
    );
    row(html, "Since the start", done);
    if let Some(cost) = &mirror.cost {
        row(html, "A month costs", cost.month());
    }
    if let Some(scrub) = &mirror.scrub {
        row(html, "Proven again", scrubbed(scrub));
    }
    if let Some(drill) = &mirror.drill {
        row(html, "Restore drill", drilled(drill));
    }
    html.raw("</dl></details>");
}

fn row(html: &mut Html, name: &'static str, value: impl std::fmt::Display) {
    html.raw("<div><dt>").raw(name).raw("</dt>").put("<dd>", value, "</dd></div>");
}

fn queue(mirror: &MirrorStatus) -> String {
    let (look, way) = (HumanCount(mirror.pending as u64), HumanCount(mirror.in_flight as u64));
    match (mirror.pending, mirror.in_flight) {
        (0, 0) => "empty".to_owned(),
        (0, _) => format!("{way} under way"),
        (_, 0) => format!("{look} to look at"),
        _ => format!("{look} to look at, {way} under way"),
    }
}

fn scrubbed(scrub: &ScrubStatus) -> String {
    let ScrubStatus { done, skipped, of, whole, healed, .. } = scrub;
    let mut text = format!("{} of {}", HumanCount(*done), HumanCount(*of));
    if *skipped > 0 {
        text += &format!(", {} skipped", HumanCount(*skipped));
    }
    if let Some(at) = whole {
        text += &format!("; all of them by {}", day(*at));
    }
    if *healed > 0 {
        text += &format!("; {} were damaged or missing and were put back", HumanCount(*healed));
    }
    text
}

fn drilled(drill: &Drilled) -> String {
    let Drilled { at, files, bytes, failed, success } = drill;
    let mut text = format!("{}: {files} files ({}) as they are", day(*at), HumanBytes(*bytes));
    if *failed > 0 {
        let last = success.map_or("never".to_owned(), day);
        text += &format!(", {failed} not; the last without a failure: {last}");
    }
    text
}

/// Two units of it: `3h 12m`.
pub(super) fn age(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A time of UTC, to the second.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn day(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| at.to_string(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, want) in [(1, "1s"), (60, "1m"), (3_725, "1h 2m"), (900_000, "10days 10h")] {
            assert_eq!(age(seconds), want);
        }
        assert_eq!(day(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(day(i64::MAX), i64::MAX.to_string());
    }
}
