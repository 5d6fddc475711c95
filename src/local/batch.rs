//! What a walk has found, handed on in batches.

use super::Entry;
use crate::model::{Key, Local};

/// Entries of a batch,
const MOST: usize = 512;
/// and bytes of their keys: below thousands of directories each of them is long.
const MOST_BYTES: usize = 256 * 1024;

/// Entries on their way to whoever listens.
pub(super) struct Batches<'a> {
    give: &'a mut dyn FnMut(Vec<Entry>) -> bool,
    batch: Vec<Entry>,
    /// Bytes of its keys.
    bytes: usize,
    ended: bool,
}

impl<'a> Batches<'a> {
    /// To `give`, until it returns false.
    pub(super) fn new(give: &'a mut dyn FnMut(Vec<Entry>) -> bool) -> Self {
        Self { give, batch: Vec::new(), bytes: 0, ended: false }
    }

    /// True if nobody listens any more.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Adds an entry.
    pub(super) fn emit(&mut self, key: Key, local: Local) {
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(MOST);
        }
        self.bytes += key.as_str().len();
        self.batch.push((key, local));
        if self.batch.len() >= MOST || self.bytes >= MOST_BYTES {
            self.flush();
        }
    }

    /// Hands on what there is.
    pub(super) fn flush(&mut self) {
        self.bytes = 0;
        if !self.batch.is_empty() && !self.ended {
            self.ended = !(self.give)(std::mem::take(&mut self.batch));
        }
    }
}
