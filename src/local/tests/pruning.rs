//! Filters on a walk: what git would not list is not there, and costs nothing.

use super::*;
use crate::plan::Filter;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
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

fn shown(found: &BTreeSet<Vec<u8>>) -> Vec<String> {
    found.iter().map(|path| path.escape_ascii().to_string()).collect()
}

#[test]
fn c62_filters_mean_what_gitignore_means() {
    let Some(git) = Git::find() else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let paths = [
        &b"a.tmp"[..],
        b"keep.tmp",
        b"sub/a.tmp",
        b"sub/keep.tmp",
        b"build/x",
        b"sub/build/x",
        b"sub/deep/build/y",
        b"cache/x/y",
        b"sub/cache",
        b"#note",
        b"!bang",
        b"sp ",
        b"a*b",
        b"axb",
        b"[a]",
        b"{a,b}",
        b"caf\xe9.log",
        b"\xff/\xfe.log",
        b"new\nline.log",
        b".hidden/.tmp",
        b"A.TMP",
    ];
    let parts = paths.map(|path| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>());
    plant(temp.path(), &parts);
    for patterns in [
        &["*.tmp"][..],
        &["*.tmp", "!keep.tmp"],
        &["!keep.tmp", "*.tmp"],
        &["sub/*", "!sub/keep.tmp"],
        &["sub/", "!sub/keep.tmp"],
        &["/build"],
        &["/build/"],
        &["build/"],
        &["cache/"],
        &["sub/build"],
        &["**/build"],
        &["build/**"],
        &["sub/**/build"],
        &["sub/**"],
        &["**/cache/"],
        &["*", "!*/", "!*.log"],
        &["\\#note"],
        &["\\!bang"],
        &["sp\\ "],
        &["a\\*b"],
        &["a*b"],
        &["\\[a\\]"],
        &["\\{a,b\\}"],
        &["*.log"],
        &["caf?.log"],
        &["?/*.log"],
        &[".*"],
        &["sub[!x]keep.tmp", "[!a-z]*"],
    ] {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let want = git.lists(temp.path(), &patterns);
        assert_eq!(shown(&left_in(temp.path(), &patterns)), shown(&want), "{patterns:?}");
        assert!(want.len() < paths.len(), "{patterns:?} leave something out");
    }
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let plain = prop::sample::select(vec!["a", "b", "ab", ".a", "A", "aXb", "-"]);
    let odd = prop::sample::select(vec!["a b", "a ", "!a", "#a", "{a,b}", "[a]", "a]", "*", "\\a", "a\nb"]);
    let text = prop_oneof![3 => plain, 2 => odd].prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![9 => text, 1 => Just(vec![0xff])]
}

fn pattern() -> impl Strategy<Value = String> {
    let quoted = vec!["\\*", "\\!", "\\#", "\\ ", "\\a", "\\{a,b\\}", "\\\\", "#", "!", " "];
    let token = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "ab", ".a"]),
        3 => prop::sample::select(vec!["/", "/", "*", "?", "**/", "/**", "/**/"]),
        1 => prop::sample::select(quoted),
        1 => prop::sample::select(vec!["[ab]", "[!a]", "[^a]", "[a-c]", "[*]", "[]a]"]),
    ];
    let tokens = prop::collection::vec(token, 1..5);
    (prop::bool::weighted(0.25), tokens, prop::bool::weighted(0.2)).prop_map(|(back, tokens, only_dirs)| {
        [if back { "!" } else { "" }, &*tokens.concat(), if only_dirs { "/" } else { "" }].concat()
    })
}

/// What git reads by the addresses of its buffers: `a**/b`.
fn is_odd(pattern: &str) -> bool {
    pattern.trim_start_matches('!').split('/').any(|part| part != "**" && part.contains("**"))
}

#[test]
fn c62_a_walk_finds_the_files_that_git_would_list() {
    let Some(git) = Git::find() else { return };
    // Always the same ones: git may be of any version.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let paths = prop::collection::vec(prop::collection::vec(part(), 1..4), 1..16);
    let patterns = prop::collection::vec(pattern(), 1..4);
    let done = runner.run(&(paths, patterns), |(paths, patterns)| {
        prop_assume!(Filter::new(&patterns).is_ok() && !patterns.iter().any(|pattern| is_odd(pattern)));
        let temp = tempfile::tempdir().expect("a directory");
        plant(temp.path(), &paths);
        let want = git.lists(temp.path(), &patterns);
        prop_assert_eq!(shown(&left_in(temp.path(), &patterns)), shown(&want), "{:?}", patterns);
        Ok(())
    });
    done.expect("the same");
}
