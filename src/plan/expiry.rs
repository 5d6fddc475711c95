//! When what lies in the trash may go: when both clocks say so.
//!
//! A host's clock that jumps ahead must not empty the trash (CASES 24), so the store's clock has to agree, by the time
//! that it gave an object and by that of its last answer.

use crate::model::{Key, RemoteMeta};
use std::time::Duration;

/// What went to the trash until then may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// In seconds since 1970.
    until: i64,
}

impl Expiry {
    /// By this clock; what is there is kept for `keep`.
    pub fn by(clock: i64, keep: Duration) -> Self {
        Self { until: clock.saturating_sub(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX)) }
    }

    /// By this clock, too: the one that lets less go decides.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { until: self.until.min(other.until) }
    }

    /// True if something may go of a directory of the trash: it is one day's, and that day ended long enough ago.
    pub fn reaches(self, directory: &Key) -> bool {
        directory.trash_day_ends().is_some_and(|end| end <= self.until)
    }

    /// True if this object may go: its name has the form that we write, and is as old as the store says that it is.
    pub fn covers(self, key: &Key, meta: &RemoteMeta) -> bool {
        key.trashed_at().is_some_and(|at| at <= self.until)
            && meta.modified.is_some_and(|modified| modified.sec <= self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ETag, Stamp};

    const DAY: i64 = 86_400;
    /// 2026-11-29T11:50:13Z
    const AT: i64 = 1_795_953_013;

    #[test]
    fn only_what_both_clocks_call_old_may_go() {
        let keep = Duration::from_secs(30 * DAY as u64);
        let ours = Key::raw(".s3mirrord/trash/2026-11-29/a.115013Z-0123456789abcdef");
        let theirs = Key::raw(".s3mirrord/trash/2026-11-29/a");
        let elsewhere = Key::raw("2026-11-29/a.115013Z-0123456789abcdef");
        let due = AT + 30 * DAY;
        for (key, wall, server, modified, want) in [
            (&ours, due, due, Some(AT), true),
            (&ours, due - 1, due, Some(AT), false),
            (&ours, due, due - 1, Some(AT), false),
            (&ours, due + 400 * DAY, due - 1, Some(AT), false),
            // the name is as old as the clock was wrong
            (&ours, due, due, Some(AT + 1), false),
            (&ours, due, due, None, false),
            (&theirs, due, due, Some(AT), false),
            (&elsewhere, due, due, Some(AT), false),
            (&ours, i64::MIN, due, Some(AT), false),
        ] {
            let expiry = Expiry::by(wall, keep).and(Expiry::by(server, keep));
            let modified = modified.map(|sec| Stamp { sec, nsec: 0 });
            let meta = RemoteMeta { size: 1, etag: ETag::new("e"), modified };
            assert_eq!(expiry.covers(key, &meta), want, "{key} {wall} {server} {modified:?}");
        }
        assert!(!Expiry::by(i64::MAX, Duration::MAX).covers(
            &ours,
            &RemoteMeta { size: 1, etag: ETag::new("e"), modified: Some(Stamp { sec: AT, nsec: 0 }) }
        ));
        // a day goes as a whole, when its last second is old enough
        let (day, end) = (Key::raw(".s3mirrord/trash/2026-11-29/"), AT + 43_787);
        assert!(Expiry::by(end + 30 * DAY, keep).reaches(&day));
        assert!(!Expiry::by(end + 30 * DAY - 1, keep).reaches(&day));
        assert!(!Expiry::by(i64::MAX, keep).reaches(&Key::raw(".s3mirrord/trash/other/")));
    }
}
