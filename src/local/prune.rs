//! What the operator left out of the mirror, as far as the disk needs to know.

use super::kinds::Kinds;
use crate::model::{Key, Kind, Local, Record, RelPath};
use std::sync::Arc;

/// True for an entry that is named itself, by its path below the root; is it a directory?
type Rule = dyn Fn(&[u8], bool) -> bool + Send + Sync;

/// What is not to be mirrored. Acts before stat, and a directory it names is not entered: with it goes all
/// that is below it. By default it leaves nothing out. Cheap to clone.
#[derive(Clone, Default)]
pub struct Prune {
    rule: Option<Arc<Rule>>,
    /// No link has an object,
    links: bool,
    /// and no directory a marker.
    markers: bool,
}

impl Prune {
    /// By a rule that tells of one entry whether it is named itself: its path below the root, and
    /// whether it is a directory. The directories above it are asked for by themselves.
    pub fn new(names: impl Fn(&[u8], bool) -> bool + Send + Sync + 'static) -> Self {
        Self { rule: Some(Arc::new(names)), ..Self::default() }
    }

    /// The same for a mirror of these kinds: objects of the others are left out, whatever became of what they were made of.
    #[must_use]
    pub fn of_kinds(self, kinds: Kinds) -> Self {
        Self { links: !kinds.links, markers: !kinds.directories, ..self }
    }

    /// True if `path` is left out: named itself, or below a directory that is. The root never is.
    pub fn excludes(&self, path: &RelPath, is_dir: bool) -> bool {
        let bytes = path.as_bytes();
        let mut above =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &bytes[..at]);
        self.rule.is_some() && (above.any(|dir| self.names(dir, true)) || self.names(bytes, is_dir))
    }

    /// True if what has this key is left out.
    pub fn excludes_key(&self, key: &Key, local: &Local) -> bool {
        self.excludes_known(key, local, None)
    }

    /// The same, by what the ledger knows of it, too: whether what is not there was a link, which is named by its own name, or a
    /// file. Where that is not known either is enough: nothing is deleted that was left out.
    pub fn excludes_known(&self, key: &Key, local: &Local, record: Option<&Record>) -> bool {
        if let Some(directory) = key.marked() {
            return self.markers || self.excludes(&directory, true);
        }
        let excluded = |path: Option<RelPath>| path.is_some_and(|path| self.excludes(&path, false));
        let kind = match local {
            Local::Present(meta) => Some(meta.attributes.kind()),
            _ => record.and_then(Record::kind),
        };
        match kind {
            Some(Kind::Link) => self.links || excluded(key.link()),
            Some(_) => excluded(key.path()),
            None => excluded(key.path()) || excluded(key.link()) || self.links && key.link().is_some(),
        }
    }

    /// True if the entry is named itself. For those who have come down to it, and asked on the way.
    pub(super) fn names(&self, path: &[u8], is_dir: bool) -> bool {
        self.rule.as_ref().is_some_and(|rule| !path.is_empty() && rule(path, is_dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Fingerprint, LocalMeta, Stamp};

    #[test]
    fn a_link_is_left_out_by_its_name_and_a_directory_as_one() {
        let prune = Prune::new(|path, is_dir| path.ends_with(b".tmp") && !is_dir || path == b"d" && is_dir);
        let print = Fingerprint { size: 1, mtime: Stamp::default(), ctime: Stamp::default(), inode: 7 };
        let is = |mode| Local::Present(LocalMeta { print, attributes: Attributes { mode, uid: 0, gid: 0 } });
        let (file, link) = (is(0o100_644), is(0o120_777));
        for (key, local, want) in [
            ("x.tmp", &file, true),
            ("x.tmp.rclonelink", &file, false),
            ("x.tmp.rclonelink", &link, true),
            ("x.tmp.rclonelink", &Local::Unknown, true),
            ("x.rclonelink", &Local::Unknown, false),
            ("d/", &Local::Unknown, true),
            ("d", &Local::Unknown, false),
            ("x.tmp/", &Local::Unknown, false),
            ("d//", &Local::Unknown, false),
        ] {
            assert_eq!(prune.excludes_key(&Key::raw(key), local), want, "{key} {local:?}");
        }
    }

    #[test]
    fn objects_of_kinds_that_are_not_mirrored_are_left_out() {
        let of = |links, directories| {
            let prune = Prune::default().of_kinds(Kinds { links, directories, ..Kinds::default() });
            move |key: &str, mode| {
                let record = Some(row(mode)).filter(|_| mode != 0);
                prune.excludes_known(&Key::raw(key), &Local::Unknown, record.as_ref())
            }
        };
        for (key, mode, links, directories) in [
            ("l.rclonelink", 0o120_777, true, false),
            ("l.rclonelink", 0, true, false),
            ("l.rclonelink", 0o100_644, false, false),
            ("d/", 0o040_755, false, true),
            ("d/", 0, false, true),
            ("f", 0o100_644, false, false),
        ] {
            let left_out =
                [of(false, true)(key, mode), of(true, false)(key, mode), of(true, true)(key, mode)];
            assert_eq!(left_out, [links, directories, false], "{key} {mode:o}");
        }
    }

    fn row(mode: u32) -> Record {
        Record { attributes: Some(Attributes { mode, uid: 0, gid: 0 }), ..Record::bare(1, "e") }
    }

    #[test]
    fn of_what_is_gone_the_ledger_says_whether_it_was_a_link() {
        let prune = Prune::new(|path, _| path.ends_with(b".rclonelink") || path == b"x");
        let (link, file, untold) = (row(0o120_777), row(0o100_644), row(0));
        for (key, record, want) in [
            ("l.rclonelink", Some(&link), false),
            ("l.rclonelink", Some(&file), true),
            ("l.rclonelink", Some(&untold), true),
            ("l.rclonelink", None, true),
            ("x.rclonelink", Some(&link), true),
        ] {
            let is = prune.excludes_known(&Key::raw(key), &Local::Unknown, record);
            assert_eq!(is, want, "{key} {record:?}");
        }
    }

    #[test]
    fn what_is_below_an_excluded_directory_is_excluded_with_it() {
        let prune = Prune::new(|path, is_dir| path.ends_with(b"d") && is_dir || path == b"a/f");
        for (path, is_dir, want) in [
            ("", true, false),
            ("d", true, true),
            ("d", false, false),
            ("d/x/y", false, true),
            ("a/d/x", false, true),
            ("a/d", false, false),
            ("a/f", false, true),
            ("a/f2", false, false),
        ] {
            let path = RelPath::new(path.as_bytes()).expect("valid path");
            assert_eq!(prune.excludes(&path, is_dir), want, "{path} {is_dir}");
            assert!(!Prune::default().excludes(&path, is_dir));
        }
    }
}
