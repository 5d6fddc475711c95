//! `init`: the example configuration, with everything explained.

use super::{CONFIG, Exit, Failure, lines::print, paint::Paint};
use anyhow::Context;
use std::{
    fs::{DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

/// The words of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord init                     write /etc/s3mirrord/config.toml
  s3mirrord init ./backup.toml       write it elsewhere")]
pub(super) struct Args {
    /// Where to write it
    #[arg(value_name = "FILE", default_value = CONFIG)]
    file: PathBuf,
}

/// Writes it, readable to its owner alone: keys may be put into it.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let path = &args.file;
    let fatal = |error: anyhow::Error| Failure::new(Exit::Fatal, error);
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
        made.with_context(|| format!("{} cannot be made", directory.display())).map_err(fatal)?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::usage(format!(
                "{} is there already and stays as it is; name another file: s3mirrord init FILE",
                path.display()
            )));
        }
        opened => opened.with_context(|| format!("{} cannot be written", path.display())).map_err(fatal)?,
    };
    let example = include_bytes!("../../config.example.toml");
    let written = file.write_all(example).and_then(|()| file.sync_all());
    written.with_context(|| format!("{} cannot be written", path.display())).map_err(fatal)?;
    if Paint::stdout().terminal {
        let path = path.display();
        print(&format!("wrote {path}; name your root and bucket in it, then: s3mirrord once --dry-run"));
    }
    Ok(Exit::InSync)
}
