//! The root, the ledger, the watches, the room for state.

use super::Finding;
use crate::{
    config::Mirror,
    ledger::{Ledger, OpenError},
    local::{self, Tree},
    model::{Kind, Local, RelPath, Scope, Skip},
    service::assembly::{self, Commons},
};
use futures::StreamExt;
use indicatif::{HumanBytes, HumanCount};
use rustix::fs::{Access, access, statvfs};
use std::{path::Path, pin::pin};

/// Less room for state than this is too little.
const ROOM: u64 = 64 << 20;

/// What lies below a root.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) directories: usize,
}

/// Walks the root; nothing is opened for reading.
pub(super) async fn root(mirror: &Mirror, tell: &mut impl FnMut(Finding)) -> Option<Seen> {
    const WHY: &str = "what cannot be read is not mirrored, and nothing is deleted there";
    // directories are counted whether they are mirrored or not
    let walked = Mirror { directories: true, ..mirror.clone() };
    let tree = match assembly::directory(&walked) {
        Ok(tree) => tree,
        Err(fault) => {
            tell(Finding::of("root", &fault));
            return None;
        }
    };
    if let Err(fault) = tree.root().await {
        tell(Finding::of("root", &fault).why("a mirror whose root is missing waits, and deletes nothing"));
        return None;
    }
    let (mut seen, mut unread, mut mounts) = (Seen::default(), vec![], vec![]);
    let mut walk = pin!(tree.walk(&Scope::Tree(RelPath::root()), assembly::prune(mirror)));
    while let Some(entries) = walk.next().await {
        let entries = match entries {
            Ok(entries) => entries,
            Err(fault) => {
                tell(Finding::of("root", &fault));
                return None;
            }
        };
        for (key, local) in entries {
            match local {
                Local::Present(meta) if meta.attributes.kind() == Kind::Directory => seen.directories += 1,
                Local::Present(meta) => {
                    seen.files += 1;
                    seen.bytes += meta.print.size;
                }
                Local::Unknown => unread.push(key),
                Local::Skipped(Skip::Mount) => mounts.push(key),
                _ => {}
            }
        }
    }
    // the root itself is watched, too
    seen.directories += 1;
    let (files, dirs) = (HumanCount(seen.files), HumanCount(seen.directories as u64));
    let size = HumanBytes(seen.bytes);
    let root = mirror.root.display();
    tell(Finding::good("root", format!("{root}: {files} files ({size}) in {dirs} directories")));
    if let Some(first) = unread.first() {
        let told = format!("{} entries cannot be read, the first is {first}", unread.len());
        tell(Finding::wrong("readable", told).why(WHY).remedy(
            "run as a user that may read them, or give CAP_DAC_READ_SEARCH (systemd: AmbientCapabilities=)",
        ));
    }
    if let Some(first) = mounts.first() {
        let told = format!("{} mount points below are left out, the first is {first}", mounts.len());
        tell(Finding::note("mounts", told).remedy("give each a mirror of its own if it is to be mirrored"));
    }
    Some(seen)
}

/// Whether the ledger can be opened, and how much it has proven.
pub(super) async fn ledger(commons: &Commons, mirror: &Mirror, tell: &mut impl FnMut(Finding)) {
    let told = match assembly::ledger(&commons.state_dir, mirror, true).await {
        Ok(ledger) => match ledger.tally().await {
            Ok(tally) => Finding::good("ledger", format!("{} proofs", HumanCount(tally.records))),
            Err(fault) => Finding::of("ledger", &fault),
        },
        Err(OpenError::Held(held)) => Finding::good("ledger", held.to_string()),
        Err(OpenError::Fault(fault)) => Finding::of("ledger", &fault),
    };
    tell(told.why("without its ledger a mirror reads every file again"));
}

/// What all mirrors share.
pub(super) fn host(state_dir: &Path, mirrors: usize, directories: usize) -> Vec<Finding> {
    let watches = match local::watches(directories) {
        Ok(told) => Finding::good("watches", told),
        Err(fault) => Finding::of("watches", &fault)
            .why("changes in directories without a watch are found by scans, up to a minute late"),
    };
    let watchers = match local::watchers(mirrors) {
        Ok(told) => Finding::good("watchers", told),
        Err(fault) => Finding::of("watchers", &fault)
            .why("a mirror without one finds all its changes by scans, up to a minute late"),
    };
    vec![watches, watchers, state(state_dir)]
}

fn state(state_dir: &Path) -> Finding {
    const WHY: &str =
        "proofs are kept there: without room for them nothing is deleted, and every start reads all";
    // as far as it is there
    let there = state_dir.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"));
    let shown = state_dir.display();
    if let Err(errno) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
        return Finding::wrong("state_dir", format!("{shown}: {errno}")).why(WHY).remedy(
            "run as the user of the service, or set `state_dir` to a directory that it may write to",
        );
    }
    match statvfs(there) {
        Ok(fs) => {
            let free = fs.f_bavail.saturating_mul(fs.f_frsize);
            let told = format!("{shown}: {} free", HumanBytes(free));
            if free < ROOM {
                return Finding::wrong("state_dir", told)
                    .why(WHY)
                    .remedy("make room there, or move `state_dir`");
            }
            Finding::good("state_dir", told)
        }
        Err(errno) => Finding::wrong("state_dir", format!("{shown}: {errno}")).why(WHY),
    }
}
