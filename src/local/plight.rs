//! Why changes are not seen as they happen, and what to do about it: a limit of the kernel's, a file system that
//! does not tell, a canary that is not heard. Whoever looks after the mirror finds them by scans then.

use super::root::shown;
use crate::model::{Class, Fault, RelPath};
use std::path::Path;

/// What is the matter. Told once for as long as it stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plight {
    /// The kernel grants no watcher at all.
    Unwatched,
    /// Directories are without a watch: the user has no more of them,
    Limit,
    /// or one cannot be watched for another reason.
    Odd,
    /// The canary is not heard.
    Mute,
    /// Others may change files without this host being told.
    Remote,
}

/// What could not be watched.
#[derive(Default)]
pub(super) struct Shortfall {
    /// Directories seen.
    pub(super) directories: usize,
    /// Those without a watch because the user's limit is reached,
    pub(super) over_limit: usize,
    /// and the first of them.
    pub(super) first: Option<RelPath>,
    /// The first that could not be watched for another reason.
    pub(super) odd: Option<(RelPath, String)>,
}

impl Shortfall {
    /// The worse of what it means.
    pub(super) fn plight(&self) -> Option<Plight> {
        match (self.over_limit, &self.odd) {
            (0, None) => None,
            (0, Some(_)) => Some(Plight::Odd),
            _ => Some(Plight::Limit),
        }
    }

    /// What to tell of it, if there is one.
    pub(super) fn fault(&self, root: &Path) -> Fault {
        let what = format!("watch the directories of {}", shown(root));
        if let Some((path, cause)) = self.odd.as_ref().filter(|_| self.over_limit == 0) {
            let cause = format!("{path}: {cause}; perhaps others too");
            return Fault::new(Class::Permanent, what, cause).remedy("scans find the changes there");
        }
        over_limit(what, self.directories, self.over_limit, &Limit::of_watches())
    }
}

/// A limit on what one user may have of inotify.
pub(super) struct Limit {
    name: &'static str,
    pub(super) most: usize,
}

impl Limit {
    /// The one that is reached first: in a container, that of its user namespace.
    fn lower(global: &'static str, own: &'static str, otherwise: usize) -> Self {
        let read = |name: &'static str| {
            let text = std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok();
            text.and_then(|text| text.trim().parse().ok()).map(|most| Self { name, most })
        };
        let limits = [read(global), read(own)].into_iter().flatten();
        limits.min_by_key(|limit| limit.most).unwrap_or(Self { name: global, most: otherwise })
    }

    pub(super) fn of_watches() -> Self {
        Self::lower("fs.inotify.max_user_watches", "user.max_inotify_watches", 0)
    }

    fn of_watchers() -> Self {
        Self::lower("fs.inotify.max_user_instances", "user.max_inotify_instances", 128)
    }
}

/// What is allowed where so many roots are to be watched, each by an inotify instance of its own.
///
/// # Errors
/// It is not enough: which limit, and what to type.
pub fn watchers(roots: usize) -> Result<String, Fault> {
    let Limit { name, most } = Limit::of_watchers();
    if roots <= most {
        return Ok(format!("{roots} of {most} ({name})"));
    }
    let enough = roots.saturating_mul(2).next_power_of_two();
    let cause = format!("{} of {roots} mirrors get no watcher: {name} is {most}", roots - most);
    Err(Fault::new(Class::Permanent, "watch the roots", cause)
        .remedy(format!("set `{name} = {enough}` in /etc/sysctl.d/ (at once: sysctl -w {name}={enough})")))
}

/// What is allowed where so many directories are to be watched.
///
/// # Errors
/// It is not enough: which limit, and what to type.
pub fn watches(directories: usize) -> Result<String, Fault> {
    let limit = Limit::of_watches();
    match directories.checked_sub(limit.most).filter(|lack| *lack > 0) {
        Some(lack) => Err(over_limit("watch the directories".to_owned(), directories, lack, &limit)),
        None => Ok(format!("{directories} of {} ({})", limit.most, limit.name)),
    }
}

fn over_limit(what: String, directories: usize, unwatched: usize, limit: &Limit) -> Fault {
    let Limit { name, most } = limit;
    let enough = (most.saturating_add(unwatched)).saturating_mul(2).next_power_of_two();
    let cause = format!("{unwatched} of {directories} directories are not watched: {name} is {most}");
    let remedy = format!(
        "set `{name} = {enough}` in /etc/sysctl.d/ (at once: sysctl -w {name}={enough}); until then scans find the changes"
    );
    Fault::new(Class::Permanent, what, cause).remedy(remedy)
}

/// The kernel grants no watcher, for `error`.
pub(super) fn no_watcher(root: &Path, error: &notify::Error) -> Fault {
    let Limit { name, most } = Limit::of_watchers();
    let enough = most.max(32).saturating_mul(4);
    Fault::new(Class::Permanent, format!("watch {}", shown(root)), error).remedy(format!(
        "set `{name} = {enough}` in /etc/sysctl.d/ (at once: sysctl -w {name}={enough}), or raise LimitNOFILE=; \
         until then scans find the changes"
    ))
}

/// The root lies on a file system of this kind.
pub(super) fn remote(kind: &str) -> Fault {
    Fault::new(
        Class::Permanent,
        "watch the root",
        format!("{kind} does not tell of changes that others make"),
    )
    .remedy("scans find them: lower `rescan` if that is too late")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c05_the_advice_names_the_limit_and_a_value() {
        let limit = Limit { name: "user.max_inotify_watches", most: 100_000 };
        let fault = over_limit("watch".into(), 150_000, 50_000, &limit);
        assert!(fault.cause.contains("50000 of 150000"), "{fault}");
        assert!(fault.remedy.is_some_and(|r| r.contains("`user.max_inotify_watches = 524288`")));
        let told = watchers(usize::MAX >> 2).expect_err("nobody has so many");
        assert!(told.remedy.is_some_and(|remedy| remedy.contains("instances = ")), "{}", told.cause);
        assert!(watchers(1).is_ok_and(|told| told.starts_with("1 of ")));
        let found = Limit::of_watches();
        assert!(found.most > 0 && found.name.ends_with("_watches"));
    }

    #[test]
    fn c10_a_root_that_tells_nothing_says_so() {
        let fault = remote("nfs");
        assert!(fault.cause.contains("nfs") && fault.remedy.is_some());
    }
}
