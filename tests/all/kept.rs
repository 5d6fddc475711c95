//! Ledgers of former layouts, kept as files: each is read by the program of today, row for row.
//!
//! Before the layout is changed: `S3MIRRORD_KEEP=tests/kept/ledger-N.redb cargo test --test all -- --ignored keep_a_ledger`
//! with the program that still writes the layout `N`.

use crate::support::book::Book;
use redb::ReadableDatabase;
use s3mirrord::ledger::{Database, LEDGER_FILE, Ledger, Options, Window};
use s3mirrord::model::{
    Attributes, Binding, Capabilities, Change, Digest, ETag, Fingerprint, Intent, Kept, Key, KeyRange,
    MirrorId, Record, RootId, Stamp,
};
use std::{fs, path::Path};

fn key(text: &str) -> Key {
    Key::raw(text)
}

fn print(n: u64) -> Fingerprint {
    let mtime = Stamp { sec: 1_700_000_000 + n as i64, nsec: 999_999_999 - n as u32 };
    let ctime = if n.is_multiple_of(3) { mtime } else { Stamp { sec: mtime.sec + 7, nsec: 0 } };
    Fingerprint { size: n * 1000, mtime, ctime, inode: n / 2 }
}

fn record(n: u64) -> Record {
    let etag = match n % 5 {
        0 => format!("{n:032x}"),
        1 => format!("{n:032x}-{}", n + 1),
        2 => format!("{n:032X}"),
        3 => String::new(),
        _ => format!("\"of its own kind {n}-7"),
    };
    Record {
        print: (!n.is_multiple_of(7)).then(|| print(n)),
        attributes: (!n.is_multiple_of(4)).then_some(Attributes {
            mode: 0o100_000 | n as u32,
            uid: n as u32,
            gid: u32::MAX,
        }),
        metadata_due: n % 11 == 3,
        doubted: false,
        condemned: false,
        kept: Kept::default(),
        size: if n.is_multiple_of(13) { u64::MAX - n } else { n * 1000 },
        etag: ETag::new(&etag),
        digest: (!n.is_multiple_of(6))
            .then(|| Digest { sha256: [n as u8; 32], part_size: n.is_multiple_of(2).then_some(n << 20) }),
        seq: 0,
    }
}

fn name(n: u64) -> Key {
    match n % 3 {
        0 => key(&format!("d/{n:03}")),
        1 => key(&format!("\u{e9}\n\u{201B}{n}")),
        _ => key(&format!("{n:03}/{}", "long ".repeat(n as usize % 40))),
    }
}

/// A history that leaves something in every table, and every form of a record.
pub(crate) fn history() -> Vec<Vec<Change>> {
    let strange = Record {
        print: Some(Fingerprint {
            size: u64::MAX,
            mtime: Stamp { sec: i64::MIN, nsec: u32::MAX },
            ctime: Stamp { sec: i64::MAX, nsec: 0 },
            inode: u64::MAX,
        }),
        ..record(1)
    };
    let intent = |n: u64, at| Intent {
        key: name(n),
        print: print(n),
        part_size: n << 20,
        at: Stamp { sec: at, nsec: 5 },
        terms: None,
        upload: None,
    };
    let deleted = |n: u64, sec| Change::Deleted {
        key: name(n),
        at: Stamp { sec, nsec: 0 },
        costs: n.is_multiple_of(2),
    };
    let binding = |root| Binding {
        mirror: MirrorId([0xA5; 16]),
        place: "https://s3.example/bucket/prefix/".into(),
        root: RootId { inode: root, filesystem: Some("uuid:1234".into()) },
        claimed: Some(Stamp { sec: 1_700_000_000, nsec: 0 }),
        capabilities: Some(Capabilities {
            conditional_put: true,
            etag_is_md5: true,
            ..Capabilities::default()
        }),
        probed: None,
    };
    vec![
        vec![Change::Bind(binding(1))],
        (0..200).map(|n| Change::Proof(name(n), record(n))).collect(),
        vec![Change::Proof(key(""), record(3)), Change::Proof(key("strange"), strange)],
        (20..30).chain(80..90).map(|n| Change::Moved(name(n), record(n).etag)).collect(),
        (0..60).map(|n| Change::Condemn(name(n), record(n).etag, u64::MAX)).collect(),
        vec![Change::Approve(9), Change::Moved(name(40), record(40).etag)],
        (50..60).map(|n| deleted(n, 1_700_000_000 + 60 * n as i64)).collect(),
        (10..15).map(|n| Change::Condemn(name(n), ETag::new("another"), u64::MAX)).collect(),
        (60..70).map(|n| Change::Foreign(name(n), ETag::new(&format!("\"{n:032x}\"")))).collect(),
        vec![
            Change::Foreign(key("never ours"), ETag::new("x")),
            Change::Condemn(key("no proof"), ETag::new(""), u64::MAX),
        ],
        (100..110).map(|n| Change::Intend(intent(n, n as i64 - 105))).collect(),
        vec![
            Change::Settled(name(100)),
            Change::Gone(name(70), Stamp::default()),
            Change::Acquit(name(5)),
            Change::Hold(true),
        ],
        (190..200).map(|n| Change::Proof(name(n), record(n + 1))).collect(),
        vec![Change::Bind(binding(2))],
    ]
}

/// Everything that can be asked, held against the same history in plain maps.
async fn compare(ledger: &Database, book: &Book, layout: u32) {
    assert_eq!(ledger.now(), book.seq);
    let page = ledger.page(&KeyRange::Under(key("")), None, usize::MAX).await.unwrap();
    assert_eq!(page.len(), book.records.len());
    for ((key, record), known) in page.iter().zip(&book.records) {
        assert_eq!((key, record), known);
        let inode = record.print.map_or(u64::MAX - 1, |print| print.inode);
        let of = |r: &Record| r.print.is_some_and(|p| p.inode == inode);
        let same: Vec<_> = book.records.iter().filter(|(_, r)| of(r)).map(|(key, _)| key.clone()).collect();
        assert_eq!(ledger.by_inodes(vec![inode]).await, Ok(vec![same]));
    }
    for n in 0..200 {
        assert_eq!(ledger.foreign(&name(n)).await, Ok(book.foreign.get(&name(n)).cloned()));
    }
    assert_eq!(ledger.foreign(&key("never ours")).await, Ok(Some(ETag::new("x"))));
    assert_eq!(ledger.intents().await.unwrap(), book.intents.values().cloned().collect::<Vec<_>>());
    let condemned = ledger.condemned(0, usize::MAX).await.unwrap();
    assert_eq!(condemned, book.condemned.values().cloned().collect::<Vec<_>>());
    // those before the fourth knew of no directories, and counted what ends in a slash like all else
    let markers = book.records.keys().filter(|key| key.is_directory()).count() as u64;
    let marked = if layout < 4 { markers } else { 0 };
    let tally = ledger.tally().await.unwrap();
    let pending = condemned.iter().filter(|row| !row.approved && !row.moved).count() as u64;
    let counted = (book.records.len() as u64 - markers + marked, condemned.len() as u64, pending);
    assert_eq!((tally.records, tally.condemned, tally.pending), counted);
    for minute in (0..12).map(|n| 1_700_000_000 + 60 * (50 + n)) {
        let (done, files) = book.window(minute / 60);
        let window = ledger.window(Stamp { sec: minute, nsec: 0 }).await;
        assert_eq!(window, Ok(Window { done, records: files + marked }));
    }
    assert_eq!(ledger.binding().await.unwrap(), book.binding);
    assert_eq!(ledger.held().await, Ok(book.held));
}

#[tokio::test]
async fn c64_a_ledger_of_an_older_layout_is_migrated_row_for_row() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept");
    for layout in [1, 2, 3, 4] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LEDGER_FILE);
        fs::write(&path, fs::read(kept.join(format!("ledger-{layout}.redb"))).unwrap()).unwrap();
        let mut book = Book::default();
        history().into_iter().for_each(|batch| {
            book.apply(batch);
        });
        let mut id = None;
        // the second time it is of the present layout
        for _ in 0..2 {
            let opened = Database::open(Options::new(dir.path())).await.unwrap();
            assert_eq!(opened.fresh, None);
            compare(&opened.ledger, &book, layout).await;
            assert_eq!(*id.get_or_insert(opened.ledger.id()), opened.ledger.id());
        }
        // what was copied elsewhere is remembered on the proofs, and shows when they are condemned
        let ledger = Database::open(Options::new(dir.path())).await.unwrap().ledger;
        let batch: Vec<_> = (65..200).map(|n| Change::Condemn(name(n), record(n).etag, u64::MAX)).collect();
        book.apply(batch.clone());
        ledger.commit(batch).await.unwrap();
        assert!(book.condemned.values().any(|row| row.moved && row.key == name(85)));
        compare(&ledger, &book, layout).await;
        drop(ledger);
        let raw = redb::Database::open(&path).unwrap();
        let tables = raw.begin_read().unwrap();
        assert_eq!(tables.list_multimap_tables().unwrap().count(), 0, "nothing of the old layout is left");
    }
}

#[tokio::test]
#[ignore = "writes a file that is to be kept"]
async fn keep_a_ledger_of_the_present_layout() {
    let to = std::env::var_os("S3MIRRORD_KEEP").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ledger = Database::open(Options::new(dir.path())).await.unwrap().ledger;
    for batch in history() {
        ledger.commit(batch).await.unwrap();
    }
    drop(ledger);
    let path = dir.path().join(LEDGER_FILE);
    redb::Database::open(&path).unwrap().compact().unwrap();
    fs::copy(path, to).unwrap();
}
