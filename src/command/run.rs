//! `run`: the daemon.

use super::{Common, Exit, Failure};
use crate::{
    config::Config,
    service::{
        control::Server,
        metrics,
        shutdown::Shutdown,
        supervise::{Ended, Setting, Supervisor},
    },
};

/// What `--help` adds.
pub(super) const HELP: &str = "\
Examples:
  s3mirrord run                            until SIGTERM or Ctrl-C
  s3mirrord run --config ./backup.toml -v
  systemctl enable --now s3mirrord         as a service

Signals: SIGTERM and SIGINT finish the uploads in flight, within 25 s, and exit 0; a second one ends it at
once, and the next run takes up what was left. SIGHUP reads the configuration anew: if there is anything
wrong with it, that is told and all goes on as before; else mirrors that are new, gone or have other
settings begin or end, and the others go on and look at everything again, bucket included.

Exits 2 if the configuration is wrong, 5 if other instances hold all mirrors. A mirror in trouble (no root,
no store, no credentials) is tried again and does not keep the others down.";

/// Serves all mirrors until SIGTERM or SIGINT.
pub(super) async fn run(common: &Common) -> Result<Exit, Failure> {
    let config = Config::load(&common.config)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut shutdown = Shutdown::listen()?;
    let stop = shutdown.drain.clone();
    let setting = Setting { file: Some(common.config.clone()), ..Setting::default() };
    let supervisor = Supervisor::start(&config, &stop, &setting).await?;
    let control = Server::start(&config.state_dir, supervisor.posts()).await;
    if let Err(error) = &control {
        let state_dir = config.state_dir.display();
        tracing::error!(%error, "no control socket in {state_dir}: `status` and `approve` cannot ask this daemon");
    }
    let _metrics = match &config.metrics {
        None => None,
        Some(address) => match metrics::Server::start(address, &config.state_dir, supervisor.posts()).await {
            Ok(server) => {
                let address = server.address();
                tracing::info!(
                    "the status page is at http://{address}/, metrics are at http://{address}/metrics"
                );
                Some(server)
            }
            Err(error) => {
                tracing::error!(%error, "{address} cannot be listened at: there is no status page, and there are no metrics");
                None
            }
        },
    };
    match supervisor.watch(&mut shutdown).await {
        Ended::Stopped => Ok(Exit::InSync),
        Ended::Another => Ok(Exit::Another),
    }
}
