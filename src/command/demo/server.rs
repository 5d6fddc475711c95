//! The bucket alone, for tests and for trying other tools.

use super::Args;
use crate::{
    command::{Exit, Failure, print::print},
    embedded::{Bodies, Kind, Options, Rule, Server},
};
use anyhow::Context;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Serves until the stop, then tells how many requests there were; at SIGUSR1, how many there are so far. SIGUSR2
/// takes the latency away and brings it back. Signals, because only this machine can send one, and they cannot be
/// mistaken for requests.
pub(super) async fn serve(args: &Args, stop: &CancellationToken) -> Result<Exit, Failure> {
    let bodies = tempfile::Builder::new().prefix("s3mirrord-demo-").tempdir()?;
    let mut options = Options {
        listen: args.listen,
        buckets: vec![args.bucket.clone()],
        bodies: Bodies::Directory(bodies.path().to_owned()),
        ..Options::default()
    };
    if let (Some(access_key), Some(secret_key)) = (&args.access_key, &args.secret_key) {
        (options.access_key, options.secret_key) = (access_key.clone(), secret_key.clone());
    }
    // before anyone knows of the server: unheard, a signal would end it
    let mut asked = signal(SignalKind::user_defined1())?;
    let mut moved = signal(SignalKind::user_defined2())?;
    let server = Server::start(options).await;
    let server = server
        .with_context(|| format!("cannot serve the bucket {:?} at {}", args.bucket, args.listen))
        .map_err(|error| Failure::new(Exit::Fatal, error))?;
    let listening = json!({
        "event": "listening",
        "endpoint": server.endpoint(),
        "access_key": server.access_key(),
        "secret_key": server.secret_key(),
        "bucket": args.bucket,
    });
    let far = || server.faults().add(Rule::new(Kind::Latency(args.latency)));
    let mut is_far = (!args.latency.is_zero()).then(far);
    print(&listening.to_string());
    let heard = async {
        loop {
            tokio::select! {
                _ = asked.recv() => {
                    print(&json!({"event": "so_far", "requests": server.requests()}).to_string());
                }
                _ = moved.recv() => {
                    match is_far.take() {
                        Some(rule) => drop(server.faults().remove(rule)),
                        None => is_far = Some(far()),
                    }
                    print(&json!({"event": "latency", "on": is_far.is_some()}).to_string());
                }
            }
        }
    };
    stop.run_until_cancelled(heard).await;
    let requests = server.requests();
    server.stop().await;
    print(&json!({"event": "requests", "requests": requests}).to_string());
    Ok(Exit::InSync)
}
