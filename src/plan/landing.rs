//! Where a restored file lands: what is there already, and whether that gives way.
//!
//! | there | in the bucket | `never` | `older` | `always` |
//! |---|---|---|---|---|
//! | nothing | any | fetch | fetch | fetch |
//! | a file of the same size and time | | same | same | same |
//! | an older file | | stays | fetch | fetch |
//! | another file | | stays | stays | fetch |
//! | a directory, a link, anything else | | blocked | blocked | blocked |
//!
//! A link lands in the same way, where nothing or a link is; it is the same if it leads to the same. A FIFO or device lands where
//! nothing is, and is the same if the same one is there.

use crate::model::{Node, Stamp, There};

/// Which files give way to what the bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replace {
    /// None.
    #[default]
    Never,
    /// Those that were written before.
    Older,
    /// Those that differ in size or time.
    Always,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The object is fetched.
    Fetch,
    /// The file is there already.
    Same,
    /// Another file is there, and stays.
    Stays,
    /// Something is there that never gives way to a file.
    Blocked(&'static str),
}

/// What the object says of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bytes.
    pub size: u64,
    /// When the file was last modified; `None` of what other tools wrote.
    pub mtime: Option<Stamp>,
    /// When the object was written, which is what its file gets where nothing is said.
    pub written: Option<Stamp>,
}

impl Wanted {
    /// When the restored file is to be last modified.
    pub fn time(&self) -> Option<Stamp> {
        self.mtime.or(self.written)
    }
}

/// Decides. `Older` compares with what the object says of its file alone: when it was written says nothing of that.
pub fn landing(wanted: &Wanted, there: There, replace: Replace) -> Landing {
    let (had, at) = match there {
        There::Nothing => return Landing::Fetch,
        There::Directory => return Landing::Blocked("a directory of that name is there"),
        There::Link { .. } => return Landing::Blocked("a link of that name is there"),
        There::Node(_) | There::Other => return Landing::Blocked(SPECIAL),
        There::File { size, mtime } => (size, mtime),
    };
    if had == wanted.size && wanted.time().is_some_and(|time| is_kept_as(time, at)) {
        return Landing::Same;
    }
    if gives_way(wanted, at, replace) { Landing::Fetch } else { Landing::Stays }
}

/// The same of a link. `alike`: one that is there leads to the same.
pub fn landing_of_link(wanted: &Wanted, there: There, alike: bool, replace: Replace) -> Landing {
    match there {
        There::Nothing => Landing::Fetch,
        There::Link { .. } if alike => Landing::Same,
        There::Link { mtime } if gives_way(wanted, mtime, replace) => Landing::Fetch,
        There::Link { .. } => Landing::Stays,
        There::File { .. } => Landing::Blocked("a file of that name is there"),
        There::Directory => Landing::Blocked("a directory of that name is there"),
        There::Node(_) | There::Other => Landing::Blocked(SPECIAL),
    }
}

/// The same of a FIFO or device: another one never gives way, as somebody may use it.
pub fn landing_of_node(node: Node, there: There) -> Landing {
    match there {
        There::Nothing => Landing::Fetch,
        There::Node(had) if had == node => Landing::Same,
        There::Node(_) | There::Other => Landing::Blocked(SPECIAL),
        There::File { .. } => Landing::Blocked("a file of that name is there"),
        There::Directory => Landing::Blocked("a directory of that name is there"),
        There::Link { .. } => Landing::Blocked("a link of that name is there"),
    }
}

/// Why nothing lands on one that is none of ours.
const SPECIAL: &str = "a special file of that name is there";

/// True if what was last modified `at` that time gives way.
fn gives_way(wanted: &Wanted, at: Stamp, replace: Replace) -> bool {
    match replace {
        Replace::Never => false,
        Replace::Older => wanted.mtime.is_some_and(|mtime| at < mtime && !is_kept_as(mtime, at)),
        Replace::Always => true,
    }
}

/// What file systems count times by, in nanoseconds: 100 (NTFS, CIFS), a microsecond, a millisecond, 10 of them (exFAT), a
/// second (ext3, HFS+), two (FAT).
const STEPS: [i128; 6] = [100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000];

/// The last second that file systems have, and the first: those of 32 bits (ext3, old XFS, NFSv3), FAT and exFAT, ext4, XFS.
const LAST: [i64; 5] = [2_147_483_647, 4_294_967_295, 4_354_819_198, 15_032_385_535, 16_299_260_424];
const FIRST: [i64; 3] = [-2_147_483_648, 0, 315_532_800];

/// True if a file system that was given this time may show it as that one.
fn is_kept_as(given: Stamp, shown: Stamp) -> bool {
    let nanos = |time: Stamp| i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
    let (given, shown) = (nanos(given), nanos(shown));
    // what lies beyond its times it has as the nearest that it has
    let is_edge = shown % 1_000_000_000 == 0;
    let at_edge =
        |edges: &[i64]| is_edge && edges.iter().any(|edge| nanos(Stamp { sec: *edge, nsec: 0 }) == shown);
    if given > shown && at_edge(&LAST) || given < shown && at_edge(&FIRST) {
        return true;
    }
    given == shown || STEPS.into_iter().any(|step| given - given.rem_euclid(step) == shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Landing::{Blocked, Fetch, Same, Stays};
    use Replace::{Always, Never, Older};

    #[test]
    fn the_table() {
        let at = |sec| Stamp { sec, nsec: 5 };
        let file = |size, sec| There::File { size, mtime: at(sec) };
        let rows = [
            (Some(at(9)), There::Nothing, [Fetch, Fetch, Fetch]),
            (None, There::Nothing, [Fetch, Fetch, Fetch]),
            (Some(at(9)), file(3, 9), [Same, Same, Same]),
            (Some(at(9)), file(4, 9), [Stays, Stays, Fetch]),
            (Some(at(9)), file(3, 8), [Stays, Fetch, Fetch]),
            (Some(at(9)), file(4, 8), [Stays, Fetch, Fetch]),
            (Some(at(9)), file(3, 10), [Stays, Stays, Fetch]),
            (None, file(3, 9), [Stays, Stays, Fetch]),
        ];
        let wanted = |mtime, written| Wanted { size: 3, mtime, written };
        for (mtime, there, want) in rows {
            for written in [None, Some(at(99))] {
                let got =
                    [Never, Older, Always].map(|replace| landing(&wanted(mtime, written), there, replace));
                assert_eq!(got, want, "{mtime:?} {there:?}");
            }
        }
        // of another tool: what was restored before is known again, and nothing is older than it
        let others = wanted(None, Some(at(9)));
        for (there, want) in [(file(3, 9), [Same; 3]), (file(3, 8), [Stays, Stays, Fetch])] {
            assert_eq!([Never, Older, Always].map(|replace| landing(&others, there, replace)), want);
        }
        let link = There::Link { mtime: at(1) };
        for there in [There::Directory, There::Other, link] {
            assert!(matches!(landing(&wanted(Some(at(9)), None), there, Always), Blocked(_)));
        }
    }

    #[test]
    fn a_link_gives_way_to_a_link_alone() {
        let wanted = Wanted { size: 3, mtime: Some(Stamp { sec: 90, nsec: 0 }), written: None };
        let link = |sec| There::Link { mtime: Stamp { sec, nsec: 0 } };
        for (there, alike, want) in [
            (There::Nothing, false, [Fetch, Fetch, Fetch]),
            (link(80), true, [Same, Same, Same]),
            (link(80), false, [Stays, Fetch, Fetch]),
            (link(90), false, [Stays, Stays, Fetch]),
        ] {
            let got = [Never, Older, Always].map(|replace| landing_of_link(&wanted, there, alike, replace));
            assert_eq!(got, want, "{there:?}");
        }
        for there in [There::Directory, There::Other, There::File { size: 3, mtime: Stamp::default() }] {
            assert!(matches!(landing_of_link(&wanted, there, false, Always), Blocked(_)), "{there:?}");
        }
    }

    #[test]
    fn a_fifo_or_device_lands_where_nothing_is() {
        let (file, link) =
            (There::File { size: 0, mtime: Stamp::default() }, There::Link { mtime: Stamp::default() });
        let device = Node::Character(7);
        for (node, there, want) in [
            (Node::Fifo, There::Nothing, Some(Fetch)),
            (Node::Fifo, There::Node(Node::Fifo), Some(Same)),
            (device, There::Node(device), Some(Same)),
            (device, There::Node(Node::Character(8)), None),
            (device, There::Node(Node::Block(7)), None),
            (Node::Fifo, There::Other, None),
            (Node::Fifo, file, None),
            (Node::Fifo, link, None),
            (Node::Fifo, There::Directory, None),
        ] {
            let got = landing_of_node(node, there);
            assert_eq!(Some(got).filter(|got| !matches!(got, Blocked(_))), want, "{node:?} {there:?}");
        }
    }

    #[test]
    fn a_time_that_a_file_system_keeps_in_part_is_known_again() {
        let given = Stamp { sec: 1_700_000_001, nsec: 123_456_789 };
        let file = |sec, nsec| There::File { size: 3, mtime: Stamp { sec, nsec } };
        let wanted = Wanted { size: 3, mtime: Some(given), written: None };
        for nsec in [123_456_700, 123_456_000, 123_000_000, 120_000_000, 0] {
            assert_eq!(landing(&wanted, file(1_700_000_001, nsec), Older), Same, "{nsec}");
        }
        assert_eq!(landing(&wanted, file(1_700_000_000, 0), Older), Same, "every other second");
        for (sec, nsec) in [(1_700_000_001, 123_456_788), (1_700_000_000, 123_456_789), (1_699_999_999, 0)] {
            assert_eq!(landing(&wanted, file(sec, nsec), Older), Fetch, "{sec} {nsec}");
        }
        for (given, shown, want) in [
            (20_000_000_000, 15_032_385_535, Same),
            (20_000_000_000, 15_032_385_534, Fetch),
            (1_000, 2_147_483_647, Stays),
            (-3_000_000_000, -2_147_483_648, Same),
            (-3_000_000_000, -2_147_483_647, Stays),
        ] {
            let wanted = Wanted { mtime: Some(Stamp { sec: given, nsec: 5 }), ..wanted };
            assert_eq!(landing(&wanted, file(shown, 0), Older), want, "{given} {shown}");
        }
        let before = Wanted { mtime: Some(Stamp { sec: -1, nsec: 600_000_000 }), ..wanted };
        assert_eq!(landing(&before, file(-1, 0), Never), Same);
    }
}
