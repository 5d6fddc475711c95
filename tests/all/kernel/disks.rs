//! A disk that is full: that of the ledger, under the daemon.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn c64_a_daemon_whose_ledger_has_no_room_says_so_deletes_nothing_and_goes_on_when_there_is() {
    let Some(space) = Space::of_mounts() else { return };
    let bench = Bench::new().await;
    keep_versions(&bench).await;
    // that of the mirror alone: the socket lies above
    let state = bench.state().join("www");
    fs::create_dir_all(&state).unwrap();
    space.run("mount -t tmpfs -o size=2m,mode=700 tmpfs \"$1\"", &[&state]);
    for n in 0..20 {
        bench.write(&format!("old/{n}"), "old");
    }
    let daemon = start(&bench, &space);
    bench.await_status("settled", settled).await;

    let ballast = space.at(&state).join("ballast");
    assert!(fs::write(&ballast, vec![1; 4 << 20]).is_err(), "it is full");
    (0..10).for_each(|n| bench.remove(&format!("old/{n}")));
    for n in 0..2000 {
        bench.write(&format!("new/{n}-{}", "x".repeat(200)), "new");
    }
    bench.await_status("in trouble", says("trouble", &["free some space"])).await;
    assert_eq!(touched(&bench).await.iter().filter(|name| name.starts_with("old/")).count(), 0);

    fs::remove_file(&ballast).unwrap();
    space.run("mount -o remount,size=64m \"$1\"", &[&state]);
    let equal = async || {
        let have = history(&bench).await;
        have.values().filter(|(_, deleted)| *deleted == 0).count() == 2010
    };
    until(&bench, "all is as it should be", equal).await;
    let told = bench.await_status("settled", settled).await;
    assert!(mirror(&told)["trouble"].is_null(), "{told}");
    let gone: Vec<_> = (0..10).map(|n| format!("old/{n}")).collect();
    assert_eq!(deleted(&bench).await, gone);
    assert_eq!(stop(daemon).await, Some(0));
}
