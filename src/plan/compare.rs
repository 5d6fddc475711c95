//! The truth table: from what three sides show, what is to be done.
//!
//! | disk | bucket | ledger | verdict |
//! |---|---|---|---|
//! | file | – | – | put, or copy if another key was proven of the same inode, size and mtime |
//! | file | – | row | prove: HEAD before it is believed gone |
//! | file | object | row, same tag, same fingerprint | in sync: nothing read, nothing asked |
//! | the same, but a delete of it may have been done since | | | prove |
//! | the same, but metadata is due | | | copy onto itself |
//! | the same, but its object is condemned | | | acquit: the file is back |
//! | the same, but a link whose object was not seen to say so | | | prove |
//! | the same, but not all was looked for that is kept | | | prove |
//! | directory | object with content | any | nothing: it is no marker |
//! | file | object | row, same tag, other size | put |
//! | file | object | otherwise, same size | prove: compare contents |
//! | file | object | none, or another tag; other size | put |
//! | absent | object | row, same tag | condemn |
//! | absent | object | none, or another tag | prove: whose is it? |
//! | absent | – | row | prove: gone on both sides |
//! | skipped, unknown | any | any | nothing |

use crate::model::{ETag, Keep, Key, Kin, Kind, Local, LocalMeta, Only, Sameness, Triple, Why};

/// What the triple is judged in the light of.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// How the root compares with the one that was bound.
    pub root: Sameness,
    /// Absent files' objects are to be deleted (`delete = "mirror"`).
    pub deletes: bool,
    /// What is kept beside bytes.
    pub keep: Keep,
}

/// What is to be done about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: both sides are proven equal.
    InSync,
    /// Nothing may be done or needs to be.
    Leave,
    /// Upload, on this condition.
    Put(Only, Why),
    /// Copy this key's object on the server, if the content turns out to be the same.
    Copy(Key),
    /// The bytes are proven equal; write time, mode and owner.
    Metadata(Why),
    /// Look closer.
    Prove(Why),
    /// The object may have to go.
    Condemn(ETag),
    /// Both sides are proven equal, and the object was to be deleted: it stays.
    Acquit,
}

/// Decides. Pure; see the table above.
pub fn decide(t: &Triple, view: View) -> Verdict {
    match &t.local {
        Local::Skipped(_) | Local::Unknown => Verdict::Leave,
        Local::Present(meta) => present(t, meta, view),
        Local::Absent(_) => absent(t, view),
    }
}

fn present(t: &Triple, meta: &LocalMeta, view: View) -> Verdict {
    match (&t.remote, &t.record) {
        (None, None) => match &t.kin {
            Some(Kin { key, twin: true }) if view.root != Sameness::Changed => Verdict::Copy(key.clone()),
            _ => Verdict::Put(Only::New, "new file"),
        },
        (Some(remote), Some(record))
            if record.etag == remote.etag && record.print == Some(meta.print) && !record.doubted =>
        {
            match record.metadata_due && view.root != Sameness::Changed {
                true => Verdict::Metadata("time, mode or owner changed"),
                false if record.condemned && view.root != Sameness::Changed => Verdict::Acquit,
                false if !record.tells(meta) && view.root != Sameness::Changed => {
                    Verdict::Prove("its object was not seen to say that it is a link's")
                }
                false if !view.keep.is_within(record.kept.looked) && view.root != Sameness::Changed => {
                    Verdict::Prove("not all that is kept of it was looked for")
                }
                false => Verdict::InSync,
            }
        }
        _ if view.root == Sameness::Changed => Verdict::Leave,
        (Some(remote), _) if remote.size > 0 && meta.attributes.kind() == Kind::Directory => Verdict::Leave,
        (Some(remote), _) if remote.size != meta.print.size => {
            Verdict::Put(Only::Match(remote.etag.clone()), "size differs")
        }
        (Some(remote), Some(record)) if record.etag == remote.etag => match record.doubted {
            true => Verdict::Prove("a delete of it may have been done"),
            false => Verdict::Prove("touched since the last proof"),
        },
        (Some(_), Some(_)) => Verdict::Prove("the object was changed by someone else"),
        (Some(_), None) => Verdict::Prove("not compared yet"),
        (None, Some(_)) => Verdict::Prove("missing from the listing"),
    }
}

fn absent(t: &Triple, view: View) -> Verdict {
    match (&t.remote, &t.record) {
        _ if view.root == Sameness::Changed => Verdict::Leave,
        (None, None) => Verdict::Leave,
        (Some(remote), Some(record)) if record.etag == remote.etag => match view.deletes {
            true => Verdict::Condemn(remote.etag.clone()),
            false => Verdict::Leave,
        },
        (Some(_), _) => Verdict::Prove("is the object ours?"),
        (None, Some(_)) => Verdict::Prove("gone on both sides"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Absence, Attributes, Fingerprint, Kept, Record, RelPath, RemoteMeta, Skip, Stamp};

    fn meta(size: u64, inode: u64) -> LocalMeta {
        let print = Fingerprint { size, mtime: Stamp::default(), ctime: Stamp::default(), inode };
        LocalMeta { print, attributes: Attributes { mode: 0o100_644, uid: 0, gid: 0 } }
    }

    fn remote(size: u64, etag: &str) -> RemoteMeta {
        RemoteMeta { size, etag: ETag::new(etag), modified: None }
    }

    fn record(size: u64, etag: &str, inode: Option<u64>) -> Record {
        let print = inode.map(|i| meta(size, i).print);
        Record { print, ..Record::bare(size, etag) }
    }

    #[test]
    fn a_link_whose_object_was_not_seen_to_say_so_is_looked_at_closer() {
        let as_link = Attributes { mode: 0o120_777, uid: 0, gid: 0 };
        let link = LocalMeta { attributes: as_link, ..meta(3, 7) };
        let view = View { root: Sameness::Same, deletes: true, keep: Keep::default() };
        for (attributes, proves) in
            [(None, true), (Some(meta(3, 7).attributes), true), (Some(as_link), false)]
        {
            let row = Record { attributes, ..record(3, "e", Some(7)) };
            let (local, remote) = (Local::Present(link), Some(remote(3, "e")));
            let key = Key::raw("k.rclonelink");
            let t = Triple { key, local, remote, record: Some(row), asked: 1, kin: None };
            let verdict = decide(&t, view);
            assert_eq!(matches!(verdict, Verdict::Prove(_)), proves, "{attributes:?}: {verdict:?}");
        }
    }

    #[test]
    fn the_table() {
        let file = || Local::Present(meta(3, 7));
        let gone = || Local::Absent(Absence { ancestor: RelPath::root(), instead: None });
        let view = View { root: Sameness::Same, deletes: true, keep: Keep::default() };
        let matches = |e: &str| Only::Match(ETag::new(e));
        let known = || record(3, "e", Some(7));
        let due = || Record { metadata_due: true, ..known() };
        let rows = [
            (file(), None, None, Verdict::Put(Only::New, "new file")),
            (file(), None, Some(record(3, "e", Some(7))), Verdict::Prove("missing from the listing")),
            (file(), Some(remote(3, "e")), Some(known()), Verdict::InSync),
            (file(), Some(remote(3, "e")), Some(due()), Verdict::Metadata("time, mode or owner changed")),
            (file(), Some(remote(3, "e")), Some(Record { condemned: true, ..known() }), Verdict::Acquit),
            (
                file(),
                Some(remote(3, "e")),
                Some(Record { doubted: true, condemned: true, ..due() }),
                Verdict::Prove("a delete of it may have been done"),
            ),
            (
                file(),
                Some(remote(3, "e")),
                Some(record(3, "e", Some(8))),
                Verdict::Prove("touched since the last proof"),
            ),
            (
                file(),
                Some(remote(3, "e")),
                Some(record(3, "e", None)),
                Verdict::Prove("touched since the last proof"),
            ),
            (
                file(),
                Some(remote(4, "e")),
                Some(record(4, "e", Some(7))),
                Verdict::Put(matches("e"), "size differs"),
            ),
            (
                file(),
                Some(remote(3, "x")),
                Some(record(3, "e", Some(7))),
                Verdict::Prove("the object was changed by someone else"),
            ),
            (file(), Some(remote(3, "x")), None, Verdict::Prove("not compared yet")),
            (file(), Some(remote(4, "x")), None, Verdict::Put(matches("x"), "size differs")),
            (gone(), None, None, Verdict::Leave),
            (gone(), Some(remote(3, "e")), Some(record(3, "e", None)), Verdict::Condemn(ETag::new("e"))),
            (gone(), Some(remote(3, "x")), Some(record(3, "e", None)), Verdict::Prove("is the object ours?")),
            (gone(), Some(remote(3, "x")), None, Verdict::Prove("is the object ours?")),
            (gone(), None, Some(record(3, "e", None)), Verdict::Prove("gone on both sides")),
        ];
        for (local, remote, record, want) in rows {
            let t = Triple { key: Key::raw("k"), local, remote, record, asked: 1, kin: None };
            assert_eq!(decide(&t, view), want, "{t:?}");
            // what was not looked for is looked for once
            let keeps = View { keep: Keep { xattrs: true, ..Keep::default() }, ..view };
            let looked =
                t.record.clone().map(|row| Record { kept: Kept { looked: keeps.keep, digest: 7 }, ..row });
            assert_eq!(decide(&Triple { record: looked, ..t.clone() }, keeps), want, "{t:?}");
            match (decide(&t, keeps), &want) {
                (Verdict::Prove(_), Verdict::InSync) => {}
                (verdict, want) => assert!(verdict == *want && verdict != Verdict::InSync, "{t:?}"),
            }
            for local in [Local::Unknown, Local::Skipped(Skip::Excluded)] {
                assert_eq!(decide(&Triple { local, ..t.clone() }, view), Verdict::Leave);
            }
            let kept = decide(&t, View { deletes: false, ..view });
            assert!(!matches!(kept, Verdict::Condemn(_)));
            match decide(&t, View { root: Sameness::Changed, ..view }) {
                Verdict::Leave | Verdict::InSync => {}
                Verdict::Put(Only::New, _) if t.remote.is_none() && t.record.is_none() => {}
                other => panic!("under another root only what the bucket lacks is put, not {other:?}"),
            }
        }
    }

    #[test]
    fn an_object_with_content_is_no_directorys_marker() {
        let view = View { root: Sameness::Same, deletes: true, keep: Keep::default() };
        let directory =
            LocalMeta { attributes: Attributes { mode: 0o040_755, uid: 0, gid: 0 }, ..meta(0, 7) };
        let triple = |remote| Triple {
            key: Key::raw("d/"),
            local: Local::Present(directory),
            remote,
            record: None,
            asked: 1,
            kin: None,
        };
        for (found, want) in [
            (None, Verdict::Put(Only::New, "new file")),
            (Some(remote(0, "x")), Verdict::Prove("not compared yet")),
            (Some(remote(5, "x")), Verdict::Leave),
        ] {
            assert_eq!(decide(&triple(found), view), want);
        }
    }

    #[test]
    fn a_known_inode_is_copied() {
        let kin = |twin| Some(Kin { key: Key::raw("a"), twin });
        let t = Triple {
            key: Key::raw("b"),
            local: Local::Present(meta(3, 7)),
            remote: None,
            record: None,
            asked: 1,
            kin: kin(true),
        };
        let view = View { root: Sameness::Same, deletes: true, keep: Keep::default() };
        assert_eq!(decide(&t, view), Verdict::Copy(Key::raw("a")));
        let other = View { root: Sameness::Changed, ..view };
        assert_eq!(decide(&t, other), Verdict::Put(Only::New, "new file"));
        let changed = Triple { kin: kin(false), ..t };
        assert_eq!(decide(&changed, view), Verdict::Put(Only::New, "new file"));
    }
}
