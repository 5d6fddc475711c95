//! What is to be restored: what is named, and what patterns match.

use super::{Live, Options, items, source::is_within};
use crate::{
    model::{Fault, Key, RelPath},
    plan::{Filter, apart},
    store::S3,
};
use futures::TryStreamExt;
use std::sync::Arc;

/// What makes a name a pattern, if nothing has just that name.
const MARKS: &[u8] = b"*?[{";

/// A name that may be a pattern of names, in the language of `exclude`.
#[derive(Clone, Debug)]
pub struct Pattern {
    name: RelPath,
    /// It is matched from the root on, also if it is one name alone.
    at_top: bool,
    /// Or why it is none.
    filter: Result<Filter, String>,
}

impl Pattern {
    /// This name as a pattern; `None` if it has nothing that makes it one. One without a `/` is matched in every directory,
    /// unless `at_top`.
    pub fn of(name: &RelPath, at_top: bool) -> Option<Self> {
        if !name.as_bytes().iter().any(|byte| MARKS.contains(byte)) {
            return None;
        }
        let filter = match std::str::from_utf8(name.as_bytes()) {
            Err(_) => Err("it is not UTF-8".to_owned()),
            Ok(text) if text.starts_with('!') => Err("it begins with `!`".to_owned()),
            Ok(text) => {
                let text = if at_top { format!("/{text}") } else { text.to_owned() };
                Filter::new(&[text]).map_err(|bad| bad.into_iter().map(|(_, why)| why).collect())
            }
        };
        Some(Self { name: name.clone(), at_top, filter })
    }

    /// The directory below which all is that it matches.
    fn base(&self) -> RelPath {
        let parts = self.name.components().count();
        if parts == 1 && !self.at_top {
            return RelPath::root();
        }
        let is_plain = |part: &&[u8]| !part.iter().any(|byte| MARKS.contains(byte) || *byte == b'\\');
        let plain = self.name.components().take(parts - 1).take_while(is_plain);
        plain.fold(RelPath::root(), |dir, part| dir.join(part).unwrap_or(dir))
    }

    fn matches(&self, key: &Key) -> bool {
        let (Ok(filter), Some(path)) = (&self.filter, key.place()) else { return false };
        filter.covers(&path)
            || key.is_directory() && filter.names(path.as_bytes(), true)
            || key.link().is_some_and(|link| filter.covers(&link))
    }
}

/// Something that is to be restored.
#[derive(Clone, Debug)]
pub(super) enum Sought {
    /// A file, a link, or a directory with all below it.
    Name(RelPath),
    /// All that it matches.
    Pattern(Pattern),
}

impl Sought {
    /// True if the object of this key is of it.
    pub(super) fn holds(&self, key: &Key) -> bool {
        match self {
            Self::Name(path) => is_within(key, path),
            Self::Pattern(pattern) => pattern.matches(key),
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> &RelPath {
        match self {
            Self::Name(path) | Self::Pattern(Pattern { name: path, .. }) => path,
        }
    }

    /// Why there is nothing of it.
    pub(super) fn lacks(&self, past: bool) -> String {
        let nothing = if past {
            "the bucket had nothing of that name then"
        } else {
            "the bucket has nothing of that name"
        };
        match self {
            Self::Name(_) => nothing.to_owned(),
            Self::Pattern(Pattern { filter: Ok(_), .. }) => format!("{nothing}, and nothing that it matches"),
            Self::Pattern(Pattern { filter: Err(why), .. }) => {
                format!("{nothing}, and it is no pattern: {why}")
            }
        }
    }
}

/// All that is to be restored. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    all: Arc<[Sought]>,
    /// Of names nothing that is below them.
    alone: bool,
}

impl Scope {
    /// A pattern that is there as it is spelled is a name.
    ///
    /// # Errors
    /// Whatever keeps that from being found out.
    pub(super) async fn find(store: &S3, live: &Live, options: &Options) -> Result<Self, Fault> {
        let mut all: Vec<_> = options.paths.iter().cloned().map(Sought::Name).collect();
        for pattern in &options.patterns {
            let itself = Self { all: [Sought::Name(pattern.name.clone())].into(), alone: false };
            let first = items(store, live, &itself, options.past.as_ref()).0.try_next().await?;
            all.push(match first {
                Some(_) => Sought::Name(pattern.name.clone()),
                None => Sought::Pattern(pattern.clone()),
            });
        }
        Ok(Self { all: all.into(), alone: options.alone })
    }

    /// Everything that is named.
    pub(super) fn all(&self) -> &[Sought] {
        &self.all
    }

    /// True if nothing that is below what is named is to be restored.
    pub(super) fn alone(&self) -> bool {
        self.alone
    }

    /// True if it is to be restored.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.all.is_empty() || self.all.iter().any(|sought| sought.holds(key))
    }

    /// True if the marker of this directory is among what is restored, if it has one.
    pub(super) fn has_marker_of(&self, path: &RelPath) -> bool {
        self.holds(&Key::directory(path))
    }

    /// What is to be listed.
    pub(super) fn roots(&self) -> Vec<RelPath> {
        let root = |sought: &Sought| match sought {
            Sought::Name(path) => path.clone(),
            Sought::Pattern(pattern) => pattern.base(),
        };
        let roots: Vec<_> = self.all.iter().map(root).collect();
        if self.alone { roots } else { apart(&roots) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str, at_top: bool) -> Option<Pattern> {
        Pattern::of(&RelPath::new(text.as_bytes()).expect("valid"), at_top)
    }

    #[test]
    fn of_a_pattern_only_what_lies_below_its_plain_part_is_listed() {
        for (text, at_top, base) in [
            ("photos/2024-*/**", false, "photos"),
            ("a/b/c?", false, "a/b"),
            ("a/b*/c", false, "a"),
            ("a\\b/c*", false, ""),
            ("*.jpg", false, ""),
            ("*.jpg", true, ""),
            ("**/a/b", false, ""),
        ] {
            let base = RelPath::new(base.as_bytes()).expect("valid");
            assert_eq!(pattern(text, at_top).expect(text).base(), base, "{text}");
        }
        assert!(pattern("a/b", false).is_none());
    }

    #[test]
    fn a_pattern_is_matched_as_those_of_exclude_are() {
        for (text, at_top, key, want) in [
            ("photos/2024-*/**", false, "photos/2024-01/a", true),
            ("photos/2024-*/**", false, "photos/2024-01/l.rclonelink", true),
            ("photos/2024-*/**", false, "photos/2024-01/", false),
            ("photos/2024-*", false, "photos/2024-01/", true),
            ("photos/2024-*", false, "photos/2024-01/a/b", true),
            ("photos/2024-*", false, "x/photos/2024-01/a", false),
            ("*.jpg", false, "x/a.jpg", true),
            ("*.jpg", false, "x/a.jpg.rclonelink", true),
            ("*.jpg", true, "x/a.jpg", false),
            ("*.jpg", true, "a.jpg", true),
            ("*", false, "a//b", false),
            ("{a,b}", false, "a", false),
            ("!a*", false, "ab", false),
        ] {
            assert_eq!(pattern(text, at_top).expect(text).matches(&Key::raw(key)), want, "{text} {key}");
        }
    }
}
