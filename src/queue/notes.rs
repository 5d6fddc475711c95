//! The notes of the queue, by place and by time: four ways to find them, kept in step.

use super::{
    Mono,
    note::{Kind, Note},
    times::Times,
};
use crate::model::{RelPath, Scope};
use std::collections::{BTreeMap, BTreeSet};

/// At most one for each place and kind.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// By path, so that a tree's notes lie together; then by kind.
    notes: BTreeMap<(RelPath, Kind), Note>,
    /// By time; the swift ones apart from the others.
    due: [BTreeSet<(Mono, RelPath, Kind)>; 2],
    /// How many `File` notes a directory has.
    files: BTreeMap<RelPath, usize>,
    /// When the changes were noted that the notes stand for.
    since: Times,
}

impl Notes {
    pub(super) fn len(&self) -> usize {
        self.notes.len()
    }

    /// In the order of their places.
    pub(super) fn all(&self) -> impl Iterator<Item = &Note> {
        self.notes.values()
    }

    /// When the first is due, of the swift ones or of the others.
    pub(super) fn next(&self, swift: bool) -> Option<Mono> {
        self.due[usize::from(swift)].first().map(|(due, ..)| *due)
    }

    /// Takes the first of these if it is due.
    pub(super) fn pop(&mut self, now: Mono, swift: bool) -> Option<Note> {
        let first = self.due[usize::from(swift)].first();
        let (_, path, kind) = first.filter(|(due, ..)| *due <= now).cloned()?;
        self.remove(&(path, kind))
    }

    /// When the oldest change was noted that one of them stands for.
    pub(super) fn since(&self) -> Option<Mono> {
        self.since.first()
    }

    /// How many files of this directory are noted one by one.
    pub(super) fn files_of(&self, directory: &RelPath) -> usize {
        self.files.get(directory).copied().unwrap_or_default()
    }

    /// Takes those that `scope` looks at too, its own among them.
    pub(super) fn take(&mut self, scope: &Scope) -> Vec<Note> {
        self.covered(scope).iter().filter_map(|id| self.remove(id)).collect()
    }

    /// One of its own place and kind; there is none.
    pub(super) fn insert(&mut self, note: Note) {
        if let Scope::File(path) = &note.scope {
            *self.files.entry(path.parent().unwrap_or_else(RelPath::root)).or_default() += 1;
        }
        note.since.into_iter().for_each(|since| self.since.add(since));
        let id = (note.scope.path().clone(), Kind::of(&note.scope));
        self.due[usize::from(note.is_swift())].insert((note.due, id.0.clone(), id.1));
        self.notes.insert(id, note);
    }

    fn remove(&mut self, id: &(RelPath, Kind)) -> Option<Note> {
        let note = self.notes.remove(id)?;
        note.since.into_iter().for_each(|since| self.since.remove(since));
        self.due[usize::from(note.is_swift())].remove(&(note.due, id.0.clone(), id.1));
        if let Scope::File(path) = &note.scope {
            let parent = path.parent().unwrap_or_else(RelPath::root);
            if let Some(n) = self.files.get_mut(&parent) {
                *n -= 1;
                if *n == 0 {
                    self.files.remove(&parent);
                }
            }
        }
        Some(note)
    }

    /// The scope of a note that looks at all of `scope` already.
    pub(super) fn cover(&self, scope: &Scope) -> Option<Scope> {
        if let Scope::File(path) = scope {
            let children = (path.parent()?, Kind::Children);
            if self.notes.contains_key(&children) {
                return Some(Scope::Children(children.0));
            }
        }
        let mut at = Some(scope.path().clone());
        while let Some(path) = at {
            if self.notes.contains_key(&(path.clone(), Kind::Tree)) {
                return Some(Scope::Tree(path));
            }
            at = path.parent();
        }
        None
    }

    /// The notes that `scope` looks at too, its own among them.
    fn covered(&self, scope: &Scope) -> Vec<(RelPath, Kind)> {
        let path = scope.path();
        // names such as `a-b` sort between `a` and `a/b`
        let near = |p: &RelPath| p.as_bytes().starts_with(path.as_bytes());
        let from = (path.clone(), Kind::File);
        let below = self.notes.range(from..).take_while(|((p, _), _)| near(p));
        match scope {
            Scope::File(_) => vec![(path.clone(), Kind::File)],
            _ => below.filter(|(_, note)| scope.covers(&note.scope)).map(|(id, _)| id.clone()).collect(),
        }
    }
}

#[cfg(test)]
impl Notes {
    /// Directories of which files are noted one by one.
    pub(super) fn directories(&self) -> usize {
        self.files.len()
    }

    /// How many are found by time.
    pub(super) fn timed(&self) -> usize {
        self.due.iter().map(BTreeSet::len).sum()
    }
}
