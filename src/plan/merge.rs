//! Three sorted streams in lock-step: walk ⋈ listing ⋈ ledger.
//!
//! Sans-io: the caller pushes pages and pulls triples, so memory is that of three pages whatever the
//! number of files. Input that is not sorted is an error, never a wrong answer.

use crate::model::{Key, Local, Record, RemoteMeta};
use std::collections::VecDeque;

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The walk.
    Local,
    /// The listing.
    Remote,
    /// The ledger.
    Ledger,
}

/// A stream is not in strictly ascending key order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{side:?} is not sorted: {key} came after {before}")]
pub struct Unsorted {
    /// Which stream.
    pub side: Side,
    /// The key that came too late.
    pub key: Key,
    /// The key before it.
    pub before: Key,
}

/// What the three sides have for one key. A side may know a key only as a directory (`a/`, in a
/// survey of direct entries): then it is there, without content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The key.
    pub key: Key,
    /// What the walk gave: `None` if it gave nothing, which means absent.
    pub local: Option<Local>,
    /// What the listing gave.
    pub remote: Option<Option<RemoteMeta>>,
    /// What the ledger gave.
    pub record: Option<Option<Record>>,
    /// `local` is that of a directory around it, which is skipped or unknown as a whole.
    pub covered: bool,
}

impl Merged {
    /// True if the disk has a file that is [fresh](Local::is_fresh).
    pub fn is_fresh(&self) -> bool {
        let record = self.record.as_ref().and_then(Option::as_ref);
        self.local.as_ref().is_some_and(|local| local.is_fresh(record)) && !self.covered
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Push more of this side, or end it.
    Need(Side),
    /// The next key.
    Next(Box<Merged>),
    /// All three have ended.
    End,
}

#[derive(Debug)]
struct Lane<T> {
    side: Side,
    items: VecDeque<(Key, T)>,
    last: Option<Key>,
    /// There is nothing more up to this key.
    clear: Option<Key>,
    ended: bool,
}

impl<T> Lane<T> {
    fn new(side: Side) -> Self {
        Self { side, items: VecDeque::new(), last: None, clear: None, ended: false }
    }

    fn push(&mut self, items: Vec<(Key, T)>) -> Result<(), Unsorted> {
        for (key, item) in items {
            if let Some(before) = self.last.replace(key.clone()).filter(|last| *last >= key) {
                return Err(Unsorted { side: self.side, key, before });
            }
            self.items.push_back((key, item));
        }
        Ok(())
    }

    /// True if it has to be asked before `head`, the least key that is known, can be given.
    fn wants(&self, head: Option<&Key>) -> bool {
        let clear = head.is_some() && self.clear.as_ref() >= head;
        self.items.is_empty() && !self.ended && !clear
    }

    fn peek(&self) -> Option<&Key> {
        self.items.front().map(|(key, _)| key)
    }

    fn take(&mut self, key: &Key) -> Option<T> {
        (self.peek() == Some(key)).then(|| self.items.pop_front()).flatten().map(|(_, item)| item)
    }
}

/// The merge. Feed it with [`Merge::step`]'s needs.
#[derive(Debug)]
pub struct Merge {
    local: Lane<Local>,
    remote: Lane<Option<RemoteMeta>>,
    ledger: Lane<Option<Record>>,
    /// The directories around the present key that are skipped or unknown as a whole, outermost first.
    covers: Vec<(Key, Local)>,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            local: Lane::new(Side::Local),
            remote: Lane::new(Side::Remote),
            ledger: Lane::new(Side::Ledger),
            covers: vec![],
        }
    }
}

impl Merge {
    /// More of the walk.
    ///
    /// # Errors
    /// [`Unsorted`].
    pub fn push_local(&mut self, items: Vec<(Key, Local)>) -> Result<(), Unsorted> {
        self.local.push(items)
    }

    /// The next page of the listing.
    ///
    /// # Errors
    /// [`Unsorted`].
    pub fn push_remote(&mut self, items: Vec<(Key, Option<RemoteMeta>)>) -> Result<(), Unsorted> {
        self.remote.push(items)
    }

    /// More of the ledger.
    ///
    /// # Errors
    /// [`Unsorted`].
    pub fn push_ledger(&mut self, items: Vec<(Key, Option<Record>)>) -> Result<(), Unsorted> {
        self.ledger.push(items)
    }

    /// This side has no more up to and with `upto`: it need not be asked before keys up to there are given. Without
    /// that, a side that has nothing for long would have to be read on and on while the others wait.
    pub fn clear(&mut self, side: Side, upto: Key) {
        let clear = match side {
            Side::Local => &mut self.local.clear,
            Side::Remote => &mut self.remote.clear,
            Side::Ledger => &mut self.ledger.clear,
        };
        *clear = Some(upto);
    }

    /// This side has no more.
    pub fn end(&mut self, side: Side) {
        match side {
            Side::Local => self.local.ended = true,
            Side::Remote => self.remote.ended = true,
            Side::Ledger => self.ledger.ended = true,
        }
    }

    /// What comes next. Answers `Need` until each side has an item or has ended.
    pub fn step(&mut self) -> Step {
        let heads = [self.local.peek(), self.remote.peek(), self.ledger.peek()];
        let head = heads.into_iter().flatten().min();
        for (wants, side) in [
            (self.ledger.wants(head), Side::Ledger),
            (self.remote.wants(head), Side::Remote),
            (self.local.wants(head), Side::Local),
        ] {
            if wants {
                return Step::Need(side);
            }
        }
        let Some(key) = head.cloned() else { return Step::End };
        self.covers.retain(|(directory, _)| key.as_str().starts_with(directory.as_str()));
        let own = self.local.take(&key);
        let covered = own.is_none() && !self.covers.is_empty();
        let local = match own {
            Some(what @ (Local::Skipped(_) | Local::Unknown)) if key.as_str().ends_with('/') => {
                self.covers.push((key.clone(), what.clone()));
                Some(what)
            }
            Some(what) => Some(what),
            None => self.covers.last().map(|(_, what)| what.clone()),
        };
        Step::Next(Box::new(Merged {
            remote: self.remote.take(&key),
            record: self.ledger.take(&key),
            covered,
            local,
            key,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, ETag, Fingerprint, LocalMeta, Skip, Stamp};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn key(s: &str) -> Key {
        Key::raw(s)
    }

    fn remote() -> Option<RemoteMeta> {
        Some(RemoteMeta { size: 1, etag: ETag::new("e"), modified: None })
    }

    fn run(mut merge: Merge) -> Vec<Merged> {
        let mut out = vec![];
        loop {
            match merge.step() {
                Step::Need(side) => merge.end(side),
                Step::Next(m) => out.push(*m),
                Step::End => return out,
            }
        }
    }

    #[test]
    fn an_unknown_directory_covers_its_keys_but_not_its_neighbours() {
        let mut m = Merge::default();
        m.push_local(vec![(key("a/"), Local::Unknown), (key("a/c"), Local::Skipped(Skip::Link))])
            .expect("sorted");
        let keys = ["a", "a-", "a/", "a/b", "a/c", "a/d/e", "a0", "b"];
        m.push_remote(keys.iter().map(|k| (key(k), remote())).collect()).expect("sorted");
        let got: BTreeMap<_, _> = run(m).into_iter().map(|m| (m.key.as_str().to_owned(), m.local)).collect();
        for (k, want) in [
            ("a", None),
            ("a-", None),
            ("a/b", Some(Local::Unknown)),
            ("a/c", Some(Local::Skipped(Skip::Link))),
            ("a/d/e", Some(Local::Unknown)),
            ("a0", None),
            ("b", None),
        ] {
            assert_eq!(got[k], want, "{k}");
        }
    }

    #[test]
    fn c41_unsorted_input_is_an_error() {
        let mut m = Merge::default();
        m.push_remote(vec![(key("b"), remote())]).expect("sorted");
        for late in ["a", "b"] {
            let error = m.push_remote(vec![(key(late), remote())]).expect_err("not ascending");
            assert_eq!((error.side, error.key, error.before.as_str()), (Side::Remote, key(late), "b"));
            m = Merge::default();
            m.push_remote(vec![(key("b"), remote())]).expect("sorted");
        }
    }

    #[test]
    fn only_a_file_that_was_seen_itself_is_fresh() {
        let print = Fingerprint { size: 1, mtime: Stamp::default(), ctime: Stamp::default(), inode: 7 };
        let file =
            Local::Present(LocalMeta { print, attributes: Attributes { mode: 0o100_644, uid: 0, gid: 0 } });
        let merged =
            |local, covered| Merged { key: key("a"), local, remote: None, record: Some(None), covered };
        assert!(merged(Some(file.clone()), false).is_fresh());
        assert!(!merged(Some(file), true).is_fresh());
        assert!(!merged(None, false).is_fresh() && !merged(Some(Local::Unknown), false).is_fresh());
    }

    #[test]
    fn a_side_that_is_clear_is_not_asked() {
        let mut m = Merge::default();
        m.push_ledger(["a", "b", "c"].map(|k| (key(k), None)).into()).expect("sorted");
        m.clear(Side::Remote, key("b"));
        m.end(Side::Local);
        let next = |m: &mut Merge| match m.step() {
            Step::Next(found) => found.key.as_str().to_owned(),
            step => format!("{step:?}"),
        };
        assert_eq!([(); 3].map(|()| next(&mut m)), ["a", "b", "Need(Remote)"]);
        m.clear(Side::Remote, key("c"));
        // with no key known, each side has to say what it has
        assert_eq!([(); 2].map(|()| next(&mut m)), ["c", "Need(Ledger)"]);
        m.end(Side::Ledger);
        assert_eq!(next(&mut m), "Need(Remote)");
    }

    proptest! {
        #[test]
        fn it_is_the_outer_join(
            l in proptest::collection::btree_set("[ab/-]{1,3}", 0..12), r in proptest::collection::btree_set("[ab/-]{1,3}", 0..12),
            g in proptest::collection::btree_set("[ab/-]{1,3}", 0..12), page in 1usize..4,
        ) {
            let mut merge = Merge::default();
            let chunks = |s: &BTreeSet<String>| s.iter().map(|k| key(k)).collect::<Vec<_>>().chunks(page).map(<[Key]>::to_vec).rev().collect::<Vec<_>>();
            let (mut lp, mut rp, mut gp) = (chunks(&l), chunks(&r), chunks(&g));
            let mut got = vec![];
            loop {
                match merge.step() {
                    Step::Need(Side::Local) => match lp.pop() {
                        Some(p) => { merge.clear(Side::Local, p[p.len() - 1].clone()); merge.push_local(p.into_iter().map(|k| (k, Local::Skipped(Skip::Link))).collect()).expect("sorted") },
                        None => merge.end(Side::Local),
                    },
                    Step::Need(Side::Remote) => match rp.pop() {
                        Some(p) => { merge.clear(Side::Remote, p[p.len() - 1].clone()); merge.push_remote(p.into_iter().map(|k| (k, remote())).collect()).expect("sorted") },
                        None => merge.end(Side::Remote),
                    },
                    Step::Need(Side::Ledger) => match gp.pop() {
                        Some(p) => merge.push_ledger(p.into_iter().map(|k| (k, None)).collect()).expect("sorted"),
                        None => merge.end(Side::Ledger),
                    },
                    Step::Next(m) => got.push(*m),
                    Step::End => break,
                }
            }
            let want: BTreeSet<&String> = l.iter().chain(&r).chain(&g).collect();
            prop_assert_eq!(got.len(), want.len());
            for (m, k) in got.iter().zip(want) {
                prop_assert_eq!(m.key.as_str(), k);
                prop_assert_eq!(m.remote.is_some(), r.contains(k));
                prop_assert_eq!(m.record.is_some(), g.contains(k));
                let covered = l.iter().any(|d| d.ends_with('/') && k.starts_with(d.as_str()));
                prop_assert_eq!(m.local.is_some(), l.contains(k) || covered);
                prop_assert_eq!(m.covered, covered && !l.contains(k));
            }
        }
    }
}
