//! How far a pass is, in words: for the last line of a terminal, and for the log.

use super::screen::LastLine;
use crate::engine::{Progress, Report};
use indicatif::{HumanBytes, HumanCount};
use std::{collections::VecDeque, fmt, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Rates are those of this long.
const WINDOW: Duration = Duration::from_secs(15);
/// What was seen longer ago than this says nothing of now: nobody was looking.
const STALE: Duration = Duration::from_secs(60);
/// Before this much of a window is seen there are none.
const LEAST: Duration = Duration::from_secs(2);
/// How often the window gets a mark.
const MARKS: Duration = Duration::from_millis(500);
/// How often the log is told.
const BEAT: Duration = Duration::from_secs(10);
/// How often the last line of a terminal is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// What is done by then needs no line.
const PATIENCE: Duration = Duration::from_millis(300);
/// Columns of the bar.
const BAR: u64 = 20;

/// What was seen of late.
#[derive(Debug)]
pub struct Gauge {
    /// How many files there were the last time: about how many the look will come to. 0: not known.
    expected: u64,
    marks: VecDeque<(Duration, Progress)>,
}

/// How far it is, with what can be reckoned from what was seen of late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    now: Progress,
    /// About how many files the look will come to.
    total: Option<u64>,
    /// Bytes a second.
    rate: Option<u64>,
    left: Option<Duration>,
}

impl Gauge {
    /// `expected` is the number of records in the ledger.
    pub fn new(expected: u64) -> Self {
        Self { expected, marks: VecDeque::new() }
    }

    /// Reads `progress` at `at`, a time since any moment; call it often.
    pub fn read(&mut self, at: Duration, progress: Progress) -> Reading {
        // a look that began anew says nothing of the speed of the one before
        let old = |(then, last): &(Duration, Progress)| {
            last.looked > progress.looked || at.saturating_sub(*then) > STALE
        };
        if self.marks.back().is_some_and(old) {
            self.marks.clear();
        }
        if self.marks.back().is_none_or(|(last, _)| at.saturating_sub(*last) >= MARKS) {
            self.marks.push_back((at, progress));
        }
        while self.marks.get(1).is_some_and(|(second, _)| at.saturating_sub(*second) >= WINDOW) {
            self.marks.pop_front();
        }
        let (since, then) = self.marks.front().copied().unwrap_or((at, progress));
        let span = at.saturating_sub(since);
        let speed = |now: u64, then: u64| {
            (span >= LEAST).then(|| now.saturating_sub(then) as f64 / span.as_secs_f64())
        };
        // more than there were: how many there are is not known
        let total = Some(self.expected).filter(|total| progress.looking && *total >= progress.looked.max(1));
        let files = speed(progress.looked, then.looked).filter(|speed| *speed > 0.0);
        let left = total.zip(files).map(|(total, speed)| (total - progress.looked) as f64 / speed);
        Reading {
            now: progress,
            total,
            rate: speed(progress.bytes, then.bytes).map(|rate| rate as u64).filter(|rate| *rate > 0),
            left: left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }
    }
}

impl Reading {
    /// Bytes a second, if any were sent.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// For the last line of a terminal: what is going on first.
    pub fn short(&self) -> String {
        let Self { now, total, .. } = self;
        let mut parts = vec![];
        match (now.looking, total) {
            (true, Some(total)) => {
                let (looked, full) = (now.looked, *total);
                let filled = usize::try_from(u128::from(looked) * u128::from(BAR) / u128::from(full.max(1)));
                let bar = format!("{:<width$}", "#".repeat(filled.unwrap_or(0)), width = BAR as usize);
                let (looked, full) = (HumanCount(looked), HumanCount(full));
                parts.push(format!("[{bar}] looking: {looked} of about {full} files"));
            }
            (true, None) => parts.push(format!("looking: {} files", HumanCount(now.looked))),
            (false, _) if now.in_flight > 0 => {
                parts.push(format!("sending: {} files to go", HumanCount(now.in_flight)));
            }
            (false, _) if now.deletes_wait => parts.push("waiting before deletes".into()),
            (false, _) if now.compared > 0 => parts.push("finishing".into()),
            (false, _) => parts.push("opening".into()),
        }
        parts.extend(self.sent());
        parts.extend(self.left.map(left));
        parts.join(", ")
    }

    fn sent(&self) -> Option<String> {
        let Progress { sent, bytes, .. } = self.now;
        let rate = self.rate.map_or(String::new(), |rate| format!(", {}/s", HumanBytes(rate)));
        (sent + bytes > 0).then(|| format!("sent {} ({}){rate}", HumanCount(sent), HumanBytes(bytes)))
    }
}

/// For the log: `looked at 400,000 files (about 40 %), sent 12 (3.40 MiB), 2.10 MiB/s, about 30 s left`.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, total, .. } = self;
        write!(f, "looked at {} files", HumanCount(now.looked))?;
        if let Some(total) = total {
            write!(f, " (about {} %)", u128::from(now.looked) * 100 / u128::from(*total))?;
        }
        if !now.looking && now.in_flight > 0 {
            write!(f, ", {} to go", HumanCount(now.in_flight))?;
        }
        self.sent().into_iter().chain(self.left.map(left)).try_for_each(|part| write!(f, ", {part}"))
    }
}

/// A time that is only about right, in words that say so.
fn left(time: Duration) -> String {
    match time.as_secs() {
        0..10 => "a few seconds left".into(),
        seconds @ 10..90 => format!("about {} s left", seconds.next_multiple_of(5)),
        seconds @ 90..5400 => format!("about {} min left", seconds.div_ceil(60)),
        seconds => format!("about {} h left", seconds.div_ceil(3600)),
    }
}

/// Logs every ten seconds how far the first comparison with the bucket, and what it finds to do, is; ends
/// with it.
pub async fn log_first(report: Report, expected: u64) {
    let first = |progress: &Progress| progress.compared == 0 || progress.in_flight > 0;
    log(report, expected, first, |reading| tracing::info!("{reading}")).await;
}

/// Logs every ten seconds how far it is, for good.
pub async fn log_all(report: Report, expected: u64) {
    log(report, expected, |_| true, |reading| tracing::info!("{reading}")).await;
}

/// Shows on `line` how far the mirror that people call `label` is, for good.
pub async fn show(line: &LastLine, label: &str, report: &Report, expected: u64) {
    let begun = Instant::now();
    let mut gauge = Gauge::new(expected);
    let mut frames = interval_at(begun + PATIENCE, FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let at = frames.tick().await - begun;
        line.show(&format!("{label}: {}", gauge.read(at, report.progress()).short()));
    }
}

async fn log(
    report: Report,
    expected: u64,
    goes_on: impl Fn(&Progress) -> bool,
    mut tell: impl FnMut(&Reading),
) {
    let begun = Instant::now();
    let mut gauge = Gauge::new(expected);
    let mut marks = interval_at(begun, MARKS);
    let mut next = BEAT;
    loop {
        let at = marks.tick().await - begun;
        let progress = report.progress();
        if !goes_on(&progress) {
            return;
        }
        let reading = gauge.read(at, progress);
        if at >= next {
            next = at + BEAT;
            tell(&reading);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn looking(looked: u64, sent: u64, bytes: u64) -> Progress {
        Progress { looking: true, looked, sent, bytes, ..Progress::default() }
    }

    /// Readings a second apart; the last.
    fn last(expected: u64, seen: &[Progress]) -> Reading {
        let mut gauge = Gauge::new(expected);
        let read = seen.iter().zip(0..).map(|(progress, at)| gauge.read(at * SECOND, *progress));
        read.last().expect("one at least")
    }

    #[test]
    fn people_read_how_far_it_is() {
        const MIB: u64 = 1 << 20;
        let steady: Vec<_> = (0..=4).map(|n| looking(n * 100_000, 3 * n, n * 2 * MIB)).collect();
        let sending = |in_flight| Progress { looking: false, in_flight, compared: 1, ..steady[4] };
        for (expected, seen, short, log) in [
            (0, &[Progress::default()][..], "opening", "looked at 0 files"),
            (0, &[looking(1000, 0, 0)], "looking: 1,000 files", "looked at 1,000 files"),
            (
                4000,
                &[looking(1000, 0, 0)],
                "[#####               ] looking: 1,000 of about 4,000 files",
                "looked at 1,000 files (about 25 %)",
            ),
            (
                1_000_000,
                &steady,
                "[########            ] looking: 400,000 of about 1,000,000 files, sent 12 (8.00 MiB), \
                 2.00 MiB/s, a few seconds left",
                "looked at 400,000 files (about 40 %), sent 12 (8.00 MiB), 2.00 MiB/s, a few seconds left",
            ),
            // more than there were the last time: nothing is said of what is left
            (
                300_000,
                &steady,
                "looking: 400,000 files, sent 12 (8.00 MiB), 2.00 MiB/s",
                "looked at 400,000 files, sent 12 (8.00 MiB), 2.00 MiB/s",
            ),
            (
                1_000_000,
                &[steady[4], sending(5)],
                "sending: 5 files to go, sent 12 (8.00 MiB)",
                "looked at 400,000 files, 5 to go, sent 12 (8.00 MiB)",
            ),
            (
                9,
                &[Progress { deletes_wait: true, ..sending(0) }],
                "waiting before deletes, sent 12 (8.00 MiB)",
                "looked at 400,000 files, sent 12 (8.00 MiB)",
            ),
            (
                9,
                &[sending(0)],
                "finishing, sent 12 (8.00 MiB)",
                "looked at 400,000 files, sent 12 (8.00 MiB)",
            ),
        ] {
            let reading = last(expected, seen);
            assert_eq!((&*reading.short(), &*reading.to_string()), (short, log));
        }
    }

    #[test]
    fn what_is_left_follows_the_speed_of_late() {
        let mut gauge = Gauge::new(100_000);
        // a minute at 1,000 a second, then a tenth of it
        for at in 0..60 {
            gauge.read(at * SECOND, looking(u64::from(at) * 1000, 0, 0));
        }
        let mut read = |at: u32| {
            gauge.read(at * SECOND, looking(60_000 + u64::from(at - 60) * 100, 0, 0)).left.expect("known")
        };
        assert!(read(60) < 45 * SECOND, "at the old speed");
        let slow = (61..=80).map(&mut read).last().expect("some");
        assert!((370 * SECOND..390 * SECOND).contains(&slow), "at the new one: {slow:?}");
        // it begins anew
        let anew = gauge.read(81 * SECOND, looking(5, 0, 0));
        assert_eq!((anew.left, anew.rate), (None, None));
        let soon = gauge.read(83 * SECOND, looking(2005, 0, 0)).left.expect("known");
        assert!((97 * SECOND..99 * SECOND).contains(&soon), "of the new look alone: {soon:?}");
    }

    #[test]
    fn what_was_seen_long_ago_says_nothing_of_now() {
        let mut gauge = Gauge::new(0);
        let mut rate = |at: u32, bytes| gauge.read(at * SECOND, looking(0, 0, bytes)).rate();
        assert_eq!((rate(0, 0), rate(4, 400)), (None, Some(100)));
        // whoever asks rarely hears of the time since
        assert_eq!(rate(64, 1_000), Some(10));
        assert_eq!((rate(125, 1_000_000), rate(127, 1_000_200)), (None, Some(100)));
    }

    #[test]
    fn times_are_rounded_as_little_as_is_known() {
        for (seconds, want) in [
            (3, "a few seconds left"),
            (31, "about 35 s left"),
            (89, "about 90 s left"),
            (100, "about 2 min left"),
            (5399, "about 90 min left"),
            (7201, "about 3 h left"),
        ] {
            assert_eq!(left(seconds * SECOND), want);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_is_told_every_ten_seconds_until_the_end() {
        let report = Report::new(std::sync::Arc::new(|_, _| {}));
        let (begun, mut told) = (Instant::now(), vec![]);
        let goes_on = |_: &Progress| begun.elapsed() < 35 * SECOND;
        log(report, 0, goes_on, |reading| told.push((begun.elapsed().as_secs(), reading.to_string()))).await;
        let times: Vec<_> = told.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [10, 20, 30]);
        assert_eq!(told[0].1, "looked at 0 files");
    }
}
