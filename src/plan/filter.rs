//! What is left out of the mirror: gitignore patterns over names below the root.
//!
//! Patterns come from the configuration alone; no `.gitignore` file is ever read.

use crate::model::RelPath;
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

/// Compiled patterns, and as our matcher has them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Filter(Gitignore, Arc<[String]>);

/// What decides on an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Position of the pattern.
    pub pattern: usize,
    /// The entry that it matches: the one that was asked for, or a directory above it.
    pub entry: RelPath,
    /// It names the entry; else it takes it back in.
    pub out: bool,
}

impl Filter {
    /// Compiles `patterns`, in gitignore syntax, one each; later ones win.
    ///
    /// # Errors
    /// The position of each pattern that is not one, and why. A pattern that could never match
    /// (blank, a comment) is an error too: it does not do what its writer meant.
    pub fn new(patterns: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let mut builder = GitignoreBuilder::new("");
        builder.allow_unclosed_class(false);
        let (mut bad, mut lines) = (Vec::new(), Vec::new());
        for (at, pattern) in patterns.iter().enumerate() {
            match idle(pattern).map_or_else(|| translated(pattern), Err) {
                Err(why) => bad.push((at, why.to_owned())),
                Ok(pattern) => {
                    if let Err(error) = builder.add_line(None, &pattern) {
                        bad.push((at, reason(&error)));
                    }
                    lines.push(pattern);
                }
            }
        }
        if !bad.is_empty() {
            return Err(bad);
        }
        // Each pattern compiled by itself: only all of them together can be too much.
        let built = builder.build().map(|built| Self(built, lines.into()));
        built.map_err(|error| vec![(patterns.len().saturating_sub(1), reason(&error))])
    }

    /// True if there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if the file at `path` is named itself, or lies below a directory that is.
    pub fn covers(&self, path: &RelPath) -> bool {
        let bytes = path.as_bytes();
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.any(|at| self.names(&bytes[..at], true)) || self.names(bytes, false)
    }

    /// True if the entry at `path` below the root is named by the last pattern that matches it. What lies below a
    /// directory that is named goes with it (as with git, nothing of it can be taken back in): ask for
    /// the directories first, outermost first.
    pub fn names(&self, path: &[u8], is_dir: bool) -> bool {
        matches!(self.0.matched(Path::new(OsStr::from_bytes(path)), is_dir), Match::Ignore(_))
    }
}

impl Filter {
    /// What decides on `path`: the first directory above it that is named, else the last pattern that matches it; `None` if
    /// there is none.
    pub fn rule(&self, path: &RelPath, is_dir: bool) -> Option<Rule> {
        let above = std::iter::successors(path.parent(), RelPath::parent).filter(|dir| !dir.is_root());
        let mut above: Vec<_> = above.collect();
        above.reverse();
        let named = above.iter().find(|dir| self.names(dir.as_bytes(), true));
        let (entry, is_dir) = named.map_or((path, is_dir), |dir| (dir, true));
        let (glob, out) = match self.0.matched(entry.as_path(), is_dir) {
            Match::Ignore(glob) => (glob, true),
            Match::Whitelist(glob) => (glob, false),
            Match::None => return None,
        };
        let pattern = self.1.iter().rposition(|line| line == glob.original())?;
        Some(Rule { pattern, entry: entry.clone(), out })
    }
}

/// Why a pattern would be taken without a word and never match.
fn idle(pattern: &str) -> Option<&'static str> {
    match pattern {
        p if p.trim().is_empty() => Some("it is blank"),
        p if p.contains(['\n', '\r']) => Some("it holds a line break: write one pattern per string"),
        p if p.contains('\0') => Some("it holds a NUL, which no file name does"),
        p if p.starts_with('#') => Some("it is a comment: write `\\#` for a name that starts with `#`"),
        p if ["!", "/", "!/"].contains(&p.trim_end()) => Some("it names nothing"),
        p if p.split('/').any(|part| part == "." || part == "..") => {
            Some("it has a `.` or `..` component, which no name below the root has")
        }
        p if p.contains("//") => Some("it has an empty component, which no name below the root has"),
        p if p.contains("***") => Some("it has more than two `*` in a row"),
        _ => None,
    }
}

/// The pattern as our matcher wants it: where that reads gitignore's words otherwise, they are spelled out.
///
/// # Errors
/// Why the two would not mean the same.
fn translated(pattern: &str) -> Result<String, &'static str> {
    // blanks at the end do not count, unless quoted
    let pattern = if pattern.ends_with("\\ ") { pattern } else { pattern.trim_end() };
    let (back, body) = pattern.strip_prefix('!').map_or(("", pattern), |body| ("!", body));
    let (mut out, mut barred, mut rest) = (String::new(), false, body.chars());
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' => {
                return Err("gitignore has no alternatives: write one pattern each, or `\\{` for a brace");
            }
            '[' => {
                let (class, left) = class(rest.as_str())?;
                barred |= class.contains('/');
                out += &class;
                rest = left.chars();
            }
            '\\' => out.extend([c].into_iter().chain(rest.next())),
            _ => out.push(c),
        }
    }
    // A `/` of ours must not make it a pattern of the top alone.
    let anywhere = if barred && !body.trim_end_matches('/').contains('/') { "**/" } else { "" };
    Ok(format!("{back}{anywhere}{out}"))
}

/// A class, translated, and what is behind it. Our matcher would let it take a `/`, which is never one of it.
fn class(text: &str) -> Result<(String, &str), &'static str> {
    let (not, body) = text.strip_prefix(['!', '^']).map_or(("", text), |body| ("!", body));
    // a `]` that comes first is one of it
    let Some(end) = body.bytes().skip(1).position(|byte| byte == b']').map(|at| at + 1) else {
        return Ok((format!("[{text}"), "")); // our matcher says what is wrong with it
    };
    let (inside, rest) = (&body[..end], &body[end + 1..]);
    let chars: Vec<char> = inside.chars().collect();
    let spans = chars.windows(3).any(|part| part[1] == '-' && part[0] < '/' && part[2] > '/');
    if inside.contains("[:") {
        return Err("classes such as [:alpha:] are not known: write the characters, as in [A-Za-z]");
    } else if inside.contains('\\') || (not.is_empty() && (spans || inside.contains('/'))) {
        return Err("a class holds no `/`, no range across it and no `\\`");
    }
    let class = match not.is_empty() {
        true => format!("[{inside}]"),
        // nothing may come behind a `-` that is one of it, nor before a first `]` or `-`
        false if inside.len() > 1 && inside.ends_with('-') => match inside.strip_prefix([']', '-']) {
            Some(more) => format!("[!{}/{more}]", &inside[..1]),
            None => format!("[!/{inside}]"),
        },
        false => format!("[!{inside}/]"),
    };
    Ok((class, rest))
}

fn reason(error: &ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Filter {
        let owned: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Filter::new(&owned).expect("good patterns")
    }

    #[test]
    fn what_decides_on_a_name_is_told() {
        let filter = filter(&["*.log", "!keep.log", "cache/", "/top\\ ", "*.old", "*.log  ", "!save.log"]);
        let path = |text: &str| RelPath::new(text.as_bytes()).expect("valid path");
        for (name, is_dir, want) in [
            ("a", false, None),
            ("d/a.log", false, Some((5, "d/a.log", true))),
            ("d/save.log", false, Some((6, "d/save.log", false))),
            ("top ", false, Some((3, "top ", true))),
            ("cache", false, None),
            ("cache", true, Some((2, "cache", true))),
            ("d/cache/save.log", false, Some((2, "d/cache", true))),
        ] {
            let want = want.map(|(pattern, entry, out)| Rule { pattern, entry: path(entry), out });
            assert_eq!(filter.rule(&path(name), is_dir), want, "{name}");
        }
    }

    #[test]
    fn names_are_left_out_as_gitignore_says() {
        let dir = true;
        let file = false;
        for (patterns, path, is_dir, want) in [
            (&["*.tmp"][..], &b"a.tmp"[..], file, true),
            (&["*.tmp"], b"x/y/a.tmp", file, true),
            (&["*.tmp"], b"a.tmp.txt", file, false),
            (&[".cache/"], b".cache", dir, true),
            (&[".cache/"], b".cache", file, false),
            (&[".cache/"], b"home/.cache/x", file, true),
            (&["/build"], b"build", dir, true),
            (&["/build"], b"src/build", dir, false),
            (&["/build"], b"build/x/y", file, true),
            (&["a/b"], b"a/b", file, true),
            (&["a/b"], b"x/a/b", file, false),
            (&["**/a/b"], b"x/a/b", file, true),
            (&["logs/**"], b"logs", dir, false),
            (&["logs/**"], b"logs/x", file, true),
            (&["*", "!keep"], b"keep", file, false),
            (&["*", "!keep"], b"lost", file, true),
            (&["!keep", "*"], b"keep", file, true),
            (&["dir/", "!dir/keep"], b"dir/keep", file, true),
            (&["dir/*", "!dir/keep"], b"dir/keep", file, false),
            (&["*.log", "!x.log"], b"a/x.log", file, false),
            (&["\\#a", "\\!b"], b"#a", file, true),
            (&["\\#a", "\\!b"], b"!b", file, true),
            (&["a*b"], b"a/b", file, false),
            (&["a\\*"], b"ab", file, false),
            (&["[ab]?"], b"bz", file, true),
            (&["*.tmp"], b"\xff\n.tmp", file, true),
            (&["*.tmp"], b"\xff/\xfe.txt", file, false),
            (&["caf?"], b"caf\xe9", file, true),
            (&["A"], b"a", file, false),
            (&["a[!b]c"], b"a/c", file, false),
            (&["a[^b]c"], b"x/axc", file, true),
            (&["a[!]-]c"], b"a-c", file, false),
            (&["a[!]-]c"], b"a]c", file, false),
            (&["a[!]-]c"], b"axc", file, true),
            (&["a[!-x-]c"], b"aac", file, true),
            (&["a[!-x-]c"], b"a-c", file, false),
            (&["a[!+-]c"], b"a-c", file, false),
            (&["a[!+-]c"], b"a.c", file, true),
            (&["a[!-x]c"], b"aac", file, true),
            (&["a[!]x]c"], b"ayc", file, true),
            (&["a[!]-a]c"], b"a0c", file, true),
            (&["a[!]-a]c"], b"a^c", file, false),
            (&["a[!]x]c"], b"a]c", file, false),
            (&["[abc]x"], b"cx", file, true),
            (&["[a-z]x"], b"qx", file, true),
            (&["x/a[!b]"], b"x/ac", file, true),
            (&["x/a[!b]"], b"y/x/ac", file, false),
            (&["!a[!b]c", "*"], b"axc", file, true),
            (&["*", "!a[!b]"], b"ac", file, false),
            (&["[]a]"], b"]", file, true),
            (&["\\{a,b\\}"], b"{a,b}", file, true),
            (&[], b"a", file, false),
        ] {
            let filter = filter(patterns);
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            let above = ends.into_iter().any(|at| filter.names(&path[..at], true));
            assert_eq!(above || filter.names(path, is_dir), want, "{patterns:?} on {}", path.escape_ascii());
        }
    }

    #[test]
    fn without_patterns_it_is_empty() {
        assert!(filter(&[]).is_empty() && !filter(&["a"]).is_empty());
    }

    #[test]
    fn c62_each_pattern_that_cannot_work_is_named() {
        for (pattern, says) in [
            ("a[", "unclosed character class"),
            ("*.{jpg,png}", "one pattern each"),
            ("a}", "brace"),
            ("[[:alpha:]]", "write the characters"),
            ("[z-a]", "range"),
            ("a\\", "dangling"),
            ("", "blank"),
            (" \t", "blank"),
            ("# note", "comment"),
            ("!", "nothing"),
            ("! ", "nothing"),
            ("./a", "`.`"),
            ("a//b", "empty component"),
            ("[+-9]", "class"),
            ("[a/b]", "class"),
            ("[\\a]", "class"),
            ("***/a", "more than two"),
            ("a\nb", "one pattern per string"),
            ("a\0", "NUL"),
        ] {
            let bad = Filter::new(&["*.ok".to_owned(), pattern.to_owned()]).expect_err(pattern);
            assert!(matches!(&bad[..], [(1, why)] if why.contains(says)), "{pattern:?}: {bad:?}");
        }
        assert_eq!(Filter::new(&["a[".into(), "ok".into(), "#".into()]).expect_err("two").len(), 2);
    }
}
