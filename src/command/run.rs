//! `run`: the daemon.

use super::{Common, Exit, Failure};
use crate::{
    config::Config,
    service::{
        control::Server,
        shutdown::Shutdown,
        supervise::{Ended, Setting, Supervisor},
    },
};

/// Serves all mirrors until SIGTERM or SIGINT.
pub(super) async fn run(common: &Common) -> Result<Exit, Failure> {
    let config = Config::load(&common.config)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut shutdown = Shutdown::listen()?;
    let stop = shutdown.drain.clone();
    let supervisor = Supervisor::start(&config, &stop, &Setting::default()).await?;
    let control = Server::start(&config.state_dir, supervisor.posts.clone()).await;
    if let Err(error) = &control {
        let state_dir = config.state_dir.display();
        tracing::error!(%error, "no control socket in {state_dir}: `status` and `approve` cannot ask this daemon");
    }
    match supervisor.watch(&mut shutdown).await {
        Ended::Stopped => Ok(Exit::InSync),
        Ended::Another => Ok(Exit::Another),
    }
}
