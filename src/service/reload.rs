//! What becomes of the mirrors of a daemon when its configuration is read anew. Pure.

use crate::config::{Config, Mirror, Problem};
use std::fmt;

/// What becomes of one mirror of the new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is as this one of the old: nothing is done to it.
    Kept(usize),
    /// It is this one of the old with other settings: that ends, and it begins anew.
    Changed(usize),
    /// There was none of its name.
    Added,
}

/// What becomes of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    /// One for each mirror of the new configuration, in its order.
    pub(super) fates: Vec<Fate>,
    /// Mirrors of the old configuration that are in the new one no longer.
    pub(super) removed: Vec<usize>,
    /// The memory that all mirrors share is another.
    pub(super) shared: bool,
}

impl Changes {
    /// From one configuration to the next. With the memory that all mirrors share all of them begin anew.
    ///
    /// # Errors
    /// The new one has something that cannot change while the process lives.
    pub(super) fn between(old: &Config, new: &Config) -> Result<Self, Problem> {
        if old.state_dir != new.state_dir {
            let (was, is) = (&old.state_dir, &new.state_dir);
            return Err(Problem {
                line: None,
                column: None,
                message: format!("`state_dir` is {is:?} now, and cannot change while the daemon runs"),
                remedy: format!("restart it, or write state_dir = {was:?} again"),
            });
        }
        if old.metrics != new.metrics {
            let shown =
                |at: &Option<String>| at.as_ref().map_or("not there".to_owned(), |at| format!("{at:?}"));
            let again = match &old.metrics {
                Some(was) => format!("write metrics = {was:?} again"),
                None => "take it out again".to_owned(),
            };
            return Err(Problem {
                line: None,
                column: None,
                message: format!(
                    "`metrics` is {} now, and cannot change while the daemon runs",
                    shown(&new.metrics)
                ),
                remedy: format!("restart it, or {again}"),
            });
        }
        let shared = old.memory_limit != new.memory_limit;
        let fates = new.mirrors.iter().map(|mirror| {
            match old.mirrors.iter().position(|other| other.name == mirror.name) {
                Some(n) if !shared && is_same(&old.mirrors[n], mirror) => Fate::Kept(n),
                Some(n) => Fate::Changed(n),
                None => Fate::Added,
            }
        });
        let there = |name: &str| new.mirrors.iter().any(|mirror| mirror.name == name);
        let removed = old.mirrors.iter().enumerate().filter(|(_, mirror)| !there(&mirror.name));
        Ok(Self { fates: fates.collect(), removed: removed.map(|(n, _)| n).collect(), shared })
    }
}

/// True if it need not begin anew: how much is logged of it, and how fast it sends, change while it runs.
fn is_same(old: &Mirror, new: &Mirror) -> bool {
    *old == Mirror { log_level: old.log_level, bandwidth: old.bandwidth.clone(), ..new.clone() }
}

/// For the log: `1 added, 0 changed, 2 removed, 5 as before`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |is: fn(&Fate) -> bool| self.fates.iter().filter(|fate| is(fate)).count();
        let added = count(|fate| matches!(fate, Fate::Added));
        let changed = count(|fate| matches!(fate, Fate::Changed(_)));
        let kept = count(|fate| matches!(fate, Fate::Kept(_)));
        write!(f, "{added} added, {changed} changed, {} removed, {kept} as before", self.removed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Surroundings;
    use std::path::Path;

    /// A configuration of these mirrors: a name, and further lines.
    fn config(top: &str, mirrors: &[(&str, &str)]) -> Config {
        let mirrors = mirrors.iter().map(|(name, lines)| {
            let root =
                if lines.contains("root") { String::new() } else { format!("root = \"/no/{name}\"\n") };
            format!(
                "[[mirror]]\nname = {name:?}\n{root}bucket = \"backups\"\nprefix = \"{name}/\"\n{lines}\n"
            )
        });
        let state = if top.contains("state_dir") { "" } else { "state_dir = \"/no/state\"\n" };
        let text = format!("{state}{top}\n{}", mirrors.collect::<String>());
        Config::parse(&text, Path::new("c"), &Surroundings::default()).expect("valid")
    }

    #[test]
    fn c68_what_becomes_of_each_mirror() {
        use Fate::{Added, Changed, Kept};
        const AB: &[(&str, &str)] = &[("a", ""), ("b", "")];
        type Mirrors<'a> = &'a [(&'a str, &'a str)];
        let table: &[(&str, Mirrors<'_>, &[Fate], &[usize])] = &[
            ("", AB, &[Kept(0), Kept(1)], &[]),
            // as it stands in the file is not what counts
            ("", &[("b", ""), ("a", "")], &[Kept(1), Kept(0)], &[]),
            ("memory_limit = \"64MiB\"", &[("a", "rescan = \"1h\""), ("b", "")], &[Kept(0), Kept(1)], &[]),
            ("", &[("b", "")], &[Kept(1)], &[0]),
            ("", &[("a", ""), ("c", ""), ("b", "")], &[Kept(0), Added, Kept(1)], &[]),
            ("", &[("a", "rescan = \"2h\""), ("b", "")], &[Changed(0), Kept(1)], &[]),
            // whoever wants to hear more of it loses nothing of what it is in the middle of
            ("", &[("a", "log_level = \"debug\""), ("b", "")], &[Kept(0), Kept(1)], &[]),
            ("", &[("a", "bandwidth = \"1MiB/s\""), ("b", "")], &[Kept(0), Kept(1)], &[]),
            ("bandwidth = \"1MiB/s\"", AB, &[Kept(0), Kept(1)], &[]),
            ("", &[("a", "root = \"/other\""), ("b", "")], &[Changed(0), Kept(1)], &[]),
            ("", &[("a", ""), ("renamed", "root = \"/no/b\"")], &[Kept(0), Added], &[1]),
            ("", &[("c", ""), ("d", "")], &[Added, Added], &[0, 1]),
            // what all of them share
            ("memory_limit = \"1GiB\"", AB, &[Changed(0), Changed(1)], &[]),
            ("[s3]\nregion = \"eu-west-1\"", AB, &[Changed(0), Changed(1)], &[]),
        ];
        let old = config("", AB);
        for (top, mirrors, fates, removed) in table {
            let changes = Changes::between(&old, &config(top, mirrors)).expect("possible");
            assert_eq!((&*changes.fates, &*changes.removed), (*fates, *removed), "{top} {mirrors:?}");
        }
        let moved =
            Changes::between(&old, &config("state_dir = \"/else\"", AB)).expect_err("it takes a restart");
        assert!(moved.remedy.contains("restart") && moved.remedy.contains("\"/no/state\""), "{moved:?}");
        let told = Changes::between(&old, &config("metrics = \"127.0.0.1:9633\"", AB))
            .expect_err("it takes a restart");
        assert!(told.message.contains("9633") && told.remedy.contains("take it out again"), "{told:?}");
        let fates = vec![Added, Kept(0), Changed(1), Kept(3)];
        let told = Changes { fates, removed: vec![2], shared: false };
        assert_eq!(told.to_string(), "1 added, 1 changed, 1 removed, 2 as before");
    }
}
