//! What has to hold for any event of the kernel's.

use super::event::{Sign, signs};
use notify::{
    Event, EventKind,
    event::{
        AccessKind, AccessMode, CreateKind, DataChange, Flag, MetadataKind, ModifyKind, RemoveKind,
        RenameMode,
    },
};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// All that an event may be of, by the letter that stands for it.
const KINDS: &[EventKind] = &[
    EventKind::Any,
    EventKind::Other,
    EventKind::Access(AccessKind::Any),
    EventKind::Access(AccessKind::Read),
    EventKind::Access(AccessKind::Open(AccessMode::Any)),
    EventKind::Access(AccessKind::Close(AccessMode::Read)),
    EventKind::Access(AccessKind::Close(AccessMode::Write)),
    EventKind::Create(CreateKind::Any),
    EventKind::Create(CreateKind::File),
    EventKind::Create(CreateKind::Folder),
    EventKind::Create(CreateKind::Other),
    EventKind::Modify(ModifyKind::Any),
    EventKind::Modify(ModifyKind::Data(DataChange::Any)),
    EventKind::Modify(ModifyKind::Data(DataChange::Size)),
    EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
    EventKind::Modify(ModifyKind::Metadata(MetadataKind::WriteTime)),
    EventKind::Modify(ModifyKind::Name(RenameMode::From)),
    EventKind::Modify(ModifyKind::Name(RenameMode::To)),
    EventKind::Modify(ModifyKind::Name(RenameMode::Both)),
    EventKind::Modify(ModifyKind::Name(RenameMode::Any)),
    EventKind::Modify(ModifyKind::Other),
    EventKind::Remove(RemoveKind::Any),
    EventKind::Remove(RemoveKind::File),
    EventKind::Remove(RemoveKind::Folder),
    EventKind::Remove(RemoveKind::Other),
];

/// The bytes are a letter for the kind, `!` if events were lost or `-`, and then the root, the canary (if not empty)
/// and the event's paths, each after a NUL.
pub(crate) fn holds(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let Some([kind, lost]) = parts.next() else { return };
    let kind = KINDS[usize::from(kind.wrapping_sub(b'A')) % KINDS.len()];
    let lost = *lost == b'!';
    let mut paths = parts.map(|part| PathBuf::from(OsStr::from_bytes(part)));
    // notify takes a root that is absolute, and what it tells begins with it
    let Some(root) = paths.next().filter(|root| root.is_absolute()) else { return };
    let canary = paths.next().filter(|path| path.is_absolute());
    let mut event = Event::new(kind);
    if lost {
        event = event.set_flag(Flag::Rescan);
    }
    event.paths = paths.collect();
    told(event, &root, canary.as_deref(), lost);
}

fn told(event: Event, root: &Path, canary: Option<&Path>, lost: bool) {
    let (kind, paths) = (event.kind, event.paths.clone());
    let found = signs(&Ok(event), root, canary);
    let heard = canary.is_some_and(|canary| paths.iter().any(|path| path == canary));
    if lost || heard {
        assert_eq!(found, [if lost { Sign::Overflow } else { Sign::Canary }]);
        return;
    }
    assert!(found.len() <= paths.len(), "{found:?} of {paths:?}");
    let read_only = matches!(kind, EventKind::Access(how) if how != AccessKind::Close(AccessMode::Write));
    assert!(!read_only || found.is_empty(), "our own reading makes {found:?}");
    let mut signed = Vec::new();
    for sign in &found {
        match sign {
            Sign::File(path) | Sign::Directory(path) | Sign::Either(path) | Sign::Attributes(path) => {
                // of the root itself all but what it looks like is told otherwise
                assert!(!path.is_root() || matches!(sign, Sign::Attributes(_)), "{sign:?}");
                let whole = root.join(path.as_path());
                assert!(whole.starts_with(root) && paths.contains(&whole), "{sign:?} of {paths:?}");
                signed.push(whole);
            }
            Sign::Root => {
                assert!(paths.iter().any(|path| path == root), "{sign:?} of {paths:?}");
                let gone = matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
                assert!(gone, "{kind:?} is no end of the root");
            }
            Sign::Overflow | Sign::Canary => panic!("{sign:?} of {paths:?}"),
        }
    }
    // what changed is never passed over: but for the sum of two halves that were told
    let silent = read_only || kind == EventKind::Modify(ModifyKind::Name(RenameMode::Both));
    for path in paths.iter().filter(|path| !silent && is_name_below(path, root)) {
        assert!(signed.contains(path), "{kind:?} of {path:?} makes nothing");
    }
}

/// True if the kernel could tell of this: the root, and names after it.
fn is_name_below(path: &Path, root: &Path) -> bool {
    let rest = path.as_os_str().as_bytes().strip_prefix(root.as_os_str().as_bytes());
    let names =
        rest.and_then(|rest| if root == Path::new("/") { Some(rest) } else { rest.strip_prefix(b"/") });
    names.is_some_and(|names| names.split(|b| *b == b'/').all(|name| !matches!(name, b"" | b"." | b"..")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_kept_of_fuzzing_events_holds() {
        crate::fuzzing::replay("event", super::holds);
    }
}
