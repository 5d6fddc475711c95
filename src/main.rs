//! Parse, run, exit code.

use clap::Parser;
use s3mirrord::command::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    command::log(&cli);
    command::run(cli).into()
}
