//! The whole of [`Directory`] on real file systems.

mod bounds;
mod mounts;
mod order;
mod pruning;
mod walking;
mod watching;

use super::{Directory, Entry, Kinds, Prune, Tree};
use crate::model::{Absence, Fault, Instead, Key, Local, RelPath, Scope};
use futures::StreamExt;
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

fn p(path: &str) -> RelPath {
    RelPath::new(path.as_bytes()).expect("valid path")
}

fn k(path: &str) -> Key {
    Key::of(&p(path))
}

fn keep_all() -> Prune {
    Prune::default()
}

fn directory(path: &Path) -> Directory {
    Directory::new(path, Kinds::default()).expect("absolute")
}

async fn try_walk(dir: &Directory, scope: Scope, prune: Prune) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::new();
    let mut walk = Box::pin(dir.walk(&scope, prune));
    while let Some(batch) = walk.next().await {
        entries.extend(batch?);
    }
    Ok(entries)
}

/// Each entry as `key kind`.
async fn walk(dir: &Directory, scope: Scope) -> Vec<String> {
    shown(try_walk(dir, scope, keep_all()).await.expect("a walk"))
}

fn shown(entries: Vec<Entry>) -> Vec<String> {
    let kind = |local: &Local| match local {
        Local::Present(meta) => format!("present {}", meta.print.size),
        Local::Absent(Absence { ancestor, instead }) => {
            format!("absent of {ancestor:?} {}", *instead == Some(Instead::Directory))
        }
        Local::Skipped(skip) => format!("{skip:?}").to_lowercase(),
        Local::Unknown => "unknown".into(),
    };
    entries.iter().map(|(key, local)| format!("{key} {}", kind(local))).collect()
}

/// Files at these paths, given in components.
fn plant(tree: &Path, paths: &[Vec<Vec<u8>>]) {
    for path in paths {
        let path: PathBuf = path.iter().map(|part| OsStr::from_bytes(part)).collect();
        let path = tree.join(path);
        // Where a file stands in the way of a directory, there is one file less.
        if std::fs::create_dir_all(path.parent().expect("a parent")).is_ok() {
            let _either = std::fs::write(&path, "");
        }
    }
}

/// Something this environment does not allow.
pub(super) fn skipped(why: impl std::fmt::Display) {
    assert!(std::env::var_os("S3MIRRORD_REQUIRE_ALL").is_none_or(|v| v != "1"), "may not be skipped: {why}");
    eprintln!("skipped: {why}");
}

/// What `work` logs, down to this level.
pub(super) fn told(level: tracing::Level, work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().expect("no panic").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

/// A mount that ends with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path) -> Option<Self> {
        Self::tmpfs_with(at, rustix::mount::MountFlags::empty())
    }

    fn tmpfs_with(at: &Path, flags: rustix::mount::MountFlags) -> Option<Self> {
        let done = rustix::mount::mount("tmpfs", at, "tmpfs", flags, None);
        done.map(|()| Self(at.to_owned())).map_err(skipped).ok()
    }

    fn bind(from: &Path, at: &Path) -> Option<Self> {
        rustix::mount::mount_bind(from, at).map(|()| Self(at.to_owned())).map_err(skipped).ok()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Runs `work` on a thread that may not read what its user may not read. False if it cannot be had.
fn without_privilege(work: impl FnOnce() + Send) -> bool {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    std::thread::scope(|threads| {
        let thread = threads.spawn(|| {
            let all = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            let dropped = capabilities(None).and_then(|mut sets| {
                sets.effective.remove(all);
                sets.permitted.remove(all);
                set_capabilities(None, sets)
            });
            if let Err(errno) = dropped {
                skipped(errno);
                return false;
            }
            work();
            true
        });
        thread.join().expect("the work passes")
    })
}
