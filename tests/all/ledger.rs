//! The real ledger: the contract, and what only a file can suffer.

use crate::support::ledger_contract::{self as contract, Model, key, record, tag};
use crate::support::world::Fake;
use proptest::prelude::*;
use redb::ReadableDatabase;
use s3mirrord::ledger::{Database, LEDGER_FILE, Ledger, OpenError, Opened, Options, Reason, Window};
use s3mirrord::model::{Change, Class, Key, KeyRange, Record, Stamp, Tally};
use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// A child that another test is about to spawn holds a copy of the lock for as long as it takes to start: so one
/// that is held by this very process is asked for again.
async fn open(directory: &Path) -> Opened {
    let deadline = Instant::now() + Duration::from_secs(10);
    let ours = format!("process {} ", std::process::id());
    loop {
        match Database::open(Options::new(directory)).await {
            Err(OpenError::Held(held)) if held.holder.starts_with(&ours) && Instant::now() < deadline => {
                tokio::task::yield_now().await;
            }
            opened => return opened.expect("opened"),
        }
    }
}

async fn whole(directory: &Path) -> Database {
    let opened = open(directory).await;
    assert_eq!(opened.fresh, None);
    opened.ledger
}

async fn fresh(directory: &Path) -> Database {
    let opened = open(directory).await;
    assert_eq!(opened.fresh, Some(Reason::Missing));
    opened.ledger
}

/// A directory with a ledger of `n` proofs.
async fn filled(n: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = fresh(dir.path()).await;
    let proofs = (0..n).map(|i| Change::Proof(key(&format!("{i:05}")), record("1", Some(i.into()))));
    ledger.commit(proofs.collect()).await.expect("committed");
    dir
}

#[tokio::test]
async fn the_ledger_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a directory");
    let n = AtomicU32::new(0);
    contract::check(async || fresh(&dir.path().join(n.fetch_add(1, Ordering::Relaxed).to_string())).await)
        .await;
}

#[tokio::test]
async fn a_ledger_without_a_file_keeps_it_too() {
    contract::check(async || Database::scratch().await.expect("a sheet")).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_history_reads_as_the_maps_do_and_so_after_reopening(
        batches in contract::any_batches(),
        reopened in any::<u32>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let mut ledger = fresh(dir.path()).await;
            let (id, mut model) = (ledger.id(), Model::default());
            for (i, steps) in batches.iter().enumerate() {
                model.follow(&ledger, steps).await;
                if reopened >> (i % 32) & 1 == 1 {
                    drop(ledger);
                    ledger = whole(dir.path()).await;
                    assert_eq!(ledger.id(), id);
                }
                model.compare(&ledger).await;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_fake_keeps_it_too() {
    contract::check(async || Fake::new(7)).await;
}

#[tokio::test]
async fn minutes_older_than_seven_days_are_forgotten() {
    let ledger = Database::scratch().await.expect("a sheet");
    let delete = async |day: i64| {
        let at = Stamp { sec: day * 86_400, nsec: 0 };
        ledger.commit(vec![Change::Deleted { key: key("a"), at, costs: true }]).await.expect("committed");
        ledger.window(Stamp { sec: i64::MIN, nsec: 0 }).await.expect("read").done
    };
    assert_eq!((delete(1).await, delete(8).await, delete(9).await, delete(2).await), (1, 2, 2, 3));
}

#[tokio::test]
async fn c64_a_lost_ledger_is_begun_anew_with_another_id() {
    let dir = filled(3).await;
    let id = whole(dir.path()).await.id();
    fs::remove_file(dir.path().join(LEDGER_FILE)).expect("removed");
    let ledger = fresh(dir.path()).await;
    assert_ne!(ledger.id(), id);
    assert_eq!((ledger.now(), ledger.tally().await), (0, Ok(Tally::default())));
}

/// Opens a ledger that has `bytes` for a file: a new one, with the bytes kept beside it.
async fn set_aside(directory: &Path, bytes: &[u8], n: u32) -> String {
    let path = directory.join(LEDGER_FILE);
    fs::write(&path, bytes).expect("written");
    let opened = open(directory).await;
    let Some(Reason::Corrupt { cause, aside: Some(aside) }) = opened.fresh else {
        panic!("{} bytes: {:?}", bytes.len(), opened.fresh)
    };
    assert_eq!(aside, directory.join(format!("{LEDGER_FILE}.corrupt-{n}")));
    assert_eq!(fs::metadata(aside).expect("kept").len(), bytes.len() as u64);
    assert_eq!(opened.ledger.tally().await, Ok(Tally::default()));
    opened.ledger.commit(vec![Change::Proof(key("a"), record("1", None))]).await.expect("it works");
    cause
}

#[tokio::test]
async fn c64_a_truncated_or_foreign_file_is_set_aside() {
    let dir = filled(2000).await;
    let whole = fs::read(dir.path().join(LEDGER_FILE)).expect("read");
    let mut n = 0;
    for length in [1, 9, 320, 4095, 4096, 8192, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        n += 1;
        set_aside(dir.path(), &whole[..length], n).await;
    }
    for other in [&b"#!/bin/sh\n"[..], &[0; 100_000], &[0xFF; 100_000]] {
        n += 1;
        set_aside(dir.path(), other, n).await;
    }
}

#[tokio::test]
async fn c64_another_database_is_set_aside() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("other");
    let other = redb::Database::create(&path).expect("created");
    let txn = other.begin_write().expect("begun");
    txn.open_table(redb::TableDefinition::<u64, u64>::new("x")).expect("opened");
    txn.commit().expect("committed");
    drop(other);
    let bytes = fs::read(path).expect("read");
    set_aside(dir.path(), &bytes, 1).await;
}

#[tokio::test]
async fn c64_a_ledger_that_lost_a_row_is_set_aside() {
    let dir = filled(3).await;
    let path = dir.path().join(LEDGER_FILE);
    let raw = redb::Database::open(&path).expect("opened");
    let txn = raw.begin_write().expect("begun");
    let records: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("proofs");
    txn.open_table(records).expect("there").remove("00001").expect("removed");
    txn.commit().expect("committed");
    drop(raw);
    let bytes = fs::read(&path).expect("read");
    let cause = set_aside(dir.path(), &bytes, 1).await;
    assert!(cause.contains("counters"), "{cause}");
}

#[tokio::test]
async fn c64_a_directory_in_its_place_is_set_aside() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join(LEDGER_FILE)).expect("made");
    assert!(matches!(open(dir.path()).await.fresh, Some(Reason::Corrupt { aside: Some(_), .. })));
}

/// Whatever is overwritten: it is told at once, or when it is read, or what is read is what was written.
#[tokio::test]
async fn c64_damage_anywhere_is_never_believed() {
    let pristine = filled(2000).await;
    let bytes = fs::read(pristine.path().join(LEDGER_FILE)).expect("read");
    let pages = bytes.len() / 4096;
    let (mut told, mut late) = (0, 0);
    for page in (0..pages).step_by(pages.div_ceil(64)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut bytes = bytes.clone();
        bytes[page * 4096 + 600..][..2000].fill(0xA5);
        fs::write(dir.path().join(LEDGER_FILE), &bytes).expect("written");
        let opened = open(dir.path()).await;
        if opened.fresh.is_some() {
            told += 1;
            continue;
        }
        let all =
            (0..2000u32).map(|i| Change::Condemn(key(&format!("{i:05}")), tag("1"), u64::MAX)).collect();
        if let Err(fault) = opened.ledger.commit(all).await {
            assert_eq!(fault.class, Class::Fatal, "{fault}");
        }
        for i in 0..2000u32 {
            match opened.ledger.get(&key(&format!("{i:05}"))).await {
                Ok(Some(found)) => {
                    assert_eq!((found.etag, found.print.map(|p| p.inode)), (tag("1"), Some(i.into())))
                }
                Ok(None) => {}
                Err(fault) => {
                    assert!(fault.remedy.is_some_and(|r| r.contains("move")), "an operator can help");
                    late += 1;
                    break;
                }
            }
        }
    }
    assert!(told > 0 && late > 0, "told at once {told}, late {late}: each was to be hit");
}

/// What happens to a file of bytes.
#[derive(Clone, Debug)]
enum Harm {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Zeros(prop::sample::Index, usize),
    Swapped(prop::sample::Index, prop::sample::Index),
    Tail(Vec<u8>),
}

fn any_harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        1 => at().prop_map(Harm::Cut),
        8 => (at(), 1..=255u8).prop_map(|(at, bits)| Harm::Flip(at, bits)),
        1 => (at(), 1..9000usize).prop_map(|(at, n)| Harm::Zeros(at, n)),
        1 => (at(), at()).prop_map(|(a, b)| Harm::Swapped(a, b)),
        1 => prop::collection::vec(any::<u8>(), 1..5000).prop_map(Harm::Tail),
    ]
}

impl Harm {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Flip(at, bits) => {
                // where something is written: most of the file is room
                let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                if let Some(at) = (!written.is_empty()).then(|| written[at.index(written.len())]) {
                    bytes[at] ^= bits;
                }
            }
            Self::Zeros(at, n) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + n);
                bytes[at..end].fill(0);
            }
            Self::Swapped(a, b) => {
                let pages = (bytes.len() / 4096).max(1);
                let (a, b) = (a.index(pages) * 4096, b.index(pages) * 4096);
                for i in 0..4096.min(bytes.len().saturating_sub(a.max(b))) {
                    bytes.swap(a + i, b + i);
                }
            }
            Self::Tail(more) => bytes.extend_from_slice(more),
        }
    }
}

/// The proofs that a page or a lookup shows, until one of them fails.
async fn shown(ledger: &Database, names: &[Key]) -> Vec<(Key, Record)> {
    let mut shown = ledger.page(&KeyRange::Under(key("")), None, usize::MAX).await.unwrap_or_default();
    for name in names {
        match ledger.get(name).await {
            Ok(found) => shown.extend(found.map(|record| (name.clone(), record))),
            Err(fault) => {
                assert!(
                    fault.class == Class::Fatal && fault.remedy.is_some(),
                    "an operator can help: {fault}"
                );
                break;
            }
        }
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Whatever happens to the file: it is told, or every proof that is shown was committed once, for that key.
    #[test]
    fn c64_no_harm_to_the_file_makes_a_proof_that_was_not_committed(
        harms in prop::collection::vec(any_harm(), 1..6),
        sizes in prop::collection::vec(1..120u64, 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let ledger = fresh(dir.path()).await;
            let name = |i: u64| key(&format!("{}/{i}", i % 7));
            let (mut committed, mut id) = (HashSet::new(), ledger.id());
            for (round, size) in sizes.iter().enumerate() {
                let proof = |i: u64| record(&format!("{round}-{i}"), Some(i ^ round as u64));
                committed.extend((0..*size).map(|i| (name(i), format!("{round}-{i}"), i ^ round as u64)));
                ledger.commit((0..*size).map(|i| Change::Proof(name(i), proof(i))).collect()).await.expect("committed");
            }
            drop(ledger);
            let path = dir.path().join(LEDGER_FILE);
            let mut bytes = fs::read(&path).expect("read");
            harms.iter().for_each(|harm| harm.apply(&mut bytes));
            fs::write(&path, &bytes).expect("written");
            let opened = open(dir.path()).await;
            if opened.fresh.is_some() {
                id = opened.ledger.id();
                assert_eq!(opened.ledger.tally().await, Ok(Tally::default()), "a new one");
            }
            assert_eq!(opened.ledger.id(), id);
            let names: Vec<_> = (0..130).map(name).collect();
            for (key, found) in shown(&opened.ledger, &names).await {
                let inode = found.print.expect("taken of a file").inode;
                let told = (key, found.etag.to_string(), inode);
                assert!(committed.contains(&told), "never committed: {told:?}");
                let want = record(&told.1, Some(inode));
                assert_eq!(Record { seq: 0, ..found }, want);
            }
        });
    }
}

#[tokio::test]
async fn c64_a_newer_ledger_is_set_aside_whole() {
    let dir = filled(3).await;
    let path = dir.path().join(LEDGER_FILE);
    let raw = redb::Database::open(&path).expect("opened");
    let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let row = raw.begin_read().expect("begun").open_table(meta).expect("there");
    let row = row.get("ledger").expect("read").expect("there").value().to_vec();
    let mut newer = row[..row.len() - 4].to_vec();
    newer[1] = 9;
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &newer) as u32;
    newer.extend(sum.to_le_bytes());
    let txn = raw.begin_write().expect("begun");
    txn.open_table(meta).expect("there").insert("ledger", newer.as_slice()).expect("inserted");
    txn.commit().expect("committed");
    drop(raw);
    let opened = open(dir.path()).await;
    let Some(Reason::Newer { schema: 9, aside: Some(aside) }) = &opened.fresh else {
        panic!("{:?}", opened.fresh)
    };
    assert_eq!(aside, &dir.path().join(format!("{LEDGER_FILE}.newer-1")));
    assert!(opened.fresh.as_ref().is_some_and(|r| r.to_string().contains("newer-1")));
    redb::Database::open(aside).expect("as good as before");
}

#[tokio::test]
async fn a_ledger_of_another_place_is_kept_and_a_new_one_begun() {
    let dir = filled(3).await;
    let ledger = whole(dir.path()).await;
    let id = ledger.id();
    let aside = ledger.set_aside().await.expect("moved").expect("kept");
    assert_eq!(aside, dir.path().join(format!("{LEDGER_FILE}.other-1")));
    assert_eq!((ledger.now(), ledger.tally().await), (0, Ok(Tally::default())));
    assert_ne!(ledger.id(), id);
    assert_eq!(ledger.commit(vec![]).await, Ok(1));
    drop(ledger);
    fs::rename(aside, dir.path().join(LEDGER_FILE)).expect("moved back");
    assert_eq!(whole(dir.path()).await.tally().await.expect("read").records, 3);
}

#[tokio::test]
async fn a_rehearsal_behaves_as_the_real_one_and_leaves_the_file_alone() {
    let dir = filled(300).await;
    whole(dir.path())
        .await
        .commit(vec![Change::Condemn(key("00001"), tag("1"), u64::MAX)])
        .await
        .expect("committed");
    let before = fs::read(dir.path().join(LEDGER_FILE)).expect("read");
    let opened = Database::rehearse(Options::new(dir.path())).await.expect("opened");
    assert_eq!((opened.fresh, opened.ledger.now()), (None, 2));
    let rehearsal = opened.ledger;
    assert!(matches!(Database::open(Options::new(dir.path())).await, Err(OpenError::Held(_))));
    rehearsal
        .commit(vec![
            Change::Condemn(key("00002"), tag("1"), u64::MAX),
            Change::Gone(key("00003"), Stamp::default()),
        ])
        .await
        .expect("so");
    let tally = Tally { records: 299, condemned: 2, pending: 2, last_row: 2, ..Tally::default() };
    assert_eq!(rehearsal.tally().await, Ok(tally));
    assert_eq!(rehearsal.get(&key("00003")).await, Ok(None));
    drop(rehearsal);
    assert!(fs::read(dir.path().join(LEDGER_FILE)).expect("read") == before);
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2, "the ledger and its lock");
    let nowhere = dir.path().join("nowhere");
    let opened = Database::rehearse(Options::new(&nowhere)).await.expect("opened");
    assert_eq!((opened.fresh, nowhere.exists()), (Some(Reason::Missing), false));
}

#[tokio::test]
async fn a_rehearsal_over_damage_leaves_it_where_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join(LEDGER_FILE), b"#!/bin/sh\n").expect("written");
    let opened = Database::rehearse(Options::new(dir.path())).await.expect("opened");
    assert!(matches!(opened.fresh, Some(Reason::Corrupt { aside: None, .. })));
    assert_eq!(opened.ledger.commit(vec![]).await, Ok(1));
    assert_eq!(fs::read(dir.path().join(LEDGER_FILE)).expect("read"), b"#!/bin/sh\n");
}

#[tokio::test]
async fn a_ledger_that_redb_has_open_elsewhere_is_held() {
    let dir = filled(1).await;
    let _elsewhere = redb::Database::open(dir.path().join(LEDGER_FILE)).expect("opened");
    assert!(matches!(Database::open(Options::new(dir.path())).await, Err(OpenError::Held(_))));
}

#[tokio::test]
async fn a_hundred_thousand_proofs_fit_a_small_cache() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { cache_bytes: 1 << 20, ..Options::new(dir.path()) };
    let ledger = Database::open(options).await.expect("opened").ledger;
    let name = |i: u64| format!("d{:03}/{i:06}", i % 1000);
    for batch in 0..100u64 {
        let proofs =
            (0..1000).map(|i| batch * 1000 + i).map(|i| Change::Proof(key(&name(i)), record("1", Some(i))));
        ledger.commit(proofs.collect()).await.expect("committed");
    }
    assert_eq!(ledger.tally().await.expect("read").records, 100_000);
    let (mut seen, mut from) = (0, None);
    loop {
        let page = ledger.page(&KeyRange::Under(key("")), from.clone(), 1000).await.expect("read");
        seen += page.iter().filter(|(key, _)| Some(key) != from.as_ref()).count();
        let last = page.last().map(|(key, _)| key.clone());
        if last == from {
            break;
        }
        from = last;
    }
    assert_eq!(seen, 100_000);
    assert_eq!(ledger.page(&KeyRange::Under(key("d007/")), None, 1000).await.expect("read").len(), 100);
    assert_eq!(ledger.by_inodes(vec![77_777]).await, Ok(vec![vec![key(&name(77_777))]]));
    assert_eq!(ledger.window(Stamp::default()).await, Ok(Window { done: 0, records: 100_000 }));
}

/// Set in the child of the tests below: where its ledger lies.
const CHILD: &str = "S3MIRRORD_TEST_LEDGER_CHILD";
const PER_BATCH: u64 = 20;

fn child_key(seq: u64, i: u64) -> Key {
    key(&format!("{seq:06}/{i:02}"))
}

/// Not a test of its own: what the child does.
#[tokio::test]
async fn child_that_commits_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let ledger = open(&PathBuf::from(directory)).await.ledger;
    loop {
        let next = ledger.now() + 1;
        let proofs = (0..PER_BATCH).map(|i| Change::Proof(child_key(next, i), record("1", Some(i))));
        let seq = ledger.commit(proofs.collect()).await.expect("committed");
        // past the test harness, which keeps what is printed
        writeln!(std::io::stdout().lock(), "committed {seq}").expect("the parent reads");
    }
}

fn spawn(directory: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "ledger::child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawned");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    (child, lines)
}

/// The next commit that is reported; `None` at the end.
fn reported(lines: &mut impl BufRead) -> Option<u64> {
    let mut line = String::new();
    while lines.read_line(&mut line).expect("read") > 0 {
        if let Some(seq) = line.trim_end().rsplit_once("committed ").and_then(|(_, seq)| seq.parse().ok()) {
            return Some(seq);
        }
        line.clear();
    }
    None
}

#[tokio::test]
async fn c65_what_was_reported_outlives_kill_9_and_batches_stay_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..12u64 {
        let (mut child, mut lines) = spawn(dir.path());
        let mut last = 0;
        for _ in 0..=fastrand::u64(0..8) {
            last = reported(&mut lines).expect("it commits until it is killed");
        }
        // anywhere in the next commit
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..4000)));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        while let Some(seq) = reported(&mut lines) {
            last = seq;
        }
        let ledger = whole(dir.path()).await;
        let now = ledger.now();
        assert!(last <= now && now <= last + 1, "round {round}: reported {last}, found {now}");
        assert_eq!(ledger.tally().await.expect("read").records, now * PER_BATCH);
        let page = ledger.page(&KeyRange::Under(key("")), None, usize::MAX).await.expect("read");
        let want = (1..=now).flat_map(|seq| (0..PER_BATCH).map(move |i| (child_key(seq, i), seq)));
        assert!(page.into_iter().map(|(key, record)| (key, record.seq)).eq(want), "round {round}");
    }
}

#[tokio::test]
async fn another_process_is_named_and_its_lock_goes_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut child, mut lines) = spawn(dir.path());
    reported(&mut lines).expect("it has the lock");
    let Err(OpenError::Held(held)) = Database::open(Options::new(dir.path())).await else {
        panic!("it is held")
    };
    assert!(held.holder.starts_with(&format!("process {} on ", child.id())), "{held}");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    whole(dir.path()).await;
}
