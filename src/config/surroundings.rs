//! What a configuration takes from the process it is read in.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{self, Path, PathBuf},
};

/// Environment and user, as far as they decide where things lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `$STATE_DIRECTORY`, set by systemd's `StateDirectory=`; the first of several counts.
    pub state_directory: Option<OsString>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `$HOME`.
    pub home: Option<OsString>,
    /// `$CREDENTIALS_DIRECTORY`, set by systemd's `LoadCredential=`.
    pub credentials_directory: Option<OsString>,
    /// Runs as root.
    pub superuser: bool,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            state_directory: env::var_os("STATE_DIRECTORY"),
            xdg_state_home: env::var_os("XDG_STATE_HOME"),
            home: env::var_os("HOME"),
            credentials_directory: env::var_os("CREDENTIALS_DIRECTORY"),
            superuser: rustix::process::geteuid().is_root(),
        }
    }

    /// Where the state of this configuration lies if nothing says so; `None` if there is no such place. That of a service's has
    /// one, whoever reads it.
    pub fn state_dir(&self, config: Option<&Path>) -> Option<PathBuf> {
        let first = self.state_directory.as_deref().map(|list| {
            list.as_bytes().split(|b| *b == b':').next().map(OsStr::from_bytes).unwrap_or_default()
        });
        absolute(first).or_else(|| config.and_then(of_service)).or_else(|| {
            if self.superuser {
                return Some(PathBuf::from("/var/lib/s3mirrord"));
            }
            let state = absolute(self.xdg_state_home.as_deref());
            let state = state.or_else(|| Some(absolute(self.home.as_deref())?.join(".local/state")));
            Some(state?.join("s3mirrord"))
        })
    }

    /// Where a relative `credentials_file` lies.
    pub(super) fn credentials(&self) -> Option<PathBuf> {
        absolute(self.credentials_directory.as_deref())
    }
}

/// Where the units have the state of the configurations in /etc/s3mirrord: that of `s3mirrord.service` and those of
/// `s3mirrord@NAME.service`.
fn of_service(config: &Path) -> Option<PathBuf> {
    let config = path::absolute(config).ok()?;
    let name = config.strip_prefix("/etc/s3mirrord").ok()?.to_str()?.strip_suffix(".toml")?;
    match name {
        "config" => Some("/var/lib/s3mirrord".into()),
        name if name.contains('/') => None,
        name => Some(format!("/var/lib/s3mirrord-{name}").into()),
    }
}

/// An unset, empty or relative variable says nothing.
fn absolute(variable: Option<&OsStr>) -> Option<PathBuf> {
    variable.map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lies_where_the_platform_keeps_it() {
        let put = |s: &str| Some(OsString::from(s));
        let all = Surroundings {
            state_directory: put("/a:/b"),
            xdg_state_home: put("/x"),
            home: put("/h"),
            credentials_directory: None,
            superuser: true,
        };
        let root = Surroundings { state_directory: put(""), ..all.clone() };
        let user = Surroundings { superuser: false, ..root.clone() };
        let plain = Surroundings { xdg_state_home: put("rel"), ..user.clone() };
        for (from, want) in [
            (&all, put("/a")),
            (&root, put("/var/lib/s3mirrord")),
            (&user, put("/x/s3mirrord")),
            (&plain, put("/h/.local/state/s3mirrord")),
            (&Surroundings::default(), None),
        ] {
            assert_eq!(from.state_dir(None).map(OsString::from), want, "{from:?}");
            assert_eq!(from.state_dir(Some(Path::new("/srv/c.toml"))).map(OsString::from), want, "{from:?}");
        }
        // what a unit says, else what it would say, whoever asks
        for (config, want) in [
            ("/etc/s3mirrord/config.toml", "/var/lib/s3mirrord"),
            ("/etc/s3mirrord/web.toml", "/var/lib/s3mirrord-web"),
            ("/etc/s3mirrord/web", "/h/.local/state/s3mirrord"),
            ("/etc/s3mirrord/a/b.toml", "/h/.local/state/s3mirrord"),
        ] {
            assert_eq!(plain.state_dir(Some(Path::new(config))), Some(want.into()), "{config}");
            assert_eq!(all.state_dir(Some(Path::new(config))), Some("/a".into()), "{config}");
        }
    }
}
