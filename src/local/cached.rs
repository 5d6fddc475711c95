//! Opens a file there and then if the kernel has all of it at hand, as it has of what was just written or looked at.
//! Nothing here waits for a disk, so it needs no thread of its own, which costs more than all the rest of opening a
//! small file. Whatever is the matter, the answer is "no", and a thread finds out.

use super::{
    read::{File, SMALL},
    root::Root,
    stat::{Stat, at_hand},
    walk::c_name,
};
use crate::model::RelPath;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{FileType, OFlags},
    io::{self, Errno, ReadWriteFlags},
};
use std::io::IoSliceMut;

/// The regular file at `path` beneath the bound root, with its bytes if it is small.
pub(super) fn open(root: &Root, path: &RelPath) -> Option<File> {
    let (root, place) = root.at_hand()?;
    let name = c_name(path.as_bytes());
    let size = |fd: &OwnedFd| {
        let stat = Stat::of(fd.as_fd()).ok()?;
        let regular = stat.kind() == FileType::RegularFile && !stat.is_mount(place.mount);
        regular.then(|| stat.meta().print.size)
    };
    // what is no regular file is never opened: a device may act on it
    size(&at_hand(root.as_fd(), &name, OFlags::PATH | OFlags::NOFOLLOW).ok()?)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match at_hand(root.as_fd(), &name, flags | OFlags::NOATIME) {
        // only the owner may read without a trace
        Err(Errno::PERM) => at_hand(root.as_fd(), &name, flags),
        other => other,
    };
    let fd = fd.ok()?;
    let size = size(&fd)?;
    let whole = match size {
        ..=SMALL => Some(read(&fd, usize::try_from(size).ok()?)?.into()),
        _ => None,
    };
    Some(File::new(fd, size, path.clone(), whole))
}

/// All of the file, if it is in memory.
fn read(fd: &OwnedFd, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    // what is not in memory makes it short, or an error (preadv2(2), RWF_NOWAIT)
    let read = io::preadv2(fd, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT).ok()?;
    (read == size).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Source;
    use rustix::fs::{Advice, CWD, fadvise, mknodat};
    use std::{fs, os::unix::fs::symlink};

    fn p(s: &str) -> RelPath {
        RelPath::new(s.as_bytes()).expect("valid path")
    }

    #[tokio::test]
    async fn what_is_at_hand_is_opened_and_read_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        fs::create_dir(at("d")).expect("mkdir");
        for (name, size) in [("d/f", 9), ("empty", 0), ("large", SMALL + 1)] {
            fs::write(at(name), vec![b'x'; size as usize]).expect("write");
        }
        symlink("d/f", at("link")).expect("link");
        symlink("d", at("dirlink")).expect("link");
        mknodat(CWD, at("fifo"), FileType::Fifo, 0o600.into(), 0).expect("mkfifo");
        let root = Root::new(dir.path());
        assert!(open(&root, &p("d/f")).is_none(), "the root is not known yet");
        root.bind(&root.identify().expect("root").id);
        for (name, size) in [("d/f", 9), ("empty", 0), ("large", SMALL + 1)] {
            let file = open(&root, &p(name)).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(file.stat().await.expect("stat").print.size, size);
            assert_eq!(file.read_at(0, 1 << 20).await.expect("read").len() as u64, size);
        }
        for name in ["link", "dirlink/f", "fifo", "d", "", "none", "d/f/x"] {
            assert!(open(&root, &p(name)).is_none(), "{name}");
        }
        let moved = dir.path().with_extension("moved");
        fs::rename(dir.path(), &moved).expect("rename");
        fs::create_dir_all(at("d")).expect("mkdir");
        fs::write(at("d/f"), "another").expect("write");
        assert!(open(&root, &p("d/f")).is_none(), "another root is there now");
        fs::remove_dir_all(moved).expect("remove");
    }

    #[test]
    fn what_would_have_to_be_read_from_the_disk_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("f");
        fs::write(&path, vec![b'x'; 9_000]).expect("write");
        let root = Root::new(dir.path());
        root.bind(&root.identify().expect("root").id);
        let file = fs::File::open(&path).expect("open");
        if rustix::fs::fstatfs(&file).expect("statfs").f_type == 0x0102_1994 {
            assert!(std::env::var_os("S3MIRRORD_REQUIRE_ALL").is_none(), "this needs a disk below TMPDIR");
            eprintln!("skipped: what lies in tmpfs is always at hand");
            return;
        }
        // the kernel drops nothing that somebody holds just now
        let begun = std::time::Instant::now();
        let left = loop {
            file.sync_all().expect("sync");
            fadvise(&file, 0, None, Advice::DontNeed).expect("fadvise");
            // asked once: the kernel may begin to read what was asked for and is not there
            if open(&root, &p("f")).is_none() {
                break true;
            }
            if begun.elapsed().as_secs() > 20 {
                break false;
            }
        };
        assert!(left);
        fs::read(&path).expect("read");
        assert!(open(&root, &p("f")).is_some());
    }
}
