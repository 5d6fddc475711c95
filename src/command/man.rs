//! `man`: the manual, a page for each verb, from the same words as `--help`.

use super::{Cli, Exit, Failure};
use anyhow::Context;
use clap::CommandFactory;
use std::{fs, path::PathBuf};

/// The words of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord man /usr/local/share/man/man1 && man s3mirrord-restore")]
pub(super) struct Args {
    /// Where to write the pages: made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes `s3mirrord.1`, `s3mirrord-once.1` and so on.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let dir = &args.dir;
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    let written = written.with_context(|| format!("{} cannot be written", dir.display()));
    written.map(|()| Exit::InSync).map_err(|error| Failure::new(Exit::Fatal, error))
}
