//! What a pass came to: for scripts, and in words.

use super::{
    Exit,
    paint::{Paint, Tone},
};
use crate::{engine::Sums, service::cost::Cost};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// The sums of a pass.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    event: &'static str,
    mirror: &'a str,
    unchanged: u64,
    uploaded: u64,
    copied: u64,
    metadata: u64,
    deleted: u64,
    held: u64,
    overwrites_held: u64,
    foreign: u64,
    failed: u64,
    skipped: u64,
    busy: u64,
    adopted: u64,
    bytes: u64,
    bytes_read: u64,
    requests: &'a BTreeMap<String, u64>,
    seconds: f64,
    exit: u8,
    /// Places that could not be read.
    unknown: u64,
    /// What it costs; `null` if the mirror could not be opened.
    cost: Option<&'a Cost>,
    /// Why the pass came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) sums: Sums,
    pub(super) unknown: u64,
    pub(super) requests: BTreeMap<String, u64>,
    pub(super) cost: Option<Cost>,
    /// The cost is at the prices of nobody's configuration.
    pub(super) usual_prices: bool,
    pub(super) time: Duration,
    pub(super) exit: Exit,
    pub(super) error: Option<String>,
    pub(super) dry_run: bool,
}

impl Pass {
    /// As scripts read it.
    pub(super) fn summary<'a>(&'a self, mirror: &'a str) -> Summary<'a> {
        let sums = &self.sums;
        Summary {
            event: "summary",
            mirror,
            unchanged: sums.unchanged,
            uploaded: sums.uploaded,
            copied: sums.copied,
            metadata: sums.metadata,
            deleted: sums.deleted,
            held: sums.held,
            overwrites_held: sums.overwrites_held,
            foreign: sums.foreign,
            failed: sums.failed,
            skipped: sums.skipped,
            busy: sums.busy,
            adopted: sums.adopted,
            bytes: sums.bytes,
            bytes_read: sums.bytes_read,
            requests: &self.requests,
            seconds: (self.time.as_secs_f64() * 1000.0).round() / 1000.0,
            exit: self.exit.code(),
            unknown: self.unknown,
            cost: self.cost.as_ref(),
            error: self.error.clone(),
        }
    }

    /// For people, of the mirror that they call `label`.
    pub(super) fn told(&self, label: &str, paint: Paint) -> String {
        let mut text = format!("{}: ", paint.with(Tone::Strong, label));
        if self.dry_run {
            text += "would be ";
        }
        text += &amounts(&self.sums, self.unknown);
        text += &format!(", in {:.1} s", self.time.as_secs_f64());
        if !self.requests.is_empty() {
            text += &format!("\n  requests: {}", requests(&self.requests));
        }
        if let Some(cost) = &self.cost {
            text += &format!("\n  cost: this pass {}; {}", cost.amount(cost.pass), month(cost));
            if self.usual_prices {
                text += &paint.with(Tone::Faint, ", at the prices of S3 Standard in us-east-1").to_string();
            }
        }
        text
    }
}

/// Requests by operation, the most of one first.
pub(super) fn requests(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let told: Vec<_> =
        counts.iter().map(|(operation, count)| format!("{} {operation}", HumanCount(**count))).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

/// What a month costs, and of what it is made.
pub(super) fn month(cost: &Cost) -> String {
    let every = match cost.interval_seconds {
        seconds if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    };
    let lists = format!("{} for a comparison every {every}", cost.amount(cost.requests_month));
    match (cost.storage_month, cost.stored_bytes) {
        (Some(storage), Some(bytes)) => {
            let storage = format!("{} for {} stored", cost.amount(storage), HumanBytes(bytes));
            format!("a month {} ({lists}, {storage})", cost.month())
        }
        _ => format!("a month {lists}"),
    }
}

/// The sums in words, without those that are nothing.
pub(super) fn amounts(sums: &Sums, unknown: u64) -> String {
    let uploaded = match sums.uploaded {
        0 => String::new(),
        n => format!("{} uploaded ({})", HumanCount(n), HumanBytes(sums.bytes)),
    };
    let rest = [
        (sums.copied, "copied"),
        (sums.metadata, "with new metadata"),
        (sums.adopted, "adopted"),
        (sums.deleted, "deleted"),
        (sums.held, "deletes held"),
        (sums.overwrites_held, "replacements held"),
        (sums.failed, "failed"),
        (sums.busy, "busy"),
        (unknown, "unreadable"),
        (sums.unchanged, "unchanged"),
        (sums.foreign, "foreign"),
        (sums.skipped, "skipped"),
    ];
    let rest = rest.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", HumanCount(n)));
    let all: Vec<_> = Some(uploaded).filter(|text| !text.is_empty()).into_iter().chain(rest).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::{super::print::json, *};

    #[test]
    fn sums_have_the_keys_that_scripts_expect() {
        let requests = BTreeMap::from([("ListObjectsV2".to_owned(), 1)]);
        let pass =
            Pass { requests, time: Duration::from_micros(1_234_567), exit: Exit::Held, ..Pass::default() };
        let told: serde_json::Value = serde_json::from_str(&json(&pass.summary("www"))).expect("JSON");
        let names = [
            "event",
            "mirror",
            "unchanged",
            "uploaded",
            "copied",
            "metadata",
            "deleted",
            "held",
            "foreign",
            "failed",
            "skipped",
            "busy",
            "adopted",
            "bytes",
            "bytes_read",
            "requests",
            "seconds",
            "exit",
        ];
        assert!(names.iter().all(|name| !told[name].is_null()), "{told}");
        assert_eq!((&told["seconds"], &told["exit"]), (&1.235.into(), &4.into()));
        assert_eq!(told["requests"]["ListObjectsV2"], 1);
    }

    #[test]
    fn people_read_what_it_cost() {
        let counts = [("GetObject", 1), ("ListObjectsV2", 1000), ("PutObject", 1)];
        let requests: BTreeMap<_, _> = counts.map(|(op, n)| (op.to_owned(), n)).into();
        let cost = Cost {
            currency: "USD".into(),
            pass: 0.005,
            requests_month: 0.15,
            storage_month: Some(2.142),
            interval_seconds: 86_400,
            stored_bytes: Some(100 << 30),
        };
        let sums = Sums { unchanged: 1_000_000, uploaded: 1, bytes: 5, ..Sums::default() };
        let time = Duration::from_millis(3210);
        let mut pass = Pass { sums, requests, cost: Some(cost), usual_prices: true, time, ..Pass::default() };
        let told = |pass: &Pass| pass.told("www", Paint::stdout());
        assert_eq!(
            told(&pass),
            "www: 1 uploaded (5 B), 1,000,000 unchanged, in 3.2 s\n  \
             requests: 1,000 ListObjectsV2, 1 GetObject, 1 PutObject\n  \
             cost: this pass under USD 0.01; a month USD 2.29 (USD 0.15 for a comparison every 24h, \
             USD 2.14 for 100.00 GiB stored), at the prices of S3 Standard in us-east-1"
        );
        let unknown = |cost| Cost { storage_month: None, stored_bytes: None, interval_seconds: 90, ..cost };
        (pass.usual_prices, pass.cost) = (false, pass.cost.map(unknown));
        let monthly = told(&pass);
        assert!(monthly.ends_with("; a month USD 0.15 for a comparison every 1m 30s"), "{monthly}");
        assert_eq!(told(&Pass::default()), "www: nothing, in 0.0 s");
    }

    #[test]
    fn people_read_what_there_was() {
        let sums = Sums { uploaded: 3, bytes: 2048, unchanged: 7, held: 1, ..Sums::default() };
        assert_eq!(amounts(&sums, 0), "3 uploaded (2.00 KiB), 1 deletes held, 7 unchanged");
        let many = Sums { unchanged: 1_234_567, ..Sums::default() };
        assert_eq!(amounts(&many, 0), "1,234,567 unchanged");
        assert_eq!(amounts(&Sums::default(), 0), "nothing");
    }
}
