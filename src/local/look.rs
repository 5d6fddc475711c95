//! The look: entries by name, and the proof of those that are not there.
//!
//! First every entry is asked with a stat; what may be a link's by its name is asked for as a file first. Each that seems absent then gives a *question* to the nearest
//! directory that is still there: does it lack this entry? All questions to one directory are
//! answered together: it is opened, enumerated whole, and each entry is asked with a stat again, all by
//! the same descriptor. Only if all agree is there a proof; else it cannot be told.

use super::{
    descend::{Descent, Stop, descend},
    entries::{self, enumerate, kind_of},
    root::Opened,
    stat::{LIST, Stat, beneath},
    walk::c_name,
    warnings::Why,
};
use crate::model::{Absence, Instead, Key, Kind, Local, RelPath, Skip};
use rustix::{
    fd::{AsFd, OwnedFd},
    io::Errno,
};
use std::collections::{BTreeMap, HashMap};

/// What must hold of an entry for the absence to be proven.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Claim {
    /// There is no such entry.
    Nothing,
    /// It is of another kind.
    Is(Kind),
}

/// A question to a directory: the entry, the claim, and which answers hang on it.
type Question = (RelPath, Claim, usize);

/// The entries that have these keys, in their order.
pub(super) fn look(root: &Opened, keys: &[Key]) -> Vec<Local> {
    let mut found = vec![Local::Unknown; keys.len()];
    let mut by_parent: BTreeMap<RelPath, Vec<(usize, RelPath)>> = BTreeMap::new();
    for (at, key) in keys.iter().enumerate() {
        // The root is no entry of the mirror: it stays unknown, as what no file can be called.
        if let Some(place) = key.place()
            && let Some(parent) = place.parent()
        {
            by_parent.entry(parent).or_default().push((at, place));
        }
    }
    let mut questions: BTreeMap<RelPath, Vec<Question>> = BTreeMap::new();
    for (parent, members) in by_parent {
        match descend(root, &parent) {
            Descent::Arrived(fd) => {
                for (at, place) in members {
                    match ask(root, &fd, &keys[at], place) {
                        Ok(local) => found[at] = local,
                        Err(claims) => {
                            let asked = questions.entry(parent.clone()).or_default();
                            asked.extend(claims.into_iter().map(|(path, claim)| (path, claim, at)));
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
                    Stop::File => Claim::Is(Kind::File),
                    // what it leads to is not in the mirror, the link is
                    Stop::Skipped(Skip::Link) if root.kinds.links => Claim::Is(Kind::Link),
                    Stop::Skipped(Skip::Special) if root.kinds.nodes => Claim::Is(Kind::Special),
                    Stop::Skipped(skip) => {
                        members.iter().for_each(|(at, _)| found[*at] = Local::Skipped(skip));
                        continue;
                    }
                    Stop::Failed(_) => continue,
                };
                let asked = questions.entry(ancestor).or_default();
                asked.extend(members.into_iter().map(|(at, _)| (next.clone(), claim, at)));
            }
        }
    }
    for (ancestor, asked) in questions {
        answer(root, &ancestor, &asked, &mut found);
    }
    found
}

/// What a stat says of an entry, or what is to be proven.
fn ask(root: &Opened, dir: &OwnedFd, key: &Key, place: RelPath) -> Result<Local, Vec<(RelPath, Claim)>> {
    let stat = |path: &RelPath| Stat::at(dir.as_fd(), &c_name(path.name()));
    let unread = |path: &RelPath, errno| {
        root.warnings.unread(path.as_bytes(), errno);
        Ok(Local::Unknown)
    };
    if key.is_directory_marker() {
        return match stat(&place) {
            Ok(stat) if stat.is_mount(root.place.mount) => Ok(Local::Skipped(Skip::Mount)),
            Ok(stat) => match kind_of(stat.kind()) {
                Kind::Directory if root.kinds.directories => Ok(Local::Present(stat.meta())),
                Kind::Directory => Ok(Local::Skipped(Skip::Excluded)),
                Kind::File => Err(vec![(place, Claim::Is(Kind::File))]),
                Kind::Link if root.kinds.links => Err(vec![(place, Claim::Is(Kind::Link))]),
                Kind::Link => Ok(Local::Skipped(Skip::Link)),
                Kind::Special if root.kinds.nodes => Err(vec![(place, Claim::Is(Kind::Special))]),
                Kind::Special => Ok(Local::Skipped(Skip::Special)),
            },
            Err(Errno::NOENT) => Err(vec![(place, Claim::Nothing)]),
            Err(errno) => unread(&place, errno),
        };
    }
    let claim = match stat(&place) {
        Ok(stat) => match stat.local(root) {
            Ok(local) => return Ok(local),
            Err(Instead::Directory) => Claim::Is(Kind::Directory),
            Err(Instead::Link) => Claim::Is(Kind::Link),
        },
        Err(Errno::NOENT) => Claim::Nothing,
        Err(errno) => return unread(&place, errno),
    };
    let Some(link) = key.link() else { return Err(vec![(place, claim)]) };
    let other = match stat(&link) {
        Ok(stat) if stat.is_mount(root.place.mount) => return Ok(Local::Skipped(Skip::Mount)),
        Ok(stat) => match kind_of(stat.kind()) {
            Kind::Link if root.kinds.links => return Ok(Local::Present(stat.meta())),
            Kind::Link => return Ok(Local::Skipped(Skip::Link)),
            kind => Claim::Is(kind),
        },
        Err(Errno::NOENT) => Claim::Nothing,
        Err(errno) => return unread(&link, errno),
    };
    Err(vec![(place, claim), (link, other)])
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
    let mut proven: HashMap<(&[u8], Claim), bool> = HashMap::new();
    let mut absent: HashMap<usize, Option<Absence>> = HashMap::new();
    for (path, claim, at) in asked {
        let name = path.name();
        let holds = *proven.entry((name, *claim)).or_insert_with(|| {
            let seen = listed.get(name).copied().flatten();
            let stat = Stat::at(dir.as_fd(), &c_name(name));
            holds(*claim, seen, stat.map(|stat| (kind_of(stat.kind()), stat.is_mount(root.place.mount))))
        });
        let instead = match claim {
            Claim::Is(Kind::Directory) => Some(Instead::Directory),
            Claim::Is(Kind::Link) => Some(Instead::Link),
            Claim::Is(_) | Claim::Nothing => None,
        };
        // the first of them is of the name itself
        let proof = absent.entry(*at).or_insert(Some(Absence { ancestor: ancestor.clone(), instead }));
        if !holds {
            *proof = None;
        }
    }
    for (at, proof) in absent {
        found[at] = proof.map_or(Local::Unknown, Local::Absent);
    }
}

/// True if listing and stat agree with the claim.
fn holds(claim: Claim, listed: Option<Kind>, stat: Result<(Kind, bool), Errno>) -> bool {
    match (claim, listed, stat) {
        (Claim::Nothing, None, Err(Errno::NOENT)) => true,
        (Claim::Is(kind), Some(listed), Ok((now, false))) => kind == listed && kind == now,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{Kinds, root::Root};
    use std::os::unix::fs::symlink;

    fn p(s: &str) -> RelPath {
        RelPath::new(s.as_bytes()).expect("valid path")
    }

    #[test]
    fn listing_and_stat_must_agree() {
        let (dir, file) = (Ok((Kind::Directory, false)), Ok((Kind::File, false)));
        for (claim, listed, stat, want) in [
            (Claim::Nothing, None, Err(Errno::NOENT), true),
            (Claim::Nothing, Some(Kind::File), Err(Errno::NOENT), false),
            (Claim::Nothing, None, file, false),
            (Claim::Nothing, None, Err(Errno::IO), false),
            (Claim::Nothing, None, Err(Errno::ACCESS), false),
            (Claim::Is(Kind::Directory), Some(Kind::Directory), dir, true),
            (Claim::Is(Kind::Directory), Some(Kind::File), dir, false),
            (Claim::Is(Kind::Directory), None, dir, false),
            (Claim::Is(Kind::Directory), Some(Kind::Directory), Err(Errno::NOENT), false),
            (Claim::Is(Kind::Directory), Some(Kind::Directory), Ok((Kind::Directory, true)), false),
            (Claim::Is(Kind::File), Some(Kind::File), file, true),
            (Claim::Is(Kind::File), Some(Kind::Directory), file, false),
            (Claim::Is(Kind::File), None, Err(Errno::NOENT), false),
        ] {
            assert_eq!(holds(claim, listed, stat), want, "{listed:?} {stat:?}");
        }
    }

    #[test]
    fn links_and_directories_have_keys_of_their_own_where_they_are_mirrored() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("d/sub")).expect("mkdir");
        std::fs::write(at("d/file"), "x").expect("write");
        std::fs::write(at("d/both.rclonelink"), "a file").expect("write");
        for (to, name) in [("file", "d/link"), ("d", "elsewhere"), ("x", "d/both")] {
            symlink(to, at(name)).expect("link");
        }
        let kinds = Kinds { links: true, directories: true, ..Kinds::default() };
        let all = Root::new(dir.path()).with(kinds).open().expect("root");
        let plain = Root::new(dir.path()).open().expect("root");
        let absent = |ancestor: &str, instead| Local::Absent(Absence { ancestor: p(ancestor), instead });
        let (link, excluded) = (Local::Skipped(Skip::Link), Local::Skipped(Skip::Excluded));
        // what there is, with all kinds; where they are not mirrored
        for (key, want, otherwise) in [
            ("d/link", absent("d", Some(Instead::Link)), link.clone()),
            ("d/link/x", absent("d", Some(Instead::Link)), link.clone()),
            ("elsewhere/file", absent("", Some(Instead::Link)), link.clone()),
            ("elsewhere/", absent("", Some(Instead::Link)), link.clone()),
            ("d/file.rclonelink", absent("d", None), absent("d", None)),
            ("d/none.rclonelink", absent("d", None), absent("d", None)),
            ("gone/none.rclonelink", absent("", None), absent("", None)),
            ("d/sub.rclonelink", absent("d", None), absent("d", None)),
            ("d/sub", absent("d", Some(Instead::Directory)), absent("d", Some(Instead::Directory))),
            ("d/file/", absent("d", None), absent("d", None)),
            ("d/none/", absent("d", None), absent("d", None)),
        ] {
            assert_eq!(look(&all, &[Key::raw(key)]), [want], "{key}");
            assert_eq!(look(&plain, &[Key::raw(key)]), [otherwise], "{key}");
        }
        let there = |root: &Opened, key: &str| match &look(root, &[Key::raw(key)])[..] {
            [Local::Present(meta)] => Ok((meta.attributes.kind(), meta.print.size)),
            other => Err(other.first().cloned()),
        };
        assert_eq!(there(&all, "d/link.rclonelink"), Ok((Kind::Link, 4)));
        assert_eq!(there(&plain, "d/link.rclonelink"), Err(Some(link)));
        assert_eq!(there(&all, "d/sub/"), Ok((Kind::Directory, 0)));
        assert_eq!(there(&plain, "d/sub/"), Err(Some(excluded)));
        for root in [&all, &plain] {
            assert_eq!(
                there(root, "d/both.rclonelink"),
                Ok((Kind::File, 6)),
                "the file goes before the link"
            );
        }
    }

    #[test]
    fn where_fifos_are_mirrored_nothing_else_has_their_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("mkfifo");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("socket");
        let kinds = Kinds { nodes: true, links: true, directories: true, ..Kinds::default() };
        let root = Root::new(dir.path()).with(kinds).open().expect("root");
        let absent = Local::Absent(Absence { ancestor: p(""), instead: None });
        for key in ["fifo/x", "fifo/", "fifo.rclonelink", "socket/x", "socket/"] {
            assert_eq!(look(&root, &[Key::raw(key)]), std::slice::from_ref(&absent), "{key}");
        }
        assert_eq!(look(&root, &[Key::raw("socket")]), [Local::Skipped(Skip::Special)]);
        let found = look(&root, &[Key::raw("fifo")]);
        let is = |meta: &crate::model::LocalMeta| (meta.attributes.kind(), meta.print.size);
        assert!(matches!(&found[..], [Local::Present(meta)] if is(meta) == (Kind::Special, 0)), "{found:?}");
    }

    #[test]
    fn each_kind_of_answer() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("d/sub")).expect("mkdir");
        std::fs::write(at("d/file"), "x").expect("write");
        symlink("file", at("d/link")).expect("link");
        symlink("d", at("elsewhere")).expect("link");
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("mkfifo");
        let root = Root::new(dir.path()).open().expect("root");
        let absent = |ancestor: &str, directory: bool| {
            let instead = directory.then_some(Instead::Directory);
            Local::Absent(Absence { ancestor: p(ancestor), instead })
        };
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
        let keys: Vec<_> = cases.iter().map(|(path, _)| Key::of(&p(path))).collect();
        for ((path, want), found) in cases.iter().zip(look(&root, &keys)) {
            assert_eq!(found, *want, "{path}");
        }
        let found = look(&root, &[Key::raw("d/file")]);
        assert!(matches!(&found[..], [Local::Present(meta)] if meta.print.size == 1), "{found:?}");
    }
}
