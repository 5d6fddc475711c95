//! The memory that bodies may hold: of all transfers of all mirrors together.
//!
//! Mirrors take turns, and those of one mirror are served in the order of coming, so a part of 8 MiB is not passed by a
//! thousand small files. They in turn need not wait behind it: a share is kept for them.

use super::{
    lanes::{Lane, Lanes, Permit},
    options::MIB,
};

/// A body of no more bytes is small.
pub(super) const SMALL: u64 = 64 << 10;
/// The share that is kept for small ones: one in as many.
const KEPT: u32 = 8;
/// A part of more than one in as many of all is not held whole.
const WHOLE: u32 = 4;

/// Bytes that bodies may hold. Clones share them.
#[derive(Clone, Debug)]
pub struct Memory {
    /// KiB for all.
    common: Lanes,
    most: u32,
    /// A body of more KiB is not to be held whole.
    much: u32,
    /// KiB for small ones alone.
    kept: Lanes,
    /// Whose.
    lane: Lane,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _permit: Permit,
}

impl Memory {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        let all = kib(bytes).max(2);
        let kept = (all / KEPT).max(1);
        let most = all - kept;
        let (common, kept) = (Lanes::new(most), Lanes::new(kept));
        Self { common, most, much: all / WHOLE, kept, lane: Lane::default() }
    }

    /// The same, for a mirror that takes turns with others.
    #[must_use]
    pub(super) fn in_lane(&self, lane: Lane) -> Self {
        Self { lane, ..self.clone() }
    }

    /// Waits until `bytes` may be held. What is more than all that there is takes all.
    pub(super) async fn hold(&self, bytes: u64) -> Held {
        let wanted = kib(bytes).max(1);
        if bytes <= SMALL
            && let Some(permit) = self.kept.try_take(wanted)
        {
            return Held { _permit: permit };
        }
        let common = self.common.take(self.lane, wanted.min(self.most));
        let permit = if bytes <= SMALL {
            tokio::select! { permit = self.kept.take(self.lane, wanted) => permit, permit = common => permit }
        } else {
            common.await
        };
        Held { _permit: permit }
    }

    /// True if so many bytes are not to be held at a time.
    pub(super) fn is_much(&self, bytes: u64) -> bool {
        kib(bytes) > self.much
    }
}

/// 64 MiB.
impl Default for Memory {
    fn default() -> Self {
        Self::new(64 * MIB)
    }
}

fn kib(bytes: u64) -> u32 {
    bytes.div_ceil(1024).try_into().unwrap_or(u32::MAX).min(u32::MAX >> 3)
}
