//! Every metric: its name, type, labels, what it means, and how it is read. The document and the tests go by this table.
//!
//! Names are as Prometheus wants them (<https://prometheus.io/docs/practices/naming/>): base units, `_total` for what
//! only grows. What a daemon does not know it does not tell: a timestamp is absent until there is one.

use super::{
    facts::{Mirror, Process},
    text::Samples,
};

/// What may become of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows, from 0 at the start of the daemon or of its mirror.
    Counter,
}

impl Kind {
    /// As Prometheus calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// A metric.
pub struct Metric {
    /// Its name, which ends in its unit, or for a counter in its unit and `total`.
    pub name: &'static str,
    /// What may become of it.
    pub kind: Kind,
    /// Its labels; the first is `mirror` where there is one for each.
    pub labels: &'static [&'static str],
    /// What it means, in a line.
    pub help: &'static str,
    pub(super) read: Read,
}

/// How it is read.
pub(super) enum Read {
    /// Once.
    Once(fn(&Process, &mut Samples<'_>)),
    /// For each mirror.
    Each(fn(&Mirror, &mut Samples<'_>)),
}

const fn once(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Process, &mut Samples<'_>),
) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help, read: Read::Once(read) }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Mirror, &mut Samples<'_>)) -> Metric {
    Metric { name, kind: Kind::Gauge, labels: &["mirror"], help, read: Read::Each(read) }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Mirror, &mut Samples<'_>),
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help, read: Read::Each(read) }
}

/// All of them, in the order in which they are told.
pub static TABLE: &[Metric] = &[
    once("s3mirrord_build_info", &["version"], "Always 1; which version runs.", |_, s| {
        s.add(&[env!("CARGO_PKG_VERSION")], 1.0);
    }),
    once("s3mirrord_start_timestamp_seconds", &[], "When the daemon began, since 1970.", |p, s| {
        s.add(&[], p.begun);
    }),
    once("s3mirrord_mirrors", &[], "Mirrors of the configuration.", |p, s| s.count(&[], p.mirrors)),
    once(
        "s3mirrord_reload_refused",
        &[],
        "1 if the configuration that was read last was not taken, and all goes on by one before it.",
        |p, s| s.add(&[], flag(p.refused)),
    ),
    once("s3mirrord_watches", &[], "inotify watches that the daemon holds.", |p, s| {
        s.maybe(p.watches.map(|n| n as f64));
    }),
    once(
        "s3mirrord_watches_limit",
        &[],
        "inotify watches that its user may have, with all that user's processes.",
        |p, s| {
            s.maybe(p.watches_limit.map(|n| n as f64));
        },
    ),
    gauge(
        "s3mirrord_oldest_unsynced_seconds",
        "Age of the oldest change that is known and not proven in the bucket; 0 if all is in sync.",
        |m, s| s.add(&[], m.status.unsynced.map_or(0.0, |age| age.as_secs_f64())),
    ),
    gauge("s3mirrord_settled", "1 if nothing is left to do but what fails or is held.", |m, s| {
        s.add(&[], flag(m.status.settled && m.trouble.is_none()));
    }),
    gauge(
        "s3mirrord_trouble",
        "1 if the mirror as a whole does not work: root, store, credentials, ledger.",
        |m, s| {
            s.add(&[], flag(m.trouble.is_some()));
        },
    ),
    gauge(
        "s3mirrord_watch_degraded",
        "1 if changes are not seen as they happen, and only found by scans.",
        |m, s| {
            s.add(&[], flag(m.status.degraded.is_some()));
        },
    ),
    gauge("s3mirrord_pending_places", "Places that are to be looked at.", |m, s| {
        s.count(&[], m.status.pending as u64);
    }),
    gauge("s3mirrord_in_flight_files", "Files that are being dealt with.", |m, s| {
        s.count(&[], m.status.in_flight as u64);
    }),
    gauge(
        "s3mirrord_failing_files",
        "Files that could not be stored, and objects that could not be deleted.",
        |m, s| {
            s.count(&[], m.status.sums.failed);
        },
    ),
    gauge(
        "s3mirrord_busy_files",
        "Files that changed each time they were read, and were not stored since.",
        |m, s| {
            s.count(&[], m.status.sums.busy);
        },
    ),
    gauge(
        "s3mirrord_unreadable_places",
        "Directories that cannot be read, and files that cannot be looked at: in the bucket they are as they were, with all below.",
        |m, s| {
            // before the first look at everything nobody knows
            s.maybe((m.status.compared > 0).then(|| m.status.unreadable.count() as f64));
        },
    ),
    gauge("s3mirrord_held_deletes", "Deletes that wait for an operator.", |m, s| {
        s.maybe(m.tally.map(|tally| if m.status.held.is_some() { tally.pending as f64 } else { 0.0 }));
    }),
    gauge("s3mirrord_held_replacements", "Changed files that wait for an operator.", |m, s| {
        s.maybe(m.tally.map(|tally| tally.overwrites as f64));
    }),
    gauge(
        "s3mirrord_pending_deletes",
        "Objects that are to be deleted, those that are held among them.",
        |m, s| {
            s.maybe(m.tally.map(|tally| tally.condemned as f64));
        },
    ),
    gauge("s3mirrord_mirrored_files", "Files and links whose object is proven.", |m, s| {
        s.maybe(m.tally.map(|tally| tally.records as f64));
    }),
    gauge(
        "s3mirrord_stored_objects",
        "Objects that the bucket is to hold, by the last look at everything.",
        |m, s| {
            s.maybe(m.status.stored.map(|stored| stored.objects as f64));
        },
    ),
    gauge("s3mirrord_stored_bytes", "Their bytes.", |m, s| {
        s.maybe(m.status.stored.map(|stored| stored.bytes as f64));
    }),
    gauge("s3mirrord_ledger_bytes", "Size of the ledger's file.", |m, s| s.maybe(m.ledger.map(|n| n as f64))),
    gauge(
        "s3mirrord_last_look_timestamp_seconds",
        "When the last look at everything ended, since 1970.",
        |m, s| s.maybe(m.status.looked_at.map(|at| at as f64)),
    ),
    gauge(
        "s3mirrord_last_comparison_timestamp_seconds",
        "When the last comparison of everything with the bucket ended, since 1970.",
        |m, s| s.maybe(m.status.compared_at.map(|at| at as f64)),
    ),
    gauge(
        "s3mirrord_last_scrub_timestamp_seconds",
        "When the scrub had last proven all objects again, since 1970.",
        |m, s| s.maybe(m.status.scrub.and_then(|scrub| scrub.whole).map(|at| at.sec as f64)),
    ),
    gauge(
        "s3mirrord_scrub_ratio",
        "Part of the objects that the present round of the scrub has proven again.",
        |m, s| {
            let part = |scrub: crate::engine::Coverage| scrub.done as f64 / scrub.of.max(1) as f64;
            s.maybe(m.status.scrub.map(|scrub| part(scrub).min(1.0)));
        },
    ),
    gauge(
        "s3mirrord_last_drill_timestamp_seconds",
        "When the last restore drill was, since 1970.",
        |m, s| {
            s.maybe(m.drill.as_ref().map(|drill| drill.at as f64));
        },
    ),
    gauge(
        "s3mirrord_last_drill_success_timestamp_seconds",
        "When the last restore drill without a failure was, since 1970.",
        |m, s| s.maybe(m.drill.as_ref().and_then(|drill| drill.success).map(|at| at as f64)),
    ),
    gauge(
        "s3mirrord_drill_failed_files",
        "Files that did not come back as they are in the last restore drill.",
        |m, s| {
            s.maybe(m.drill.as_ref().map(|drill| drill.failed as f64));
        },
    ),
    Metric {
        name: "s3mirrord_estimated_month_cost",
        kind: Kind::Gauge,
        labels: &["mirror", "currency"],
        help: "What storage and listings of a month cost, at the configured prices.",
        read: Read::Each(|m, s| {
            if let Some(cost) = &m.cost {
                s.add(&[&cost.currency], cost.requests_month + cost.storage_month.unwrap_or_default());
            }
        }),
    },
    counter(
        "s3mirrord_actions_total",
        &["mirror", "action"],
        "What was done to objects: put, copy, metadata, delete.",
        |m, s| {
            let sums = &m.status.sums;
            let all = [
                ("put", sums.uploaded),
                ("copy", sums.copied),
                ("metadata", sums.metadata),
                ("delete", sums.deleted),
            ];
            all.iter().for_each(|(action, n)| s.count(&[action], *n));
        },
    ),
    counter(
        "s3mirrord_adopted_objects_total",
        MIRROR,
        "Objects that were there already, with the same content.",
        |m, s| {
            s.count(&[], m.status.sums.adopted);
        },
    ),
    counter(
        "s3mirrord_sent_bytes_total",
        MIRROR,
        "Bytes given to the store, those of uploads that failed included.",
        |m, s| {
            s.count(&[], m.sent);
        },
    ),
    counter("s3mirrord_read_bytes_total", MIRROR, "Bytes of files read, to compare or to send.", |m, s| {
        s.count(&[], m.status.sums.bytes_read);
    }),
    counter(
        "s3mirrord_requests_total",
        &["mirror", "operation", "status"],
        "Requests that were answered, by HTTP status, or were not (status \"none\"): every attempt.",
        |m, s| {
            for ((operation, status), n) in &m.answers {
                match status {
                    Some(status) => s.count(&[operation, &status.to_string()], *n),
                    None => s.count(&[operation, "none"], *n),
                }
            }
        },
    ),
    counter("s3mirrord_request_retries_total", MIRROR, "Requests that were sent once more.", |m, s| {
        s.maybe(m.retries.map(|n| n as f64));
    }),
    counter(
        "s3mirrord_errors_total",
        &["mirror", "class"],
        "Errors that were told, of files and of the mirror as a whole, by class.",
        |m, s| m.status.faults.iter().for_each(|(class, n)| s.count(&[class.word()], *n)),
    ),
    counter(
        "s3mirrord_compared_total",
        MIRROR,
        "Comparisons of everything with the bucket that were completed.",
        |m, s| {
            s.count(&[], m.status.compared);
        },
    ),
    counter(
        "s3mirrord_foreign_objects_total",
        MIRROR,
        "Objects of others that comparisons with the bucket came to; each counts each time.",
        |m, s| s.count(&[], m.status.sums.foreign),
    ),
    counter(
        "s3mirrord_scrub_healed_objects_total",
        MIRROR,
        "Objects that the scrub found damaged or missing, and put back.",
        |m, s| s.count(&[], m.status.healed),
    ),
];

const MIRROR: &[&str] = &["mirror"];

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_as_prometheus_wants_them() {
        let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len(), "each is there once");
        for Metric { name, kind, labels, help, read } in TABLE {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.starts_with("s3mirrord_") && name.chars().all(plain), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(
                name.split('_').all(|word| !["ms", "kb", "mib", "count", "gauge"].contains(&word)),
                "{name}"
            );
            assert!(help.ends_with('.') && !help.contains(['\n', '\\', '|']), "{name}");
            assert_eq!(labels.first() == Some(&"mirror"), matches!(read, Read::Each(_)), "{name}");
            let unit = ["seconds", "bytes", "files", "objects", "places", "total", "ratio", "info"];
            let free = [
                "mirrors",
                "watches",
                "limit",
                "settled",
                "trouble",
                "degraded",
                "deletes",
                "refused",
                "replacements",
                "cost",
            ];
            assert!(
                unit.iter().chain(&free).any(|end| name.ends_with(&format!("_{end}"))),
                "{name} has a unit"
            );
        }
    }
}
