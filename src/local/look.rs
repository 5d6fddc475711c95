//! The look: entries by name, and the proof of those that are not there.
//!
//! First every path is asked with a stat. Each that seems absent then gives a *question* to the nearest
//! directory that is still there: does it lack this entry? All questions to one directory are
//! answered together: it is opened, enumerated whole, and each entry is asked with a stat again, all by
//! the same descriptor. Only if all agree is there a proof; else it cannot be told.

use super::{
    descend::{Descent, Stop, descend},
    entries::{self, Kind, enumerate},
    root::Opened,
    stat::{LIST, Stat, beneath},
    walk::c_name,
    warnings::Why,
};
use crate::model::{Absence, Local, RelPath};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::FileType,
    io::Errno,
};
use std::collections::{BTreeMap, HashMap};

/// What must hold of an entry for the absence to be proven.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// There is no such entry.
    Nothing,
    /// It is a directory, so no file.
    Directory,
    /// It is a file, so no directory.
    File,
}

/// A question to a directory: the entry, the claim, and which answers hang on it.
type Question = (RelPath, Claim, usize);

/// The entries at `paths`, in their order.
pub(super) fn look(root: &Opened, paths: &[RelPath]) -> Vec<Local> {
    let mut found = vec![Local::Unknown; paths.len()];
    let mut by_parent: BTreeMap<RelPath, Vec<usize>> = BTreeMap::new();
    for (at, path) in paths.iter().enumerate() {
        // The root is no entry of the mirror: it stays unknown.
        if let Some(parent) = path.parent() {
            by_parent.entry(parent).or_default().push(at);
        }
    }
    let mut questions: BTreeMap<RelPath, Vec<Question>> = BTreeMap::new();
    for (parent, members) in by_parent {
        match descend(root, &parent) {
            Descent::Arrived(fd) => {
                for at in members {
                    match ask(root, &fd, &paths[at]) {
                        Ok(local) => found[at] = local,
                        Err(claim) => {
                            let question = (paths[at].clone(), claim, at);
                            questions.entry(parent.clone()).or_default().push(question);
                        }
                    }
                }
            }
            Descent::Stopped { at: ancestor, next, why } => {
                if let Some(why) = why.warning() {
                    root.warnings.tell(next.as_bytes(), why);
                }
                let claim = match why {
                    Stop::Missing => Claim::Nothing,
                    Stop::File => Claim::File,
                    Stop::Skipped(skip) => {
                        members.iter().for_each(|at| found[*at] = Local::Skipped(skip));
                        continue;
                    }
                    Stop::Failed(_) => continue,
                };
                let asked = questions.entry(ancestor).or_default();
                asked.extend(members.into_iter().map(|at| (next.clone(), claim, at)));
            }
        }
    }
    for (ancestor, asked) in questions {
        answer(root, &ancestor, &asked, &mut found);
    }
    found
}

/// What a stat says of an entry, or what is to be proven.
fn ask(root: &Opened, dir: &OwnedFd, path: &RelPath) -> Result<Local, Claim> {
    match Stat::at(dir.as_fd(), &c_name(path.name())) {
        Ok(stat) => stat.local(root.place.mount).ok_or(Claim::Directory),
        Err(Errno::NOENT) => Err(Claim::Nothing),
        Err(errno) => {
            root.warnings.unread(path.as_bytes(), errno);
            Ok(Local::Unknown)
        }
    }
}

fn answer(root: &Opened, ancestor: &RelPath, asked: &[Question], found: &mut [Local]) {
    let Descent::Arrived(passage) = descend(root, ancestor) else { return };
    let unread = |errno| root.warnings.tell(ancestor.as_bytes(), Why::Unread(errno));
    let dir = match beneath(passage.as_fd(), c".", LIST) {
        Ok(dir) => dir,
        Err(errno) => return unread(errno),
    };
    let mut listed: HashMap<&[u8], Option<Kind>> =
        asked.iter().map(|(path, ..)| (path.name(), None)).collect();
    let whole = enumerate(dir.as_fd(), &mut entries::buffer(), |name, kind| {
        if let Some(seen) = listed.get_mut(name.to_bytes()) {
            *seen = Some(kind);
        }
        Ok::<(), Errno>(())
    });
    match whole {
        // Gone meanwhile: to be looked at again.
        Err(Errno::NOENT) => return,
        Err(errno) => return unread(errno),
        Ok(()) => {}
    }
    let mut proven: HashMap<(&[u8], bool), bool> = HashMap::new();
    for (path, claim, at) in asked {
        let name = path.name();
        let holds = *proven.entry((name, *claim == Claim::Directory)).or_insert_with(|| {
            let seen = listed.get(name).copied().flatten();
            let stat = Stat::at(dir.as_fd(), &c_name(name));
            holds(*claim, seen, stat.map(|stat| (stat.kind(), stat.is_mount(root.place.mount))))
        });
        if holds {
            let directory = *claim == Claim::Directory;
            found[*at] = Local::Absent(Absence { ancestor: ancestor.clone(), directory });
        }
    }
}

/// True if listing and stat agree with the claim.
fn holds(claim: Claim, listed: Option<Kind>, stat: Result<(FileType, bool), Errno>) -> bool {
    matches!(
        (claim, listed, stat),
        (Claim::Nothing, None, Err(Errno::NOENT))
            | (Claim::Directory, Some(Kind::Directory), Ok((FileType::Directory, false)))
            | (Claim::File, Some(Kind::File), Ok((FileType::RegularFile, false)))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{local::root::Root, model::Skip};
    use std::os::unix::fs::symlink;

    fn p(s: &str) -> RelPath {
        RelPath::new(s.as_bytes()).expect("valid path")
    }

    #[test]
    fn listing_and_stat_must_agree() {
        let (dir, file) = (Ok((FileType::Directory, false)), Ok((FileType::RegularFile, false)));
        for (claim, listed, stat, want) in [
            (Claim::Nothing, None, Err(Errno::NOENT), true),
            (Claim::Nothing, Some(Kind::File), Err(Errno::NOENT), false),
            (Claim::Nothing, None, file, false),
            (Claim::Nothing, None, Err(Errno::IO), false),
            (Claim::Nothing, None, Err(Errno::ACCESS), false),
            (Claim::Directory, Some(Kind::Directory), dir, true),
            (Claim::Directory, Some(Kind::File), dir, false),
            (Claim::Directory, None, dir, false),
            (Claim::Directory, Some(Kind::Directory), Err(Errno::NOENT), false),
            (Claim::Directory, Some(Kind::Directory), Ok((FileType::Directory, true)), false),
            (Claim::File, Some(Kind::File), file, true),
            (Claim::File, Some(Kind::Directory), file, false),
            (Claim::File, None, Err(Errno::NOENT), false),
        ] {
            assert_eq!(holds(claim, listed, stat), want, "{listed:?} {stat:?}");
        }
    }

    #[test]
    fn each_kind_of_answer() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("d/sub")).expect("mkdir");
        std::fs::write(at("d/file"), "x").expect("write");
        symlink("file", at("d/link")).expect("link");
        symlink("d", at("elsewhere")).expect("link");
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, 0o600.into(), 0).expect("mkfifo");
        let root = Root::new(dir.path()).open().expect("root");
        let absent = |ancestor: &str, directory| Local::Absent(Absence { ancestor: p(ancestor), directory });
        let cases = [
            ("d/none", absent("d", false)),
            ("d/link", Local::Skipped(Skip::Link)),
            ("d/link/x", Local::Skipped(Skip::Link)),
            ("elsewhere/file", Local::Skipped(Skip::Link)),
            ("fifo", Local::Skipped(Skip::Special)),
            ("fifo/x", Local::Skipped(Skip::Special)),
            ("d/sub", absent("d", true)),
            ("d/file/x", absent("d", false)),
            ("d/file/x/y", absent("d", false)),
            ("gone/a/b", absent("", false)),
            ("gone/c", absent("", false)),
            ("d", absent("", true)),
            ("", Local::Unknown),
        ];
        let paths: Vec<_> = cases.iter().map(|(path, _)| p(path)).collect();
        for ((path, want), found) in cases.iter().zip(look(&root, &paths)) {
            assert_eq!(found, *want, "{path}");
        }
        let found = look(&root, &[p("d/file")]);
        assert!(matches!(&found[..], [Local::Present(meta)] if meta.print.size == 1), "{found:?}");
    }
}
