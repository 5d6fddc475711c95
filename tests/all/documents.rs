//! The documents stay true: what they name exists.

use assert::{help, read, sources};
use std::collections::{BTreeMap, BTreeSet};

mod assert {
    use std::{fs, path::Path, process::Command};

    pub(super) fn read(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
            .unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Every source below `src` and `tests`, as one text.
    pub(super) fn sources() -> String {
        let mut all = String::new();
        let mut dirs = vec![
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"),
        ];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    all.push_str(&fs::read_to_string(path).expect("a source"));
                }
            }
        }
        all
    }

    fn command(args: &[&str]) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_s3mirrord")).args(args).output().expect("it runs");
        (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stdout).into_owned())
    }

    pub(super) fn help(verb: &str) -> (i32, String) {
        command(&[verb, "--help"])
    }
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_semantics_names_exists() {
    let (text, sources) = (read("docs/SEMANTICS.md"), sources());
    let lines = text.split("\n- Tests:").skip(1).map(|rest| rest.split("\n\n").next().unwrap_or(rest));
    let names: BTreeSet<&str> = lines.flat_map(in_backticks).filter(|name| *name != "simulation").collect();
    assert!(names.len() > 30, "the tests are named");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !["(", "<"].iter().any(|end| sources.contains(&format!("fn {name}{end}"))))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The cells of the rows of a table whose first cell begins so.
fn rows<'a>(text: &'a str, first: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let cells = |line: &'a str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    text.lines().filter(|line| line.starts_with("| ")).map(cells).filter(move |row| row[0].starts_with(first))
}

/// The numbers of cases that a test is named for.
fn cases_of(name: &str) -> impl Iterator<Item = &str> {
    let is_case = |word: &&str| word.len() == 3 && word.starts_with('c') && word[1..].parse::<u8>().is_ok();
    name.split('_').take_while(is_case)
}

#[test]
fn every_case_has_its_tests_and_its_promises() {
    let (text, sources) = (read("docs/SEMANTICS.md"), sources());
    let (_, table) = text.split_once("\n## Cases\n").expect("the table of cases");
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    for name in sources.split("fn ").skip(1).filter_map(|rest| rest.split(word).next()) {
        for case in cases_of(name) {
            named.entry(case).or_default().insert(name);
        }
    }
    let (mut told, mut promised) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    for row in rows(table, "c") {
        let [case, what, promises, tests] = row[..] else { panic!("{row:?}") };
        assert!(!what.is_empty(), "{case}");
        if tests.starts_with("not built") {
            assert!(!named.contains_key(case), "{case} has a test now");
            continue;
        }
        promises.split(", ").for_each(|promise| promised.entry(promise).or_default().push(case));
        told.insert(case, in_backticks(tests).collect::<BTreeSet<_>>());
    }
    for (case, tests) in &named {
        assert_eq!(told.get(case), Some(tests), "{case}");
    }
    assert_eq!(told.len(), named.len());
    let all: BTreeMap<_, _> = rows(table, "I").map(|row| (row[0], row[1].split(", ").collect())).collect();
    assert_eq!(promised, all);
    assert_eq!(all.len(), 10, "each promise has cases");
}

#[test]
fn every_verb_and_flag_that_readme_shows_exists() {
    let text = read("README.md");
    let shown: Vec<&str> = in_backticks(&text)
        .chain(text.lines())
        .filter_map(|code| {
            code.trim().strip_prefix("s3mirrord ").or(code.trim().strip_prefix("cargo run --release -- "))
        })
        .collect();
    assert!(shown.len() > 6, "{shown:?}");
    for code in shown {
        let verb = code.split_whitespace().next().unwrap_or_default();
        let (status, help) = help(verb);
        assert_eq!(status, 0, "`{verb}` is a verb");
        for flag in code.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "`{verb}` has {flag}");
        }
    }
}

#[test]
fn the_house_that_architecture_draws_stands() {
    let text = read("docs/ARCHITECTURE.md");
    let plan =
        text.split("## The floors").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("the floor plan");
    for line in plan.lines().filter(|line| line.contains('/')) {
        let Some(room) = line.split_whitespace().take(2).find(|word| word.ends_with('/')) else { continue };
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let room = room.trim_end_matches('/');
        assert!(root.join("src").join(room).is_dir() || root.join(room).is_dir(), "{room} is a room");
    }
}

#[test]
fn every_picture_that_a_document_shows_is_there_and_small() {
    let mut shown = BTreeSet::new();
    for (document, beside) in [("README.md", ""), ("docs/METRICS.md", "docs/")] {
        let text = read(document);
        let markdown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let html = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let srcset = text.split("srcset=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let pictures = markdown.chain(html).chain(srcset).filter(|name| name.ends_with(".png"));
        shown.extend(pictures.map(|name| format!("{beside}{name}")));
    }
    let all = ["dark", "light", "phone"].map(|name| format!("docs/status-{name}.png"));
    assert_eq!(shown, BTreeSet::from(all));
    for name in shown {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
        let size = std::fs::metadata(file).map(|found| found.len());
        assert!(size.as_ref().is_ok_and(|size| (1000..150_000).contains(size)), "{name}: {size:?}");
    }
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let changelog = include_str!("../../packaging/changelog");
    let version = env!("CARGO_PKG_VERSION");
    assert!(changelog.starts_with(&format!("s3mirrord ({version}-1) ")), "{changelog}");
}
