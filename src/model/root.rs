//! The identity of the mirrored directory.

/// What tells one directory from another of the same name. Device number and mount id are not part of
/// it: they change across boots and mount namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootId {
    /// Inode of the root.
    pub inode: u64,
    /// The file system's UUID, else its stable `f_fsid`; `None` if it has neither.
    pub filesystem: Option<String>,
}

/// How the root found compares with the one that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// Proven the same.
    Same,
    /// Proven to be another: nothing is replaced, copied or deleted.
    Changed,
    /// Neither can be proven: deletes are held.
    Unprovable,
}

impl RootId {
    /// Compares the root found, `self`, with the one accepted.
    pub fn compare(&self, accepted: &Self) -> Sameness {
        match (&self.filesystem, &accepted.filesystem) {
            _ if self.inode != accepted.inode => Sameness::Changed,
            (Some(a), Some(b)) if a == b => Sameness::Same,
            (Some(_), Some(_)) => Sameness::Changed,
            _ => Sameness::Unprovable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_the_same_only_when_both_witnesses_agree() {
        let id = |inode, fs: Option<&str>| RootId { inode, filesystem: fs.map(str::to_owned) };
        for (found, accepted, want) in [
            (id(2, Some("a")), id(2, Some("a")), Sameness::Same),
            (id(2, Some("a")), id(2, Some("b")), Sameness::Changed),
            (id(3, Some("a")), id(2, Some("a")), Sameness::Changed),
            (id(2, None), id(2, Some("a")), Sameness::Unprovable),
            (id(2, None), id(2, None), Sameness::Unprovable),
            (id(3, None), id(2, None), Sameness::Changed),
        ] {
            assert_eq!(found.compare(&accepted), want, "{found:?} against {accepted:?}");
        }
    }
}
