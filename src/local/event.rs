//! What an event of the notify crate says to look at. Pure.
//!
//! Of every file written, notify tells opening, writing and closing; of those that only read, opening
//! and, in some versions, closing. Only what may have changed something becomes a [`Sign`], so our own reading
//! makes none.

use crate::model::RelPath;
use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode},
};
use std::{os::unix::ffi::OsStrExt, path::Path};

/// What happened, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Events were lost.
    Overflow,
    /// The root itself was moved or removed.
    Root,
    /// A file was made, written or removed.
    File(RelPath),
    /// A directory was made or removed.
    Directory(RelPath),
    /// One of the two was moved, or it was not said which it is.
    Either(RelPath),
    /// Mode, owner or times of either.
    Attributes(RelPath),
    /// The canary was heard.
    Canary,
}

/// The signs of an event in the directory `root`, or of the file `canary`, which may lie below it.
pub(super) fn signs(event: &notify::Result<Event>, root: &Path, canary: Option<&Path>) -> Vec<Sign> {
    // Whatever an error means, events may have gone with it.
    let Ok(event) = event else { return vec![Sign::Overflow] };
    if event.need_rescan() {
        return vec![Sign::Overflow];
    }
    if canary.is_some_and(|canary| event.paths.iter().any(|path| path == canary)) {
        return vec![Sign::Canary];
    }
    let Some(sign) = meaning(event.kind) else { return Vec::new() };
    let below = |path: &Path| {
        let rest = path.strip_prefix(root).ok()?;
        RelPath::new(rest.as_os_str().as_bytes()).ok()
    };
    let paths = event.paths.iter().filter_map(|path| below(path));
    paths.filter_map(|path| if path.is_root() { of_root(event.kind) } else { Some(sign(path)) }).collect()
}

/// True for the opening of the root, which shows that its watch lives.
pub(super) fn opens(event: &notify::Result<Event>, root: &Path) -> bool {
    matches!(event, Ok(event) if matches!(event.kind, EventKind::Access(AccessKind::Open(_)))
        && event.paths.iter().any(|path| path == root))
}

fn meaning(kind: EventKind) -> Option<fn(RelPath) -> Sign> {
    Some(match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Sign::File,
        EventKind::Access(_) => return None,
        EventKind::Create(CreateKind::File) | EventKind::Remove(RemoveKind::File) => Sign::File,
        EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => Sign::Directory,
        EventKind::Modify(ModifyKind::Data(_)) => Sign::File,
        EventKind::Modify(ModifyKind::Metadata(_)) => Sign::Attributes,
        // Its two halves have been told one by one.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
        _ => Sign::Either,
    })
}

fn of_root(kind: EventKind) -> Option<Sign> {
    match kind {
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => Some(Sign::Root),
        // it may not be readable any more, or again
        EventKind::Modify(ModifyKind::Metadata(_)) => Some(Sign::Attributes(RelPath::root())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{DataChange, Flag, MetadataKind};

    #[test]
    fn each_event_and_its_sign() {
        let p = |s: &str| RelPath::new(s.as_bytes()).expect("valid path");
        let name = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let meta = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let access = EventKind::Access;
        for (kind, path, want) in [
            (EventKind::Create(CreateKind::File), "/r/a/b", Some(Sign::File(p("a/b")))),
            (EventKind::Create(CreateKind::Folder), "/r/a", Some(Sign::Directory(p("a")))),
            (EventKind::Create(CreateKind::Any), "/r/a", Some(Sign::Either(p("a")))),
            (EventKind::Remove(RemoveKind::File), "/r/a", Some(Sign::File(p("a")))),
            (EventKind::Remove(RemoveKind::Folder), "/r/a", Some(Sign::Directory(p("a")))),
            (EventKind::Remove(RemoveKind::Other), "/r/a", Some(Sign::Either(p("a")))),
            (name(RenameMode::From), "/r/a", Some(Sign::Either(p("a")))),
            (name(RenameMode::To), "/r/a", Some(Sign::Either(p("a")))),
            (name(RenameMode::Both), "/r/a", None),
            (data, "/r/a", Some(Sign::File(p("a")))),
            (meta, "/r/a", Some(Sign::Attributes(p("a")))),
            (EventKind::Any, "/r/a", Some(Sign::Either(p("a")))),
            (access(AccessKind::Close(AccessMode::Write)), "/r/a", Some(Sign::File(p("a")))),
            (access(AccessKind::Close(AccessMode::Read)), "/r/a", None),
            (access(AccessKind::Open(AccessMode::Any)), "/r/a", None),
            (name(RenameMode::From), "/r", Some(Sign::Root)),
            (EventKind::Remove(RemoveKind::Folder), "/r", Some(Sign::Root)),
            (meta, "/r", Some(Sign::Attributes(RelPath::root()))),
            (data, "/r", None),
            (data, "/elsewhere/a", None),
            (data, "/rest/a", None),
        ] {
            let event = Event::new(kind).add_path(path.into());
            let canary = Some(Path::new("/r/state/canary"));
            let event = Ok(event);
            assert_eq!(signs(&event, Path::new("/r"), canary).pop(), want, "{kind:?} {path}");
            assert!(!opens(&event, Path::new("/r")), "{kind:?} {path}");
        }
    }

    #[test]
    fn c14_whatever_befalls_the_canary_is_its_own_sign_even_below_the_root() {
        for kind in [
            EventKind::Access(AccessKind::Open(AccessMode::Any)),
            EventKind::Create(CreateKind::File),
            EventKind::Remove(RemoveKind::File),
        ] {
            let event = Ok(Event::new(kind).add_path("/r/state/canary".into()));
            assert_eq!(signs(&event, Path::new("/r"), Some(Path::new("/r/state/canary"))), [Sign::Canary]);
        }
    }

    #[test]
    fn the_root_itself_is_seen_to_be_opened() {
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(opens(&Ok(Event::new(open).add_path("/r".into())), Path::new("/r")));
    }

    #[test]
    fn c02_an_overflow_has_no_path() {
        let event = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(signs(&Ok(event), Path::new("/r"), None), [Sign::Overflow]);
        let error = notify::Error::generic("read");
        assert_eq!(signs(&Err(error), Path::new("/r"), None), [Sign::Overflow]);
    }
}
