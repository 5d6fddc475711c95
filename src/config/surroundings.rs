//! What a configuration takes from the process it is read in.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
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

    /// Where state lies if nothing says so; `None` if there is no such place.
    pub fn state_dir(&self) -> Option<PathBuf> {
        let first = self.state_directory.as_deref().map(|list| {
            list.as_bytes().split(|b| *b == b':').next().map(OsStr::from_bytes).unwrap_or_default()
        });
        absolute(first).or_else(|| {
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
            assert_eq!(from.state_dir().map(OsString::from), want, "{from:?}");
        }
    }
}
