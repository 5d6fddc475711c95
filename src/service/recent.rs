//! What was done last, for people who look: a few changes of a mirror, the latest first.

use crate::{
    engine::{Deed, Ending, Event},
    model::Key,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// So many are remembered.
const KEPT: usize = 8;

/// Something that was done, and confirmed by the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When, in seconds since 1970.
    pub at: i64,
    /// What: `put`, `copy`, `metadata` or `delete`.
    pub op: String,
    /// The file's name, control characters escaped.
    pub path: String,
    /// For a copy: the old name.
    #[serde(default)]
    pub from: Option<String>,
    /// Bytes sent.
    pub bytes: u64,
}

/// The last changes of a mirror. While nobody asks, one costs a look at the clock.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Row>>);

#[derive(Clone, Debug)]
struct Row {
    at: SystemTime,
    deed: Deed,
    key: Key,
    from: Option<Key>,
    bytes: u64,
}

impl Recent {
    /// Remembers what was done.
    pub(super) fn note(&self, event: &Event) {
        let Event::Action { key, deed, from, ending: Ending::Done, bytes, .. } = event else { return };
        let (at, deed, key, from, bytes) = (SystemTime::now(), *deed, key.clone(), from.clone(), *bytes);
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.truncate(KEPT - 1);
        rows.push_front(Row { at, deed, key, from, bytes });
    }

    /// What is remembered, the latest first.
    pub fn list(&self) -> Vec<Change> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        rows.into_iter().map(Row::told).collect()
    }
}

impl Row {
    fn told(self) -> Change {
        let since = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Change {
            at: i64::try_from(since.as_secs()).unwrap_or_default(),
            op: self.deed.word().to_owned(),
            path: shown(&self.key),
            from: self.from.as_ref().map(shown),
            bytes: self.bytes,
        }
    }
}

/// A key as people know it: the file's name.
fn shown(key: &Key) -> String {
    key.path().map_or_else(|| key.to_string(), |path| path.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, Fault, RelPath};

    fn event(name: &str, deed: Deed, ending: Ending) -> Event {
        let key = Key::of(&RelPath::new(name.as_bytes()).expect("valid"));
        Event::Action {
            from: (deed == Deed::Copy).then(|| key.clone()),
            key,
            deed,
            why: "",
            ending,
            bytes: 7,
        }
    }

    #[test]
    fn the_latest_are_remembered_and_only_what_was_done() {
        let recent = Recent::default();
        for ending in [Ending::Held, Ending::Planned, Ending::Failed(Fault::new(Class::Permanent, "", ""))] {
            recent.note(&event("not", Deed::Put, ending));
        }
        recent.note(&Event::Settled);
        assert_eq!(recent.list(), []);
        for n in 0..100 {
            recent.note(&event(&format!("{n}"), Deed::Put, Ending::Done));
        }
        recent.note(&event("a\x1b", Deed::Copy, Ending::Done));
        let told = recent.list();
        assert_eq!(told.len(), KEPT);
        assert_eq!((&*told[0].path, &*told[0].op, told[0].bytes), ("a\\u{1b}", "copy", 7));
        assert_eq!(told[0].from.as_deref(), Some("a\\u{1b}"));
        assert_eq!((&*told[1].path, &*told[1].op, told[1].from.clone()), ("99", "put", None));
    }
}
