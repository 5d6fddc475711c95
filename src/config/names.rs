//! What is given by name: a mirror, its root, its bucket and its prefix. What cannot be is told with what to write instead.

use super::{
    problem::{Complaint, Shown},
    s3::absolute,
};
use crate::model::MAX_KEY_BYTES;
use std::{fs, path::PathBuf};

/// What a mirror may be called: its state lies in a directory of this name.
pub(super) fn name(text: &str) -> Result<String, Complaint> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.') {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("`name = {}` cannot name a directory of state", Shown(text)),
        "write 1 to 64 of A-Z a-z 0-9 _ - . and begin with none of the dots",
    ))
}

/// A root, which is no link. One that is missing, or cannot be looked at, is told when it is mirrored.
pub(super) fn root(text: &str) -> Result<PathBuf, Complaint> {
    let path = absolute("root", text)?;
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
        return Ok(path);
    }
    let message = format!("`root = {}` is a link", Shown(text));
    Err(match fs::canonicalize(&path).or_else(|_| fs::read_link(&path)) {
        Ok(target) => Complaint::new(message, format!("write where it leads: root = {target:?}")),
        Err(_) => Complaint::new(message, "write where it leads"),
    })
}

/// A bucket as S3 names it (Bucket naming rules), no URL.
pub(super) fn bucket(text: &str) -> Result<String, Complaint> {
    if let Some((bucket, prefix)) =
        text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
    {
        return Err(Complaint::new(
            format!("`bucket = {}` is a URL", Shown(text)),
            format!("write bucket = {} and prefix = {}", Shown(bucket), Shown(prefix)),
        ));
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let shape = (3..=63).contains(&text.len()) && text.bytes().all(plain) && !text.contains("..");
    let address = text.parse::<std::net::Ipv4Addr>().is_ok();
    if shape && edge(bytes.first()) && edge(bytes.last()) && !address {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("`bucket = {}` is not a bucket's name", Shown(text)),
        "write 3 to 63 of a-z 0-9 - . with a letter or digit at both ends",
    ))
}

/// What the keys of a mirror begin with: room is left for the names of files, and for our own record beside them.
pub(super) fn prefix(text: &str) -> Result<String, Complaint> {
    prefix_of("prefix", text, MAX_KEY_BYTES - 64)
}

/// A prefix of at most so many bytes: empty, or ending in `/`.
pub(super) fn prefix_of(key: &str, text: &str, most: usize) -> Result<String, Complaint> {
    let wrong =
        |what: &str, remedy: String| Err(Complaint::new(format!("`{key} = {}` {what}", Shown(text)), remedy));
    let plain: Vec<_> =
        text.split('/').filter(|part| !matches!(*part, "" | "." | ".." | ".s3mirrord")).collect();
    let meant = plain.join("/") + if plain.is_empty() { "" } else { "/" };
    if text.chars().any(char::is_control) {
        return wrong("holds a control character", "take it out".to_owned());
    }
    if text.starts_with('/') {
        return wrong("begins with `/`", format!("keys do not: {key} = {}", Shown(&meant)));
    }
    let body = text.strip_suffix('/').unwrap_or(text);
    if !body.is_empty() && body.split('/').any(|part| matches!(part, "" | "." | ".." | ".s3mirrord")) {
        return wrong(
            "has an empty, `.`, `..` or `.s3mirrord` part",
            format!("write {key} = {}", Shown(&meant)),
        );
    }
    if text.len() > most {
        return wrong("leaves no room for names", format!("write at most {most} bytes"));
    }
    Ok(if body.is_empty() { String::new() } else { format!("{body}/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_in_a_slash() {
        for (text, want) in [
            ("", Ok("")),
            ("a", Ok("a/")),
            ("web-1/www/", Ok("web-1/www/")),
            ("a b/é", Ok("a b/é/")),
            ("/a", Err("prefix = \"a/\"")),
            ("/", Err("prefix = \"\"")),
            ("a//b", Err("prefix = \"a/b/\"")),
            ("a//", Err("prefix = \"a/\"")),
            ("a/../b", Err("prefix = \"a/b/\"")),
            ("a/.s3mirrord/", Err("prefix = \"a/\"")),
            ("a\nb", Err("take it out")),
            (&"x".repeat(961), Err("at most 960")),
        ] {
            match (prefix(text), want) {
                (Ok(got), want) => assert_eq!(Ok(&*got), want, "{text:?}"),
                (Err(c), Err(says)) => assert!(c.remedy.contains(says), "{text:?}: {c:?}"),
                (Err(c), Ok(_)) => panic!("{text:?}: {c:?}"),
            }
        }
    }

    #[test]
    fn names_and_buckets_are_plain() {
        for (text, good) in
            [("www", true), ("A_b-c.9", true), ("", false), (".x", false), ("a/b", false), ("é", false)]
        {
            assert_eq!(name(text).is_ok(), good, "{text:?}");
        }
        assert!(name(&"x".repeat(64)).is_ok() && name(&"x".repeat(65)).is_err());
        for (text, good) in [
            ("backups", true),
            ("a.b-9", true),
            ("ab", false),
            ("Backups", false),
            ("a_b", false),
            ("-ab", false),
            ("ab.", false),
            ("a..b", false),
            ("10.0.0.1", false),
            ("arn:aws:s3:::x", false),
        ] {
            assert_eq!(bucket(text).is_ok(), good, "{text:?}");
        }
        let url = bucket("s3://b/p/q").expect_err("a URL");
        assert_eq!(url.remedy, "write bucket = \"b\" and prefix = \"p/q\"");
    }

    #[test]
    fn a_link_is_refused_with_its_target() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let real = fs::canonicalize(dir.path()).expect("real path").join("real");
        fs::create_dir(&real).expect("made");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        assert_eq!(root(&real.to_string_lossy()), Ok(real.clone()));
        for spelled in [format!("{}", link.display()), format!("{}/", link.display())] {
            let told = root(&spelled).expect_err("a link");
            assert!(told.remedy.contains(&format!("root = {real:?}")), "{told:?}");
        }
        assert!(root("/no/such/place").is_ok());
    }
}
