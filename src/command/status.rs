//! `status`: what the daemon is doing.

use super::{
    Common, Exit, Failure,
    paint::{Paint, Tone},
    print::{ended, print},
    sums::{month, requests},
};
use crate::{
    config::Config,
    service::control::{Client, Daemon, MirrorStatus, Reply, Request, ScrubStatus, State},
    service::drill::Drilled,
};
use indicatif::{HumanBytes, HumanCount};
use std::{path::Path, time::Duration};

/// How often `--watch` asks.
const BEAT: Duration = Duration::from_secs(1);

/// The words of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord status
  s3mirrord status --watch
  s3mirrord status --json | jq -r '.mirrors[] | select(.state != \"in sync\") | .mirror'

Exits 3 if there is no daemon.")]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Ask again every second
    #[arg(long)]
    watch: bool,
}

/// Asks and prints.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let state_dir = match Config::load(&common.config) {
        Ok(config) => config.state_dir,
        // the daemon goes by what it read before
        Err(problems) => match Config::state_dir(&common.config) {
            Some(state_dir) if Client::connect(&state_dir).await.is_ok_and(|client| client.is_some()) => {
                tracing::warn!(
                    "the configuration cannot be loaded by now, and the daemon goes by an older one: {problems}"
                );
                state_dir
            }
            _ => return Err(problems.into()),
        },
    };
    let paint = Paint::stdout();
    loop {
        let daemon = ask(&state_dir).await?;
        if args.watch && paint.terminal && !args.json {
            // home, and clear what is below
            print("\x1b[H\x1b[2J");
        }
        match args.json {
            true => print(&serde_json::to_string(&daemon).expect("plain data")),
            false => {
                if let Some(why) = &daemon.refused {
                    let what = paint.with(Tone::Warn, "the configuration was not loaded anew");
                    print(&format!("{what}: {why}"));
                }
                daemon.mirrors.iter().for_each(|mirror| print(&told(mirror, paint)));
            }
        }
        if !args.watch || ended() {
            return Ok(Exit::InSync);
        }
        tokio::time::sleep(BEAT).await;
    }
}

async fn ask(state_dir: &Path) -> Result<Daemon, Failure> {
    let none = || {
        let text = format!("no daemon answers in {}; start one: s3mirrord run", state_dir.display());
        Failure::new(Exit::Fatal, anyhow::anyhow!(text))
    };
    let mut client = Client::connect(state_dir).await?.ok_or_else(none)?;
    match client.ask(&Request::Status).await? {
        Reply::Status(daemon) => Ok(daemon),
        other => {
            Err(Failure::new(Exit::Fatal, anyhow::anyhow!("the daemon answers beside the point: {other:?}")))
        }
    }
}

fn told(mirror: &MirrorStatus, paint: Paint) -> String {
    let state = mirror.state();
    let tone = match state {
        State::Trouble | State::Failing => Tone::Bad,
        State::DeletesHeld | State::ReplacementsHeld | State::Unreadable | State::Working => Tone::Warn,
        State::InSync => Tone::Good,
    };
    let word = state.word();
    let name = paint.with(Tone::Strong, &mirror.mirror);
    let mut text = format!("{name}  {}  {} → {}\n", paint.with(tone, word), mirror.root, mirror.target);
    text += &match mirror.files {
        Some(files) => format!("  {} files known", HumanCount(files)),
        None => "  the ledger does not answer".to_owned(),
    };
    text += &format!("; {} places to look at, {} files under way\n", mirror.pending, mirror.in_flight);
    if mirror.unsynced_seconds > 0 {
        let age = humantime::format_duration(Duration::from_secs(mirror.unsynced_seconds));
        text += &format!("  the oldest change that is not in the bucket: {age} old\n");
    }
    if let Some(rate) = mirror.bytes_per_second {
        text += &format!("  sending {}/s\n", HumanBytes(rate));
    }
    text += &format!(
        "  since start: {} uploaded ({}), {} copied, {} deleted",
        HumanCount(mirror.uploaded),
        HumanBytes(mirror.bytes),
        HumanCount(mirror.copied),
        HumanCount(mirror.deleted)
    );
    text += &format!("\n  requests since start: {}", requests(&mirror.requests));
    if let Some(cost) = &mirror.cost {
        text += &format!("\n  cost: since start {}; {}", cost.amount(cost.pass), month(cost));
    }
    if let Some(ScrubStatus { done, skipped, of, whole, healed, .. }) = &mirror.scrub {
        text += &format!("\n  proven again: {} of {}", HumanCount(*done), HumanCount(*of));
        if *skipped > 0 {
            text += &format!(", {} skipped", HumanCount(*skipped));
        }
        let at = whole.and_then(|at| jiff::Timestamp::from_second(at).ok());
        text += &at.map_or(String::new(), |at| format!("; all of them by {at}"));
        if *healed > 0 {
            text += &format!("; {} were damaged or missing and were put back", HumanCount(*healed));
        }
    }
    if let Some(Drilled { at, files, bytes, failed, success }) = &mirror.drill {
        let time = |at: &i64| jiff::Timestamp::from_second(*at).map(|at| at.to_string()).unwrap_or_default();
        text +=
            &format!("\n  restore drill of {}: {files} files ({}) as they are", time(at), HumanBytes(*bytes));
        if *failed > 0 {
            let last = success.as_ref().map_or("never".to_owned(), time);
            text += &format!(", {failed} not; the last without a failure: {last}");
        }
    }
    if let Some(hold) = &mirror.held {
        text += &format!("\n  {} are held: {}", hold.what(), hold.why);
    }
    if let Some(hold) = &mirror.overwrites_held {
        text += &format!("\n  {} are held: {}", hold.what(), hold.why);
    }
    if mirror.held.is_some() || mirror.overwrites_held.is_some() {
        text += &format!("\n    look at them with: {}", mirror.approve());
    }
    for (what, why) in [("trouble", &mirror.trouble), ("changes are not seen at once", &mirror.degraded)] {
        if let Some(why) = why {
            text += &format!("\n  {what}: {why}");
        }
    }
    if mirror.unknown > 0 {
        text += &format!("\n  {} cannot be read; nothing is deleted there", places(mirror.unknown));
    }
    for place in &mirror.unreadable_sample {
        text += &format!("\n  {} {place}", paint.with(Tone::Warn, "unreadable"));
    }
    text += &more(mirror.unknown, mirror.unreadable_sample.len());
    for failing in &mirror.failing_sample {
        text += &format!("\n  {} {}: {}", paint.with(Tone::Bad, "failing"), failing.path, failing.error);
    }
    text + &more(mirror.failing as u64, mirror.failing_sample.len())
}

fn places(n: u64) -> String {
    if n == 1 { "a place".to_owned() } else { format!("{} places", HumanCount(n)) }
}

/// Of so many so many were named.
fn more(all: u64, named: usize) -> String {
    match all.saturating_sub(named as u64) {
        0 => String::new(),
        more => format!("\n  and {} more", HumanCount(more)),
    }
}
