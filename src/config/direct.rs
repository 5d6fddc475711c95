//! `once DIR s3://bucket/prefix/`: a configuration of one mirror, from the command line alone.

use super::{
    Config, DeletePolicy, MEMORY, Mirror, Problems,
    limits::Limits,
    names::{bucket, prefix, root},
    problem::Complaint,
    s3::{Layer, absolute, endpoint, store},
    surroundings::Surroundings,
    target::Target,
    valid::settle,
};
use crate::model::Rates;
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// What the command line may add.
#[derive(Clone, Debug)]
pub struct Direct {
    /// `--endpoint-url`.
    pub endpoint_url: Option<String>,
    /// `--delete`; nothing is deleted unless asked for.
    pub delete: DeletePolicy,
    /// `--state-dir`; a relative one is taken from the working directory.
    pub state_dir: Option<PathBuf>,
}

impl Default for Direct {
    fn default() -> Self {
        Self { endpoint_url: None, delete: DeletePolicy::Keep, state_dir: None }
    }
}

impl Config {
    /// One mirror of `dir` (from the working directory, if relative) to `target`, an `s3://` URL. Its name,
    /// and so the place of its state, is a hash of target and root: two such runs of one pair find the same.
    ///
    /// # Errors
    /// Everything that is wrong, as for a file, without lines.
    pub fn direct(
        dir: &Path,
        target: &str,
        options: &Direct,
        around: &Surroundings,
    ) -> Result<Self, Problems> {
        let mut list = Vec::new();
        let mut note = |complaint: Complaint| list.push(complaint.at(None));

        if let Some(url) = options.endpoint_url.as_deref() {
            endpoint(url).unwrap_or_else(&mut note);
        }
        let root = from_here("DIR", dir).and_then(|text| root(&text)).map_err(&mut note).ok();
        let place = url(target, options.endpoint_url.as_deref(), &mut note);
        let state_dir = match &options.state_dir {
            Some(given) => from_here("--state-dir", given).and_then(|text| absolute("--state-dir", &text)),
            None => around.state_dir(None).ok_or_else(|| {
                Complaint::new("there is no place for state: $HOME is not set", "give --state-dir")
            }),
        };
        let state_dir = state_dir.map_err(&mut note).ok();

        let mut warnings = Vec::new();
        if let (Some(root), Some(place), Some(state_dir)) = (root, place, state_dir) {
            let s3 = Layer { endpoint_url: options.endpoint_url.clone(), ..Layer::default() }.resolve(None);
            let limits = Limits { delete: options.delete, ..Limits::default() };
            let mut mirror = Mirror::new(name(&root, &place), root, &place, Vec::new(), limits, s3);
            settle(&mut mirror, &state_dir, &mut warnings).unwrap_or_else(&mut note);
            if list.is_empty() {
                return Ok(Self {
                    state_dir,
                    memory_limit: MEMORY,
                    bandwidth: Rates::default(),
                    metrics: None,
                    mirrors: vec![mirror],
                    warnings,
                });
            }
        }
        Err(Problems { file: None, list })
    }
}

/// Made absolute, `..` taken out by looking; the checks that follow are those of a file, which holds text.
fn from_here(what: &str, path: &Path) -> Result<String, Complaint> {
    let up = path.components().any(|part| part == Component::ParentDir);
    let found = match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) if up => fs::canonicalize(above).map(|above| above.join(name)),
        _ if up => fs::canonicalize(path),
        _ => std::path::absolute(path),
    };
    let whole = found.map_err(|error| {
        Complaint::new(format!("{what} {path:?} leads nowhere: {error}"), "write it from the top")
    })?;
    whole.to_str().map(str::to_owned).ok_or_else(|| {
        Complaint::new(format!("{what} {path:?} is not UTF-8"), "name it through a directory whose name is")
    })
}

fn url(target: &str, endpoint_url: Option<&str>, note: &mut impl FnMut(Complaint)) -> Option<Target> {
    let Some(rest) = target.strip_prefix("s3://") else {
        note(Complaint::new(format!("{target:?} is not a target"), "write s3://bucket/prefix/"));
        return None;
    };
    let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
    let bucket = bucket(name).map_err(&mut *note).ok();
    let prefix = prefix(below).map_err(&mut *note).ok();
    Some(Target { store: store(endpoint_url), bucket: bucket?, prefix: prefix? })
}

fn name(root: &Path, target: &Target) -> String {
    let mut hash = Sha256::new();
    for part in [
        target.store.as_bytes(),
        target.bucket.as_bytes(),
        target.prefix.as_bytes(),
        root.as_os_str().as_bytes(),
    ] {
        hash.update(part);
        hash.update([0]);
    }
    format!("direct-{}", hex::encode(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(dir: &str, target: &str, options: &Direct) -> Result<Config, Problems> {
        let around = Surroundings { superuser: true, ..Surroundings::default() };
        Config::direct(Path::new(dir), target, options, &around)
    }

    #[test]
    fn a_directory_and_a_target_are_enough() {
        let config = direct("/no/www", "s3://backups/web-1/www", &Direct::default()).expect("valid");
        let mirror = &config.mirrors[0];
        assert_eq!(config.state_dir, Path::new("/var/lib/s3mirrord"));
        assert_eq!((&*mirror.bucket, &*mirror.prefix), ("backups", "web-1/www/"));
        assert_eq!(mirror.delete, DeletePolicy::Keep);
        assert_eq!((mirror.name.len(), mirror.s3.max_attempts), (39, 5));

        let again = direct("/no/www/", "s3://backups/web-1/www/", &Direct::default()).expect("valid");
        assert_eq!(again.mirrors[0].name, mirror.name, "spelled otherwise, the same");
        let elsewhere = Direct { endpoint_url: Some("http://127.0.0.1:9000".into()), ..Direct::default() };
        for (dir, target, options) in [
            ("/no/ww", "s3://backups/web-1/www", &Direct::default()),
            ("/no/www", "s3://backups/web-1", &Direct::default()),
            ("/no/www", "s3://backups/web-1/www", &elsewhere),
        ] {
            assert_ne!(direct(dir, target, options).expect("valid").mirrors[0].name, mirror.name);
        }
        let here = direct("here", "s3://backups", &Direct::default()).expect("valid");
        let beside = direct("src/../here", "s3://backups", &Direct::default()).expect("valid");
        assert_eq!(here.mirrors[0].name, beside.mirrors[0].name);
        assert!(here.mirrors[0].root.is_absolute() && here.mirrors[0].prefix.is_empty());
    }

    #[test]
    fn everything_wrong_is_told_at_once_without_lines() {
        let options = Direct { endpoint_url: Some("minio".into()), ..Direct::default() };
        let told = direct("/no/../www", "s3://B//x", &options).expect_err("wrong").to_string();
        for says in ["endpoint_url", "leads nowhere", "bucket = \"B\"", "begins with `/`"] {
            assert!(told.contains(says), "{told}");
        }
        assert_eq!(told.lines().count(), 4, "{told}");
        let told = direct("/no/www", "backups", &Direct::default()).expect_err("wrong").to_string();
        assert_eq!(told, "\"backups\" is not a target; write s3://bucket/prefix/");
    }
}
