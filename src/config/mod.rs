//! L4, the configuration: raw TOML to a valid `Config`.
//!
//! [`Config::load`] tells every problem at once, each with its line and what to write instead. What it
//! gives is valid as far as it can be known without the store and the root.

mod bandwidth;
mod bytes;
mod direct;
mod duration;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod heartbeat;
mod hooks;
mod labels;
mod limits;
mod metrics;
mod mirror;
mod names;
mod objects;
mod prices;
mod problem;
mod protection;
mod raw;
mod s3;
mod schema;
mod surroundings;
mod target;
mod trash;
mod valid;

pub use direct::Direct;
pub use duration::span;
pub use heartbeat::Heartbeat;
pub use hooks::Hooks;
pub use limits::{Budget, DeletePolicy};
pub use mirror::Mirror;
pub use objects::Rule;
pub use prices::Prices;
pub use problem::{Problem, Problems};
pub use s3::{S3, Secret};
pub use schema::known_keys;
pub use surroundings::Surroundings;
pub use trash::Trash;

use crate::model::Rates;
use problem::Complaint;
use raw::Access;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// No configuration is this long: what is longer is not one.
const MOST_BYTES: u64 = 4 << 20;

/// Bytes for all transfers together, unless said otherwise.
const MEMORY: u64 = 64 << 20;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where state lies, one directory a mirror; absolute.
    pub state_dir: PathBuf,
    /// Bytes that all bodies on their way to a store may hold together, 16 MiB to 1 TiB.
    pub memory_limit: u64,
    /// Bytes a second that all mirrors together may send.
    pub bandwidth: Rates,
    /// Where the daemon tells machines how it is: an address or a name, and a port; `None`: nowhere.
    pub metrics: Option<String>,
    /// The mirrors, at least one, in the order of the file.
    pub mirrors: Vec<Mirror>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let told = |list| Problems { file: Some(path.to_owned()), list };
        let (bytes, access) = read(path).map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "have the user who runs s3mirrord read it: chown root:GROUP it, with that user's group, and chmod 640"
                }
                _ => "name a file with --config or $S3MIRRORD_CONFIG, or write one: s3mirrord init",
            };
            told(vec![Complaint::new(format!("cannot be read: {error}"), remedy).at(None)])
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let complaint = Complaint::new("not UTF-8 from here on", "save the file as UTF-8");
            told(vec![complaint.at(Some((&good, good.len())))])
        })?;
        valid::read(text, path, Some(access), &Surroundings::of_process()).map_err(told)
    }

    /// Where a daemon that reads this file keeps its state, whatever else is wrong with the file.
    pub fn state_dir(path: &Path) -> Option<PathBuf> {
        let (bytes, _) = read(path).ok()?;
        let table = toml::from_str::<toml::Table>(&String::from_utf8_lossy(&bytes)).unwrap_or_default();
        let said = table.get("state_dir").and_then(|said| said.as_str()).map(PathBuf::from);
        said.or_else(|| Surroundings::of_process().state_dir(Some(path)))
    }

    /// Reads `text` as if it stood in the file at `path`, in given surroundings. Who can read that file
    /// is not asked.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, path: &Path, around: &Surroundings) -> Result<Self, Problems> {
        valid::read(text, path, None, around).map_err(|list| Problems { file: Some(path.to_owned()), list })
    }
}

/// The bytes of a file, and its mode and owner when they were read.
fn read(path: &Path) -> io::Result<(Vec<u8>, Access)> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let access = Access { mode: meta.mode(), of_root: meta.uid() == 0 };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 4 MiB"));
    }
    Ok((bytes, access))
}

#[cfg(test)]
mod tests;
