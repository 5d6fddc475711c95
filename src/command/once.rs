//! `once`: one pass over each mirror, for cron and for hands.

use super::{
    Common, Exit, Failure,
    lines::{Lines, Style, shown},
    paint::Paint,
    sums::Pass,
    which::Which,
};
use crate::{
    config::{Config, DeletePolicy, Mirror, Prices},
    engine::{self, End, Ending, Event, Hooks, Report, Status},
    ledger::{Database, Ledger, OpenError},
    model::Fault,
    service::{
        assembly::{self, Commons, Manner},
        cost::{Cost, Usage},
        hook::Hook,
        progress,
        screen::LastLine,
        shutdown::Shutdown,
        telemetry,
    },
};
use futures::stream;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How often a lock that is waited for is tried.
const KNOCK: Duration = Duration::from_millis(250);
/// Failing files that are told one by one on stderr; the rest only as a number.
const TOLD: u64 = 100;

/// The words of `once`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord once                                           all mirrors of the configuration
  s3mirrord once --mirror www --dry-run                    what would be done
  s3mirrord once --json --wait 10m                         for scripts, beside another pass
  s3mirrord once /srv/www s3://backups/www/                no configuration; nothing is deleted
  s3mirrord once /srv/www s3://backups/www/ --delete mirror --endpoint-url https://minio.example:9000

On a terminal it shows how far it is. Without one and without -v, a pass that finds nothing wrong prints
nothing. What a month costs is reckoned with a comparison as often as `relist` says (24h without a
configuration), at the prices of [prices].")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// With DIR: what becomes of objects whose file is gone [default: keep]
    #[arg(long, value_enum, value_name = "WHAT", requires = "dir")]
    delete: Option<DeletePolicy>,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    json: bool,
    /// Take objects in the prefix that are not ours, and have no file, for ours from now on
    #[arg(long)]
    adopt: bool,
    /// How long to wait for another instance to end, as in 10m
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Take the prefix over from the host that holds it
    #[arg(long)]
    take_over: bool,
}

/// Makes the passes, one mirror after the other.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let config = args.which.config(common, args.delete)?;
    let shutdown = Shutdown::listen()?;
    let mut exit = Exit::InSync;
    for mirror in &config.mirrors {
        let once = Once { args: &args, common, config: &config, mirror, stop: &shutdown.drain };
        exit = exit.max(once.pass().instrument(telemetry::about(&mirror.name)).await);
    }
    Ok(exit)
}

struct Once<'a> {
    args: &'a Args,
    common: &'a Common,
    config: &'a Config,
    mirror: &'a Mirror,
    stop: &'a CancellationToken,
}

impl Once<'_> {
    async fn pass(&self) -> Exit {
        let begun = Instant::now();
        let label = self.args.which.label(self.mirror);
        let lines = Arc::new(Lines::new(&self.mirror.name, label, self.style(), Paint::stdout()));
        let mut pass = self.attempt(&lines).await.unwrap_or_else(|failure| {
            tracing::error!("{:#}", failure.error);
            Pass { exit: failure.exit, error: Some(format!("{:#}", failure.error)), ..Pass::default() }
        });
        pass.time = begun.elapsed();
        pass.dry_run = self.args.dry_run;
        lines.end(&pass);
        pass.exit
    }

    fn style(&self) -> Style {
        if self.args.json {
            return Style::Json;
        }
        let verbose = self.common.verbose > self.common.quiet;
        let looking = Paint::stdout().terminal && self.common.quiet == 0;
        Style::Text { actions: verbose || self.args.dry_run, sums: verbose || looking }
    }

    async fn attempt(&self, lines: &Arc<Lines>) -> Result<Pass, Failure> {
        let Args { dry_run, adopt, take_over, .. } = *self.args;
        let ledger = open(&self.config.state_dir, self.mirror, dry_run, self.args.wait);
        let ledger = self.stop.run_until_cancelled(ledger).await.ok_or_else(stopped)??;
        let sides = assembly::sides(&Commons::new(self.config), self.mirror, ledger).await?;
        let (store, ledger) = (sides.1.clone(), sides.2.clone());
        let manner = Manner { once: true, dry_run, adopt, take_over };
        let report = report(lines.clone());
        let known = ledger.tally().await?.records;
        // whatever may fail has, before anything is frozen
        let options = assembly::options(self.mirror, manner)?;
        let hook = (!dry_run).then(|| Hook::of(self.mirror));
        if let Some(hook) = &hook {
            self.make_ready(hook).await?;
        }
        let engine = engine::run(
            sides,
            options,
            assembly::prune(self.mirror),
            stream::pending(),
            self.stop.clone(),
            report.clone(),
        );
        let end = tokio::select! {
            end = engine => end,
            // which never ends
            end = self.follow(&report, known) => end,
        };
        let over = match &hook {
            Some(hook) => hook.after().await,
            None => Ok(()),
        };
        let mut status = report.status();
        // told once a look, and one key may be looked at more than once: the ledger knows how many they are
        status.sums.held = match &status.held {
            Some(_) => ledger.tally().await?.pending,
            None => 0,
        };
        status.sums.overwrites_held = match &status.overwrites_held {
            Some(_) => ledger.tally().await?.overwrites,
            None => 0,
        };
        // what was held first may have come to be as it was later
        status.overwrites_held = status.overwrites_held.filter(|_| status.sums.overwrites_held > 0);
        let mut exit = Exit::of_pass(&end, &status);
        let mut error = match end {
            End::Failed(fault) => Some(fault.to_string()),
            End::Done if self.stop.is_cancelled() => {
                exit = exit.max(Exit::Some);
                Some(format!("{:#}", stopped().error))
            }
            End::Done => status.trouble.as_ref().filter(|_| exit == Exit::Fatal).map(Fault::to_string),
        };
        if let Err(fault) = over {
            exit = exit.max(Exit::Some);
            error.get_or_insert_with(|| fault.to_string());
        }
        if let Some(error) = &error {
            tracing::error!("{error}");
        }
        self.advise(&status);
        let requests = store.requests();
        let usage = Usage {
            requests: &requests,
            compared: status.compared,
            interval: self.mirror.relist,
            stored: status.stored,
        };
        let cost = Some(Cost::estimate(&self.mirror.prices, usage));
        let usual_prices = self.mirror.prices == Prices::default();
        let (sums, unknown) = (status.sums, status.unreadable.count());
        Ok(Pass { sums, unknown, requests, cost, usual_prices, exit, error, ..Pass::default() })
    }

    /// Runs what comes before. If it fails there is no pass, but what comes after is run in any case.
    async fn make_ready(&self, hook: &Hook) -> Result<(), Failure> {
        let failure = match self.stop.run_until_cancelled(hook.before()).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(fault)) => Failure::new(Exit::Some, anyhow::anyhow!("{fault}; nothing was read")),
            None => stopped(),
        };
        if let Err(fault) = hook.after().await {
            tracing::error!("{fault}");
        }
        Err(failure)
    }

    /// Tells how far the pass is, for good: on a terminal on its last line, else in the log.
    async fn follow(&self, report: &Report, known: u64) -> End {
        let mixed = self.args.json && Paint::stdout().terminal;
        let line = LastLine::new().filter(|_| self.common.quiet == 0 && !mixed);
        match line {
            Some(line) => {
                let label = self.args.which.label(self.mirror);
                progress::show(&line, &label, report, known).await;
            }
            None => progress::log_all(report.clone(), known).await,
        }
        std::future::pending().await
    }

    /// What somebody has to look at.
    fn advise(&self, status: &Status) {
        if status.sums.failed > TOLD {
            tracing::error!(files = status.sums.failed, "failed in all");
        }
        let places = status.unreadable.count();
        if places > 0 {
            tracing::warn!(places, "could not be read; nothing is deleted there");
        }
        let remedy = format!("s3mirrord approve {}", self.args.which.words(self.mirror));
        if let Some(why) = &status.overwrites_held {
            tracing::warn!(
                files = status.sums.overwrites_held,
                "replacements are held: {why}; look at them with: {remedy}"
            );
        }
        if let Some(why) = &status.held {
            tracing::warn!(
                deletes = status.sums.held,
                "deletes are held: {why}; look at them with: {remedy}"
            );
        }
    }
}

fn stopped() -> Failure {
    Failure::new(Exit::Some, anyhow::anyhow!("stopped before the pass was over"))
}

/// Takes the lock, at the latest after `wait`.
async fn open(
    state_dir: &Path,
    mirror: &Mirror,
    rehearse: bool,
    wait: Duration,
) -> Result<Database, Failure> {
    let begun = Instant::now();
    loop {
        match assembly::ledger(state_dir, mirror, rehearse).await {
            Ok(ledger) => return Ok(ledger),
            Err(OpenError::Held(_)) if begun.elapsed() < wait => tokio::time::sleep(KNOCK).await,
            Err(OpenError::Held(held)) => {
                let error = anyhow::anyhow!("{held}; wait for it with --wait 10m, or stop it");
                return Err(Failure::new(Exit::Another, error));
            }
            Err(OpenError::Fault(fault)) => return Err(fault.into()),
        }
    }
}

/// Events as lines; what fails also on stderr.
fn report(lines: Arc<Lines>) -> Report {
    let told = AtomicU64::new(0);
    Report::new(Arc::new(move |_, event| {
        lines.note(event);
        match event {
            Event::Action { key, ending: Ending::Failed(fault), .. } if told.fetch_add(1, Relaxed) < TOLD => {
                tracing::error!(key = shown(key), "{fault}");
            }
            Event::Action { key, ending: Ending::Busy, .. } => {
                tracing::warn!(key = shown(key), "it kept changing while it was read");
            }
            // the last one is told when the pass is over
            Event::Trouble(fault) => tracing::info!("{fault}"),
            _ => {}
        }
    }))
}
