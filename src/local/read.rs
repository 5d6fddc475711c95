//! Opening a file beneath the root, and reading it by the descriptor alone. What is no regular file is read when it is
//! opened: a directory, FIFO or device has no content, and that of a link never changes.

use super::{
    clone::Share,
    descend::{Descent, Stop, descend},
    entries::kind_of,
    reader::Reader,
    root::{Opened, READ_ALL, Root},
    stat::{LIST, Stat, beneath},
    walk::c_name,
    xattr,
};
use crate::model::{Class, Extra, Fault, Key, Kind, LocalMeta, Node, RelPath, Skip, Source, Xattrs};
use bytes::Bytes;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{FileType, OFlags, readlinkat},
    io::Errno,
};
use std::sync::Arc;
use tokio::runtime::Handle;

/// What is read when it is opened: it costs less than asking for it again.
pub(super) const SMALL: u64 = 64 << 10;

/// An open regular file; or a directory, link, FIFO or device as it was when it was opened.
#[derive(Debug)]
pub struct File {
    reader: Arc<Reader>,
    path: RelPath,
    /// A small one, as it was when it was opened.
    whole: Option<Bytes>,
    /// Whoever asks for it may wait for another machine.
    remote: bool,
    frozen: Option<Frozen>,
    /// Its root, if that has more kept of it than bytes, time, mode and owner.
    keeps: Option<Arc<Root>>,
}

/// What one has that does not change any more: a clone, or what is no regular file.
#[derive(Debug)]
pub(super) struct Frozen {
    /// How the file was.
    pub(super) meta: LocalMeta,
    /// The number of a device.
    pub(super) device: Option<u64>,
    /// Of a clone.
    pub(super) _share: Option<Share>,
}

impl File {
    /// On this machine, of so many bytes; with all of them if it is a small one.
    pub(super) fn new(fd: OwnedFd, size: u64, path: RelPath, whole: Option<Bytes>) -> Self {
        Self {
            reader: Arc::new(Reader::new(fd, size)),
            path,
            whole,
            remote: false,
            frozen: None,
            keeps: None,
        }
    }

    /// A clone of it.
    pub(super) fn frozen(&self, fd: OwnedFd, frozen: Frozen) -> Self {
        let reader = Arc::new(Reader::new(fd, frozen.meta.print.size));
        Self {
            reader,
            path: self.path.clone(),
            whole: None,
            remote: false,
            frozen: Some(frozen),
            keeps: None,
        }
    }

    /// True if another machine may write it.
    pub(super) fn is_remote(&self) -> bool {
        self.remote
    }

    /// The same open file, for another thread.
    pub(super) fn handle(&self) -> Self {
        Self {
            reader: Arc::clone(&self.reader),
            path: self.path.clone(),
            whole: None,
            remote: self.remote,
            frozen: None,
            keeps: None,
        }
    }

    /// With what this root has kept of it.
    pub(super) fn keeping(mut self, root: &Arc<Root>) -> Self {
        self.keeps = root.keep().is_beside().then(|| Arc::clone(root));
        self
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // it waits for pages that somebody has locked
        if self.reader.is_large()
            && let Ok(runtime) = Handle::try_current()
        {
            let reader = Arc::clone(&self.reader);
            drop(runtime.spawn_blocking(move || reader.leave()));
        }
    }
}

/// A directory that was entered, to be entered once for all of its files.
pub(super) type Parent = Option<(RelPath, OwnedFd)>;

/// Opens what has this key. What is neither a regular file nor a directory is never opened: a device may act on it.
///
/// # Errors
/// `Missing`, `Changed` (it is something else), or by errno.
pub(super) fn open(root: &Opened, parent: &mut Parent, key: &Key) -> Result<File, Fault> {
    let none = || Fault::new(Class::Permanent, format!("open {key}"), "no file has this key");
    if let Some(directory) = key.marked() {
        return open_fixed(root, parent, &directory, Kind::Directory);
    }
    let path = key.path().ok_or_else(none)?;
    let is_other = |fault: &Fault| matches!(fault.class, Class::Missing | Class::Changed);
    let mut opened = open_file(root, parent, &path);
    if root.kinds.nodes && opened.as_ref().is_err_and(|fault| fault.class == Class::Changed) {
        opened = open_fixed(root, parent, &path, Kind::Special);
    }
    match (opened, key.link()) {
        (Err(fault), Some(link)) if root.kinds.links && is_other(&fault) => {
            open_fixed(root, parent, &link, Kind::Link)
        }
        (opened, _) => opened,
    }
}

/// The directory that holds `path`, entered, with its name there.
fn above<'a>(
    root: &Opened,
    parent: &'a mut Parent,
    path: &RelPath,
) -> Result<(&'a OwnedFd, std::ffi::CString), Fault> {
    let what = || format!("open {path}");
    let changed = |cause| Fault::new(Class::Changed, what(), cause);
    let fault = |errno| fault(what(), errno);
    let above = path.parent().ok_or_else(|| changed("it is the root"))?;
    let dir = match parent.take_if(|(entered, _)| *entered == above) {
        Some((_, dir)) => dir,
        None => match descend(root, &above) {
            Descent::Arrived(dir) => dir,
            Descent::Stopped { why, .. } => {
                return Err(match why {
                    Stop::Missing | Stop::File => fault(Errno::NOENT),
                    Stop::Skipped(Skip::Mount) => changed("a file system is mounted above it"),
                    Stop::Skipped(_) => changed("a link or special file stands above it"),
                    Stop::Failed(errno) => fault(errno),
                });
            }
        },
    };
    let (_, dir) = parent.insert((above, dir));
    Ok((dir, c_name(path.name())))
}

/// What is no regular file, as it is now: by a descriptor that only stands for it (open(2), `O_PATH`).
fn open_fixed(root: &Opened, parent: &mut Parent, path: &RelPath, kind: Kind) -> Result<File, Fault> {
    let fault = |errno| fault(format!("open {path}"), errno);
    let (dir, name) = above(root, parent, path)?;
    let fd = beneath(dir.as_fd(), &name, OFlags::PATH | OFlags::NOFOLLOW).map_err(fault)?;
    let stat = Stat::of(fd.as_fd()).map_err(fault)?;
    let socket = kind == Kind::Special && stat.node().is_none();
    if kind_of(stat.kind()) != kind || socket || stat.is_mount(root.place.mount) {
        return Err(Fault::new(Class::Changed, format!("open {path}"), "it is something else"));
    }
    let content: Bytes = match kind {
        Kind::Link => readlinkat(&fd, c"", Vec::new()).map_err(fault)?.into_bytes().into(),
        _ => Bytes::new(),
    };
    let mut meta = stat.meta();
    meta.print.size = content.len() as u64;
    Ok(File {
        reader: Arc::new(Reader::new(fd, meta.print.size)),
        path: path.clone(),
        whole: Some(content),
        remote: false,
        frozen: Some(Frozen { meta, device: stat.node().and_then(Node::number), _share: None }),
        keeps: None,
    })
}

fn open_file(root: &Opened, parent: &mut Parent, path: &RelPath) -> Result<File, Fault> {
    let changed = |cause| Fault::new(Class::Changed, format!("open {path}"), cause);
    let fault = |errno| fault(format!("open {path}"), errno);
    let (dir, name) = above(root, parent, path)?;
    let regular = |stat: Stat| match stat.kind() {
        _ if stat.is_mount(root.place.mount) => Err(changed("something is mounted on it")),
        FileType::RegularFile => Ok(stat.meta().print.size),
        _ => Err(changed("it is no regular file")),
    };
    regular(Stat::at(dir.as_fd(), &name).map_err(fault)?)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match beneath(dir.as_fd(), &name, flags | OFlags::NOATIME) {
        // Only the owner may read without a trace.
        Err(Errno::PERM) => beneath(dir.as_fd(), &name, flags),
        other => other,
    };
    let fd = fd.map_err(fault)?;
    let size = regular(Stat::of(fd.as_fd()).map_err(fault)?)?;
    // if it cannot be read, that is told when it is asked for
    let reader = Reader::new(fd, size);
    let whole = (size <= SMALL).then(|| reader.read_at(0, size as usize).ok()).flatten();
    let remote = root.filesystem.remote.is_some();
    Ok(File { reader: Arc::new(reader), path: path.clone(), whole, remote, frozen: None, keeps: None })
}

fn fault(what: String, errno: Errno) -> Fault {
    let (class, remedy) = match errno {
        Errno::NOENT => (Class::Missing, None),
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::XDEV | Errno::NXIO => (Class::Changed, None),
        Errno::ACCESS | Errno::PERM => (Class::Permanent, Some(READ_ALL)),
        Errno::MFILE | Errno::NFILE => {
            (Class::Transient, Some("raise the limit of open files (systemd: LimitNOFILE=)"))
        }
        Errno::IO | Errno::STALE => (Class::Transient, Some("check the file system it lies on (dmesg)")),
        Errno::OVERFLOW | Errno::OPNOTSUPP | Errno::INVAL | Errno::NAMETOOLONG => (Class::Permanent, None),
        _ => (Class::Transient, None),
    };
    let fault = Fault::new(class, what, errno);
    match remedy {
        Some(remedy) => fault.remedy(remedy),
        None => fault,
    }
}

impl Source for File {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        if let Some(frozen) = &self.frozen {
            return Ok(frozen.meta);
        }
        let what = || format!("stat {}", self.path);
        let stat = if self.remote {
            let reader = Arc::clone(&self.reader);
            let stat = tokio::task::spawn_blocking(move || Stat::of(reader.as_fd())).await;
            stat.map_err(|ended| Fault::new(Class::Transient, what(), ended))?
        } else {
            // of an open file the kernel knows it: not worth a thread
            Stat::of(self.reader.as_fd())
        };
        stat.map(|stat| stat.meta()).map_err(|errno| fault(what(), errno))
    }

    async fn extra(&self) -> Result<Extra, Fault> {
        let kind = self.frozen.as_ref().map_or(Kind::File, |frozen| frozen.meta.attributes.kind());
        let device = self.frozen.as_ref().and_then(|frozen| frozen.device);
        // what stands for one of the others shows none
        let shows = matches!(kind, Kind::File | Kind::Directory);
        let Some(root) = self.keeps.clone().filter(|_| shows) else {
            return Ok(Extra { device, ..Extra::default() });
        };
        let keep = root.keep();
        let what = format!("read the extended attributes of {}", self.path);
        let (reader, path) = (Arc::clone(&self.reader), self.path.clone());
        let wanted = keep.hard_links && kind == Kind::File;
        let links = move |root: &Root, reader: &Reader| {
            let stat = Stat::of(reader.as_fd())?;
            Ok(if wanted && stat.is_linked() { root.group(stat.meta().print.inode) } else { None })
        };
        if !keep.xattrs && !self.remote {
            // of an open file the kernel knows it
            let links = links(&root, &reader).map_err(|errno| fault(what, errno))?;
            return Ok(Extra { links, ..Extra::default() });
        }
        let read = tokio::task::spawn_blocking(move || {
            let links = links(&root, &reader)?;
            if !keep.xattrs {
                return Ok(Extra { links, ..Extra::default() });
            }
            let all = match kind {
                // what only stands for it shows none
                Kind::Directory => xattr::read(beneath(reader.as_fd(), c".", LIST)?.as_fd())?,
                _ => xattr::read(reader.as_fd())?,
            };
            let (xattrs, left_out) = all.pack(Xattrs::MOST);
            if !left_out.is_empty() {
                let names: Vec<_> = left_out.iter().map(|name| name.escape_ascii().to_string()).collect();
                root.warnings().too_large(path.as_bytes(), &names.join(" "));
            }
            Ok(Extra { xattrs, links, device: None })
        });
        let read = read.await.map_err(|ended| Fault::new(Class::Transient, &*what, ended))?;
        read.map_err(|errno| fault(what, errno))
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        // what lies beyond is asked for: the file may have grown
        let within = |whole: &Bytes| {
            let from = usize::try_from(at).ok()?;
            let to = from.checked_add(len)?;
            let fixed = self.frozen.is_some();
            let to = if fixed { to.min(whole.len()) } else { Some(to).filter(|to| *to <= whole.len())? };
            Some(whole.slice(from.min(to)..to))
        };
        if let Some(bytes) = self.whole.as_ref().and_then(within) {
            return Ok(bytes);
        }
        let reader = Arc::clone(&self.reader);
        let read = tokio::task::spawn_blocking(move || reader.read_at(at, len)).await;
        let what = || format!("read {} at {at}", self.path);
        match read {
            Ok(read) => read.map_err(|errno| fault(what(), errno)),
            Err(ended) => Err(Fault::new(Class::Transient, what(), ended)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Kinds;
    use rustix::{fs::inotify, io};
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn c27_it_reads_the_open_file_and_not_the_path_again() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("f"), "old content").expect("write");
        let file =
            open(&Root::new(dir.path()).open().expect("root"), &mut None, &Key::raw("f")).expect("open");
        let before = file.stat().await.expect("stat");
        std::fs::write(dir.path().join("g"), "new").expect("write");
        std::fs::rename(dir.path().join("g"), dir.path().join("f")).expect("rename");
        assert_eq!(&file.read_at(4, 100).await.expect("read")[..], b"content", "short only at the end");
        assert_eq!(&file.read_at(0, 3).await.expect("read")[..], b"old");
        assert_eq!(&file.read_at(50, 3).await.expect("read")[..], b"");
        assert_eq!(&file.read_at(0, 0).await.expect("read")[..], b"");
        let after = file.stat().await.expect("stat");
        assert_eq!((before.print.inode, before.print.size), (after.print.inode, 11));
        assert_eq!(after.attributes.mode & 0o170_000, 0o100_000);
    }

    #[test]
    fn c13_c29_links_and_special_files_are_never_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir(at("d")).expect("mkdir");
        std::fs::write(at("d/f"), "").expect("write");
        symlink("d/f", at("link")).expect("link");
        symlink("d", at("dirlink")).expect("link");
        symlink("/", at("out")).expect("link");
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, 0o600.into(), 0).expect("mkfifo");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("socket");
        let root = Root::new(dir.path()).open().expect("root");
        let kinds = Kinds { nodes: true, ..Kinds::default() };
        let all = Root::new(dir.path()).with(kinds).open().expect("root");
        let opens = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
        inotify::add_watch(&opens, at("fifo"), inotify::WatchFlags::OPEN).expect("watch");
        for (path, want) in [
            ("link", Class::Changed),
            ("dirlink/f", Class::Changed),
            ("out/etc/passwd", Class::Changed),
            ("fifo", Class::Changed),
            ("socket", Class::Changed),
            ("d", Class::Changed),
            ("", Class::Permanent),
            ("none", Class::Missing),
            ("none/x", Class::Missing),
            ("d/f/x", Class::Missing),
        ] {
            assert_eq!(
                open(&root, &mut None, &Key::raw(path)).map(|_| ()).map_err(|f| f.class),
                Err(want),
                "{path}"
            );
        }
        assert!(open(&root, &mut None, &Key::raw("d/f")).is_ok());
        // where they are mirrored neither
        assert!(open(&all, &mut None, &Key::raw("fifo")).is_ok());
        for path in ["socket", "link", "d"] {
            assert!(open(&all, &mut None, &Key::raw(path)).is_err(), "{path}");
        }
        let told = io::read(&opens, &mut [0_u8; 256][..]);
        assert_eq!(told, Err(Errno::AGAIN), "not even opened and closed again");
    }
}
