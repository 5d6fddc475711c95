//! What a file did while it was looked at, and read: the table that keeps torn objects away (promise I3).
//!
//! | inode | size | else | it had time to rest | |
//! |---|---|---|---|---|
//! | the same | the same | the same | | rests: what was read is the file |
//! | the same | greater | any | yes | grows: sent as it is at one moment, if that can be shown |
//! | the same | greater | any | no | busy |
//! | the same | the same, smaller | differs | | busy: it is written in place, or cut |
//! | another | any | any | | replaced: the name leads to another file now |
//!
//! Of a file that grows, what is sent is read twice: once before a moment at which it was as long as what was read, and
//! once after it. If the two are the same, it was just that at that moment, whatever else was written to it.

use crate::model::LocalMeta;

/// What a file did since it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// Nothing: any write would show.
    Rests,
    /// It became longer, and has had its time to rest.
    Grows,
    /// It changes: it is read again when it rests.
    Busy,
    /// Another file has its name.
    Replaced,
}

/// What the file that was seen as `then` did, if it is `now` like this. `patient`: time to rest was given, in vain.
pub fn motion(then: &LocalMeta, now: &LocalMeta, patient: bool) -> Motion {
    if now == then {
        return Motion::Rests;
    }
    if now.print.inode != then.print.inode {
        return Motion::Replaced;
    }
    match patient && now.print.size > then.print.size {
        true => Motion::Grows,
        false => Motion::Busy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Fingerprint, Stamp};

    #[test]
    fn c25_c26_what_a_file_did_is_seen_from_two_looks() {
        let meta = |inode, size, ctime| LocalMeta {
            print: Fingerprint { size, mtime: Stamp::default(), ctime: Stamp { sec: ctime, nsec: 0 }, inode },
            attributes: Attributes { mode: 0o100_644, uid: 0, gid: 0 },
        };
        let then = meta(7, 10, 1);
        for (now, hasty, patient) in [
            (then, Motion::Rests, Motion::Rests),
            (meta(7, 11, 2), Motion::Busy, Motion::Grows),
            // a clock that stands still
            (meta(7, 11, 1), Motion::Busy, Motion::Grows),
            (meta(7, 10, 2), Motion::Busy, Motion::Busy),
            (meta(7, 9, 2), Motion::Busy, Motion::Busy),
            (meta(7, 0, 2), Motion::Busy, Motion::Busy),
            (meta(8, 10, 1), Motion::Replaced, Motion::Replaced),
            (meta(8, 11, 2), Motion::Replaced, Motion::Replaced),
        ] {
            assert_eq!((motion(&then, &now, false), motion(&then, &now, true)), (hasty, patient), "{now:?}");
        }
        let mode = Attributes { mode: 0o100_600, ..then.attributes };
        assert_eq!(motion(&then, &LocalMeta { attributes: mode, ..then }, true), Motion::Busy);
    }
}
