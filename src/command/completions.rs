//! `completions`: what a shell needs to complete our words.

use super::{Cli, Exit, Failure, print::print};
use clap::CommandFactory;
use clap_complete::Shell;

/// The words of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord completions bash > /etc/bash_completion.d/s3mirrord
  s3mirrord completions fish > ~/.config/fish/completions/s3mirrord.fish")]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "s3mirrord", &mut script);
    print(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::InSync)
}
