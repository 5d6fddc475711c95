//! Where to look again.

use super::{Key, RelPath};

/// A part of the mirror. An event says only that one of these is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One path, as a file and as a link; widens to `Tree` if it is a directory, or the ledger holds keys below it.
    File(RelPath),
    /// The direct entries of a directory, and mode and owner of itself.
    Children(RelPath),
    /// A path and everything below it.
    Tree(RelPath),
}

impl Scope {
    /// The whole mirror.
    pub fn everything() -> Self {
        Self::Tree(RelPath::root())
    }

    /// True for the whole mirror.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Tree(dir) if dir.is_root())
    }

    /// The path it is about.
    pub fn path(&self) -> &RelPath {
        match self {
            Self::File(p) | Self::Children(p) | Self::Tree(p) => p,
        }
    }

    /// True if looking at `self` looks at all of `other`.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tree(dir), other) => other.path().is_within(dir),
            (Self::Children(dir), Self::File(p)) => p.parent().as_ref() == Some(dir),
            (Self::Children(a), Self::Children(b)) | (Self::File(a), Self::File(b)) => a == b,
            _ => false,
        }
    }

    /// True if `key` is one that looking at `self` decides.
    pub fn holds(&self, key: &Key) -> bool {
        let below =
            |dir: &RelPath| key.as_str().strip_prefix(Key::directory(dir).as_str()).map(str::to_owned);
        let is = |p: &RelPath| !p.is_root() && [Key::of(p), Key::of_link(p), Key::directory(p)].contains(key);
        match self {
            Self::File(p) => is(p),
            Self::Children(dir) => below(dir).is_some_and(|rest| !rest.contains('/')),
            Self::Tree(dir) => below(dir).is_some() || is(dir),
        }
    }
}

/// Where a survey takes the remote side from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Against {
    /// The ledger's proofs: nothing is asked of the store.
    Ledger,
    /// The store itself.
    Bucket,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> RelPath {
        RelPath::new(s.as_bytes()).expect("valid path")
    }

    #[test]
    fn scopes_cover_and_hold() {
        let (tree, kids, file) = (Scope::Tree(p("a")), Scope::Children(p("a")), Scope::File(p("a/b")));
        assert!(tree.covers(&kids) && tree.covers(&file) && tree.covers(&Scope::File(p("a"))));
        assert!(kids.covers(&file) && !kids.covers(&tree) && !kids.covers(&Scope::File(p("a/b/c"))));
        assert!(!file.covers(&kids) && !tree.covers(&Scope::Tree(p("ab"))));
        assert!(Scope::everything().covers(&tree));
        assert!(kids.covers(&kids) && file.covers(&file));
        assert!(!kids.covers(&Scope::Children(p("b"))) && !file.covers(&Scope::File(p("a/c"))));
        assert!(Scope::everything().is_everything() && !tree.is_everything());
        assert!(!Scope::Children(RelPath::root()).is_everything());
        for (scope, key, want) in [
            (&tree, "a", true),
            (&tree, "a/b/c", true),
            (&tree, "a-b", false),
            (&tree, "ab", false),
            (&kids, "a/b", true),
            (&kids, "a/b/c", false),
            (&kids, "a/", true),
            (&kids, "a", false),
            (&tree, "a.rclonelink", true),
            (&file, "a/b.rclonelink", true),
            (&file, "a/b/", true),
            (&file, "a/b", true),
            (&file, "a/bc", false),
            (&Scope::everything(), "x//y", true),
        ] {
            assert_eq!(scope.holds(&Key::raw(key)), want, "{scope:?} {key}");
        }
    }
}
