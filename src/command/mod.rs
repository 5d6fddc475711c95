//! L4, the command line: one file a verb.
//!
//! `exit` knows the exit codes, `which` finds the mirrors that are meant, `lines` and `paint` are what is
//! printed.

mod approve;
mod at;
mod completions;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod exit;
mod explain;
mod init;
mod lines;
mod ls;
mod man;
mod once;
mod paint;
mod print;
mod restore;
mod run;
mod status;
mod sums;
mod verify;
mod which;

pub use exit::Exit;

use crate::{
    config::Problems,
    model::{Class, Fault},
    service::telemetry::{self, LogFormat},
};
use clap::{ArgAction, Parser, Subcommand};
use std::{io::Write, path::PathBuf};
use tokio::runtime::{Builder, Runtime};

/// Where the configuration lies unless something else is said.
pub const CONFIG: &str = "/etc/s3mirrord/config.toml";

const EXAMPLES: &str = "\
Examples:
  s3mirrord demo                                     see it at work, without an account
  s3mirrord once /srv/www s3://backups/www/          one pass, without a configuration
  s3mirrord init && s3mirrord once --dry-run         write a configuration, see what would be done
  s3mirrord doctor                                   what stands in the way, and what to do about it
  s3mirrord run                                      the daemon: all mirrors of the configuration
  s3mirrord status                                   what the daemon is doing
  s3mirrord approve                                  look at deletes that are held, and release them
  s3mirrord restore --to /srv/restored               bring files back
  s3mirrord verify                                   compare disk and bucket, change nothing
  s3mirrord ls -l docs/                              what the bucket holds
  s3mirrord explain docs/a.txt                       why a file is, or is not, there

Exit codes: 0 in sync, 1 some files failed or differ, 2 usage or configuration, 3 store, credentials or root,
4 deletes or replacements are held, 5 another instance holds the mirror.";

/// Keeps S3 prefixes equal to directories: continuously as a daemon, or once.
#[derive(Debug, Parser)]
#[command(name = "s3mirrord", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", env = "S3MIRRORD_CONFIG", default_value = CONFIG)]
    config: PathBuf,
    /// Say more; again for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say less
    #[arg(short, long, global = true, action = ArgAction::Count)]
    quiet: u8,
    /// How log lines on stderr look
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep all mirrors of the configuration in sync until told to stop
    #[command(after_help = run::HELP)]
    Run,
    /// Make one pass: upload what differs, delete what is gone, exit
    Once(once::Args),
    /// Show what a running daemon is doing
    Status(status::Args),
    /// Find what stands in the way: root, watches, credentials, permissions, store
    Doctor(doctor::Args),
    /// Show the deletes and replacements that are held, and release them
    Approve(approve::Args),
    /// Bring files back from the bucket
    Restore(restore::Args),
    /// Show what is known of one file, and what would be done about it
    Explain(explain::Args),
    /// List what the bucket holds of a mirror
    Ls(ls::Args),
    /// Compare disk and bucket, and tell what differs; nothing is changed
    Verify(verify::Args),
    /// See it at work: a directory kept equal to a bucket on this machine, without an account
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    /// Write a configuration with everything explained, for what is asked or named; never over a file that is there
    Init(init::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the manual, a page for each verb and one for the configuration
    Man(man::Args),
}

/// Why a verb gave up.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The command line, or something it names, is wrong.
    fn usage(text: impl std::fmt::Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{text}"))
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Usage, problems)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let exit = if fault.class == Class::Owned { Exit::Another } else { Exit::Fatal };
        Self::new(exit, fault)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Fatal, error)
    }
}

/// Sends logs to stderr, as much as the command line asks for: of the daemon what it does, of commands only
/// what is wrong.
pub fn log(cli: &Cli) {
    let Common { verbose, quiet, log_format, .. } = cli.common;
    let usual = if matches!(cli.verb, Verb::Run) { tracing::Level::INFO } else { tracing::Level::WARN };
    let steps = |n: u8| i8::try_from(n).unwrap_or(i8::MAX);
    let verbosity = steps(verbose).saturating_sub(steps(quiet));
    telemetry::init(telemetry::Options { usual, verbosity, format: log_format })
        .expect("nothing logs before this");
}

/// Does what the command line says, and tells what went wrong.
pub fn run(cli: Cli) -> Exit {
    let runtime = match runtime(&cli.verb) {
        Ok(runtime) => runtime,
        Err(error) => return tell(&Failure::new(Exit::Fatal, error)),
    };
    let Cli { common, verb } = cli;
    let done = runtime.block_on(async {
        match verb {
            Verb::Run => run::run(&common).await,
            Verb::Once(args) => once::run(args, &common).await,
            Verb::Status(args) => status::run(args, &common).await,
            Verb::Doctor(args) => doctor::run(args, &common).await,
            Verb::Approve(args) => approve::run(args, &common).await,
            Verb::Restore(args) => restore::run(args, &common).await,
            Verb::Explain(args) => explain::run(args, &common).await,
            Verb::Ls(args) => ls::run(args, &common).await,
            Verb::Verify(args) => verify::run(args, &common).await,
            #[cfg(feature = "demo")]
            Verb::Demo(args) => demo::run(args).await,
            Verb::Init(args) => init::run(args, &common).await,
            Verb::Completions(args) => completions::run(&args),
            Verb::Man(args) => man::run(&args),
        }
    });
    // a disk or a resolver that hangs on a thread of its own is not waited for
    runtime.shutdown_background();
    let exit = done.unwrap_or_else(|failure| tell(&failure));
    match print::broken() {
        // the work is done; who reads what was printed must not take it for the whole
        Some(error) => {
            let text = format!("standard output: {error}; not everything was printed");
            exit.max(tell(&Failure::new(Exit::Some, anyhow::anyhow!(text))))
        }
        None => exit,
    }
}

/// One thread for all that waits; what computes or asks a disk has others. With more, most of what a small file costs
/// would be threads that wake each other. The server of the demo has the whole machine.
fn runtime(verb: &Verb) -> std::io::Result<Runtime> {
    match verb {
        #[cfg(feature = "demo")]
        Verb::Demo(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    }
    .enable_all()
    .build()
}

fn tell(failure: &Failure) -> Exit {
    // nobody listens: the exit code still tells
    let _ = writeln!(std::io::stderr(), "s3mirrord: {:#}", failure.error);
    failure.exit
}
