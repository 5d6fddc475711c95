//! `status`
use super::{Common, Exit, Failure};
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) async fn run(_a: Args, _c: &Common) -> Result<Exit, Failure> {
    Ok(Exit::InSync)
}
