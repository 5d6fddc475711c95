//! `restore`: files as they were, from what the bucket holds.

use super::{
    Common, Exit, Failure, at,
    lines::{Action, shown},
    paint::{Paint, Tone},
    print::{json, print},
    sums::requests,
    which,
};
use crate::{
    config::{Config, Direct, Mirror, Surroundings, Trash},
    engine,
    local::Target,
    model::{Class, Fault, Key, RelPath},
    plan::Replace,
    restore::{self, Ending, Event, Live, Options, Past, Pattern, Sums},
    service::{
        assembly::{self, Commons},
        screen::LastLine,
        shutdown::Shutdown,
        telemetry,
    },
    store::Store,
};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::time::sleep;
use tracing::Instrument;

/// How often the last line of a terminal is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// The words of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord restore --to /srv/www.restored                    the only mirror of the configuration
  s3mirrord restore --mirror www --to /tmp/x docs/a.txt docs/2026/    a file, and a directory
  s3mirrord restore --mirror www --to /tmp/x 'photos/2024-*/**'       what a pattern matches, as in exclude
  s3mirrord restore --mirror www --to /srv/www --overwrite older --owner
  s3mirrord restore --from s3://backups/www/ --to /srv/www    without a configuration, on another machine
  s3mirrord restore --to /tmp/x --at '3d ago' docs/           what was there three days ago

Each file is compared with what the store tells of it before it takes its name. What was restored before stays (a file of
the same size and time): run it again when it was interrupted. The ledger is not needed, and a daemon may be running.

--at takes a bucket that keeps versions, or a mirror with delete = 'trash', that did so by then, and tells what the bucket
held at the end of that second by the store's clock. What cannot be known is refused or told, not guessed.

Exit codes: 0 all is there, 1 some files failed or another file is in their place, 2 usage or configuration, 3 store,
credentials or disk, 5 another restore is writing there.")]
pub(super) struct Args {
    /// Where to: made if it is not there, and nothing outside of it is touched
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Which mirror of the configuration
    #[arg(long, value_name = "NAME", value_hint = clap::ValueHint::Other)]
    mirror: Option<String>,
    /// Without a configuration: what to restore
    #[arg(long, value_name = "S3URL", conflicts_with = "mirror")]
    from: Option<String>,
    /// With --from: a store other than Amazon's
    #[arg(long, value_name = "URL", requires = "from")]
    endpoint_url: Option<String>,
    /// Which files that are there give way: none, those that are older, or all that differ in size or time
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    overwrite: Overwrite,
    /// Give files the owner and group that they had
    #[arg(long)]
    owner: bool,
    /// Give them to those who have the names here that the owners had; by number where a name is not known here, or in the bucket
    #[arg(long, requires = "owner")]
    owner_names: bool,
    /// Give files the set-user-id, set-group-id and sticky bits that they had, too
    #[arg(long, requires = "owner")]
    special: bool,
    /// Make the devices that are recorded, as root; without it they are told, and not made: whoever may write to the bucket
    /// could have them lead to any disk
    #[arg(long)]
    devices: bool,
    /// As it was then: 2026-11-29T12:00:00Z, "2h ago", "3d ago"; by the bucket's versions, or the trash
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Only tell what would be restored
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    json: bool,
    /// Only these files, and what is below these directories, as they are named below the root; one with *, ?, [ or { that
    /// is there under no such name is a pattern, as those of `exclude` are
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Overwrite {
    #[default]
    Never,
    Older,
    Always,
}

impl From<Overwrite> for Replace {
    fn from(overwrite: Overwrite) -> Self {
        match overwrite {
            Overwrite::Never => Self::Never,
            Overwrite::Older => Self::Older,
            Overwrite::Always => Self::Always,
        }
    }
}

/// Restores, and tells what came of it.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let now = now.unwrap_or(i64::MAX);
    let when = args.at.as_deref().map(|text| at::read(text, now)).transpose()?;
    let config = args.config(common)?;
    let mirror = &config.mirrors[0];
    feeds_itself(&config, &args.to)?;
    let (mut paths, mut patterns) = (vec![], vec![]);
    for path in &args.paths {
        let name = which::below(&mirror.root, path)?;
        match Pattern::of(&name, path.is_absolute() || path.starts_with(".")) {
            Some(pattern) => patterns.push(pattern),
            None => paths.push(name),
        }
    }
    let mut options = Options {
        replace: args.overwrite.into(),
        dry_run: args.dry_run,
        owner: args.owner,
        owner_names: args.owner_names,
        special: args.special,
        devices: args.devices,
        paths,
        patterns,
        alone: false,
        memory: config.memory_limit,
        past: None,
    };
    let shutdown = Shutdown::listen()?;
    let (begun, live) = (Instant::now(), Live::default());
    let style = Style {
        // of a command line's the name is a hash
        mirror: args.from.clone().unwrap_or_else(|| mirror.name.clone()),
        json: args.json,
        each: args.json || args.dry_run || common.verbose > common.quiet,
        paint: Paint::stdout(),
    };
    let restoring = async {
        let commons = Commons::new(&config);
        let mut store = assembly::store(&commons, mirror).await?;
        if let Some(when) = when {
            let past = Past::find(&store, when, now).await?;
            if let Past::Trash(_, prefix) = &past {
                store = assembly::store(&commons, &trashing(mirror, prefix)).await?;
            }
            options.past = Some(past);
        }
        let target = Target::open(&args.to, !args.dry_run)?;
        let done =
            restore::run(&store, &target, &options, &live, &shutdown.drain, |event| style.tell(&event));
        let mut done = tokio::select! {
            done = done => done,
            never = follow(&live, common.quiet > 0 || args.json) => never,
        };
        let all = options.paths.is_empty() && options.patterns.is_empty() && options.past.is_none();
        // a mirror of nothing has an owner at least
        let nothing = all && done.is_ok() && live.sums() == Sums::default();
        if nothing && matches!(engine::owner(&store).await, Ok(None)) {
            let fault =
                Fault::new(Class::Missing, "restore", format!("there is nothing below {}", store.place()));
            done = Err(fault.remedy("are bucket and prefix the right ones?"));
        }
        Ok::<_, Fault>((done, store.requests()))
    };
    let (done, requests) = match restoring.instrument(telemetry::about(&style.mirror)).await {
        Ok((done, requests)) => (done, requests),
        Err(fault) => (Err(fault), BTreeMap::new()),
    };
    let sums = live.sums();
    let exit = match &done {
        Err(fault) if fault.class == Class::Owned => Exit::Another,
        Err(fault) if fault.class == Class::Transient && shutdown.drain.is_cancelled() => Exit::Some,
        Err(_) => Exit::Fatal,
        Ok(()) if sums.failed + sums.stays > 0 => Exit::Some,
        Ok(()) => Exit::InSync,
    };
    if let Err(fault) = &done {
        tracing::error!("{fault}");
    }
    let over = Over { sums, requests, time: begun.elapsed(), exit, error: done.err().map(|f| f.to_string()) };
    if args.json || common.quiet == 0 {
        style.end(&over, &args);
    }
    Ok(exit)
}

/// The mirror with its trash where the owner record has it, whatever the configuration says by now.
fn trashing(mirror: &Mirror, prefix: &str) -> Mirror {
    Mirror { trash: Some(Trash { prefix: prefix.to_owned(), keep: None }), ..mirror.clone() }
}

impl Args {
    /// The configuration with the one mirror that is meant.
    fn config(&self, common: &Common) -> Result<Config, Failure> {
        let mut config = match &self.from {
            Some(url) => {
                // a mirror has a root and state; neither is looked at here
                let (root, state) = (Path::new("/nowhere/root"), PathBuf::from("/nowhere/state"));
                let state_dir = Some(state);
                let direct =
                    Direct { endpoint_url: self.endpoint_url.clone(), state_dir, ..Direct::default() };
                Config::direct(root, url, &direct, &Surroundings::of_process())?
            }
            None => Config::load(&common.config)?,
        };
        which::one(&mut config, self.mirror.as_deref(), &[], &common.config)?;
        Ok(config)
    }
}

/// What is restored below a mirrored directory is mirrored, and then there is more to be restored.
fn feeds_itself(config: &Config, to: &Path) -> Result<(), Failure> {
    let to = std::path::absolute(to).map_err(Failure::usage)?;
    // as far as it is there, where links lead to
    let real = to.ancestors().find_map(|above| {
        let real = above.canonicalize().ok()?;
        Some(real.join(to.strip_prefix(above).ok()?))
    });
    let to = real.unwrap_or(to);
    for mirror in &config.mirrors {
        let Ok(name) = to.strip_prefix(&mirror.root) else { continue };
        let Ok(name) = RelPath::new(name.as_os_str().as_bytes()) else { continue };
        if !name.is_root() && !assembly::prune(mirror).excludes(&name, true) {
            return Err(Failure::usage(format!(
                "--to {}: it lies in the root of {}, which would be mirrored with all that is restored; restore to the root \
                 itself, or to a directory elsewhere",
                to.display(),
                mirror.name
            )));
        }
    }
    Ok(())
}

/// Shows how far it is on the last line of a terminal, for good.
async fn follow(live: &Live, silent: bool) -> Result<(), Fault> {
    let Some(line) = LastLine::new().filter(|_| !silent) else { return std::future::pending().await };
    loop {
        sleep(FRAME).await;
        let (sums, came) = (live.sums(), live.came());
        line.show(&format!("restoring: {}", amounts(&Sums { bytes: came, ..sums })));
    }
}

/// What it came to.
struct Over {
    sums: Sums,
    requests: BTreeMap<String, u64>,
    time: Duration,
    exit: Exit,
    error: Option<String>,
}

/// How it is told.
struct Style {
    mirror: String,
    json: bool,
    /// Each file by itself, too.
    each: bool,
    paint: Paint,
}

#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    mirror: &'a str,
    restored: u64,
    unproven: u64,
    unchanged: u64,
    kept: u64,
    failed: u64,
    bytes: u64,
    requests: &'a BTreeMap<String, u64>,
    seconds: f64,
    exit: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl Style {
    fn tell(&self, event: &Event) {
        let Event { key, ending } = event;
        match ending {
            Ending::Failed(fault) => tracing::error!(path = shown(key), "{fault}"),
            Ending::Stays => {
                tracing::warn!(path = shown(key), "another file is there, and stays: see --overwrite")
            }
            Ending::Restored { proven: false, .. } => {
                tracing::warn!(path = shown(key), "restored, but the store tells nothing to compare it with");
            }
            _ => {}
        }
        if self.each {
            print(&self.line(key, ending));
        }
    }

    fn line(&self, key: &Key, ending: &Ending) -> String {
        let (outcome, tone) = match ending {
            Ending::Restored { .. } => ("done", Tone::Good),
            Ending::Planned(_) => ("planned", Tone::Good),
            Ending::Same => ("unchanged", Tone::Faint),
            Ending::Stays => ("kept", Tone::Warn),
            Ending::Failed(_) => ("failed", Tone::Bad),
        };
        let fault = match ending {
            Ending::Failed(fault) => Some(fault),
            _ => None,
        };
        if self.json {
            return json(&Action::new(&self.mirror, "restore", key, outcome).error(fault));
        }
        let error = fault.map_or(String::new(), |fault| format!("  {}", self.paint.with(tone, fault)));
        format!("{:<9} {}{error}", self.paint.with(tone, outcome), shown(key))
    }

    fn end(&self, over: &Over, args: &Args) {
        let Over { sums, requests: sent, time, exit, error } = over;
        if self.json {
            let summary = Summary {
                event: "summary",
                mirror: &self.mirror,
                restored: sums.restored,
                unproven: sums.unproven,
                unchanged: sums.same,
                kept: sums.stays,
                failed: sums.failed,
                bytes: sums.bytes,
                requests: sent,
                seconds: (time.as_secs_f64() * 1000.0).round() / 1000.0,
                exit: exit.code(),
                error: error.as_deref(),
            };
            return print(&json(&summary));
        }
        let done = if args.dry_run { "would be restored" } else { "restored" };
        let (to, told) = (args.to.display(), amounts(sums).replace("restored", done));
        print(&format!("{to}: {told}, in {:.1} s\n  requests: {}", time.as_secs_f64(), requests(sent)));
    }
}

fn amounts(sums: &Sums) -> String {
    let restored = format!("{} restored ({})", HumanCount(sums.restored), HumanBytes(sums.bytes));
    let rest = [
        (sums.same, "there already"),
        (sums.stays, "kept as they are"),
        (sums.unproven, "not compared"),
        (sums.failed, "failed"),
    ];
    let rest = rest.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", HumanCount(n)));
    std::iter::once(restored).chain(rest).collect::<Vec<_>>().join(", ")
}
