//! What the operator chose for objects: on every object, and still there after renames, `touch` and `chmod`.

use crate::support::scene::{PREFIX, SHORT, Scene, content};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

const KMS_KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/k";

const CHOSEN: &str = r#"
storage_class = "STANDARD_IA"
sse = "s3"
tags = { team = "web" }
metadata = { origin = "web-1" }
cache_control = "max-age=300"

[[mirror.objects]]
match = ["*.html", "/static/"]
content_type = "text/html; charset=utf-8"
storage_class = "STANDARD"
acl = "public-read"

[[mirror.objects]]
match = ["/vault/"]
sse = { kms = "arn:aws:kms:us-east-1:123456789012:key/k", bucket_key = true }
tags = { vault = "yes", team = "safe" }
retention = { mode = "governance", days = 30 }
cache_control = ""

[[mirror.objects]]
match = ["/cold/"]
storage_class = "GLACIER"
"#;

async fn scene() -> Option<Scene> {
    Scene::with(&format!("{SHORT}{CHOSEN}")).await
}

/// A pass that ends well: its summary.
async fn once(scene: &Scene) -> Value {
    let ran = scene.bench.run(&["once", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.summary()
}

/// What was done, by kind.
fn did(sums: &Value) -> [u64; 4] {
    ["uploaded", "copied", "metadata", "adopted"].map(|kind| sums[kind].as_u64().unwrap())
}

/// The object of `name` has all that everything has, but for these.
async fn has(scene: &mut Scene, name: &str, but: Value) {
    let mut want = json!({
        "class": "STANDARD_IA", "sse": "AES256", "key": null, "bucket_key": null,
        "type": "application/octet-stream", "cache": "max-age=300", "lock": null, "days": null,
        "tags": {"team": "web"}, "public": false, "origin": "web-1", "mode": "0100644",
    });
    for (fact, value) in but.as_object().unwrap() {
        want[fact] = value.clone();
    }
    assert_eq!(scene.outsider.facts(&format!("{PREFIX}{name}")).await, want, "{name}");
}

fn chmod(scene: &Scene, name: &str, mode: u32) {
    fs::set_permissions(scene.at(name), fs::Permissions::from_mode(mode)).unwrap();
}

fn vault(but: Value) -> Value {
    let mut all = json!({
        "sse": "aws:kms", "key": KMS_KEY, "bucket_key": true, "cache": null, "lock": "GOVERNANCE", "days": 30,
        "tags": {"vault": "yes", "team": "safe"},
    });
    for (fact, value) in but.as_object().unwrap() {
        all[fact] = value.clone();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn c58_each_object_has_what_was_chosen_after_renames_touch_and_chmod_too() {
    let Some(mut scene) = scene().await else { return };
    let large = vec![7; 9 << 20];
    for (name, text) in [
        ("plain", &b"plain"[..]),
        ("page.html", b"page"),
        ("sub/page.html", b"sub"),
        ("static/x.css", b"css"),
        ("vault/key", b"key"),
        ("vault/large", &large),
    ] {
        scene.write(name, text);
        chmod(&scene, name, 0o644);
    }
    assert_eq!(did(&once(&scene).await), [6, 0, 0, 0]);
    let html = json!({"class": "STANDARD", "type": "text/html; charset=utf-8", "public": true});
    has(&mut scene, "plain", json!({})).await;
    for name in ["page.html", "sub/page.html", "static/x.css"] {
        has(&mut scene, name, html.clone()).await;
    }
    for name in ["vault/key", "vault/large"] {
        has(&mut scene, name, vault(json!({}))).await;
    }
    // the owner record stays within reach
    let owner = scene.outsider.facts(&format!("{PREFIX}.s3mirrord/owner.json")).await;
    let found = ["class", "sse", "tags", "cache", "lock"].map(|fact| owner[fact].clone());
    assert_eq!(found, [json!("STANDARD"), json!("AES256"), json!({}), Value::Null, Value::Null]);

    // tags under SSE-KMS are no digests: without the ledger all is known again, and nothing is sent
    fs::remove_file(scene.bench.state().join("www/ledger.redb")).unwrap();
    assert_eq!(did(&once(&scene).await), [0, 0, 0, 6]);

    // what was chosen for the new name is asked for, and what was not is kept
    scene.rename("plain", "renamed");
    scene.rename("sub/page.html", "vault/page.html");
    scene.rename("vault/large", "large");
    chmod(&scene, "page.html", 0o600);
    chmod(&scene, "vault/key", 0o600);
    let touched = fs::File::options().append(true).open(scene.at("static/x.css")).unwrap();
    touched.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    assert_eq!(did(&once(&scene).await), [0, 3, 3, 0], "no bytes are sent");
    has(&mut scene, "renamed", json!({})).await;
    has(&mut scene, "large", json!({})).await;
    has(&mut scene, "vault/page.html", vault(html.clone())).await;
    has(&mut scene, "static/x.css", html.clone()).await;
    has(&mut scene, "vault/key", vault(json!({"mode": "0100600"}))).await;
    let mut private = html.clone();
    private["mode"] = json!("0100600");
    has(&mut scene, "page.html", private).await;

    // another choice is for what is written from then on, and none leaves what is there
    scene.bench.configure(&scene.bench.mirror("www", &scene.bench.root, PREFIX, SHORT));
    scene.write("new", "new");
    chmod(&scene, "new", 0o644);
    chmod(&scene, "renamed", 0o600);
    assert_eq!(did(&once(&scene).await), [1, 0, 1, 0]);
    has(&mut scene, "renamed", json!({"mode": "0100600"})).await;
    has(&mut scene, "vault/page.html", vault(html)).await;
    let nothing = json!({"class": "STANDARD", "sse": null, "tags": {}, "cache": null, "origin": null});
    has(&mut scene, "new", nothing).await;
    assert_eq!(did(&once(&scene).await), [0, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn c59_what_is_archived_is_sent_again_when_it_is_renamed() {
    let Some(mut scene) = scene().await else { return };
    scene.write("cold/a", "archived");
    chmod(&scene, "cold/a", 0o644);
    assert_eq!(did(&once(&scene).await), [1, 0, 0, 0]);
    has(&mut scene, "cold/a", json!({"class": "GLACIER"})).await;
    assert_eq!(did(&once(&scene).await), [0, 0, 0, 0], "it is compared without being read");

    scene.rename("cold/a", "cold/b");
    assert_eq!(did(&once(&scene).await), [1, 0, 0, 0]);
    has(&mut scene, "cold/b", json!({"class": "GLACIER"})).await;
    chmod(&scene, "cold/b", 0o600);
    assert_eq!(did(&once(&scene).await), [1, 0, 0, 0]);
    has(&mut scene, "cold/b", json!({"class": "GLACIER", "mode": "0100600"})).await;

    scene.rename("cold/b", "warm");
    assert_eq!(did(&once(&scene).await), [1, 0, 0, 0]);
    has(&mut scene, "warm", json!({"mode": "0100600"})).await;
    let all = scene.outsider.read(PREFIX).await;
    assert_eq!(all, [(b"warm".to_vec(), content(b"archived"))].into(), "and the old ones are gone");
    assert_eq!(did(&once(&scene).await), [0, 0, 0, 0]);
}

/// Nothing in such a bucket has a tag that is a digest, the objects of the probe included.
#[tokio::test(flavor = "multi_thread")]
async fn c40_under_kms_for_all_edits_are_found_and_nothing_is_sent_twice() {
    let Some(mut scene) = Scene::with(&format!("{SHORT}sse = \"kms\"")).await else { return };
    let large = vec![7; 9 << 20];
    for (name, text) in [("same", &b"same"[..]), ("edited", b"before"), ("large", &large)] {
        scene.write(name, text);
    }
    let lose_the_ledger =
        |scene: &Scene| fs::remove_file(scene.bench.state().join("www/ledger.redb")).unwrap();
    assert_eq!(did(&once(&scene).await), [3, 0, 0, 0]);
    assert_eq!(scene.outsider.facts("www/.s3mirrord/owner.json").await["sse"], "aws:kms");
    assert_eq!(did(&once(&scene).await), [0, 0, 0, 0]);

    scene.write("edited", "after!");
    assert_eq!(did(&once(&scene).await), [1, 0, 0, 0]);
    lose_the_ledger(&scene);
    assert_eq!(did(&once(&scene).await), [0, 0, 0, 3]);
    lose_the_ledger(&scene);
    scene.write("edited", "before");
    assert_eq!(did(&once(&scene).await), [1, 0, 0, 2]);

    // a copy has a tag of its own, and one object is not made of parts any more
    scene.rename("same", "renamed");
    scene.rename("large", "moved");
    assert_eq!(did(&once(&scene).await), [0, 2, 0, 0]);
    lose_the_ledger(&scene);
    assert_eq!(did(&once(&scene).await), [0, 0, 0, 3]);
    for name in ["renamed", "moved", "edited"] {
        let facts = scene.outsider.facts(&format!("{PREFIX}{name}")).await;
        assert_eq!((&facts["sse"], &facts["bucket_key"]), (&json!("aws:kms"), &Value::Null), "{name}");
    }
    let want = [("edited", &b"before"[..]), ("moved", &large), ("renamed", b"same")];
    let want = want.map(|(name, text)| (name.as_bytes().to_vec(), content(text))).into();
    assert_eq!(scene.outsider.read(PREFIX).await, want);
}
