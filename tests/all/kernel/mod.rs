//! The kernel as it is: mounts, limits and full disks, in namespaces that only the daemon enters. Each story is played
//! by the real binary against the embedded server, which keeps all versions: whatever happens, nothing is deleted or
//! replaced that should not be, it is said, and it is over by itself when the cause is.

mod disks;
mod hosts;
mod limits;
mod mounts;
mod threads;

use crate::support::{
    bench::{Bench, PATIENCE},
    space::Space,
};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// Has the server keep every version from now on.
async fn keep_versions(bench: &Bench) {
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    bench
        .client()
        .put_bucket_versioning()
        .bucket("backups")
        .versioning_configuration(on)
        .send()
        .await
        .unwrap();
}

/// How often each name was written, and how often deleted, since versions are kept.
async fn history(bench: &Bench) -> BTreeMap<String, (usize, usize)> {
    let mut all: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let (mut key, mut version) = (None, None);
    loop {
        let ask = bench.client().list_object_versions().bucket("backups").prefix("www/");
        let page = ask.set_key_marker(key).set_version_id_marker(version).send().await.unwrap();
        let name = |key: Option<&str>| {
            let name = key.unwrap().strip_prefix("www/").unwrap().to_owned();
            // the markers of directories apart
            Some(name).filter(|name| !name.starts_with(".s3mirrord/") && !name.ends_with('/'))
        };
        page.versions()
            .iter()
            .filter_map(|v| name(v.key()))
            .for_each(|name| all.entry(name).or_default().0 += 1);
        let gone = page.delete_markers().iter().filter_map(|marker| name(marker.key()));
        gone.for_each(|name| all.entry(name).or_default().1 += 1);
        if page.is_truncated() != Some(true) {
            return all;
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
    }
}

/// Names that were written more than once, or deleted.
async fn touched(bench: &Bench) -> Vec<String> {
    let all = history(bench).await;
    all.into_iter().filter(|(_, times)| *times != (1, 0)).map(|(name, _)| name).collect()
}

/// Names that were ever deleted.
async fn deleted(bench: &Bench) -> Vec<String> {
    history(bench).await.into_iter().filter(|(_, (_, times))| *times > 0).map(|(name, _)| name).collect()
}

/// Starts the daemon in there; killed with the value. What it says is kept.
fn start(bench: &Bench, space: &Space) -> Child {
    start_as(bench, space.enter(bench.command(&["run"])))
}

fn start_as(bench: &Bench, command: Command) -> Child {
    bench.start_logged(command)
}

/// What it said so far.
fn log(bench: &Bench) -> String {
    bench.log()
}

/// Waits for a condition.
async fn until(bench: &Bench, what: &str, is: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", log(bench));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn stop(mut child: Child) -> Option<i32> {
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::TERM).unwrap();
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").unwrap().code()
}

fn mirror(told: &Value) -> &Value {
    &told["mirrors"][0]
}

fn settled(told: &Value) -> bool {
    mirror(told)["settled"] == true
}

/// Its trouble, or what is degraded, says all of this.
fn says<'a>(of: &'static str, all: &'a [&'a str]) -> impl Fn(&Value) -> bool + 'a {
    move |told| mirror(told)[of].as_str().is_some_and(|text| all.iter().all(|part| text.contains(part)))
}
