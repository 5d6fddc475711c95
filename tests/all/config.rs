//! `config.example.toml` is what operators copy: it must hold every key, with the default the code has.

use s3mirrord::config::{Config, Surroundings, known_keys};
use std::path::Path;

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn parse(text: &str) -> Config {
    let around = Surroundings { superuser: true, ..Surroundings::default() };
    Config::parse(text, Path::new("config.example.toml"), &around).unwrap_or_else(|told| panic!("{told}"))
}

/// The key that a line sets, and whether the line is an example yet to be taken in.
fn key(line: &str) -> Option<(&str, bool)> {
    let (line, example) = line.strip_prefix('#').map_or((line, false), |rest| (rest, true));
    let (key, _) = line.split_once(" = ")?;
    key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then_some((key, example))
}

#[test]
fn every_key_is_in_the_example() {
    for (table, name) in known_keys() {
        let told = EXAMPLE.lines().any(|line| match (table, name) {
            ("", "mirror") => line == "[[mirror]]",
            ("", "s3" | "prices") => line == format!("[{name}]"),
            (_, "s3" | "prices") => line == format!("[mirror.{name}]"),
            (_, "objects") => line == "#[[mirror.objects]]",
            ("sse" | "retention" | "max_overwrite", _) => {
                line.starts_with(&format!("#{table} = {{")) && line.contains(&format!(" {name} = "))
            }
            ("max_delete" | "debounce", _) => {
                line.starts_with(&format!("{table} = {{")) && line.contains(&format!(" {name} = "))
            }
            _ => key(line).is_some_and(|(key, _)| key == name),
        });
        assert!(told, "`{name}` of {table:?} is missing");
    }
}

#[test]
fn every_default_in_the_example_is_that_of_the_code() {
    let named = ["name", "root", "bucket", "prefix"];
    let bare: Vec<_> = EXAMPLE
        .lines()
        .filter(|line| line.starts_with('[') || key(line).is_some_and(|(key, _)| named.contains(&key)))
        .collect();
    assert_eq!(bare.len(), 9, "five tables and four names: {bare:?}");
    let whole = parse(EXAMPLE);
    assert_eq!(whole, parse(&bare.join("\n")));
    assert_eq!(whole.warnings, Vec::<String>::new());
    let set = EXAMPLE.lines().filter_map(key).filter(|(_, example)| !example).count();
    assert_eq!(set, 37, "keys that have a default, and the four names");
}

#[test]
fn every_example_works_when_its_mark_is_taken_off() {
    let lines: Vec<_> = EXAMPLE.lines().collect();
    let marked = |at: usize| key(lines[at]).filter(|(_, example)| *example).map(|(key, _)| key);
    // what says something only together
    let groups =
        [["access_key_id", "secret_access_key", "session_token"], ["delete", "trash_prefix", "trash_keep"]];
    // the lines of a table that is an example go together
    let head = |at: usize| {
        let above = (0..=at).rev().take_while(|n| lines[*n].starts_with('#') && !lines[*n].starts_with("# "));
        above.into_iter().find(|n| lines[*n].starts_with("#[["))
    };
    let mut tried = 0;
    for n in (0..lines.len()).filter(|n| marked(*n).is_some()) {
        let name = marked(n).expect("an example");
        let keys = groups.iter().find(|group| group.contains(&name)).map_or([name; 3], |group| *group);
        let taken: Vec<_> = (0..lines.len())
            .filter(|at| *at == n || !keys.iter().any(|name| key(lines[*at]) == Some((name, false))))
            .map(|at| {
                let with = at == n
                    || (keys[0] != keys[1] && marked(at).is_some_and(|k| keys.contains(&k)))
                    || (head(n).is_some() && head(at) == head(n));
                if with { &lines[at][1..] } else { lines[at] }
            })
            .collect();
        assert_ne!(parse(&taken.join("\n")), parse(EXAMPLE), "{name} changes nothing");
        tried += 1;
    }
    assert_eq!(tried, 41);
}
