//! Where a restored file lands: what is there already, and whether that gives way.
//!
//! | there | in the bucket | `never` | `older` | `always` |
//! |---|---|---|---|---|
//! | nothing | any | fetch | fetch | fetch |
//! | a file of the same size and time | | same | same | same |
//! | an older file | | stays | fetch | fetch |
//! | another file | | stays | stays | fetch |
//! | a directory, a link, anything else | | blocked | blocked | blocked |

use crate::model::{Stamp, There};

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

/// Decides. `mtime` is what the object says of its file; without it only `Always` replaces.
pub fn landing(size: u64, mtime: Option<Stamp>, there: There, replace: Replace) -> Landing {
    let had = match there {
        There::Nothing => return Landing::Fetch,
        There::Directory => return Landing::Blocked("a directory of that name is there"),
        There::Other => return Landing::Blocked("a link or special file of that name is there"),
        There::File { size: had, mtime: at } if had == size && Some(at) == mtime => return Landing::Same,
        There::File { mtime, .. } => mtime,
    };
    let gives_way = match replace {
        Replace::Never => false,
        Replace::Older => mtime.is_some_and(|mtime| had < mtime),
        Replace::Always => true,
    };
    if gives_way { Landing::Fetch } else { Landing::Stays }
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
        for (mtime, there, want) in rows {
            let got = [Never, Older, Always].map(|replace| landing(3, mtime, there, replace));
            assert_eq!(got, want, "{mtime:?} {there:?}");
        }
        for there in [There::Directory, There::Other] {
            assert!(matches!(landing(3, Some(at(9)), there, Always), Blocked(_)));
        }
    }
}
