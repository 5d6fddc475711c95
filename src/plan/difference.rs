//! What a file and its object differ in, told apart for whoever compares the two and changes neither.
//!
//! | disk | bucket | |
//! |---|---|---|
//! | file | – | missing |
//! | directory | object with content | no marker of ours: foreign |
//! | file | object, other size | different |
//! | file | object, same size, proven by the ledger with mode and owner | equal |
//! | file | object, same size, proven without them | its metadata is to be compared |
//! | file | object, same size | contents and metadata are to be compared |
//! | absent | object | whose is it? extra, or foreign |
//! | unknown | any | unreadable |
//! | skipped | any | left out, as in the mirror |
//! | absent | – | nothing |

use super::Evidence;
use crate::model::{
    Attributes, Capabilities, Head, Keep, Key, Kind, Local, LocalMeta, Record, RemoteMeta, Said, Stamp,
};

/// What there is to tell of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A file without an object.
    Missing,
    /// An object of ours without a file.
    Extra,
    /// Another content.
    Different,
    /// The same content; another time, mode or owner.
    Drift,
    /// An object that is not ours, without a file, or no marker where a directory is: no difference.
    Foreign,
    /// A file, or a directory, that cannot be read.
    Unreadable,
    /// Nothing shows whether they are equal.
    Unproven,
    /// It changed again and again while it was compared.
    Busy,
}

impl Difference {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Extra,
        Self::Different,
        Self::Drift,
        Self::Unreadable,
        Self::Unproven,
        Self::Busy,
        Self::Foreign,
    ];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different => "different",
            Self::Drift => "drift",
            Self::Foreign => "foreign",
            Self::Unreadable => "unreadable",
            Self::Unproven => "unproven",
            Self::Busy => "busy",
        }
    }
}

/// What the two sides show at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// Neither side has anything.
    Nothing,
    /// It is no part of the mirror.
    LeftOut,
    /// It cannot be told.
    Unreadable,
    /// There is no object.
    Missing,
    /// The sizes differ.
    Different,
    /// The object has a directory's key, and content: it is no marker, and stays.
    NoMarker,
    /// The ledger proves them equal.
    Equal,
    /// The ledger proves the contents equal; time, mode and owner are to be compared.
    Metadata,
    /// Everything is to be compared.
    Contents,
    /// There is no file: whose is the object?
    Whose,
}

/// Looks. The ledger's proof counts if it is of this very file and an object with this tag. `keep`: what is to be equal beside
/// the bytes.
pub fn glance(local: &Local, remote: Option<&RemoteMeta>, record: Option<&Record>, keep: Keep) -> Glance {
    let meta = match (local, remote) {
        (Local::Skipped(_), _) => return Glance::LeftOut,
        (Local::Unknown, _) => return Glance::Unreadable,
        (Local::Absent(_), Some(_)) => return Glance::Whose,
        (Local::Absent(_), None) => return Glance::Nothing,
        (Local::Present(meta), _) => meta,
    };
    let Some(remote) = remote else { return Glance::Missing };
    if remote.size > 0 && meta.attributes.kind() == Kind::Directory {
        return Glance::NoMarker;
    }
    if remote.size != meta.print.size {
        return Glance::Different;
    }
    let proof =
        |record: &&Record| record.etag == remote.etag && record.print == Some(meta.print) && !record.doubted;
    match record.filter(proof) {
        Some(row)
            if !row.metadata_due && row.tells(meta) && keep.plain().is_within(Said::of(row).agrees(meta)) =>
        {
            Glance::Equal
        }
        Some(_) => Glance::Metadata,
        None => Glance::Contents,
    }
}

/// In what an object of ours tells another time, mode or owner than its file has, as far as they are kept; `None` if in nothing.
/// The time of a directory is written now and then, so it says nothing.
pub fn drift(meta: &LocalMeta, head: &Head, keep: Keep) -> Option<String> {
    let mut all = vec![];
    let Attributes { mode, uid, gid } = meta.attributes;
    let time = |time: Stamp| format!("{}.{:09}", time.sec, time.nsec);
    if keep.mtime && head.mtime != Some(meta.print.mtime) && meta.attributes.kind() != Kind::Directory {
        let told = head.mtime.map_or("none".to_owned(), time);
        all.push(format!("mtime {} here, {told} there", time(meta.print.mtime)));
    }
    if keep.mode && head.mode != Some(mode) {
        let told = head.mode.map_or("none".to_owned(), |mode| format!("{mode:o}"));
        all.push(format!("mode {mode:o} here, {told} there"));
    }
    if keep.owner && head.owner != Some((uid, gid)) {
        let told = head.owner.map_or("none".to_owned(), |(uid, gid)| format!("{uid}:{gid}"));
        all.push(format!("owner {uid}:{gid} here, {told} there"));
    }
    (!all.is_empty()).then(|| all.join("; "))
}

/// In what an object, whoever wrote it, stands for another kind of entry than the one that is there: those of one key the
/// metadata alone tells apart.
pub fn misnamed(key: &Key, meta: &LocalMeta, head: &Head) -> Option<&'static str> {
    if !Said::by(head).mistakes(meta, key.link().is_some()) {
        return None;
    }
    Some(match (meta.attributes.kind(), head.mode.map_or(Kind::File, Kind::of)) {
        (Kind::Link, _) => "a link here; its object does not say that it is one",
        (Kind::Special, _) => "a FIFO or device here; its object does not say that it is such a one",
        (_, Kind::Link) => "a file here; its object says that it is a link",
        _ => "a file here; its object says that it is a FIFO or device",
    })
}

/// What it means that the [ladder](super::evidence) came to its end, and `refuted` is what of the tag was tried. Who
/// sends a file again if in doubt need not ask; here a tag that is no digest, or one of parts of unknown size, shows
/// nothing.
pub fn unequal(refuted: &[Evidence], head: &Head, can: Capabilities) -> Difference {
    if head.opaque || !can.etag_is_md5 {
        return Difference::Unproven;
    }
    let told = |sizes: &[u64]| {
        head.meta.etag.parts() == Some(1) || head.part_size.is_some_and(|part| sizes.contains(&part))
    };
    let shown = refuted.iter().any(|rung| match rung {
        Evidence::Md5 => true,
        Evidence::Md5OfParts(sizes) => told(sizes),
        _ => false,
    });
    if shown { Difference::Different } else { Difference::Unproven }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Absence, ETag, Extra, Fingerprint, Kept, RelPath, Skip};

    const MIB: u64 = 1 << 20;

    fn stamp(sec: i64) -> Stamp {
        Stamp { sec, nsec: 5 }
    }

    fn file(size: u64) -> LocalMeta {
        let print = Fingerprint { size, mtime: stamp(1), ctime: stamp(2), inode: 3 };
        LocalMeta { print, attributes: Attributes { mode: 0o100_644, uid: 1, gid: 2 } }
    }

    fn object(size: u64, tag: &str) -> RemoteMeta {
        RemoteMeta { size, etag: ETag::new(tag), modified: None }
    }

    fn row(meta: LocalMeta, tag: &str) -> Record {
        Record {
            print: Some(meta.print),
            attributes: Some(meta.attributes),
            ..Record::bare(meta.print.size, tag)
        }
    }

    fn head(tag: &str) -> Head {
        Head {
            meta: object(20 * MIB, tag),
            own: None,
            sha256: None,
            part_size: None,
            checksum: None,
            opaque: false,
            mtime: Some(stamp(1)),
            mode: Some(0o100_644),
            owner: Some((1, 2)),
            names: None,
            extra: Extra::default(),
        }
    }

    #[test]
    fn at_first_sight() {
        let (keep, present) = (Keep::default(), Local::Present(file(5)));
        let absent = Local::Absent(Absence { ancestor: RelPath::root(), instead: None });
        let proof = row(file(5), "t");
        let touched = Record { print: Some(file(6).print), ..proof.clone() };
        let rows = [
            (&absent, None, None, Glance::Nothing),
            (&absent, None, Some(&proof), Glance::Nothing),
            (&absent, Some("t"), Some(&proof), Glance::Whose),
            (&Local::Skipped(Skip::Link), Some("t"), None, Glance::LeftOut),
            (&Local::Unknown, None, None, Glance::Unreadable),
            (&Local::Unknown, Some("t"), Some(&proof), Glance::Unreadable),
            (&present, None, Some(&proof), Glance::Missing),
            (&present, Some("t"), None, Glance::Contents),
            (&present, Some("t"), Some(&proof), Glance::Equal),
            (&present, Some("u"), Some(&proof), Glance::Contents),
            (&present, Some("t"), Some(&touched), Glance::Contents),
        ];
        for (local, tag, record, want) in rows {
            let remote = tag.map(|tag| object(5, tag));
            assert_eq!(glance(local, remote.as_ref(), record, keep), want, "{local:?} {tag:?} {record:?}");
        }
        let other = object(6, "t");
        assert_eq!(glance(&present, Some(&other), Some(&proof), keep), Glance::Different);
        let of = |mode, size| LocalMeta { attributes: Attributes { mode, uid: 1, gid: 2 }, ..file(size) };
        let directory = Local::Present(of(0o040_755, 0));
        assert_eq!(glance(&directory, Some(&other), None, keep), Glance::NoMarker);
        // a link's object has to say that it is one
        let link = Local::Present(of(0o120_777, 5));
        for (attributes, want) in
            [(Some(of(0o120_777, 5).attributes), Glance::Equal), (None, Glance::Metadata)]
        {
            let keep = Keep { mode: false, owner: false, ..keep };
            let row = Record { attributes, kept: Kept { looked: keep, digest: 0 }, ..proof.clone() };
            assert_eq!(glance(&link, Some(&object(5, "t")), Some(&row), keep), want, "{attributes:?}");
        }
        let remote = object(5, "t");
        for (record, want) in [
            (Record { metadata_due: true, ..proof.clone() }, Glance::Metadata),
            (Record { attributes: None, ..proof.clone() }, Glance::Metadata),
            (Record { doubted: true, ..proof.clone() }, Glance::Contents),
            (Record { print: None, ..proof.clone() }, Glance::Contents),
        ] {
            assert_eq!(glance(&present, Some(&remote), Some(&record), keep), want, "{record:?}");
        }
        // what was not written is not known, and what is not kept is not asked for
        let bare = Keep { mtime: false, mode: false, owner: false, ..keep };
        let looked = |looked| Record { kept: Kept { looked, digest: 0 }, attributes: None, ..proof.clone() };
        for (looked_for, asked, want) in
            [(bare, bare, Glance::Equal), (bare, keep, Glance::Metadata), (keep, bare, Glance::Equal)]
        {
            let record = looked(looked_for);
            assert_eq!(glance(&present, Some(&remote), Some(&record), asked), want, "{looked_for:?}");
        }
    }

    #[test]
    fn metadata_that_differs_is_named() {
        let (meta, same, keep) = (file(5), head("t"), Keep::default());
        assert_eq!(drift(&meta, &same, keep), None);
        for (head, want) in [
            (Head { mtime: Some(stamp(7)), ..same.clone() }, "mtime 1.000000005 here, 7.000000005 there"),
            (Head { mtime: None, ..same.clone() }, "mtime 1.000000005 here, none there"),
            (Head { mode: Some(0o100_600), ..same.clone() }, "mode 100644 here, 100600 there"),
            (Head { owner: Some((1, 9)), ..same.clone() }, "owner 1:2 here, 1:9 there"),
            (
                Head { mode: None, owner: None, mtime: None, ..same.clone() },
                "mtime 1.000000005 here, none there; mode 100644 here, none there; owner 1:2 here, none there",
            ),
        ] {
            assert_eq!(drift(&meta, &head, keep).as_deref(), Some(want));
            let bare = Keep { mtime: false, mode: false, owner: false, ..keep };
            assert_eq!(drift(&meta, &head, bare), None, "it is not kept");
        }
        let directory = LocalMeta { attributes: Attributes { mode: 0o040_755, ..meta.attributes }, ..meta };
        let told = Head { mode: Some(0o040_755), mtime: None, ..same };
        assert_eq!(drift(&directory, &told, keep), None, "the time of a directory says nothing");
    }

    #[test]
    fn only_what_is_a_digest_shows_a_difference() {
        let md5 = "0123456789abcdef0123456789abcdef";
        let (yes, no) =
            (Capabilities { etag_is_md5: true, ..Capabilities::default() }, Capabilities::default());
        let parts = |sizes: &[u64]| vec![Evidence::Md5OfParts(sizes.iter().map(|s| s * MIB).collect())];
        let of = |n: u32| head(&format!("{md5}-{n}"));
        let told = |n, mib| Head { part_size: Some(mib * MIB), ..of(n) };
        for (refuted, head, can, want) in [
            (vec![Evidence::Md5], head(md5), yes, Difference::Different),
            (vec![Evidence::Md5], head(md5), no, Difference::Unproven),
            (vec![Evidence::Md5], Head { opaque: true, ..head(md5) }, yes, Difference::Unproven),
            (vec![], head("odd"), yes, Difference::Unproven),
            (parts(&[8, 10]), of(2), yes, Difference::Unproven),
            (parts(&[20]), of(1), yes, Difference::Different),
            (parts(&[8, 10]), told(2, 10), yes, Difference::Different),
            (parts(&[8, 10]), told(2, 12), yes, Difference::Unproven),
        ] {
            assert_eq!(unequal(&refuted, &head, can), want, "{refuted:?} {head:?} {can:?}");
        }
    }
}
