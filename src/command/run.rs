//! `run`: the daemon.
use super::{Common, Exit, Failure};
pub(super) async fn run(_c: &Common) -> Result<Exit, Failure> {
    Ok(Exit::InSync)
}
