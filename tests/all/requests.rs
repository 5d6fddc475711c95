//! What each change costs in requests, by the server's own count: none that was not needed. No HEAD follows a PUT that was
//! confirmed, nothing is listed twice, and the store is probed once a week.

use crate::support::{bench::Bench, memory::pattern};
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

const PART: usize = 8 << 20;

/// A pass that ends well: what was asked beside one listing and the one look at the owner record.
async fn pass(bench: &Bench, what: &str) -> BTreeMap<String, u64> {
    bench.server.reset_requests();
    let ran = bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 0, "{what}: {ran:?}");
    let mut requests = bench.server.requests();
    assert_eq!(requests.remove("ListObjectsV2"), Some(1), "{what}: {requests:?}");
    assert_eq!(requests.remove("GetObject"), Some(1), "{what}: {requests:?}");
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_costs_the_requests_that_it_needs_and_no_others() {
    let bench = Bench::new().await;
    let at = |name: &str| bench.root.join(name);
    let want = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    };
    assert_eq!(pass(&bench, "an empty directory").await, want(&[]), "nothing is claimed for nothing");

    bench.write("first", "1");
    let probed = pass(&bench, "the first file").await;
    assert!(
        probed.values().sum::<u64>() <= 17 + 3,
        "the probe, the claim and when it was made, the file: {probed:?}"
    );

    // from here on the claim is one PUT a pass, and the probe none
    (0..3).for_each(|n| bench.write(&format!("small {n}"), "small"));
    assert_eq!(pass(&bench, "small files").await, want(&[("PutObject", 1 + 3)]));

    fs::write(at("large"), pattern(2 * PART + 1, 1)).unwrap();
    let parts =
        [("PutObject", 1), ("CreateMultipartUpload", 1), ("UploadPart", 3), ("CompleteMultipartUpload", 1)];
    assert_eq!(pass(&bench, "a large file").await, want(&parts));

    bench.write("small 0", "small, and it grew");
    assert_eq!(pass(&bench, "a file that grew").await, want(&[("PutObject", 1 + 1)]));

    bench.write("small 1", "SMALL");
    assert_eq!(pass(&bench, "an edit of the same size").await, want(&[("PutObject", 1 + 1)]));

    fs::set_permissions(at("small 2"), fs::Permissions::from_mode(0o600)).unwrap();
    let copy = [("PutObject", 1), ("HeadObject", 1), ("CopyObject", 1)];
    assert_eq!(pass(&bench, "another mode").await, want(&copy));

    // the tag of what went up in parts does not show what was copied: its source is looked at again
    for (name, looks) in [("small 2", 1), ("large", 2)] {
        fs::rename(at(name), at(&format!("{name} renamed"))).unwrap();
        let renamed = [("PutObject", 1), ("HeadObject", looks), ("CopyObject", 1), ("DeleteObject", 1)];
        assert_eq!(pass(&bench, "a rename").await, want(&renamed), "{name}");
    }

    (0..50).for_each(|n| bench.write(&format!("d/{n}"), "x"));
    assert_eq!(pass(&bench, "fifty more, and their directory").await, want(&[("PutObject", 1 + 50 + 1)]));
    fs::remove_dir_all(at("d")).unwrap();
    let deleted = [("PutObject", 1), ("DeleteObjects", 1)];
    assert_eq!(pass(&bench, "fifty deletes").await, want(&deleted));

    assert_eq!(pass(&bench, "nothing").await, want(&[]));
}
