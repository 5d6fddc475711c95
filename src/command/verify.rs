//! `verify`: what disk and bucket differ in, and nothing is done about it.

use super::{
    Common, Exit, Failure,
    lines::{path_of, shown},
    paint::{Paint, Tone},
    print::{json, print},
    sums::requests,
    which,
};
use crate::{
    config::{Config, Mirror},
    model::{Class, Fault, RelPath},
    plan::Difference,
    service::{
        assembly::Commons,
        columns::escaped,
        onlooker::{self, Onlooker},
        screen::LastLine,
        shutdown::Shutdown,
        telemetry,
    },
    verify::{self, Event, Live, Options, Sums},
};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How often the last line of a terminal is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// The words of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord verify                                 all mirrors of the configuration
  s3mirrord verify --mirror www --deep             fetch every object, compare every byte
  s3mirrord verify --mirror www docs/a.txt img/    a file, and a directory
  s3mirrord verify --json | jq 'select(.event == \"difference\")'

It writes nothing, and a daemon may be running. If none holds the mirror the ledger's proofs count, and it is locked
meanwhile: `once` waits for that with --wait. Else each file is read, and its object asked for by HEAD.

What it tells: missing (a file without object), extra (an object of ours without file), different (another content),
drift (another mtime, mode or owner), unreadable (a file that cannot be read), unproven (nothing shows whether they are
equal), busy (it changed whenever it was compared); and foreign (an object that is not ours, without file), which is no
difference.

Exit codes: 0 in sync, 1 there are differences, 2 usage or configuration, 3 store, credentials or root.")]
pub(super) struct Args {
    /// Only this mirror of the configuration
    #[arg(long, value_name = "NAME", value_hint = clap::ValueHint::Other)]
    mirror: Option<String>,
    /// Fetch every object, and compare its bytes with those of the file
    #[arg(long)]
    deep: bool,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    json: bool,
    /// Only these files, and what is below these directories, as they are named below the root
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Compares, one mirror after the other.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let mut config = Config::load(&common.config)?;
    if args.mirror.is_some() || !args.paths.is_empty() {
        which::one(&mut config, args.mirror.as_deref(), &args.paths, &common.config)?;
    }
    let shutdown = Shutdown::listen()?;
    let mut exit = Exit::InSync;
    for mirror in &config.mirrors {
        let paths = args.paths.iter().map(|path| which::below(&mirror.root, path));
        let verify = Verify {
            paths: paths.collect::<Result<_, _>>()?,
            commons: Commons::new(&config),
            silent: common.quiet > 0 || args.json,
            sums: args.json || common.quiet == 0,
            stop: &shutdown.drain,
            args: &args,
            mirror,
            paint: Paint::stdout(),
        };
        exit = exit.max(verify.compare().instrument(telemetry::about(&mirror.name)).await);
    }
    Ok(exit)
}

struct Verify<'a> {
    args: &'a Args,
    mirror: &'a Mirror,
    paths: Vec<RelPath>,
    commons: Commons,
    /// Nothing shows how far it is.
    silent: bool,
    /// What it came to is told.
    sums: bool,
    stop: &'a CancellationToken,
    paint: Paint,
}

/// What it came to.
struct Over {
    sums: Sums,
    requests: BTreeMap<String, u64>,
    time: Duration,
    exit: Exit,
    error: Option<String>,
}

/// What differs, as scripts read it.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    mirror: &'a str,
    kind: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    why: &'a str,
}

#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    mirror: &'a str,
    equal: u64,
    adopted: u64,
    #[serde(flatten)]
    told: BTreeMap<&'static str, u64>,
    skipped: u64,
    bytes: u64,
    bytes_read: u64,
    requests: &'a BTreeMap<String, u64>,
    seconds: f64,
    exit: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl Verify<'_> {
    async fn compare(&self) -> Exit {
        let (begun, live) = (Instant::now(), Live::default());
        let (done, requests) = match onlooker::open(&self.commons, self.mirror).await {
            Ok(mut found) => {
                if self.args.deep {
                    // it is not asked for anything, and others may have it meanwhile
                    found.sides.ledger = None;
                }
                let done = tokio::select! {
                    done = self.against(&found, &live) => done,
                    never = self.follow(&live) => never,
                };
                (done, found.sides.store.requests())
            }
            Err(fault) => (Err(fault), BTreeMap::new()),
        };
        let sums = live.sums();
        let exit = match &done {
            Err(fault) if fault.class == Class::Transient && self.stop.is_cancelled() => Exit::Some,
            Err(_) => Exit::Fatal,
            Ok(()) if sums.in_sync() => Exit::InSync,
            Ok(()) => Exit::Some,
        };
        if let Err(fault) = &done {
            tracing::error!("{fault}");
        }
        let (time, error) = (begun.elapsed(), done.err().map(|fault| fault.to_string()));
        if self.sums {
            self.end(&Over { sums, requests, time, exit, error });
        }
        exit
    }

    async fn against(&self, found: &Onlooker, live: &Live) -> Result<(), Fault> {
        let options = Options {
            deep: self.args.deep,
            paths: self.paths.clone(),
            prefix: self.mirror.prefix.clone(),
            mirror: found.mirror,
            keep: self.mirror.keep,
            can: found.can,
            beside: found.beside,
            wall: now,
        };
        if found.mirror.is_none() {
            tracing::warn!("the prefix has no owner record: no object is known to be ours");
        }
        verify::run(&found.sides, &options, live, self.stop, |event| print(&self.line(&event))).await
    }

    /// Shows how far it is on the last line of a terminal, for good.
    async fn follow(&self, live: &Live) -> Result<(), Fault> {
        let Some(line) = LastLine::new().filter(|_| !self.silent) else {
            return std::future::pending().await;
        };
        loop {
            sleep(FRAME).await;
            line.show(&format!("{}: comparing: {}", self.mirror.name, amounts(&live.sums())));
        }
    }

    fn line(&self, Event { key, difference, why }: &Event) -> String {
        let kind = difference.word();
        if self.args.json {
            let (path, path_b64) = path_of(key);
            return json(&Told { event: "difference", mirror: &self.mirror.name, kind, path, path_b64, why });
        }
        let tone = match difference {
            Difference::Missing | Difference::Different | Difference::Unreadable => Tone::Bad,
            Difference::Extra | Difference::Drift | Difference::Unproven | Difference::Busy => Tone::Warn,
            Difference::Foreign => Tone::Faint,
        };
        format!(
            "{:<10} {}  {}",
            self.paint.with(tone, kind),
            shown(key),
            self.paint.with(Tone::Faint, escaped(why))
        )
    }

    fn end(&self, over: &Over) {
        let Over { sums, requests: sent, time, exit, error } = over;
        let seconds = time.as_secs_f64();
        if self.args.json {
            let told = Difference::ALL.map(|difference| (difference.word(), sums.of(difference)));
            return print(&json(&Summary {
                event: "summary",
                mirror: &self.mirror.name,
                equal: sums.equal,
                adopted: sums.adopted,
                told: told.into(),
                skipped: sums.skipped,
                bytes: sums.came,
                bytes_read: sums.read,
                requests: sent,
                seconds: (seconds * 1000.0).round() / 1000.0,
                exit: exit.code(),
                error: error.as_deref(),
            }));
        }
        let name = self.paint.with(Tone::Strong, &self.mirror.name);
        print(&format!("{name}: {}, in {seconds:.1} s\n  requests: {}", amounts(sums), requests(sent)));
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn amounts(sums: &Sums) -> String {
    let equal = format!("{} equal", HumanCount(sums.equal));
    let told = Difference::ALL.map(|difference| (sums.of(difference), difference.word()));
    let more = [(sums.adopted, "of them written by other tools"), (sums.skipped, "skipped")];
    let counts = more[..1].iter().chain(&told).chain(&more[1..]).filter(|(n, _)| *n > 0);
    let mut all = vec![equal];
    all.extend(counts.map(|(n, what)| format!("{} {what}", HumanCount(*n))));
    if sums.came > 0 {
        all.push(format!("{} fetched", HumanBytes(sums.came)));
    }
    all.join(", ")
}
