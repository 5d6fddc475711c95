//! Filters on a walk: what git would not list is not there, and costs nothing.

use super::*;
use crate::plan::Filter;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
};

/// A repository without files, to ask git in.
struct Git(tempfile::TempDir);

impl Git {
    fn find() -> Option<Self> {
        let temp = tempfile::tempdir().expect("a directory");
        let made = Command::new("git").args(["init", "-q", "--bare"]).arg(temp.path()).status();
        match made {
            Ok(status) if status.success() => Some(Self(temp)),
            other => {
                skipped(format!("git does not work here: {other:?}"));
                None
            }
        }
    }

    /// The files below `tree` that `patterns` leave in.
    fn lists(&self, tree: &Path, patterns: &[String]) -> BTreeSet<Vec<u8>> {
        let excludes = self.0.path().join("excludes");
        std::fs::write(&excludes, patterns.join("\n")).expect("write");
        let mut git = Command::new("git");
        git.current_dir(tree).arg("--git-dir").arg(self.0.path()).arg("--work-tree").arg(tree);
        git.args(["ls-files", "--others", "-z", "--exclude-from"]).arg(&excludes);
        // nothing of this machine's own
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", self.0.path()).stderr(Stdio::inherit());
        let out = git.output().expect("git runs");
        assert!(out.status.success());
        out.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect()
    }
}

fn left_in(tree: &Path, patterns: &[String]) -> BTreeSet<Vec<u8>> {
    let filter = Filter::new(patterns).expect("good patterns");
    let prune = Prune::new(move |path, is_dir| filter.names(path, is_dir));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let found = runtime.block_on(try_walk(&directory(tree), Scope::everything(), prune)).expect("a walk");
    found.into_iter().map(|(key, _)| key.path().expect("a file's").as_bytes().to_vec()).collect()
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let odd = [
        &b"a"[..],
        b"b",
        b"ab",
        b"a b",
        b"a ",
        b"!a",
        b"#a",
        b"{a,b}",
        b"[a]",
        b"*",
        b".a",
        b"\xff",
        b"a\nb",
        b"A",
        b"a]",
        b"-",
        b"\\a",
        b"aXb",
    ];
    prop::sample::select(odd.map(<[u8]>::to_vec).to_vec())
}

fn pattern() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "ab", ".a"]),
        3 => prop::sample::select(vec!["/", "/", "*", "?", "**/", "/**", "/**/"]),
        2 => prop::sample::select(vec!["\\*", "\\!", "\\#", "\\ ", "[ab]", "[!a]", "[a-c]", "[*]", "#", "!", "\\a", "\\{a,b\\}", " ", "[^a]", "[]a]", "\\\\"]),
    ];
    (prop::bool::weighted(0.25), prop::collection::vec(token, 1..5), prop::bool::weighted(0.2)).prop_map(
        |(back, tokens, only_dirs)| {
            format!("{}{}{}", if back { "!" } else { "" }, tokens.concat(), if only_dirs { "/" } else { "" })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("GITCASES").map_or(64, |n| n.parse().unwrap()), ..ProptestConfig::default() })]
    #[test]
    fn c62_a_walk_finds_the_files_that_git_would_list(
        paths in prop::collection::vec(prop::collection::vec(part(), 1..4), 1..16),
        patterns in prop::collection::vec(pattern(), 1..4),
    ) {
        prop_assume!(Filter::new(&patterns).is_ok());
        // git reads `a**/b` by the addresses of its buffers
        prop_assume!(patterns.iter().flat_map(|p| p.trim_start_matches('!').split('/')).all(|part| part == "**" || !part.contains("**")));
        let Some(git) = Git::find() else { return Ok(()) };
        let temp = tempfile::tempdir().expect("a directory");
        plant(temp.path(), &paths);
        let shown = |found: BTreeSet<Vec<u8>>| found.iter().map(|p| p.escape_ascii().to_string()).collect::<Vec<_>>();
        let want = git.lists(temp.path(), &patterns);
        prop_assert_eq!(shown(left_in(temp.path(), &patterns)), shown(want), "{:?}", patterns);
    }
}
