//! What a key was at a moment, by what is there and what the trash holds of it: a ladder, as `evidence` is one. Called
//! again and again with what was found out so far, it names the object to ask next, or says what the key was.
//!
//! | the first copy that went after the moment | was |
//! |---|---|
//! | had been written by then | that copy |
//! | had not, or there is none, and what is there had been written by then | what is there |
//! | … had not, and the last copy that went before was *deleted*, or there is none | nothing |
//! | … and it was about to be *replaced*, by what was written after the moment | that copy |
//! | … by nothing that is known | unknown |
//!
//! All times are the store's: that of a copy is when the store made it, and when the object was written that it is of is
//! in its metadata. Between the copy and what replaces it there is a while (the fourth line). What has new metadata is
//! written anew, and says since when it has its bytes.

use crate::model::Went;

/// What a copy in the trash says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Says {
    /// When the object was written that it is of, in seconds since 1970.
    pub written: i64,
    /// Why it went.
    pub went: Went,
}

/// A copy in the trash of the key's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// When it was made, in seconds since 1970.
    pub at: i64,
    /// What it says; `None`: it was not asked yet. `Some(None)`: nothing.
    pub says: Option<Option<Says>>,
}

/// What is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// Last-Modified, in seconds since 1970.
    pub modified: i64,
    /// Since when it has its bytes; `None`: it was not asked yet.
    pub since: Option<i64>,
}

/// What is to be done next, or the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// Ask this copy.
    Ask(usize),
    /// Ask what is there.
    AskPresent,
    /// It was this copy.
    Copy(usize),
    /// It was what is there.
    Present,
    /// It was not there.
    Nothing,
    /// That cannot be told, for this reason.
    Unknown(&'static str),
}

/// Decides; `moment` in seconds since 1970.
pub fn bygone(moment: i64, copies: &[Gone], present: Option<Present>) -> Past {
    let edge =
        |times: &mut dyn Iterator<Item = i64>, last: bool| if last { times.max() } else { times.min() };
    let after = edge(&mut copies.iter().map(|c| c.at).filter(|at| *at > moment), false);
    let before = edge(&mut copies.iter().map(|c| c.at).filter(|at| *at <= moment), true);
    let mut replaced_later = false;
    if let Some(after) = after {
        // of one second, the one that was written first
        let (first, says) = match of(copies, after, false) {
            Ok(found) => found,
            Err(next) => return next,
        };
        if says.written <= moment {
            return Past::Copy(first);
        }
        replaced_later = true;
    } else if let Some(Present { modified, since }) = present {
        match since {
            _ if modified <= moment => return Past::Present,
            None => return Past::AskPresent,
            Some(since) if since <= moment => return Past::Present,
            Some(_) => replaced_later = true,
        }
    }
    let Some(before) = before else { return Past::Nothing };
    match of(copies, before, true) {
        Ok((_, Says { went: Went::Deleted, .. })) => Past::Nothing,
        Ok((last, Says { went: Went::Replaced, .. })) if replaced_later => Past::Copy(last),
        Ok(_) => {
            Past::Unknown("it was to be replaced before that, and what came of it the trash does not tell")
        }
        Err(next) => next,
    }
}

/// The copy of this second that was written first, or last; or what is to be done before that is known.
fn of(copies: &[Gone], at: i64, last: bool) -> Result<(usize, Says), Past> {
    let mut found: Option<(usize, Says)> = None;
    for (n, copy) in copies.iter().enumerate().filter(|(_, copy)| copy.at == at) {
        let says = match copy.says {
            None => return Err(Past::Ask(n)),
            Some(None) => {
                return Err(Past::Unknown("its copy in the trash does not say when the object was written"));
            }
            Some(Some(says)) => says,
        };
        let rank = |says: &Says| (says.written, says.went);
        if found.as_ref().is_none_or(|(_, other)| (rank(&says) > rank(other)) == last) {
            found = Some((n, says));
        }
    }
    found.ok_or(Past::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Past::{Ask, AskPresent, Copy, Nothing};
    use Went::{Deleted, Replaced};
    use proptest::prelude::*;

    fn gone(written: i64, at: i64, went: Went) -> Gone {
        Gone { at, says: Some(Some(Says { written, went })) }
    }

    fn there(modified: i64, since: i64) -> Option<Present> {
        Some(Present { modified, since: Some(since) })
    }

    #[test]
    fn the_table() {
        let (old, new) = (gone(10, 20, Replaced), gone(21, 30, Deleted));
        for (moment, copies, present, want) in [
            (5, &[][..], None, Nothing),
            (5, &[], there(5, 5), Past::Present),
            (5, &[], there(6, 6), Nothing),
            // it has new metadata since
            (5, &[], there(9, 5), Past::Present),
            (9, &[old, new], None, Nothing),
            (10, &[old, new], None, Copy(0)),
            (19, &[new, old], None, Copy(1)),
            // about to be replaced, and not yet
            (20, &[old, new], None, Copy(0)),
            (21, &[old, new], None, Copy(1)),
            (29, &[old, new], None, Copy(1)),
            (30, &[old, new], None, Nothing),
            (99, &[old, new], there(31, 31), Past::Present),
            (30, &[old, new], there(31, 31), Nothing),
            (20, &[old], there(21, 21), Copy(0)),
            (25, &[old], there(21, 21), Past::Present),
            // a delete or a replacement that failed when it was copied: it is there
            (25, &[gone(10, 20, Deleted)], there(10, 10), Past::Present),
            (15, &[gone(10, 20, Deleted), gone(10, 40, Deleted)], None, Copy(0)),
            // an upload in parts counts from its beginning, before the copy of what it replaced
            (15, &[gone(10, 20, Replaced), gone(12, 30, Replaced)], there(22, 22), Copy(0)),
            (15, &[gone(10, 20, Replaced)], there(12, 12), Copy(0)),
            // twice in one second
            (15, &[gone(20, 20, Replaced), gone(10, 20, Replaced)], there(20, 20), Copy(1)),
            (20, &[gone(20, 20, Deleted), gone(10, 20, Replaced)], None, Nothing),
            (20, &[gone(20, 20, Deleted), gone(20, 20, Replaced)], None, Nothing),
        ] {
            assert_eq!(bygone(moment, copies, present), want, "{moment} {copies:?} {present:?}");
        }
        assert!(matches!(bygone(25, &[old], None), Past::Unknown(_)), "replaced by what is gone unseen");
    }

    #[test]
    fn what_is_not_known_is_asked_for() {
        let unasked = |at| Gone { at, says: None };
        assert_eq!(bygone(15, &[unasked(10), unasked(20), unasked(30)], None), Ask(1));
        assert_eq!(bygone(25, &[unasked(10), unasked(20)], None), Ask(1));
        assert_eq!(bygone(15, &[gone(16, 20, Deleted), unasked(10)], None), Ask(1));
        assert_eq!(bygone(15, &[unasked(10)], Some(Present { modified: 15, since: None })), Past::Present);
        assert_eq!(bygone(15, &[unasked(10)], Some(Present { modified: 16, since: None })), AskPresent);
        assert_eq!(bygone(15, &[unasked(10)], there(16, 16)), Ask(0));
        let mute = Gone { at: 20, says: Some(None) };
        assert!(matches!(bygone(15, &[mute], None), Past::Unknown(_)));
        assert_eq!(bygone(20, &[mute], there(19, 19)), Past::Present, "it is not needed");
    }

    proptest! {
        /// A key is played, a second for each half of what is done, and told true of every second.
        #[test]
        fn what_is_told_is_true(acts in proptest::collection::vec(0..4_u8, 1..20)) {
            let (mut copies, mut present, mut truth) = (vec![], None::<Present>, vec![]);
            let holds = |present: &Option<Present>| present.map(|p| p.since.unwrap());
            for act in acts {
                let now = i64::try_from(truth.len()).unwrap();
                match (act, present) {
                    // a copy is made, and a second later what it is made for
                    (0, Some(p)) => {
                        copies.push(gone(p.since.unwrap(), now, Replaced));
                        truth.push(holds(&present));
                        present = there(now + 1, now + 1);
                    }
                    (1, Some(p)) => {
                        copies.push(gone(p.since.unwrap(), now, Deleted));
                        present = None;
                    }
                    (2, Some(p)) => present = there(now, p.since.unwrap()),
                    (0, None) => present = there(now, now),
                    _ => {}
                }
                truth.push(holds(&present));
            }
            for (moment, was) in truth.iter().enumerate() {
                let told = match bygone(i64::try_from(moment).unwrap(), &copies, present) {
                    Copy(n) => copies[n].says.flatten().map(|says| says.written),
                    Past::Present => holds(&present),
                    Nothing => None,
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(told, *was, "{} {:?} {:?}", moment, &copies, present);
            }
        }
    }
}
