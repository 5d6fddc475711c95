//! `demo`: the daemon at work, on a bucket of this machine, without an account.
//!
//! `site` is what it works on, `story` what happens there, `show` how it is shown, `server` the bucket alone.

mod server;
mod show;
mod site;
mod story;

use super::{
    Exit, Failure,
    paint::{Paint, Tone},
    print::print,
    sums::amounts,
};
use crate::service::{shutdown::Shutdown, supervise::Post};
use site::Site;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::time::Instant;

/// How often it is asked whether something has come about.
const TICK: Duration = Duration::from_millis(20);
/// How long `--exit-when-synced` waits while nothing moves.
const PATIENCE: Duration = Duration::from_secs(60);

/// The words of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord demo                          a sample directory, and a story of half a minute; Ctrl-C ends it
  s3mirrord demo ~/notes                  a directory of yours, which is only read
  s3mirrord demo --exit-when-synced       for scripts: mirror the sample, verify it, exit 0
  s3mirrord demo --server-only --bucket backups --access-key me --secret-key secret
                                          SIGUSR1 has it print the requests so far, by operation;
                                          SIGUSR2 turns --latency off and on again

The bucket is on this machine and goes when the demo ends. No AWS account, variable or file is used.")]
pub(super) struct Args {
    /// The directory to mirror; without it, a sample that changes by itself
    dir: Option<PathBuf>,
    /// Exit when everything is in sync and verified; 1 if that does not come about
    #[arg(long)]
    exit_when_synced: bool,
    /// Only serve a bucket, and mirror nothing
    #[arg(long, conflicts_with_all = ["dir", "exit_when_synced"])]
    server_only: bool,
    /// Where to serve it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000", requires = "server_only")]
    listen: SocketAddr,
    /// The key to sign requests with [default: random]
    #[arg(long, value_name = "ID", requires = "server_only", requires = "secret_key")]
    access_key: Option<String>,
    /// Its secret [default: random]
    #[arg(long, value_name = "SECRET", requires = "server_only", requires = "access_key")]
    secret_key: Option<String>,
    /// The bucket's name
    #[arg(long, value_name = "NAME", default_value = "demo", requires = "server_only")]
    bucket: String,
    /// Hold every request back for this long, as a far-away store would, as in 50ms
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration, requires = "server_only")]
    latency: Duration,
}

/// Shows it, until it is told to stop or there is nothing more to show.
pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut shutdown = Shutdown::listen()?;
    let stop = shutdown.drain.clone();
    if args.server_only {
        return server::serve(&args, &stop).await;
    }
    let paint = Paint::stdout();
    let site = Site::build(args.dir.as_deref()).await?;
    let sample = args.dir.is_none();
    print(&site.welcome(paint));
    if !sample && !args.exit_when_synced {
        print("\nCtrl-C ends it.\n");
    }
    let supervisor = site.start(&stop).await?;
    let posts = supervisor.posts();
    let all = posts.all();
    let Some(post) = all.first() else { return Ok(Exit::Fatal) };
    let control = site.control(&posts).await;
    let watching = tokio::spawn(async move { supervisor.watch(&mut shutdown).await });

    let shown = async {
        match (args.exit_when_synced, sample) {
            (true, _) => synced(post).await,
            (false, true) => story::tell(&site, post, paint).await.map(|()| true),
            (false, false) => Ok(true),
        }
    };
    let shown = stop.run_until_cancelled(shown).await.transpose();
    let stays = !args.exit_when_synced && shown.is_ok() && (!sample || paint.terminal);
    if stays {
        stop.cancelled().await;
    }
    let stopped = stop.is_cancelled();
    stop.cancel();
    // the ledger is closed when all who hold it are gone
    let _ = watching.await;
    drop(control);
    let told = post.report.status();
    drop((all, posts));
    match shown? {
        Some(synced) if args.exit_when_synced => {
            let verified = synced && site.verify(&told.sums, paint).await?;
            Ok(if verified { Exit::InSync } else { Exit::Some })
        }
        None if args.exit_when_synced && stopped => Ok(Exit::Some),
        _ => {
            let sums = amounts(&told.sums, told.unreadable.count());
            if stays {
                print(&format!("{} {sums}", paint.with(Tone::Faint, "ended; in all")));
            }
            Ok(Exit::InSync)
        }
    }
}

/// Waits until everything is in sync; false if it does not come about.
async fn synced(post: &Post) -> Result<bool, Failure> {
    let (mut last, mut moved) = (None, Instant::now());
    while moved.elapsed() < PATIENCE {
        let status = post.report.status();
        if status.settled && post.trouble().is_none() {
            return Ok(status.failing.is_empty() && status.unreadable.count() == 0 && status.held.is_none());
        }
        let now = (status.sums, status.pending, status.in_flight);
        if last.as_ref() != Some(&now) {
            (last, moved) = (Some(now), Instant::now());
        }
        tokio::time::sleep(TICK).await;
    }
    tracing::error!("nothing has moved for {}", humantime::format_duration(PATIENCE));
    Ok(false)
}
