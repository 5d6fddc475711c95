//! The options of objects on real servers: what each request asks for, as the SDK of Amazon sees it afterwards.

use crate::{
    stores::options,
    support::{
        memory::Memory,
        moto::Moto,
        prepare::Prepare,
        server::{Answer, Server as Wire},
        skip,
    },
};
use aws_sdk_s3::{
    Client,
    operation::head_object::HeadObjectOutput,
    primitives::DateTime,
    types::{ObjectLockLegalHoldStatus, ObjectLockMode, ServerSideEncryption, StorageClass},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use s3mirrord::{
    embedded::{self, Server},
    model::{Class, ETag, Encryption, Key, KeyRange, ObjectOptions, Only, RelPath, Retention, Upload},
    store::{Depth, Objects, Options, S3, Start, Store},
};
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

const PART: usize = 8 << 20;
const DAY: i64 = 86_400;
const KMS_KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000";

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// Everything there is to choose.
fn everything() -> ObjectOptions {
    ObjectOptions {
        storage_class: text("STANDARD_IA"),
        encryption: Some(Encryption::Store),
        tags: pairs(&[("team", "web"), ("cost centre", "a+b=c/d")]),
        acl: text("public-read"),
        metadata: pairs(&[("origin", "web-1"), ("note", "née")]),
        content_type: text("text/x-chosen; charset=utf-8"),
        cache_control: text("max-age=300"),
        content_disposition: text("attachment"),
        content_encoding: text("gzip"),
        content_language: text("en, de"),
        retention: Some(Retention::Governance(3)),
        legal_hold: Some(true),
    }
}

/// Nothing at all below `plain/`, everything below `all/`, all but a lock below `open/`, KMS below `kms/`, none of what a source has below
/// `none/`, a class that cannot be copied below `cold/`.
fn chosen() -> Objects {
    Objects::by(ObjectOptions::default(), |path: &RelPath| {
        let below = String::from_utf8_lossy(path.as_bytes()).into_owned();
        Arc::new(match below.split('/').next().unwrap() {
            "all" => everything(),
            "open" => ObjectOptions { retention: None, legal_hold: None, ..everything() },
            "kms" => {
                let kms = Encryption::Kms { key: text(KMS_KEY), bucket_key: Some(true) };
                ObjectOptions { encryption: Some(kms), ..ObjectOptions::default() }
            }
            "none" => ObjectOptions {
                storage_class: text("STANDARD"),
                encryption: Some(Encryption::Bucket),
                tags: Some(vec![]),
                cache_control: text(""),
                content_type: text(""),
                ..ObjectOptions::default()
            },
            "cold" => ObjectOptions { storage_class: text("GLACIER"), ..ObjectOptions::default() },
            _ => ObjectOptions::default(),
        })
    })
}

/// One prefix of ours, and somebody else who looks at it.
struct Bench {
    store: S3,
    client: Client,
    /// It keeps a bucket key that Create asks for, takes a lock with Create and with a copy, and answers Complete as S3 does.
    faithful: bool,
}

impl Bench {
    async fn new(options: Options, client: Client, faithful: bool) -> Self {
        let store = S3::connect(Options { objects: chosen(), ..options }).await.unwrap();
        Self { store, client, faithful }
    }

    async fn put(&self, at: &str, file: Memory) -> ETag {
        let (key, spec) = (Key::raw(at), file.spec("o"));
        let (staged, digest) = self.store.prepare(&key, &Arc::new(file), &spec).await.unwrap();
        match self.store.commit(staged, Only::Always).await {
            Ok(meta) => meta.etag,
            Err(open) if digest.part_size.is_some() && !self.faithful => {
                assert_eq!(open.class, Class::Transient, "{open}");
                self.store.head(&key).await.unwrap().unwrap().meta.etag
            }
            Err(fault) => panic!("{fault}"),
        }
    }

    async fn copy(&self, (from, etag): (&str, &ETag), to: &str) -> ETag {
        let spec = Memory::new("12345").spec("o");
        let copied = self.store.copy((&Key::raw(from), etag), &Key::raw(to), &spec, Only::Always).await;
        copied.unwrap().etag
    }

    /// As [`Self::copy`], in parts.
    async fn splice(&self, (from, etag): (&str, &ETag), to: &str) -> ETag {
        let (from, to) = ((&Key::raw(from), etag), Key::raw(to));
        let spec = Memory::pattern(2 * PART + 1, 1).spec("o");
        let upload = self.store.create_copy(from, &to, &spec).await.unwrap();
        let staged = self.store.fill_copy(upload, from, &spec).await.unwrap();
        match self.store.commit(staged, Only::Always).await {
            Err(open) if !self.faithful => {
                assert_eq!(open.class, Class::Transient, "{open}");
                self.store.head(&to).await.unwrap().unwrap().meta.etag
            }
            sure => sure.unwrap().etag,
        }
    }

    async fn head(&self, at: &str) -> HeadObjectOutput {
        self.client.head_object().bucket("bucket").key(format!("web/{at}")).send().await.unwrap()
    }

    async fn tags(&self, at: &str) -> BTreeMap<String, String> {
        let ask = self.client.get_object_tagging().bucket("bucket").key(format!("web/{at}"));
        let told = ask.send().await.unwrap();
        told.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
    }

    async fn is_public(&self, at: &str) -> bool {
        let ask = self.client.get_object_acl().bucket("bucket").key(format!("web/{at}"));
        let told = ask.send().await.unwrap();
        let uris = told.grants().iter().filter_map(|grant| grant.grantee()?.uri());
        uris.into_iter().any(|uri| uri.ends_with("/AllUsers"))
    }

    /// Has all of [`everything`].
    async fn has_everything(&self, at: &str) {
        let head = self.head(at).await;
        assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa), "{at}");
        assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::Aes256), "{at}");
        assert_eq!(head.ssekms_key_id(), None, "{at}");
        let want = [("cost centre", "a+b=c/d"), ("team", "web")];
        assert_eq!(self.tags(at).await, want.map(|(n, v)| (n.to_owned(), v.to_owned())).into(), "{at}");
        assert!(self.is_public(at).await, "{at}");
        let metadata = head.metadata().unwrap();
        assert_eq!(metadata["origin"], "web-1", "{at}");
        assert_eq!(metadata["note"], "=?UTF-8?B?bsOpZQ==?=", "{at}: as S3 tells such values");
        assert_eq!(metadata["s3mirrord-own"], "o", "{at}");
        assert_eq!(head.content_type(), Some("text/x-chosen; charset=utf-8"), "{at}");
        assert_eq!(head.cache_control(), Some("max-age=300"), "{at}");
        assert_eq!(head.content_disposition(), Some("attachment"), "{at}");
        assert_eq!(head.content_encoding(), Some("gzip"), "{at}");
        assert_eq!(head.content_language(), Some("en, de"), "{at}");
        if at.starts_with("open/") {
            return;
        }
        assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Governance), "{at}");
        assert_eq!(head.object_lock_legal_hold_status(), Some(&ObjectLockLegalHoldStatus::On), "{at}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let left = head.object_lock_retain_until_date().unwrap().secs() - now;
        assert!((3 * DAY - 600..=3 * DAY).contains(&left), "{at}: {left}");
    }

    /// Has nothing that was not asked for.
    async fn has_nothing(&self, at: &str) {
        let head = self.head(at).await;
        assert_eq!(head.storage_class(), None, "{at}");
        assert_eq!(head.ssekms_key_id(), None, "{at}");
        assert_eq!((head.cache_control(), head.content_language()), (None, None), "{at}");
        assert_eq!(head.object_lock_mode(), None, "{at}");
        assert_eq!(head.object_lock_legal_hold_status(), None, "{at}");
        assert_eq!(self.tags(at).await, BTreeMap::new(), "{at}");
        assert!(!self.is_public(at).await, "{at}");
    }

    /// An object of ours that others have changed since: all that a copy has to keep.
    async fn changed_by_others(&self, at: &str, file: Memory) -> ETag {
        self.put(at, file).await;
        let copy = self.client.copy_object().bucket("bucket").key(format!("web/{at}"));
        let copy = copy.copy_source(format!("bucket/web/{at}")).metadata_directive("REPLACE".into());
        let copy = copy.metadata("theirs", "kept").cache_control("no-cache").content_language("fr");
        let copy = copy
            .content_type("x/y")
            .website_redirect_location("/there")
            .expires(DateTime::from_secs(2_000_000_000));
        let copy = copy.tagging_directive("REPLACE".into()).tagging("theirs=1");
        let copy = copy.storage_class(StorageClass::OnezoneIa).ssekms_key_id(KMS_KEY);
        copy.server_side_encryption(ServerSideEncryption::AwsKms).send().await.unwrap();
        ETag::new(self.head(at).await.e_tag().unwrap())
    }
}

async fn run(bench: Bench) {
    // an upload, in one request and in parts
    bench.put("all/small", Memory::new("12345")).await;
    bench.has_everything("all/small").await;
    // moto knows locks on PUT alone
    let below = if bench.faithful { "all" } else { "open" };
    let at = |name: &str| format!("{below}/{name}");
    bench.put(&at("large"), Memory::pattern(PART + 1, 1)).await;
    bench.has_everything(&at("large")).await;
    bench.put("plain/small.html", Memory::new("12345")).await;
    bench.has_nothing("plain/small.html").await;
    assert_eq!(bench.head("plain/small.html").await.content_type(), Some("text/html"));
    for (at, size) in [("kms/small", 5), ("kms/large", PART + 1)] {
        bench.put(at, Memory::pattern(size, 1)).await;
        let head = bench.head(at).await;
        assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::AwsKms), "{at}");
        assert_eq!(head.ssekms_key_id(), Some(KMS_KEY), "{at}");
        if bench.faithful || at == "kms/small" {
            assert_eq!(head.bucket_key_enabled(), Some(true), "{at}");
        }
        assert!(bench.store.head(&Key::raw(at)).await.unwrap().unwrap().opaque, "{at}");
    }

    // c58: a copy keeps what was not chosen, wherever it goes
    let etag = bench.changed_by_others("plain/theirs", Memory::new("12345")).await;
    let again = bench.copy(("plain/theirs", &etag), "plain/theirs").await;
    bench.copy(("plain/theirs", &again), "plain/renamed").await;
    let large = bench.changed_by_others("plain/large", Memory::pattern(2 * PART + 1, 1)).await;
    let large = bench.splice(("plain/large", &large), "plain/large").await;
    bench.splice(("plain/large", &large), "plain/large renamed").await;
    for at in ["plain/theirs", "plain/renamed", "plain/large", "plain/large renamed"] {
        let head = bench.head(at).await;
        assert_eq!(head.storage_class(), Some(&StorageClass::OnezoneIa), "{at}");
        assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::AwsKms), "{at}");
        assert_eq!(head.ssekms_key_id(), Some(KMS_KEY), "{at}");
        assert_eq!((head.cache_control(), head.content_language()), (Some("no-cache"), Some("fr")), "{at}");
        assert_eq!(
            (head.content_type(), head.website_redirect_location()),
            (Some("x/y"), Some("/there")),
            "{at}"
        );
        assert_eq!(head.expires_string(), Some("Wed, 18 May 2033 03:33:20 GMT"), "{at}");
        assert_eq!(head.metadata().unwrap()["theirs"], "kept", "{at}");
        assert_eq!(head.metadata().unwrap()["s3mirrord-own"], "o", "{at}");
        assert_eq!(bench.tags(at).await, BTreeMap::from([("theirs".to_owned(), "1".to_owned())]), "{at}");
    }

    // and asks for what was: over the source's, and over the same object's
    bench.copy(("plain/theirs", &again), &at("renamed")).await;
    bench.has_everything(&at("renamed")).await;
    assert_eq!(bench.head(&at("renamed")).await.metadata().unwrap()["theirs"], "kept");
    bench.splice(("plain/large", &large), &at("large renamed")).await;
    bench.has_everything(&at("large renamed")).await;
    let etag = bench.changed_by_others(&at("theirs"), Memory::new("12345")).await;
    bench.copy((&at("theirs"), &etag), &at("theirs")).await;
    bench.has_everything(&at("theirs")).await;

    // to have none is a choice, too
    bench.copy(("plain/theirs", &again), "none/a.html").await;
    let head = bench.head("none/a.html").await;
    assert_eq!((head.storage_class(), head.ssekms_key_id(), head.cache_control()), (None, None, None));
    assert_eq!((head.content_language(), head.content_type()), (Some("fr"), Some("x/y")));
    assert_eq!(bench.tags("none/a.html").await, BTreeMap::new());
    bench.splice(("plain/large", &large), "none/large").await;
    let head = bench.head("none/large").await;
    assert_eq!((head.storage_class(), head.ssekms_key_id(), head.cache_control()), (None, None, None));
    assert_eq!(bench.tags("none/large").await, BTreeMap::new());

    // c59: what is archived cannot be copied, and this is told as a fault of that object
    let etag = bench.put("cold/a", Memory::new("12345")).await;
    assert_eq!(bench.head("cold/a").await.storage_class(), Some(&StorageClass::Glacier));
    let spec = Memory::new("12345").spec("o");
    let (from, to) = (Key::raw("cold/a"), Key::raw("cold/b"));
    let fault = bench.store.copy((&from, &etag), &to, &spec, Only::Always).await.unwrap_err();
    assert_eq!(fault.class, Class::Permanent, "{fault}");
}

fn client(endpoint: String, key: &str, secret: &str) -> Client {
    let keys = aws_sdk_s3::config::Credentials::new(key, secret, None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(keys);
    Client::from_conf(config.build())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c58_options_are_asked_for_and_kept_on_the_embedded_server() {
    let server = Server::start(embedded::Options { buckets: vec!["bucket".into()], ..Default::default() });
    let server = server.await.unwrap();
    let (key, secret) = (server.access_key(), server.secret_key());
    let options = options(server.endpoint(), "bucket", "web/", key, secret);
    run(Bench::new(options, client(server.endpoint(), key, secret), true).await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c58_options_are_asked_for_and_kept_on_moto() {
    let Some(moto) = Moto::start() else { return skip("python3 has no moto") };
    let client = client(moto.endpoint(), "key", "secret");
    client.create_bucket().bucket("bucket").object_lock_enabled_for_bucket(true).send().await.unwrap();
    let options = options(moto.endpoint(), "bucket", "web/", "key", "secret");
    run(Bench::new(options, client, false).await).await;
}

/// What must be readable and deletable, and not for the public, whatever was chosen: the owner record, and what a probe writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_objects_get_no_more_than_what_a_policy_may_demand() {
    let server = Server::start(embedded::Options { buckets: vec!["bucket".into()], ..Default::default() });
    let server = server.await.unwrap();
    let (key, secret) = (server.access_key(), server.secret_key());
    let kms = Encryption::Kms { key: text(KMS_KEY), bucket_key: Some(true) };
    let all = ObjectOptions {
        storage_class: text("GLACIER"),
        encryption: Some(kms),
        retention: Some(Retention::Compliance(3)),
        ..everything()
    };
    let options = options(server.endpoint(), "bucket", "web/", key, secret);
    let store = S3::connect(Options { objects: Objects::alike(all), ..options }).await.unwrap();
    let bench = Bench { store, client: client(server.endpoint(), key, secret), faithful: true };
    let (at, owner) = (".s3mirrord/owner.json", Key::raw(".s3mirrord/owner.json"));
    let found = bench.store.probe(&owner).await.unwrap();
    assert!(!found.etag_is_md5 && found.verifies_sha256, "it is tried as objects are written: {found:?}");
    assert_eq!(bench.store.list(&Key::raw(""), Depth::All, Start::First).await.unwrap().objects, []);
    bench.store.write(&owner, Bytes::from_static(b"{}"), Only::New).await.unwrap();
    let head = bench.head(at).await;
    assert_eq!(
        (head.server_side_encryption(), head.ssekms_key_id()),
        (Some(&ServerSideEncryption::AwsKms), Some(KMS_KEY))
    );
    assert!(!bench.is_public(at).await, "it names a host");
    assert_eq!((head.storage_class(), head.object_lock_mode()), (None, None));
    assert_eq!((head.object_lock_legal_hold_status(), head.cache_control()), (None, None));
    assert_eq!((head.content_type(), bench.tags(at).await), (Some("application/json"), BTreeMap::new()));
    assert_eq!(bench.store.read(&owner).await.unwrap().unwrap().0, "{}");
    server.stop().await;
}

/// A lock asks for a checksum by name. It is still the one that is there: no second one, no trailer.
#[tokio::test]
async fn a_body_that_is_locked_is_hashed_once_and_sent_as_it_is() {
    let server = Wire::start(|_, _| Answer::tagged("e")).await;
    let options = options(server.endpoint(), "bucket", "web/", "AKIDTEST", "hunter2");
    let store = S3::connect(Options { objects: Objects::alike(everything()), ..options }).await.unwrap();
    let file = Memory::pattern(100_000, 1);
    let (bytes, spec) = (file.bytes().clone(), file.spec("o"));
    let (staged, digest) = store.prepare(&Key::raw("a"), &Arc::new(file), &spec).await.unwrap();
    store.commit(staged, Only::Always).await.unwrap();
    let seen = server.seen();
    let [put] = &seen[..] else { panic!("one request: {seen:?}") };
    let header = |name: &str| put.headers.get(name).map(String::as_str);
    assert_eq!(header("x-amz-sdk-checksum-algorithm"), Some("SHA256"));
    assert_eq!(header("x-amz-content-sha256"), Some(&*hex::encode(digest.sha256)));
    assert_eq!(header("x-amz-checksum-sha256"), Some(&*BASE64_STANDARD.encode(digest.sha256)));
    assert_eq!((header("x-amz-trailer"), header("content-encoding")), (None, Some("gzip")));
    assert_eq!(header("x-amz-tagging"), Some("team=web&cost%20centre=a%2Bb%3Dc%2Fd"));
    assert!(put.body == bytes);
}

/// Every operation, against a server that answers as little as it may.
async fn every_request(pays: bool) -> Vec<crate::support::server::Request> {
    let server = Wire::start(|_, request| match (&*request.method, &*request.target) {
        ("HEAD", _) => Answer::tagged("e").with("content-length", "1"),
        ("GET", list) if list.contains("list-type") => {
            Answer::new(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        }
        ("GET", uploads) if uploads.contains("?uploads") || uploads.contains("&uploads") => Answer::new(
            200,
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
        ),
        ("POST", create) if create.contains("?uploads") => Answer::new(
            200,
            "<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>",
        ),
        ("POST", _) => Answer::new(
            200,
            "<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>",
        ),
        ("DELETE", _) => Answer::new(204, "").with("content-length", "0"),
        ("PUT", _) if request.headers.contains_key("x-amz-copy-source") => {
            Answer::new(200, "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>")
        }
        _ => Answer::tagged("e"),
    })
    .await;
    let mut options = options(server.endpoint(), "bucket", "web/", "AKIDTEST", "hunter2");
    (options.max_attempts, options.requester_pays) = (1, pays);
    let store = S3::connect(options).await.unwrap();
    let (key, etag) = (Key::raw("a"), ETag::new("e"));
    store.list(&Key::raw(""), Depth::All, Start::First).await.unwrap();
    store.uploads(&KeyRange::Under(Key::raw(""))).await.unwrap();
    store.head(&key).await.unwrap();
    let _ = store.read(&key).await;
    store.write(&key, Bytes::from_static(b"x"), Only::Always).await.unwrap();
    for size in [1, PART + 1] {
        let file = Memory::pattern(size, 1);
        let spec = file.spec("o");
        let (staged, _) = store.prepare(&key, &Arc::new(file), &spec).await.unwrap();
        store.commit(staged, Only::Always).await.unwrap();
    }
    store.copy((&key, &etag), &key, &Memory::new("x").spec("o"), Only::Always).await.unwrap();
    store.delete(&key, &etag).await.unwrap();
    store.abort(&Upload { key: key.clone(), id: "U".to_owned(), initiated: None }).await.unwrap();
    let _ = store.probe(&key).await;
    let operations = store.requests();
    assert!(operations.len() >= 11, "{operations:?}");
    server.seen()
}

#[tokio::test]
async fn a_requester_that_pays_says_so_with_every_request() {
    for request in every_request(true).await {
        let what = format!("{} {}", request.method, request.target);
        assert_eq!(
            request.headers.get("x-amz-request-payer").map(String::as_str),
            Some("requester"),
            "{what}"
        );
        assert!(request.headers["authorization"].contains("x-amz-request-payer"), "{what}: it is signed");
    }
}

#[tokio::test]
async fn nothing_is_asked_for_that_was_not_chosen() {
    for request in every_request(false).await {
        for (name, value) in &request.headers {
            let asks =
                ["payer", "storage-class", "encryption", "tagging", "acl", "object-lock", "cache-control"];
            let said = asks.iter().any(|word| name.contains(word));
            assert!(!said, "{name}: {value}");
        }
    }
}
