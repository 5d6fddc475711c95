//! The list of bugs that must be caught fits the code: each can be made, and what is to catch it exists.

use serde::Deserialize;
use std::{collections::BTreeSet, fs, path::Path};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    promise: String,
    bug: String,
    file: String,
    from: String,
    to: String,
    caught: String,
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The tests below a directory, each with the name of its room.
fn tests_of(dir: &str) -> Vec<String> {
    let (mut names, mut dirs) = (vec![], vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let room = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let of = |rest: &str| format!("{room}::{}", rest.split(['(', '<']).next().unwrap_or_default());
            names.extend(text.split("fn ").skip(1).map(of));
        }
    }
    names
}

#[test]
fn each_bug_that_must_be_caught_can_be_made() {
    let list: List = toml::from_str(&read("tests/mutants.toml")).expect("the list");
    assert!(list.mutant.len() >= 25, "{} bugs", list.mutant.len());
    for Mutant { bug, file, from, to, caught, .. } in &list.mutant {
        assert_eq!(read(file).matches(from.as_str()).count(), 1, "{bug}: {file} does not hold its text once");
        assert_ne!(from, to, "{bug}");
        let (binary, name) = caught.rsplit_once(' ').unwrap_or((caught, ""));
        let names = match binary {
            "simulation" => continue,
            // cargo's filter has a room's tests under `room::tests::`
            "--lib" => tests_of("src").iter().map(|name| name.replacen("::", "::tests::", 1)).collect(),
            "--test all" => tests_of("tests/all"),
            "--test simulation" => tests_of("tests/simulation"),
            _ => panic!("{bug}: {caught}"),
        };
        assert!(names.iter().any(|test| test.contains(name)), "{bug}: no test is called so: {caught}");
    }
    let promises: BTreeSet<_> = list.mutant.iter().map(|m| m.promise.as_str()).collect();
    let all: BTreeSet<_> = (1..=10).map(|n| format!("I{n}")).collect();
    assert_eq!(promises, all.iter().map(String::as_str).collect(), "each promise has one");
}
