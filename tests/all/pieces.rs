//! `restore` of large objects: they come in pieces, are proven as they come, and go on where they were cut off.

use super::restore::{drafts, noise, outcomes, tree, walk, write};
use crate::support::{
    bench::{Bench, PATIENCE, Ran, binary},
    road::Road,
    space::Space,
};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::process::Command;

const MIB: u64 = 1 << 20;
const LARGE: u64 = 96 * MIB + 17;

fn command(bench: &Bench, road: &Road, to: &Path, paths: &[&str]) -> Command {
    let (url, to) = (road.endpoint(), to.to_str().unwrap());
    let words = ["restore", "--json", "--from", "s3://backups/www/", "--endpoint-url", &url, "--to", to];
    let mut command = binary(&[&words, paths].concat());
    let (key, secret) = (bench.server.access_key(), bench.server.secret_key());
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_REGION", "us-east-1");
    command.env("HOME", bench.dir.path());
    command
}

/// A file of 96 MiB in the bucket, and a road there.
async fn mirrored() -> (Bench, Road) {
    let bench = Bench::new().await;
    write(&bench.root, b"large", &noise(LARGE as usize, 1), 0o640, 1_700_000_000);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let road = Road::to(bench.server.address()).await;
    (bench, road)
}

/// Lets so much of it come, and kills the restore when it has written nearly all of that.
async fn cut_off(bench: &Bench, road: &Road, out: &Path, bytes: u64) -> PathBuf {
    let draft = || {
        let all = if out.exists() { walk(out) } else { vec![] };
        all.into_iter().find(|path| path.to_string_lossy().ends_with(".part"))
    };
    let there = || draft().map_or(0, |path| path.metadata().unwrap().blocks() * 512);
    let (before, begun) = (there(), Instant::now());
    road.open_for(bytes);
    let mut child = command(bench, road, out, &[]).spawn().unwrap();
    while there() + 4 * MIB < before + bytes {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().await.unwrap();
    road.open_for(u64::MAX);
    assert!(!out.join("large").exists());
    draft().unwrap()
}

/// Killed in the middle of a file, of which no piece was whole: the next one fetches what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c65_a_large_file_that_was_cut_off_goes_on_within_its_pieces() {
    let (bench, road) = mirrored().await;
    let out = bench.dir.path().join("out");
    // and again
    for bytes in [40 * MIB, 16 * MIB] {
        cut_off(&bench, &road, &out, bytes).await;
    }
    let ran = Ran::of(command(&bench, &road, &out, &[])).await;
    assert_eq!((ran.code, &ran.summary()["unproven"]), (0, &0.into()), "{ran:?}");
    assert!(road.came() < LARGE - 48 * MIB, "{} bytes came again", road.came());
    assert_eq!(tree(&out), tree(&bench.root), "and no draft");
}

/// What was left is believed only as far as it is proven, only of the object that it is of, and only if nobody else wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_of_a_file_is_proven_like_what_comes() {
    let (bench, road) = mirrored().await;
    let out = bench.dir.path().join("out");
    let spoil = |draft: &Path| {
        let draft = fs::File::options().write(true).open(draft).unwrap();
        draft.write_all_at(&[0; 512], 4096).unwrap();
    };
    let others = |draft: &Path| fs::set_permissions(draft, fs::Permissions::from_mode(0o666)).unwrap();
    let beside = |draft: &Path| fs::hard_link(draft, bench.dir.path().join("beside")).unwrap();
    for (what, change) in
        [("spoilt", &spoil as &dyn Fn(&Path)), ("written by others", &others), ("of two names", &beside)]
    {
        change(&cut_off(&bench, &road, &out, 32 * MIB).await);
        let ran = Ran::of(command(&bench, &road, &out, &[])).await;
        assert_eq!((ran.code, tree(&out)), (0, tree(&bench.root)), "{what}: {ran:?}");
        assert!(road.came() > LARGE, "all of it is fetched: {what}");
        fs::remove_file(out.join("large")).unwrap();
    }
    // of another object
    cut_off(&bench, &road, &out, 32 * MIB).await;
    write(&bench.root, b"large", &noise(LARGE as usize, 2), 0o640, 1_700_000_001);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let ran = Ran::of(command(&bench, &road, &out, &[])).await;
    assert_eq!((ran.code, tree(&out)), (0, tree(&bench.root)), "{ran:?}");
    assert!(road.came() < LARGE + 8 * MIB, "{} bytes came: what was left is not even tried", road.came());
    // of a file that somebody else brought meanwhile
    fs::remove_file(out.join("large")).unwrap();
    cut_off(&bench, &road, &out, 32 * MIB).await;
    write(&out, b"large", &fs::read(bench.root.join("large")).unwrap(), 0o640, 1_700_000_001);
    let ran = Ran::of(command(&bench, &road, &out, &[])).await;
    assert_eq!((ran.code, &ran.summary()["unchanged"], drafts(&out)), (0, &1.into(), 0), "{ran:?}");
}

/// Whoever stored it, and whatever the store tells of it: it comes back, proven, and if a bit of it is flipped on its way it
/// does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_of_any_sort_is_proven() {
    let bench = Bench::new().await;
    let bytes = noise(20 << 20 | 17, 3);
    let faults = bench.server.faults();
    write(&bench.root, b"ours", &bytes, 0o644, 1_700_000_000);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    // of these nothing is kept but the tag
    let plain = faults.add(Rule::new(Kind::NoChecksumVerification));
    write(&bench.root, b"ours-tag", &bytes, 0o644, 1_700_000_000);
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let put = |name: &str| {
        bench.client().put_object().bucket("backups").key(format!("www/{name}")).body(bytes.clone().into())
    };
    put("one-tag").send().await.unwrap();
    let (create, key) = (bench.client().create_multipart_upload().bucket("backups"), "www/parts-tag");
    let upload = create.key(key).send().await.unwrap().upload_id.unwrap();
    let mut all = CompletedMultipartUpload::builder();
    for (number, part) in (1..).zip(bytes.chunks(5 << 20)) {
        let sent = bench.client().upload_part().bucket("backups").key(key).upload_id(&upload);
        let sent = sent.part_number(number).body(part.to_vec().into()).send().await.unwrap();
        all = all.parts(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
    }
    let complete = bench.client().complete_multipart_upload().bucket("backups").key(key).upload_id(upload);
    complete.multipart_upload(all.build()).send().await.unwrap();
    faults.remove(plain);
    // of this one the tag is no digest
    let random = faults.add(Rule::new(Kind::RandomEtag));
    put("crc").checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await.unwrap();
    faults.remove(random);
    let road = Road::to(bench.server.address()).await;
    for name in ["ours", "ours-tag", "one-tag", "parts-tag", "crc"] {
        for spoilt in [true, false] {
            road.spoil(if spoilt { 5 * MIB } else { u64::MAX });
            let out = bench.dir.path().join(format!("out-{name}-{spoilt}"));
            let ran = Ran::of(command(&bench, &road, &out, &[name])).await;
            let (outcome, sums) = (&outcomes(&ran)[name], ran.summary());
            assert!(road.came() < 24 * MIB, "it is asked for once: {name}");
            if spoilt {
                assert_eq!(
                    (ran.code, outcome.as_str(), walk(&out).len()),
                    (1, "failed", 0),
                    "{name}: {ran:?}"
                );
                assert!(ran.stderr.contains("not those that were stored"), "{name}: {ran:?}");
            } else {
                assert_eq!(
                    (ran.code, outcome.as_str(), &sums["unproven"]),
                    (0, "done", &0.into()),
                    "{name}: {ran:?}"
                );
                assert!(fs::read(out.join(name)).unwrap() == bytes, "{name}");
            }
        }
    }
}

/// A file system below the target that has no room is the matter of the files there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_mount_below_has_no_room_its_files_fail_and_the_rest_comes() {
    let Some(space) = Space::of_mounts() else { return };
    let bench = Bench::new().await;
    let road = Road::to(bench.server.address()).await;
    for (name, len) in
        [("mount/large", 9 << 20), ("mount/middle", 3 << 20), ("mount/small", 9), ("other", 9 << 20)]
    {
        write(&bench.root, name.as_bytes(), &noise(len, 4), 0o644, 1_700_000_000);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let out = bench.dir.path().join("out");
    let mount = out.join("mount");
    fs::create_dir_all(&mount).unwrap();
    space.run("mount -t tmpfs -o size=2m tmpfs \"$1\"", &[&mount]);
    let ran = Ran::of(space.enter(command(&bench, &road, &out, &[]))).await;
    let came = outcomes(&ran);
    let of = |name: &str| came[name].as_str();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(
        [of("mount/large"), of("mount/middle"), of("mount/small"), of("other")],
        ["failed", "failed", "done", "done"]
    );
    assert_eq!(drafts(&space.at(&mount)), 0, "what failed for good leaves nothing");
}
