//! `man`: the manual, a page for each verb, from the same words as `--help`, and one for the configuration.

mod settings;

use super::{Cli, Exit, Failure};
use anyhow::Context;
use clap::CommandFactory;
use std::{
    fs, io, iter,
    path::{Path, PathBuf},
};

const NAME: &str = "s3mirrord";

/// The words of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord man /usr/local/share/man && man s3mirrord-restore && man s3mirrord-config")]
pub(super) struct Args {
    /// Where to write the pages, in man1 and man5: made if they are not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes `man1/s3mirrord.1`, `man1/s3mirrord-once.1` and so on, and `man5/s3mirrord-config.5`.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let dir = &args.dir;
    let written = write(dir).with_context(|| format!("{} cannot be written", dir.display()));
    written.map(|()| Exit::InSync).map_err(|error| Failure::new(Exit::Fatal, error))
}

fn write(dir: &Path) -> io::Result<()> {
    let (commands, formats) = (dir.join("man1"), dir.join("man5"));
    fs::create_dir_all(&commands)?;
    fs::create_dir_all(&formats)?;
    write_verbs(&commands)?;
    fs::write(formats.join(format!("{NAME}-config.5")), settings::page())
}

fn write_verbs(dir: &Path) -> io::Result<()> {
    let command = Cli::command();
    let verbs = command.get_subcommands().map(|verb| format!("{NAME}-{}", verb.get_name()));
    let names: Vec<_> = iter::once(NAME.to_owned()).chain(verbs).collect();
    clap_mangen::generate_to(command, dir)?;
    for name in names {
        let file = dir.join(format!("{name}.1"));
        // `help` has none
        if let Ok(text) = fs::read_to_string(&file) {
            let main = if name == NAME { "" } else { "\\fBs3mirrord\\fR(1), " };
            let others = format!(".SH SEE ALSO\n{main}\\fBs3mirrord\\-config\\fR(5)\n");
            fs::write(&file, with_examples(&text) + &others)?;
        }
    }
    Ok(())
}

/// A page with what follows the help under a heading of its own: its examples as they are, each on a line.
fn with_examples(page: &str) -> String {
    let Some((before, after)) = page.split_once(".SH EXTRA\n") else { return page.to_owned() };
    let mut text = format!("{before}.SH EXAMPLES\n");
    let mut verbatim = false;
    for line in after.lines().skip_while(|line| *line == "Examples:") {
        if line.starts_with("  ") != verbatim {
            verbatim = !verbatim;
            text += if verbatim { ".nf\n" } else { ".fi\n" };
        }
        text += if line.is_empty() { ".PP" } else { line };
        text += "\n";
    }
    if verbatim {
        text += ".fi\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stand_as_they_are_under_their_own_heading() {
        let page = ".SH OPTIONS\nx\n.SH EXTRA\nExamples:\n  a \\-\\-b\n  c\n\nExits 3.\n.SH VERSION\nv1\n";
        assert_eq!(
            with_examples(page),
            ".SH OPTIONS\nx\n.SH EXAMPLES\n.nf\n  a \\-\\-b\n  c\n.fi\n.PP\nExits 3.\n.SH VERSION\nv1\n"
        );
        assert_eq!(with_examples("x\n"), "x\n");
    }
}
