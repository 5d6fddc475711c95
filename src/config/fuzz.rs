//! What has to hold for any text, taken as a configuration.

use super::{Config, DeletePolicy, Problem, Problems, S3, Surroundings, s3::store};
use crate::plan::Filter;
use std::{
    ops::Range,
    path::{Component, Path},
};
use toml::de::{DeTable, DeValue};

/// The bytes are the text, if they are UTF-8.
pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let around = Surroundings { superuser: true, ..Surroundings::default() };
    let read = |text: &str| Config::parse(text, Path::new("c.toml"), &around);
    let found = read(text);
    assert_eq!(found, read(text), "it is read in two ways");
    match &found {
        Ok(config) => is_valid(config),
        Err(problems) => say_what_is_wrong(problems, text),
    }
    if let Some(other) = with_other_secrets(text) {
        assert_eq!(told(&found), told(&read(&other)), "it tells of a secret");
    }
}

/// What anybody can see of it.
fn told(found: &Result<Config, Problems>) -> String {
    match found {
        Ok(config) => format!("{config:?}"),
        Err(problems) => format!("{problems}\n{problems:?}"),
    }
}

fn say_what_is_wrong(problems: &Problems, text: &str) {
    assert!(!problems.list.is_empty(), "refused, and nothing is wrong");
    let lines: Vec<_> = text.split('\n').collect();
    for problem in &problems.list {
        let Problem { line, column, message, remedy } = problem;
        assert!(!message.is_empty() && !remedy.is_empty(), "{problem:?}");
        assert!(!format!("{message}{remedy}").contains(char::is_control), "{problem:?}");
        assert_eq!(line.is_some(), column.is_some(), "{problem:?}");
        if let (Some(line), Some(column)) = (line, column) {
            let there = lines[line - 1].chars().count();
            assert!((1..=there + 1).contains(column), "{problem:?} is not in the file");
        }
    }
    assert!(problems.list.is_sorted_by_key(|problem| problem.line), "{problems:?}");
    assert_eq!(problems.to_string().lines().count(), problems.list.len(), "one line each");
}

fn is_valid(config: &Config) {
    assert!(config.state_dir.is_absolute() && !config.mirrors.is_empty(), "{config:?}");
    assert!((16 << 20..=1 << 40).contains(&config.memory_limit), "{config:?}");
    for (n, mirror) in config.mirrors.iter().enumerate() {
        let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        assert!(mirror.root.is_absolute() && mirror.root.components().all(plain), "{mirror:?}");
        assert!(!mirror.root.starts_with(&config.state_dir), "{mirror:?}");
        assert!(Filter::new(&mirror.exclude).is_ok(), "{mirror:?}");
        assert!(mirror.quiet <= mirror.longest && (1..=64).contains(&mirror.listers), "{mirror:?}");
        assert_eq!(mirror.trash.is_some(), mirror.delete == DeletePolicy::Trash, "{mirror:?}");
        let keys = (&mirror.s3.access_key_id, &mirror.s3.secret_access_key);
        assert_eq!(keys.0.is_some(), keys.1.is_some(), "half a pair of keys");
        let prefixes = [Some(&mirror.prefix), mirror.trash.as_ref().map(|trash| &trash.prefix)];
        for prefix in prefixes.into_iter().flatten().filter(|prefix| !prefix.is_empty()) {
            let parts = prefix.strip_suffix('/').expect("it ends in a slash");
            assert!(parts.split('/').all(|part| !matches!(part, "" | "." | ".." | ".s3mirrord")), "{prefix}");
        }
        let trash = mirror.trash.as_ref().map(|trash| &*trash.prefix);
        let apart = |a: &str, b: &str| !a.starts_with(b) && !b.starts_with(a);
        assert!(trash.is_none_or(|trash| apart(trash, &mirror.prefix)), "{mirror:?}");
        for other in &config.mirrors[..n] {
            assert_ne!(mirror.name, other.name);
            let place = |s3: &S3| store(s3.endpoint_url.as_deref());
            if mirror.bucket != other.bucket || place(&mirror.s3) != place(&other.s3) {
                continue;
            }
            let trashed = other.trash.as_ref().map(|trash| &*trash.prefix);
            for one in [Some(&*mirror.prefix), trash].into_iter().flatten() {
                for two in [Some(&*other.prefix), trashed].into_iter().flatten() {
                    assert!(apart(one, two), "{one:?} and {two:?} overlap");
                }
            }
        }
    }
}

/// The text with other secrets in it, as long and of the same kinds of character; `None` if it has none that can be
/// exchanged so.
fn with_other_secrets(text: &str) -> Option<String> {
    let (document, _) = DeTable::parse_recoverable(text);
    let top = document.get_ref();
    let mirrors = value(top, "mirror").and_then(|(_, value)| value.as_array());
    let tables = mirrors.into_iter().flatten().filter_map(|item| item.get_ref().as_table());
    let layers = tables.chain([top]).filter_map(|table| value(table, "s3")?.1.as_table());
    let keys = ["secret_access_key", "session_token"];
    let secrets = layers.flat_map(|layer| keys.iter().filter_map(|key| value(layer, key)));
    let mut bytes = text.as_bytes().to_vec();
    for (place, _) in secrets.filter(|(_, value)| value.is_str()) {
        let secret = &mut bytes[place];
        // without quotes it is no text, and an escape would be another, or none
        if !secret.starts_with(b"\"") && !secret.starts_with(b"'") || secret.contains(&b'\\') {
            continue;
        }
        for byte in secret {
            *byte = match byte {
                b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8' => *byte + 1,
                b'z' | b'Z' => *byte - 25,
                b'9' => b'0',
                _ => *byte,
            };
        }
    }
    String::from_utf8(bytes).ok().filter(|other| other != text)
}

fn value<'t>(table: &'t DeTable<'t>, key: &str) -> Option<(Range<usize>, &'t DeValue<'t>)> {
    let (_, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
    Some((value.span(), value.get_ref()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_kept_of_fuzzing_configurations_holds() {
        crate::fuzzing::replay("config", super::holds);
    }
}
