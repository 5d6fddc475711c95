//! A name below the root, as the kernel spells it.

use super::LINK;
use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

/// The raw bytes of a path below the root: components joined by `/`, none of them empty, `.` or
/// `..`, no NUL. The root itself is the empty path. Not necessarily UTF-8. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Arc<[u8]>);

/// Why bytes are not a [`RelPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// `a//b`, `/a` or `a/`.
    #[error("it has an empty component")]
    Empty,
    /// `.` or `..` as a component.
    #[error("it has a `.` or `..` component")]
    Dots,
    /// A NUL byte.
    #[error("it holds a NUL byte")]
    Nul,
}

impl RelPath {
    /// The root itself.
    pub fn root() -> Self {
        Self(Arc::from([]))
    }

    /// Checks and takes `bytes`; the empty slice is the root.
    ///
    /// # Errors
    /// See [`BadPath`].
    pub fn new(bytes: &[u8]) -> Result<Self, BadPath> {
        if bytes.is_empty() {
            return Ok(Self::root());
        }
        for part in bytes.split(|b| *b == b'/') {
            check(part)?;
        }
        Ok(Self(Arc::from(bytes)))
    }

    /// `self/name`; `name` is one component.
    ///
    /// # Errors
    /// [`BadPath::Empty`] also when `name` holds a `/`.
    pub fn join(&self, name: &[u8]) -> Result<Self, BadPath> {
        check(name)?;
        if name.contains(&b'/') {
            return Err(BadPath::Empty);
        }
        if self.is_root() {
            return Ok(Self(Arc::from(name)));
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        Ok(Self(bytes.into()))
    }

    /// True for the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path relative to the root, as std wants it.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The containing directory; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => Self(Arc::from(&self.0[..at])),
            None => Self::root(),
        })
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => &self.0[at + 1..],
            None => &self.0,
        }
    }

    /// The name of the object of a symbolic link of this name.
    pub fn link_name(&self) -> Self {
        Self([self.as_bytes(), LINK.as_bytes()].concat().into())
    }

    /// The symbolic link whose object has this name.
    pub fn linked(&self) -> Option<Self> {
        let name = self.0.strip_suffix(LINK.as_bytes())?;
        Self::new(name).ok().filter(|link| !link.is_root())
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|part| !part.is_empty())
    }

    /// True if `self` is `dir` or lies below it.
    pub fn is_within(&self, dir: &Self) -> bool {
        dir.is_root()
            || self.0.strip_prefix(&*dir.0).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
    }
}

fn check(part: &[u8]) -> Result<(), BadPath> {
    match part {
        b"" => Err(BadPath::Empty),
        b"." | b".." => Err(BadPath::Dots),
        _ if part.contains(&0) => Err(BadPath::Nul),
        _ => Ok(()),
    }
}

/// Lossy, with control characters escaped: safe to print on a terminal and in a log line.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in String::from_utf8_lossy(&self.0).chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_components_pass() {
        for (bytes, want) in [
            (&b"a/b"[..], Ok(())),
            (b"", Ok(())),
            (b" ./a.", Ok(())),
            (b"\xff\n", Ok(())),
            (b"a//b", Err(BadPath::Empty)),
            (b"/a", Err(BadPath::Empty)),
            (b"a/", Err(BadPath::Empty)),
            (b"a/../b", Err(BadPath::Dots)),
            (b".", Err(BadPath::Dots)),
            (b"a\0", Err(BadPath::Nul)),
        ] {
            assert_eq!(RelPath::new(bytes).map(|_| ()), want, "{bytes:?}");
        }
    }

    #[test]
    fn parents_names_and_containment() {
        let p = RelPath::new(b"a/b").expect("valid");
        let a = RelPath::new(b"a").expect("valid");
        assert_eq!(p.parent(), Some(a.clone()));
        assert_eq!(a.parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert_eq!((p.name(), RelPath::root().name()), (&b"b"[..], &b""[..]));
        assert_eq!(a.join(b"b").expect("valid"), p);
        assert!(a.join(b"b/c").is_err());
        assert!(p.is_within(&a) && p.is_within(&RelPath::root()) && a.is_within(&a));
        assert!(!RelPath::new(b"ab").expect("valid").is_within(&a));
        let odd = RelPath::new(b"x\n\x1b").expect("valid");
        assert_eq!((odd.to_string(), format!("{odd:?}")), ("x\\n\\u{1b}".into(), "\"x\\n\\u{1b}\"".into()));
    }
}
