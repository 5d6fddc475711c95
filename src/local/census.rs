//! How many watches of inotify there are, and may be: for whoever wants to know before they are too few.

use super::plight::Limit;
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
};

/// What the kernel writes of each watch of an inotify descriptor (proc_pid_fdinfo(5)).
const WATCH: &[u8] = b"inotify wd:";

/// inotify watches that this process holds, as the kernel lists them: a line is read for each.
///
/// # Errors
/// /proc cannot be read.
pub fn watches_held() -> io::Result<u64> {
    let mut held = 0;
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        // a descriptor that was closed meanwhile holds none
        if let Ok(file) = File::open(entry?.path()) {
            let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
            held += lines.filter(|line| line.starts_with(WATCH)).count() as u64;
        }
    }
    Ok(held)
}

/// inotify watches that a user may have, by the limit that is reached first; `None` if it is not told.
pub fn watch_limit() -> Option<u64> {
    Some(Limit::of_watches().most as u64).filter(|most| *most > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::{RecommendedWatcher, RecursiveMode, Watcher};

    #[test]
    fn watches_are_counted_as_the_kernel_has_them() {
        let dirs: Vec<_> = (0..40).map(|_| tempfile::tempdir().expect("a directory")).collect();
        let mut watcher =
            RecommendedWatcher::new(|_: notify::Result<_>| {}, notify::Config::default()).expect("a watcher");
        for dir in &dirs {
            watcher.watch(dir.path(), RecursiveMode::NonRecursive).expect("watched");
        }
        // other tests watch meanwhile
        assert!(watches_held().expect("counted") >= 40);
        assert!(watch_limit().expect("a limit") > 0);
    }
}
