//! What every [`Ledger`] has to do, real or fake: cases by hand, and random histories against maps.

use proptest::prelude::*;
use proptest::{
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use s3mirrord::ledger::{Ledger, Window};
use s3mirrord::model::{
    Attributes, Binding, Capabilities, Change, Condemned, Digest, ETag, Fingerprint, Intent, Keep, Kept, Key,
    KeyRange, MirrorId, Overwrite, Record, RootId, Scrubbed, Seq, Stamp, Tally,
};
use std::collections::{BTreeMap, BTreeSet};

/// Runs all of it; `make` gives an empty ledger each time.
pub(crate) async fn check<L: Ledger, F: AsyncFn() -> L>(make: F) {
    an_empty_ledger_is_empty(&make().await).await;
    the_counter_steps_with_every_commit(&make().await).await;
    a_proof_drops_what_it_disproves(&make().await).await;
    gone_drops_everything(&make().await).await;
    condemning_again_renews_or_replaces(&make().await).await;
    a_proof_knows_that_its_object_is_condemned(&make().await).await;
    a_move_is_remembered_before_and_after(&make().await).await;
    approval_ends_at_its_row(&make().await).await;
    a_foreign_key_has_no_proof(&make().await).await;
    inodes_follow_the_proofs(&make().await).await;
    pages_keep_to_their_range(&make().await).await;
    the_window_counts_what_costs(&make().await).await;
    the_window_counts_what_was_condemned_and_is_gone(&make().await).await;
    held_replacements_are_rows(&make().await).await;
    a_file_costs_one_replacement_a_window(&make().await).await;
    binding_and_hold_are_kept(&make().await).await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..16 {
        let batches = any_batches().new_tree(&mut runner).expect("a history").current();
        let (ledger, mut model) = (make().await, Model::default());
        for steps in batches {
            model.follow(&ledger, &steps).await;
            model.compare(&ledger).await;
        }
    }
}

/// A key.
pub(crate) fn key(text: &str) -> Key {
    Key::raw(text)
}

/// A tag.
pub(crate) fn tag(text: &str) -> ETag {
    ETag::new(text)
}

/// A proof with this tag, taken of this inode.
pub(crate) fn record(etag: &str, inode: Option<u64>) -> Record {
    Record {
        print: inode.map(print),
        metadata_due: false,
        doubted: false,
        condemned: false,
        kept: Kept {
            looked: Keep { xattrs: inode.is_some(), ..Keep::default() },
            digest: inode.unwrap_or_default(),
        },
        attributes: inode.map(|_| Attributes { mode: 0o100_644, uid: 1, gid: 2 }),
        size: 3,
        etag: tag(etag),
        digest: Some(Digest { sha256: [9; 32], part_size: inode }),
        seq: 0,
    }
}

fn print(inode: u64) -> Fingerprint {
    let (mtime, ctime) = (Stamp { sec: -1, nsec: 999_999_999 }, Stamp { sec: 1 << 33, nsec: 1 });
    Fingerprint { size: 3, mtime, ctime, inode }
}

fn intent(name: &str) -> Intent {
    let terms = (name > "a").then_some([7; 32]);
    let upload = Some("an id".to_owned());
    Intent {
        key: key(name),
        print: print(1),
        part_size: 8 << 20,
        at: Stamp { sec: 5, nsec: 6 },
        terms,
        upload,
    }
}

fn binding(n: u8) -> Binding {
    Binding {
        mirror: MirrorId([n; 16]),
        place: format!("http://127.0.0.1/b/{n}/"),
        root: RootId { inode: n.into(), filesystem: (n > 1).then(|| "uuid".into()) },
        claimed: (n > 2).then_some(Stamp { sec: 7, nsec: 8 }),
        capabilities: (n > 3).then(|| Capabilities { conditional_put: true, ..Capabilities::default() }),
        probed: (n > 4).then_some(Stamp { sec: 9, nsec: 10 }),
    }
}

fn gone(name: &str, sec: i64) -> Change {
    Change::Gone(key(name), Stamp { sec, nsec: 0 })
}

fn deleted(name: &str, sec: i64, costs: bool) -> Change {
    Change::Deleted { key: key(name), at: Stamp { sec, nsec: 0 }, costs }
}

async fn put<L: Ledger>(l: &L, changes: impl Into<Vec<Change>>) -> Seq {
    l.commit(changes.into()).await.expect("committed")
}

async fn rows<L: Ledger>(l: &L) -> Vec<Condemned> {
    l.condemned(0, usize::MAX).await.expect("read")
}

async fn tally<L: Ledger>(l: &L) -> Tally {
    l.tally().await.expect("read")
}

async fn keys<L: Ledger>(l: &L, range: KeyRange, from: Option<&str>, most: usize) -> Vec<String> {
    let page = l.page(&range, from.map(key), most).await.expect("read");
    page.into_iter().map(|(key, _)| key.as_str().to_owned()).collect()
}

async fn an_empty_ledger_is_empty<L: Ledger>(l: &L) {
    assert_eq!((l.now(), tally(l).await), (0, Tally::default()));
    assert_eq!(l.binding().await, Ok(None));
    assert_eq!(l.held().await, Ok(false));
    assert_eq!(l.window(Stamp::default()).await, Ok(Window::default()));
}

async fn the_counter_steps_with_every_commit<L: Ledger>(l: &L) {
    assert_eq!(put(l, []).await, 1);
    let proofs = [Change::Proof(key("a"), record("1", None)), Change::Proof(key("b"), record("1", None))];
    assert_eq!((put(l, proofs).await, l.now()), (2, 2));
    put(l, [Change::Proof(key("b"), Record { seq: 77, ..record("2", Some(1)) })]).await;
    let seq = async |name| l.get(&key(name)).await.expect("read").expect("there").seq;
    assert_eq!((seq("a").await, seq("b").await), (2, 3));
    assert_eq!(l.get(&key("b")).await, Ok(Some(Record { seq: 3, ..record("2", Some(1)) })));
}

async fn a_proof_drops_what_it_disproves<L: Ledger>(l: &L) {
    put(l, [Change::Foreign(key("a"), tag("f"))]).await;
    put(
        l,
        [
            Change::Condemn(key("a"), tag("1"), Seq::MAX),
            Change::Intend(intent("a")),
            Change::Intend(intent("b")),
        ],
    )
    .await;
    assert_eq!(l.foreign(&key("a")).await, Ok(Some(tag("f"))));
    put(l, [Change::Proof(key("a"), record("1", Some(1)))]).await;
    assert_eq!((rows(l).await, l.foreign(&key("a")).await), (vec![], Ok(None)));
    assert_eq!(l.intents().await, Ok(vec![intent("a"), intent("b")]), "an upload may still be open");
    put(l, [Change::Settled(key("a")), Change::Settled(key("b"))]).await;
    assert_eq!(l.intents().await, Ok(vec![]));
    assert_eq!(tally(l).await, Tally { records: 1, ..Tally::default() });
}

async fn gone_drops_everything<L: Ledger>(l: &L) {
    for change in [gone("a", 60), deleted("a", 60, true), deleted("a", 60, false)] {
        put(l, [Change::Proof(key("a"), record("1", Some(1)))]).await;
        put(l, [Change::Condemn(key("a"), tag("1"), Seq::MAX), Change::Intend(intent("a"))]).await;
        put(l, [change]).await;
        assert_eq!((l.get(&key("a")).await, l.foreign(&key("a")).await), (Ok(None), Ok(None)));
        assert_eq!(
            (rows(l).await, l.intents().await),
            (vec![], Ok(vec![intent("a")])),
            "an upload may still be open"
        );
        assert_eq!((l.by_inodes(vec![1]).await, tally(l).await), (Ok(vec![vec![]]), Tally::default()));
        put(l, [Change::Foreign(key("a"), tag("f"))]).await;
        put(l, [gone("a", 60), gone("never there", 60)]).await;
        assert_eq!(l.foreign(&key("a")).await, Ok(None));
    }
}

async fn condemning_again_renews_or_replaces<L: Ledger>(l: &L) {
    put(l, [Change::Condemn(key("a"), tag("1"), Seq::MAX), Change::Condemn(key("b"), tag("1"), Seq::MAX)])
        .await;
    let before = rows(l).await;
    assert!(before[0].row > 0 && before[0].row < before[1].row && before[0].seen == 1);
    assert_eq!((before[0].approved, before[0].moved, &before[0].key), (false, false, &key("a")));
    put(l, [Change::Approve(before[0].row), Change::Moved(key("a"), tag("1"))]).await;
    put(l, [Change::Condemn(key("a"), tag("1"), Seq::MAX)]).await;
    let renewed = Condemned { seen: 3, approved: true, moved: true, ..before[0].clone() };
    assert_eq!(rows(l).await, [renewed.clone(), before[1].clone()]);
    put(l, [Change::Condemn(key("a"), tag("1"), 3)]).await;
    assert_eq!(rows(l).await[0], renewed, "it was seen absent since then");
    put(l, [Change::Condemn(key("a"), tag("2"), Seq::MAX)]).await;
    let after = rows(l).await;
    assert_eq!(after[0], before[1]);
    let replaced =
        Condemned { key: key("a"), etag: tag("2"), seen: 5, row: after[1].row, ..before[1].clone() };
    assert_eq!(after[1], replaced);
    assert!(after[1].row > before[1].row);
    assert_eq!(
        tally(l).await,
        Tally { condemned: 2, pending: 2, last_row: after[1].row, ..Tally::default() }
    );
    put(l, [Change::Acquit(key("a")), Change::Acquit(key("b"))]).await;
    assert_eq!(tally(l).await, Tally::default());
    put(l, [Change::Condemn(key("c"), tag("1"), Seq::MAX)]).await;
    assert!(rows(l).await[0].row > after[1].row, "a number is never given again");
}

/// For the looks to come: a file that is there again has no row.
async fn a_proof_knows_that_its_object_is_condemned<L: Ledger>(l: &L) {
    let condemned =
        async |name| l.get(&key(name)).await.expect("read").map(|record| (record.condemned, record.seq));
    put(
        l,
        ["a", "b", "c"].map(|k| Change::Proof(key(k), Record { condemned: true, ..record("1", Some(1)) })),
    )
    .await;
    assert_eq!(condemned("a").await, Some((false, 1)), "by its row alone");
    put(l, ["a", "b", "c"].map(|k| Change::Condemn(key(k), tag("1"), 0))).await;
    assert_eq!(condemned("a").await, Some((true, 1)), "the proof is no newer for it");
    let page = l.page(&KeyRange::One(key("b")), None, 9).await.expect("read");
    assert!(page[0].1.condemned);
    put(
        l,
        [Change::Acquit(key("a")), Change::Proof(key("b"), record("1", Some(1))), Change::Doubt(key("c"))],
    )
    .await;
    assert_eq!((condemned("a").await, condemned("b").await), (Some((false, 1)), Some((false, 3))));
    assert_eq!(condemned("c").await, Some((true, 3)));
    put(l, [gone("c", 60)]).await;
    assert_eq!((condemned("c").await, rows(l).await), (None, vec![]));
}

async fn a_move_is_remembered_before_and_after<L: Ledger>(l: &L) {
    let proofs = ["a", "b", "c"].map(|k| Change::Proof(key(k), record("1", Some(1))));
    put(l, proofs).await;
    put(l, [Change::Moved(key("a"), tag("1")), Change::Moved(key("b"), tag("other"))]).await;
    assert_eq!(l.get(&key("a")).await.expect("read").expect("there").seq, 1, "the proof is no newer for it");
    put(l, ["a", "b", "c"].map(|k| Change::Condemn(key(k), tag("1"), Seq::MAX))).await;
    put(l, [Change::Moved(key("c"), tag("1")), Change::Moved(key("b"), tag("other"))]).await;
    let moved: Vec<bool> = rows(l).await.iter().map(|row| row.moved).collect();
    assert_eq!((moved, tally(l).await.pending), (vec![true, false, true], 1));
    put(l, [Change::Condemn(key("a"), tag("other"), Seq::MAX)]).await;
    assert!(!rows(l).await.last().expect("there").moved, "another content than the one that moved");
    assert_eq!(tally(l).await.pending, 2);
    put(l, [Change::Proof(key("a"), record("1", Some(1))), Change::Condemn(key("a"), tag("1"), Seq::MAX)])
        .await;
    assert!(!rows(l).await.last().expect("there").moved, "a file that was there again did not move");
}

async fn approval_ends_at_its_row<L: Ledger>(l: &L) {
    put(l, ["a", "b", "c"].map(|k| Change::Condemn(key(k), tag("1"), Seq::MAX))).await;
    let second = rows(l).await[1].row;
    put(l, [Change::Approve(second), Change::Approve(second), Change::Condemn(key("d"), tag("1"), Seq::MAX)])
        .await;
    let approved: Vec<bool> = rows(l).await.iter().map(|row| row.approved).collect();
    assert_eq!((approved, tally(l).await.pending), (vec![true, true, false, false], 2));
    assert_eq!(l.condemned(second, 1).await.expect("read")[0].key, key("c"));
    assert_eq!(l.condemned(second, 0).await, Ok(vec![]));
}

async fn a_foreign_key_has_no_proof<L: Ledger>(l: &L) {
    put(l, [Change::Proof(key("a"), record("1", Some(1))), Change::Condemn(key("a"), tag("1"), Seq::MAX)])
        .await;
    put(l, [Change::Foreign(key("a"), tag("2"))]).await;
    assert_eq!((l.get(&key("a")).await, l.foreign(&key("a")).await), (Ok(None), Ok(Some(tag("2")))));
    assert_eq!((tally(l).await, l.by_inodes(vec![1]).await), (Tally::default(), Ok(vec![vec![]])));
}

async fn inodes_follow_the_proofs<L: Ledger>(l: &L) {
    put(l, [Change::Proof(key("b"), record("1", Some(1))), Change::Proof(key("a"), record("1", Some(1)))])
        .await;
    assert_eq!(l.by_inodes(vec![1]).await, Ok(vec![vec![key("a"), key("b")]]));
    assert_eq!(l.by_inodes(vec![]).await, Ok(vec![]));
    put(l, [Change::Proof(key("b"), record("1", Some(2))), Change::Proof(key("a"), record("1", None))]).await;
    assert_eq!(l.by_inodes(vec![2, 1, 2]).await, Ok(vec![vec![key("b")], vec![], vec![key("b")]]));
}

async fn pages_keep_to_their_range<L: Ledger>(l: &L) {
    let all = ["a", "a-", "a/", "a/b", "a/c", "a/\u{10FFFF}", "a0", "b"];
    put(l, all.map(|k| Change::Proof(key(k), record("1", None)))).await;
    let under = |p| KeyRange::Under(key(p));
    assert_eq!(keys(l, under(""), None, 99).await, all);
    assert_eq!(keys(l, under("a/"), None, 99).await, all[2..6]);
    assert_eq!(keys(l, under("a/"), Some("a/c"), 99).await, all[4..6]);
    assert_eq!(keys(l, under("a/"), Some("a/bb"), 1).await, ["a/c"]);
    assert_eq!(keys(l, under("a/"), Some("a"), 2).await, all[2..4]);
    assert!(keys(l, under("a/"), Some("a0"), 99).await.is_empty());
    assert!(keys(l, under("a/"), None, 0).await.is_empty() && keys(l, under("c"), None, 9).await.is_empty());
    assert_eq!(keys(l, KeyRange::One(key("a")), None, 99).await, ["a"]);
    assert!(keys(l, KeyRange::One(key("a")), Some("a-"), 99).await.is_empty());
    assert!(keys(l, KeyRange::One(key("aa")), None, 99).await.is_empty());
}

async fn the_window_counts_what_costs<L: Ledger>(l: &L) {
    put(l, ["a", "b", "c", "d", "e"].map(|k| Change::Proof(key(k), record("1", None)))).await;
    let since = async |sec| l.window(Stamp { sec, nsec: 0 }).await.expect("read");
    assert_eq!(since(0).await, Window { done: 0, records: 5 });
    put(l, [deleted("a", 6000, false), deleted("b", 6030, true)]).await;
    put(l, [deleted("c", 6059, true), deleted("d", 6060, true)]).await;
    assert_eq!(since(6000).await, Window { done: 3, records: 4 });
    assert_eq!(since(6059).await, Window { done: 3, records: 4 }, "by the minute");
    assert_eq!(since(6060).await, Window { done: 1, records: 2 }, "the clock jumped back");
    assert_eq!(since(6120).await, Window { done: 0, records: 1 });
    let both = (tally(l).await, since(6060).await);
    assert_eq!(l.spent(Stamp { sec: 6060, nsec: 0 }).await, Ok(both));
}

async fn the_window_counts_what_was_condemned_and_is_gone<L: Ledger>(l: &L) {
    let names = ["approved", "costs", "free", "moved"];
    put(l, names.map(|k| Change::Proof(key(k), record("1", None)))).await;
    put(l, ["approved", "moved", "costs"].map(|k| Change::Condemn(key(k), tag("1"), Seq::MAX))).await;
    let first = rows(l).await[0].row;
    put(l, [Change::Approve(first), Change::Moved(key("moved"), tag("1"))]).await;
    put(l, names.map(|k| gone(k, 6000))).await;
    // the process that deleted it was killed before it wrote that down
    let (tally, spent) = l.spent(Stamp { sec: 6000, nsec: 0 }).await.expect("read");
    assert_eq!((tally, spent.done), (Tally::default(), 1));
    put(l, [gone("costs", 6000)]).await;
    assert_eq!(l.window(Stamp { sec: 6000, nsec: 0 }).await.expect("read").done, 1, "once");
}

async fn overwrites<L: Ledger>(l: &L) -> Vec<Overwrite> {
    l.overwrites(0, usize::MAX).await.expect("read")
}

async fn held_replacements_are_rows<L: Ledger>(l: &L) {
    let refrain = |k: &str, etag: &str| Change::Refrain(key(k), tag(etag));
    let about = async || {
        let rows = overwrites(l).await.into_iter();
        rows.map(|row| format!("{} {} {}", row.key, row.etag, row.approved)).collect::<Vec<_>>()
    };
    put(l, ["a", "b", "c", "d"].map(|k| refrain(k, "1"))).await;
    let second = overwrites(l).await[1].row;
    put(l, [refrain("b", "1"), Change::ApproveOverwrites(second), refrain("e", "1")]).await;
    assert_eq!(about().await, ["a 1 true", "b 1 true", "c 1 false", "d 1 false", "e 1 false"]);
    let now = tally(l).await;
    assert_eq!((now.overwrites, now.last_overwrite), (3, overwrites(l).await[4].row));
    assert_eq!(l.overwrites(second, 1).await.expect("read")[0].key, key("c"));
    // another object than the one that was approved; and what else ends it
    put(l, [refrain("a", "2"), Change::Proof(key("c"), record("3", None)), gone("d", 0)]).await;
    let row = |k: &str, rows: &[Overwrite]| rows.iter().find(|row| row.key == key(k)).expect("held").row;
    let b = row("b", &overwrites(l).await);
    let abandon = |row| Change::Abandon(key("b"), row);
    put(l, [Change::Foreign(key("e"), tag("1")), abandon(b + 100)]).await;
    assert_eq!(about().await, ["b 1 true", "a 2 false"], "another row than that");
    put(l, [abandon(b), abandon(b)]).await;
    assert_eq!((about().await, tally(l).await.overwrites), (vec!["a 2 false".to_owned()], 1));
    // rows of both kinds share their numbers, and each is approved for itself
    put(l, [Change::Condemn(key("a"), tag("2"), Seq::MAX)]).await;
    let condemned = rows(l).await[0].row;
    assert!(condemned > overwrites(l).await[0].row);
    put(l, [Change::Approve(condemned)]).await;
    assert_eq!((about().await, rows(l).await[0].approved), (vec!["a 2 false".to_owned()], true));
}

async fn a_file_costs_one_replacement_a_window<L: Ledger>(l: &L) {
    let at = |sec| Stamp { sec, nsec: 0 };
    let hour = 3600;
    let overwritten = |k: &str, sec| Change::Overwritten { key: key(k), at: at(sec), since: at(sec - hour) };
    let judged = async |k: &str, since| {
        let told = l.overwriting(&key(k), at(since)).await.expect("read");
        assert_eq!(l.overwritten(at(since)).await, Ok(told.window));
        (told.counted, told.window.done, told.window.records)
    };
    put(l, ["a", "b", "c"].map(|k| Change::Proof(key(k), record("1", None)))).await;
    assert_eq!(judged("a", 0).await, (None, 0, 3));
    put(l, [overwritten("a", 6000), overwritten("c", 6010), gone("c", 0)]).await;
    put(l, [Change::Refrain(key("d"), tag("1")), overwritten("a", 6059)]).await;
    assert_eq!(judged("a", 6000).await, (Some(100), 2, 3), "once a minute, and with the records of then");
    assert_eq!(judged("a", 6060).await, (None, 0, 2), "by the minute");
    put(l, [overwritten("a", 6070), overwritten("b", 6075)]).await;
    assert_eq!(judged("a", 6000).await, (Some(101), 3, 3), "the last counts, and no longer the one before");
    assert_eq!(judged("c", 6060).await, (None, 2, 2));
    put(l, [overwritten("a", 6020)]).await;
    assert_eq!(
        judged("a", 6060).await,
        (Some(101), 2, 2),
        "a clock that went back takes nothing from the window"
    );
    let told = l.overwriting(&key("d"), at(6000)).await.expect("read");
    assert_eq!((told.row.map(|row| row.key), told.held), (Some(key("d")), 1));
    // the window has passed
    put(l, [overwritten("a", 6130 + hour)]).await;
    assert_eq!(judged("a", 6130).await, (Some(162), 1, 2));
    assert_eq!(judged("b", 6130).await, (None, 1, 2));
}

async fn binding_and_hold_are_kept<L: Ledger>(l: &L) {
    assert_eq!((l.scrubbed().await, l.unsynced().await), (Ok(None), Ok(None)));
    for n in 1..5 {
        let at = Stamp { sec: n.into(), nsec: 7 };
        let whole = (n > 2).then_some(at);
        let mark =
            Scrubbed { after: (n > 1).then(|| key("é\n")), done: 3, skipped: n.into(), begun: at, whole };
        put(l, [Change::Bind(binding(n)), Change::Hold(n % 2 == 1), Change::Scrubbed(mark.clone())]).await;
        assert_eq!((l.binding().await, l.held().await), (Ok(Some(binding(n))), Ok(n % 2 == 1)));
        assert_eq!(l.scrubbed().await, Ok(Some(mark)));
        put(l, [Change::Unsynced(whole)]).await;
        assert_eq!(l.unsynced().await, Ok(whole));
    }
}

const KEYS: [&str; 9] = ["", "a", "a-", "a/", "a/b", "a/b/c", "a0", "é\n", "\u{201B}FF"];
const INODES: u64 = 3;
const DAY: i64 = 24 * 60;

/// One change of a random history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// As it is.
    Do(Change),
    /// Approves up to one of the rows there were before the batch.
    Approve(prop::sample::Index),
}

/// A random history over few keys, so that they meet.
pub(crate) fn any_batches() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let key = || prop::sample::select(&KEYS[..]).prop_map(Key::raw);
    let tag = || prop::sample::select(&["1", "2"][..]).prop_map(ETag::new);
    let stamp = || (0..12i64, 0..150i64).prop_map(|(day, sec)| Stamp { sec: day * DAY * 60 + sec, nsec: 0 });
    let proof = (key(), prop::sample::select(&["1", "2"][..]), prop::option::of(0..INODES))
        .prop_map(|(k, etag, inode)| Change::Proof(k, record(etag, inode)));
    let change = prop_oneof![
        6 => proof,
        2 => (key(), stamp()).prop_map(|(key, at)| Change::Gone(key, at)),
        2 => (key(), stamp(), any::<bool>()).prop_map(|(key, at, costs)| Change::Deleted { key, at, costs }),
        6 => (key(), tag(), 0..20_u64).prop_map(|(k, t, since)| Change::Condemn(k, t, since)),
        2 => key().prop_map(Change::Acquit),
        2 => key().prop_map(Change::Doubt),
        3 => (key(), tag()).prop_map(|(k, t)| Change::Moved(k, t)),
        1 => key().prop_map(|k| Change::Intend(intent(k.as_str()))),
        1 => key().prop_map(Change::Settled),
        2 => (key(), tag()).prop_map(|(k, t)| Change::Refrain(k, t)),
        1 => (key(), tag()).prop_map(|(k, t)| Change::Foreign(k, t)),
        1 => (1..5u8).prop_map(|n| Change::Bind(binding(n))),
        1 => any::<bool>().prop_map(Change::Hold),
    ];
    let step = prop_oneof![
        12 => change.prop_map(Step::Do),
        1 => any::<prop::sample::Index>().prop_map(Step::Approve),
    ];
    prop::collection::vec(prop::collection::vec(step, 0..8), 1..16)
}

/// What a ledger should hold, in plain maps, with nothing counted ahead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    seq: Seq,
    numbered: u64,
    records: BTreeMap<Key, (Record, bool)>,
    condemned: BTreeMap<u64, Condemned>,
    /// What is held, in the order of the rows.
    refrained: Vec<(Key, ETag)>,
    foreign: BTreeMap<Key, ETag>,
    intents: BTreeMap<Key, Intent>,
    deletes: Vec<(i64, u64)>,
    binding: Option<Binding>,
    held: bool,
    /// Our row number → the ledger's: how it numbers is its own affair, as long as it goes up.
    names: BTreeMap<u64, u64>,
}

impl Model {
    /// Applies one batch here and there.
    pub(crate) async fn follow<L: Ledger>(&mut self, ledger: &L, steps: &[Step]) {
        let ours: Vec<u64> = self.condemned.keys().copied().collect();
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Do(change) => {
                    here.push(change.clone());
                    there.push(change.clone());
                }
                Step::Approve(_) if ours.is_empty() => {}
                Step::Approve(index) => {
                    let row = *index.get(&ours);
                    here.push(Change::Approve(row));
                    there.push(Change::Approve(self.names[&row]));
                }
            }
        }
        self.seq += 1;
        here.into_iter().for_each(|change| self.apply(change));
        assert_eq!(put(ledger, there).await, self.seq);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Proof(key, record) => {
                self.gone(&key);
                self.records.insert(key, (Record { seq: self.seq, condemned: false, ..record }, false));
            }
            Change::Gone(key, at) => {
                let costs = |row: &&Condemned| row.key == key && row.costs();
                let costs = self.condemned.values().any(|row| costs(&row));
                self.deleted(&key, at, costs);
            }
            Change::Deleted { key, at, costs } => self.deleted(&key, at, costs),
            Change::Condemn(key, etag, since) => {
                if let Some((record, _)) = self.records.get_mut(&key) {
                    record.condemned = true;
                }
                if let Some(row) = self.condemned.values_mut().find(|r| r.key == key && r.etag == etag) {
                    row.seen = if row.seen < since { self.seq } else { row.seen };
                    return;
                }
                self.condemned.retain(|_, row| row.key != key);
                self.numbered += 1;
                let (row, seen) = (self.numbered, self.seq);
                let moved = self.records.get(&key).is_some_and(|(r, moved)| *moved && r.etag == etag);
                self.condemned.insert(row, Condemned { row, key, etag, seen, approved: false, moved });
            }
            Change::Acquit(key) => {
                self.condemned.retain(|_, row| row.key != key);
                if let Some((record, _)) = self.records.get_mut(&key) {
                    record.condemned = false;
                }
            }
            Change::Doubt(key) => {
                if let Some((record, _)) = self.records.get_mut(&key).filter(|(record, _)| !record.doubted) {
                    (record.doubted, record.seq) = (true, self.seq);
                }
            }
            Change::Moved(key, etag) => {
                if let Some((record, moved)) = self.records.get_mut(&key) {
                    *moved |= record.etag == etag;
                }
                for row in self.condemned.values_mut().filter(|row| row.key == key) {
                    row.moved |= row.etag == etag;
                }
            }
            Change::Approve(last) => {
                self.condemned.range_mut(..=last).for_each(|(_, row)| row.approved = true)
            }
            Change::Refrain(key, etag) => {
                if !self.refrained.contains(&(key.clone(), etag.clone())) {
                    self.refrained.retain(|(other, _)| *other != key);
                    self.refrained.push((key, etag));
                }
            }
            // by a number that is the ledger's own
            Change::Abandon(..) => {}
            // in cases of their own
            Change::ApproveOverwrites(_) | Change::Overwritten { .. } => {}
            Change::Intend(intent) => drop(self.intents.insert(intent.key.clone(), intent)),
            Change::Settled(key) => drop(self.intents.remove(&key)),
            Change::Foreign(key, etag) => {
                self.gone(&key);
                self.foreign.insert(key, etag);
            }
            Change::Bind(binding) => self.binding = Some(binding),
            Change::Hold(held) => self.held = held,
            Change::Scrubbed(_) | Change::Unsynced(_) => {}
        }
    }

    /// Records, but those of directories.
    fn files(&self) -> u64 {
        self.records.keys().filter(|key| !key.is_directory()).count() as u64
    }

    fn directories(&self) -> u64 {
        self.records.len() as u64 - self.files()
    }

    fn deleted(&mut self, key: &Key, at: Stamp, costs: bool) {
        if costs {
            self.deletes.push((at.sec.div_euclid(60), self.files()));
        }
        self.gone(key);
    }

    fn gone(&mut self, key: &Key) {
        self.records.remove(key);
        self.condemned.retain(|_, row| row.key != *key);
        self.refrained.retain(|(other, _)| other != key);
        self.foreign.remove(key);
    }

    /// Asks the ledger everything, and compares.
    pub(crate) async fn compare<L: Ledger>(&mut self, ledger: &L) {
        assert_eq!(ledger.now(), self.seq);
        for key in KEYS.map(Key::raw) {
            let want = self.records.get(&key).map(|(record, _)| record.clone());
            assert_eq!(ledger.get(&key).await, Ok(want), "{key}");
            assert_eq!(ledger.foreign(&key).await, Ok(self.foreign.get(&key).cloned()), "{key}");
            for range in [KeyRange::One(key.clone()), KeyRange::Under(key.clone())] {
                self.compare_pages(ledger, &range).await;
            }
        }
        let told = ledger.by_inodes((0..INODES).collect()).await.expect("read");
        for (inode, got) in (0..INODES).zip(told) {
            let of = |record: &Record| record.print.map(|print| print.inode) == Some(inode);
            let want = self.records.iter().filter(|(_, (r, _))| of(r)).map(|(key, _)| key.clone());
            assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), want.collect(), "inode {inode}");
        }
        let mut intents = ledger.intents().await.expect("read");
        intents.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(intents, self.intents.values().cloned().collect::<Vec<_>>());
        assert_eq!(ledger.binding().await.as_ref(), Ok(&self.binding));
        assert_eq!(ledger.held().await, Ok(self.held));
        self.compare_condemned(ledger).await;
        self.compare_windows(ledger).await;
    }

    async fn compare_pages<L: Ledger>(&self, ledger: &L, range: &KeyRange) {
        for from in [None, Some("a"), Some("a.x"), Some("a/b")] {
            let from = from.map(Key::raw);
            let inside = self.records.iter().filter(|(key, _)| range.contains(key));
            let want: Vec<_> = inside
                .filter(|(key, _)| from.as_ref().is_none_or(|from| *key >= from))
                .map(|(key, (record, _))| (key.clone(), record.clone()))
                .collect();
            for most in [1, 2, usize::MAX] {
                let got = ledger.page(range, from.clone(), most).await.expect("read");
                assert_eq!(got, want[..want.len().min(most)], "{range:?} from {from:?}");
            }
        }
    }

    async fn compare_condemned<L: Ledger>(&mut self, ledger: &L) {
        let rows = rows(ledger).await;
        let mut highest = self.names.values().max().copied().unwrap_or(0);
        let mut want = Vec::new();
        for (ours, theirs) in self.condemned.values().zip(&rows) {
            let name = *self.names.entry(ours.row).or_insert_with(|| {
                assert!(theirs.row > highest, "row numbers go up: {theirs:?} after {highest}");
                highest = theirs.row;
                theirs.row
            });
            want.push(Condemned { row: name, ..ours.clone() });
        }
        assert_eq!((&rows, rows.len()), (&want, self.condemned.len()));
        let mut paged = Vec::new();
        loop {
            let after = paged.last().map_or(0, |row: &Condemned| row.row);
            let page = ledger.condemned(after, 2).await.expect("read");
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, rows);
        let held = overwrites(ledger).await;
        let told: Vec<_> = held.iter().map(|row| (row.key.clone(), row.etag.clone())).collect();
        assert_eq!(told, self.refrained);
        let recounted = Tally {
            records: self.files(),
            directories: self.directories(),
            condemned: rows.len() as u64,
            pending: rows.iter().filter(|row| row.costs()).count() as u64,
            last_row: rows.last().map_or(0, |row| row.row),
            overwrites: held.len() as u64,
            last_overwrite: held.last().map_or(0, |row| row.row),
        };
        assert_eq!(tally(ledger).await, recounted);
    }

    /// Only of the last 7 days before the newest delete: older minutes may be forgotten.
    async fn compare_windows<L: Ledger>(&self, ledger: &L) {
        let newest = self.deletes.iter().map(|(minute, _)| *minute).max().unwrap_or(0);
        for back in [-1, 0, 1, 60, DAY, 7 * DAY] {
            let since = newest - back;
            let inside = || self.deletes.iter().filter(|(minute, _)| *minute >= since);
            let earliest = inside().map(|(minute, _)| *minute).min();
            let first = inside().find(|(minute, _)| Some(*minute) == earliest);
            let want = Window {
                done: inside().count() as u64,
                records: first.map_or(self.files(), |(_, records)| *records),
            };
            let stamp = Stamp { sec: since * 60 + 59, nsec: 0 };
            assert_eq!(ledger.window(stamp).await, Ok(want), "since minute {since} of {:?}", self.deletes);
        }
    }
}
