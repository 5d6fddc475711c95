//! Which mirrors a command means: those of the configuration, one of them, or one that the command line
//! spells out; and which of their files.

use super::{Common, Failure};
use crate::{
    config::{Config, DeletePolicy, Direct, Mirror, Surroundings},
    model::RelPath,
};
use std::{
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// Names mirrors on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// A directory to mirror without a configuration
    #[arg(value_name = "DIR", requires = "target", conflicts_with = "mirror")]
    dir: Option<PathBuf>,
    /// Where to, with DIR: s3://bucket/prefix/
    #[arg(value_name = "S3URL")]
    target: Option<String>,
    /// Only this mirror of the configuration
    #[arg(long, value_name = "NAME", value_hint = clap::ValueHint::Other)]
    mirror: Option<String>,
    /// With DIR: a store other than Amazon's
    #[arg(long, value_name = "URL", requires = "dir")]
    endpoint_url: Option<String>,
    /// With DIR: where to remember what was uploaded
    #[arg(long, value_name = "PATH", requires = "dir")]
    state_dir: Option<PathBuf>,
}

impl Which {
    /// The configuration with just the mirrors that are meant.
    ///
    /// # Errors
    /// The configuration is wrong, or has no such mirror.
    pub(super) fn config(&self, common: &Common, delete: Option<DeletePolicy>) -> Result<Config, Failure> {
        let mut config = match (&self.dir, &self.target) {
            (Some(dir), Some(target)) => {
                let direct = Direct {
                    endpoint_url: self.endpoint_url.clone(),
                    delete: delete.unwrap_or(DeletePolicy::Keep),
                    state_dir: self.state_dir.clone(),
                };
                Config::direct(dir, target, &direct, &Surroundings::of_process())?
            }
            _ => Config::load(&common.config)?,
        };
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(name) = &self.mirror {
            only(&mut config, name, &common.config)?;
        }
        Ok(config)
    }

    /// What people call this mirror: its name, or the directory if the command line spells it out.
    pub(super) fn label(&self, mirror: &Mirror) -> String {
        self.dir.as_ref().map_or_else(|| mirror.name.clone(), |dir| dir.display().to_string())
    }

    /// The words that name this mirror to another command.
    pub(super) fn words(&self, mirror: &Mirror) -> String {
        let mut words = match (&self.dir, &self.target) {
            (Some(dir), Some(target)) => format!("{dir:?} {target}"),
            _ => format!("--mirror {}", mirror.name),
        };
        if let Some(url) = &self.endpoint_url {
            words += &format!(" --endpoint-url {url}");
        }
        if let Some(state_dir) = &self.state_dir {
            words += &format!(" --state-dir {state_dir:?}");
        }
        words
    }
}

/// Leaves the mirror of this name alone in the configuration, which came from `file`.
///
/// # Errors
/// There is none.
pub(super) fn only(config: &mut Config, name: &str, file: &Path) -> Result<(), Failure> {
    let names = names(config);
    config.mirrors.retain(|mirror| mirror.name == name);
    match config.mirrors.is_empty() {
        true => {
            let file = file.display();
            Err(Failure::usage(format!("{file} has no mirror {name:?}; its mirrors are {names}")))
        }
        false => Ok(()),
    }
}

/// The names of all mirrors, for people.
pub(super) fn names(config: &Config) -> String {
    config.mirrors.iter().map(|mirror| mirror.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Leaves the one mirror that is meant alone in the configuration, which came from `file`: the one that is named, the only
/// one, or the one in whose root all `paths` lie.
///
/// # Errors
/// It is none, or may be any.
pub(super) fn one(
    config: &mut Config,
    name: Option<&str>,
    paths: &[PathBuf],
    file: &Path,
) -> Result<(), Failure> {
    if let Some(name) = name {
        return only(config, name, file);
    }
    let holds = |mirror: &Mirror| paths.iter().all(|path| path.starts_with(&mirror.root));
    if config.mirrors.len() > 1 && !paths.is_empty() && config.mirrors.iter().any(holds) {
        config.mirrors.retain(holds);
    }
    if config.mirrors.len() > 1 {
        let (file, names) = (file.display(), names(config));
        return Err(Failure::usage(format!("say which mirror of {file} with --mirror: {names}")));
    }
    Ok(())
}

/// A path of the command line as a name below the root.
pub(super) fn below(root: &Path, path: &Path) -> Result<RelPath, Failure> {
    let name = path.strip_prefix(root).unwrap_or(path);
    let name: PathBuf = name.components().filter(|part| *part != Component::CurDir).collect();
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {why}; name what is below {}", path.display(), root.display()))
    };
    if name.is_absolute() {
        return Err(wrong(&"it is not below the root"));
    }
    RelPath::new(name.as_os_str().as_bytes()).map_err(|bad| wrong(&bad))
}
