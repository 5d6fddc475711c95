//! A clone of a file: what it holds at one moment, in a file without a name that nobody else writes. The two share
//! their blocks until one of them is written, so it costs next to nothing, however large the file is (XFS, Btrfs).
//!
//! "Clones are atomic with respect to concurrent writes" (ioctl_ficlonerange(2)): the kernel keeps writers out, and the
//! pages of those who map the file from being written, from before it writes down what is dirty until after it has cloned.
//! It is made in the state directory, because nothing is ever written into the root; so that has to lie on the same file
//! system, and before Linux 5.18 on the same mount.
//!
//! What is written to the file while its clone is there needs new blocks. Whoever writes in place does not expect to
//! be out of space, so there have to be as many free ones as all clones have, and some more.

use super::{
    read::{File, Frozen},
    stat::Stat,
};
use crate::model::LocalMeta;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{CWD, IFlags, Mode, OFlags, fdatasync, fstat, fstatvfs},
    fs::{ioctl_ficlone, ioctl_getflags, ioctl_setflags, openat},
    io::{self, Errno},
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// How often it is tried while the file's size changes.
const TRIES: u32 = 8;

/// Makes the clones of one mirror's files.
#[derive(Debug)]
pub(super) struct Cloner {
    /// Where they are made.
    aside: Arc<Path>,
    /// Bytes that the clones have which are there.
    cloned: Arc<AtomicU64>,
    /// Why there was none: each cause is told once.
    told: Mutex<BTreeSet<i32>>,
}

/// What a clone has of the space that its file may come to need, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    bytes: u64,
    of: Arc<AtomicU64>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Relaxed);
    }
}

impl Cloner {
    pub(super) fn new(aside: Arc<Path>) -> Self {
        Self { aside, cloned: Arc::default(), told: Mutex::default() }
    }

    /// A clone of what is open, and how that was just before. Whatever is the matter, there is none.
    pub(super) fn freeze(&self, file: &File) -> Option<(File, LocalMeta)> {
        let made = match file.is_remote() {
            // what other machines write is not known to be kept out
            true => Err(Errno::OPNOTSUPP),
            false => self.attempt(file.as_fd()),
        };
        match made {
            Ok((fd, frozen)) => {
                let meta = frozen.meta;
                Some((file.frozen(fd, frozen), meta))
            }
            Err(errno) => {
                self.tell(errno);
                None
            }
        }
    }

    fn attempt(&self, file: BorrowedFd<'_>) -> io::Result<(OwnedFd, Frozen)> {
        let share = self.share(file)?;
        // the kernel does so in any case, but then those who write have to wait for it
        fdatasync(file)?;
        for _ in 0..TRIES {
            let meta = Stat::of(file)?.meta();
            let fd = self.unnamed(file)?;
            ioctl_ficlone(&fd, file)?;
            let [cloned, after] = [Stat::of(fd.as_fd())?.meta(), Stat::of(file)?.meta()];
            // XFS may say that all is well of one that it broke off
            if [cloned, after].iter().all(|now| now.print.size == meta.print.size) {
                return Ok((fd, Frozen { meta, device: None, _share: Some(share) }));
            }
        }
        Err(Errno::AGAIN)
    }

    /// An empty file that never has a name.
    fn unnamed(&self, file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = openat(CWD, &*self.aside, flags, Mode::RUSR | Mode::WUSR)?;
        // Btrfs clones files of one sort only (chattr +C), and one becomes of the other sort while it is empty
        if ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::NOCOW)) {
            ioctl_setflags(&fd, ioctl_getflags(&fd)? | IFlags::NOCOW)?;
        }
        Ok(fd)
    }

    /// Room for all that is cloned to be written anew, with this file.
    fn share(&self, file: BorrowedFd<'_>) -> io::Result<Share> {
        let bytes = u64::try_from(fstat(file)?.st_blocks).unwrap_or_default().saturating_mul(512);
        let all = self.cloned.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let share = Share { bytes, of: Arc::clone(&self.cloned) };
        let free = fstatvfs(file)?;
        match suffices(free.f_bavail.saturating_mul(free.f_frsize), all) {
            true => Ok(share),
            false => Err(Errno::NOSPC),
        }
    }

    fn tell(&self, errno: Errno) {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(errno.raw_os_error()) {
            let remedy = match errno {
                Errno::XDEV => {
                    "; `state_dir` has to be on the root's file system, before Linux 5.18 on the same mount"
                }
                Errno::NOSPC => "; as much as the file has has to be free, and a quarter more",
                Errno::AGAIN => "; it changes its size too fast",
                _ => "; XFS and Btrfs can",
            };
            let aside = self.aside.display();
            tracing::debug!(%aside, "a file that does not rest is not cloned: {errno}{remedy}");
        }
    }
}

/// True if with `free` bytes all that is cloned may be written anew, and others write, too.
fn suffices(free: u64, cloned: u64) -> bool {
    free >= cloned.saturating_add(cloned / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        local::{
            Directory, Kinds, Tree,
            tests::{skipped, told},
        },
        model::{Key, RelPath, Source},
    };
    use std::{
        fs,
        os::unix::fs::FileExt,
        path::PathBuf,
        process::Command,
        sync::atomic::AtomicBool,
        thread::{self, JoinHandle},
    };

    const NAME: &str = "f";
    const SIZE: usize = 2 << 20;

    fn path() -> RelPath {
        RelPath::new(NAME.as_bytes()).expect("valid")
    }

    fn ran(program: &str, words: &[&str], paths: &[&Path]) -> bool {
        let ran = Command::new(program).args(words).args(paths).output();
        ran.is_ok_and(|ran| ran.status.success())
    }

    /// A file system in a file, with a root and a state directory; it is unmounted when dropped.
    struct Disk(tempfile::TempDir);

    impl Disk {
        fn new(program: &str, words: &[&str]) -> Option<Self> {
            let disk = Self(tempfile::tempdir().expect("a directory"));
            let image = disk.0.path().join("image");
            fs::File::create(&image).expect("create").set_len(400 << 20).expect("truncate");
            fs::create_dir(disk.at("")).expect("mkdir");
            if !ran(program, words, &[&image]) || !ran("mount", &["-o", "loop"], &[&image, &disk.at("")]) {
                skipped(format!("no {program}, or it cannot be mounted: that takes root"));
                return None;
            }
            fs::create_dir(disk.at("root")).expect("mkdir");
            fs::create_dir(disk.at("state")).expect("mkdir");
            Some(disk)
        }

        fn xfs() -> Option<Self> {
            Self::new("mkfs.xfs", &["-q", "-m", "reflink=1"])
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join("disk").join(name)
        }

        fn file(&self) -> PathBuf {
            self.at("root").join(NAME)
        }

        fn tree(&self) -> Directory {
            Directory::new(&self.at("root"), Kinds::default()).expect("a path").aside(&self.at("state"))
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = ran("umount", &["--lazy"], &[&self.at("")]);
        }
    }

    /// Writes states to the file, each by one call, without any rest, until it is dropped.
    struct Writer(Arc<AtomicBool>, Option<JoinHandle<()>>);

    impl Writer {
        fn start(path: PathBuf, write: impl Fn(&fs::File, u64) + Send + 'static) -> Self {
            let stop = Arc::new(AtomicBool::new(false));
            let told = Arc::clone(&stop);
            let thread = thread::spawn(move || {
                let file = fs::OpenOptions::new().write(true).open(path).expect("open");
                (1..).take_while(|_| !told.load(Relaxed)).for_each(|state| write(&file, state));
            });
            Self(stop, Some(thread))
        }
    }

    impl Drop for Writer {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
            let _ = self.1.take().map(JoinHandle::join);
        }
    }

    async fn snapshot(tree: &Directory) -> Option<(File, LocalMeta)> {
        let file = tree.open(&Key::of(&path())).await.expect("open");
        tree.snapshot(&file).await
    }

    /// What a clone of the file holds.
    async fn bytes(tree: &Directory) -> Option<Vec<u8>> {
        let (file, meta) = snapshot(tree).await?;
        assert_eq!(file.stat().await, Ok(meta));
        let mut bytes = Vec::new();
        // XFS keeps writers out of one read, however long it is
        while let piece = file.read_at(bytes.len() as u64, 64 << 10).await.expect("read")
            && !piece.is_empty()
        {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes.len() as u64, meta.print.size);
        Some(bytes)
    }

    /// While somebody stamps the whole of it, in place, each time by one call.
    async fn stays_whole(disk: &Disk) {
        let tree = disk.tree();
        let _writer = Writer::start(disk.file(), |file, state| {
            file.write_all_at(&vec![state as u8; SIZE], 0).expect("write");
        });
        let mut states = BTreeSet::new();
        for _ in 0..40 {
            let bytes = bytes(&tree).await.expect("a clone");
            assert!(bytes.len() == SIZE && bytes.iter().all(|byte| *byte == bytes[0]), "two states in one");
            states.insert(bytes[0]);
        }
        assert!(states.len() > 1, "it was written meanwhile");
        assert_eq!(fs::read_dir(disk.at("state")).expect("list").count(), 0, "nothing has a name");
        assert_eq!(fs::read_dir(disk.at("root")).expect("list").count(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn c26_a_clone_is_the_file_at_one_moment_however_it_is_written() {
        let Some(disk) = Disk::xfs() else { return };
        fs::write(disk.file(), vec![0; SIZE]).expect("write");
        stays_whole(&disk).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn c26_btrfs_clones_what_is_written_in_place_there_too() {
        // not required: XFS stands for all
        if !ran("mkfs.btrfs", &["--version"], &[]) {
            return eprintln!("skipped: no mkfs.btrfs");
        }
        let Some(disk) = Disk::new("mkfs.btrfs", &["-q"]) else { return };
        fs::write(disk.file(), vec![0; SIZE]).expect("write");
        stays_whole(&disk).await;
        // as databases and images of machines are: without copy-on-write
        fs::remove_file(disk.file()).expect("remove");
        fs::write(disk.file(), "").expect("write");
        assert!(ran("chattr", &["+C"], &[&disk.file()]), "chattr");
        fs::write(disk.file(), vec![0; SIZE]).expect("write");
        stays_whole(&disk).await;
    }

    /// Its beginning counts its pages: one that was cloned in part, or past its end, would not.
    #[tokio::test(flavor = "multi_thread")]
    async fn c26_a_clone_of_what_grows_and_is_cut_is_whole_or_none() {
        let Some(disk) = Disk::xfs() else { return };
        fs::write(disk.file(), 1_u64.to_le_bytes()).expect("write");
        let tree = disk.tree();
        let _writer = Writer::start(disk.file(), |file, state| {
            // it never shrinks before its beginning says so, and never says so before it has grown
            let pages = 1 + state % 64;
            match pages {
                1 => file.set_len(8).and_then(|()| file.write_all_at(&1_u64.to_le_bytes(), 0)),
                _ => file
                    .write_all_at(&pages.to_le_bytes(), (pages - 1) * 4096)
                    .and_then(|()| file.write_all_at(&pages.to_le_bytes(), 0)),
            }
            .expect("write");
        });
        let mut clones = 0;
        for _ in 0..400 {
            let Some(bytes) = bytes(&tree).await else { continue };
            clones += 1;
            let says = u64::from_le_bytes(bytes[..8].try_into().expect("eight"));
            let pages = (bytes.len() as u64 - 8) / 4096 + 1;
            // between two calls it is one longer than it says, or was just cut
            assert!(says == pages || says + 1 == pages || pages == 1, "{says} of {pages}");
        }
        assert!(clones > 40, "{clones} clones of 400");
    }

    #[tokio::test]
    async fn a_clone_stays_as_it_was_and_has_the_holes_of_its_file_and_no_more() {
        let Some(disk) = Disk::xfs() else { return };
        let file = fs::File::create(disk.file()).expect("create");
        // more than the file system has
        file.set_len(1 << 40).expect("truncate");
        file.write_all_at(b"begin", 0).expect("write");
        file.write_all_at(b"end", (1 << 40) - 3).expect("write");
        assert!(ran("chattr", &["+i"], &[&disk.file()]), "what is immutable is cloned as well");
        let (clone, meta) = snapshot(&disk.tree()).await.expect("a clone");
        assert!(ran("chattr", &["-i"], &[&disk.file()]), "chattr");
        file.write_all_at(b"other", 0).expect("write");
        file.set_len(5).expect("truncate");
        assert_eq!(meta.print.size, 1 << 40);
        assert_eq!(&clone.read_at(0, 6).await.expect("read")[..], b"begin\0");
        assert_eq!(&clone.read_at((1 << 40) - 4, 9).await.expect("read")[..], b"\0end");
        let live = disk.tree().open(&Key::of(&path())).await.expect("open").stat().await.expect("stat");
        assert_eq!(live.print.inode, meta.print.inode, "it is told as the file");
        assert_eq!(clone.stat().await, Ok(meta));
    }

    /// Who writes in place is never out of space because of us.
    #[tokio::test]
    async fn where_there_is_too_little_room_to_write_anew_what_is_cloned_nothing_is() {
        let Some(disk) = Disk::xfs() else { return };
        fs::write(disk.file(), vec![7; SIZE]).expect("write");
        let (fills, tree) = (fs::File::create(disk.at("fills")).expect("create"), disk.tree());
        let one = snapshot(&tree).await.expect("a clone");
        let free = || {
            let free = fstatvfs(&fills).expect("statvfs");
            free.f_bavail * free.f_frsize
        };
        // room for two of them, but not for three
        let leave = 3 * SIZE as u64;
        rustix::fs::fallocate(&fills, rustix::fs::FallocateFlags::empty(), 0, free() - leave).expect("fill");
        assert!((SIZE as u64 * 5 / 2..=leave).contains(&free()), "{} bytes are free", free());
        let two = snapshot(&tree).await.expect("a clone");
        assert!(snapshot(&tree).await.is_none());
        drop(one);
        let three = snapshot(&tree).await.expect("a clone: another one is gone");
        drop((two, three));
    }

    #[test]
    fn there_is_room_if_all_can_be_written_anew_and_a_quarter_more() {
        for (free, cloned, want) in [
            (0, 0, true),
            (124, 100, false),
            (125, 100, true),
            (u64::MAX, u64::MAX - 1, true),
            (u64::MAX - 1, u64::MAX, false),
        ] {
            assert_eq!(suffices(free, cloned), want, "{free} of {cloned}");
        }
    }

    #[test]
    fn where_files_cannot_be_cloned_there_is_none_and_each_cause_is_told_once() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(NAME), "x").expect("write");
        let fd = fs::File::open(dir.path().join(NAME)).expect("open");
        let file = File::new(fd.into(), 1, path(), None);
        let none = |aside: &Path, times| {
            let cloner = Cloner::new(aside.into());
            told(tracing::Level::DEBUG, || {
                for _ in 0..times {
                    assert!(cloner.freeze(&file).is_none());
                }
                assert_eq!(cloner.cloned.load(Relaxed), 0, "no room is kept for it");
            })
        };
        for (aside, says) in [
            (dir.path().join("missing"), "No such file"),
            ("/dev/shm".into(), "has to be on the root's file"),
        ] {
            let told = none(&aside, 3);
            assert_eq!((told.lines().count(), told.contains(says)), (1, true), "{told}");
        }
    }
}
