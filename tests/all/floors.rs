//! The house rule that imports go down only, read off the sources.

use std::{collections::BTreeSet, fs, path::Path};

/// Floors from the bottom; a room may use its own floor and those below it, but no neighbour on L2.
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("plan", &["model"]),
    ("queue", &["model"]),
    ("local", &["model"]),
    ("store", &["model"]),
    ("ledger", &["model"]),
    ("engine", &["model", "plan", "queue", "local", "store", "ledger"]),
    ("restore", &["model", "plan", "local", "store"]),
    ("verify", &["model", "plan", "local", "store", "ledger"]),
    ("config", &["model", "plan"]),
    (
        "service",
        &["model", "plan", "queue", "local", "store", "ledger", "engine", "restore", "verify", "config"],
    ),
    (
        "command",
        &[
            "model", "plan", "queue", "local", "store", "ledger", "engine", "restore", "verify", "config",
            "service", "embedded",
        ],
    ),
    ("embedded", &[]),
];

/// What the pure floors must not know.
const IMPURE: &[&str] = &["tokio", "std::fs", "std::time::Instant", "SystemTime", "std::thread", "std::env"];

fn sources(dir: &Path, out: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("a source directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name == "tests") {
            continue; // the tests of a room may stand on anything
        } else if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let text = text.split("#[cfg(test)]").next().expect("a first part").to_owned();
            out.push((path.display().to_string(), text));
        }
    }
}

/// Every `crate::room` that the text names, those of grouped imports (`use crate::{a, b}`) too.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let word =
        |s: &str| s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut begin = true;
        for (i, c) in group.char_indices() {
            match c {
                '}' if depth == 0 => break,
                _ if begin && depth == 0 && !c.is_whitespace() => {
                    used.insert(word(&group[i..]));
                    begin = false;
                }
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => begin = true,
                _ => {}
            }
        }
    }
    used.retain(|room| !room.is_empty());
    used
}

#[test]
fn imports_go_down_only() {
    let mut wrong = vec![];
    for (room, below) in FLOORS {
        let mut files = vec![];
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut files);
        assert!(!files.is_empty(), "{room} is a room");
        for (file, text) in files {
            for used in rooms_used(&text) {
                if used != *room && !below.contains(&used.as_str()) {
                    wrong.push(format!("{file} uses {used}"));
                }
            }
            if matches!(*room, "model" | "plan" | "queue") {
                let known = IMPURE.iter().filter(|word| text.contains(*word));
                // the doc comments may say what the code does not know
                let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
                wrong.extend(
                    known.filter(|word| code.contains(**word)).map(|word| format!("{file} knows {word}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reader_of_imports_sees_them() {
    let text = "use crate::{\n    plan::{Merge, Side},\n    queue,\n};\nuse crate::store::Store;\nlet x = crate::local::y();";
    assert_eq!(rooms_used(text).into_iter().collect::<Vec<_>>(), ["local", "plan", "queue", "store"]);
}

#[test]
fn every_room_has_a_header_and_stays_a_room() {
    let mut files = vec![];
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let bare: Vec<_> =
        files.iter().filter(|(_, text)| !text.starts_with("//!")).map(|(file, _)| file).collect();
    assert!(bare.is_empty(), "no header: {bare:#?}");
    let large: Vec<_> =
        files.iter().filter(|(_, text)| text.lines().count() > 450).map(|(file, _)| file).collect();
    assert!(large.is_empty(), "outgrown: {large:#?}");
}
