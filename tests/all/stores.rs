//! The contract on real servers.

use crate::{
    contract::{self, Expect},
    support::{moto::Moto, skip, world::Fake},
};
use s3mirrord::{
    embedded::{self, Kind, Rule, Server},
    model::Capabilities,
    store::{Options, S3, Secret, Store},
};

pub(crate) fn options(endpoint: String, bucket: &str, prefix: &str, key: &str, secret: &str) -> Options {
    let mut options = Options::new(bucket, prefix);
    options.endpoint_url = Some(endpoint);
    options.force_path_style = true;
    options.isolated = true;
    options.access_key_id = Some(key.to_owned());
    options.secret_access_key = Some(Secret::new(secret));
    options.copy_threshold = 16 << 20;
    options.trash = Some(format!("old/ä+/{prefix}"));
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_moto() {
    let Some(moto) = Moto::start() else { return skip("python3 has no moto") };
    moto.create_bucket("bucket");
    let capabilities = Capabilities {
        conditional_put: true,
        conditional_delete: true,
        conditional_batch: Some(false),
        verifies_sha256: false,
        verifies_crc64: false,
        verifies_md5: false,
        etag_is_md5: true,
    };
    // its router refuses newlines; its Complete and its ListParts answer with root elements of their own
    let expect = Expect {
        capabilities,
        uploads: true,
        parts: true,
        completes: false,
        resumes: false,
        checksums: false,
        newlines: false,
    };
    for prefix in ["", "web 1/ä+/"] {
        let store = S3::connect(options(moto.endpoint(), "bucket", prefix, "key", "secret")).await.unwrap();
        contract::run(store, expect).await;
    }
}

const ALL: Expect = Expect {
    capabilities: Capabilities {
        conditional_put: true,
        conditional_delete: true,
        conditional_batch: Some(true),
        verifies_sha256: true,
        verifies_crc64: true,
        verifies_md5: true,
        etag_is_md5: true,
    },
    uploads: true,
    parts: true,
    completes: true,
    resumes: true,
    checksums: true,
    newlines: true,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_the_embedded_server() {
    let server = Server::start(embedded::Options { buckets: vec!["bucket".into()], ..Default::default() });
    let server = server.await.unwrap();
    for prefix in ["", "web 1/ä+/"] {
        let (key, secret) = (server.access_key(), server.secret_key());
        let store = S3::connect(options(server.endpoint(), "bucket", prefix, key, secret)).await.unwrap();
        contract::run(store, ALL).await;
    }
    server.stop().await;
}

/// Bodies go there with CRC-64/NVME, or with Content-MD5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c50_the_contract_holds_on_stores_that_verify_less() {
    for (fault, verifies_crc64) in
        [(Kind::Ignore("x-amz-checksum-sha256"), true), (Kind::RejectChecksums, false)]
    {
        let buckets = vec!["bucket".into()];
        let server = Server::start(embedded::Options { buckets, ..Default::default() }).await.unwrap();
        server.faults().add(Rule::new(fault));
        let (key, secret) = (server.access_key(), server.secret_key());
        let store = S3::connect(options(server.endpoint(), "bucket", "web/", key, secret)).await.unwrap();
        // DeleteObjects asks for a checksum, and the store that takes none of them refuses that as well
        let conditional_batch = Some(verifies_crc64);
        let capabilities =
            Capabilities { conditional_batch, verifies_sha256: false, verifies_crc64, ..ALL.capabilities };
        contract::run(store, Expect { capabilities, checksums: false, ..ALL }).await;
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_contract_holds_on_the_fake() {
    let fake = Fake::new(7);
    fake.with(|w| (w.shelf.single, w.shelf.part, w.shelf.one_copy) = (8 << 20, 8 << 20, 16 << 20));
    contract::run(fake, ALL).await;
}

/// On any store: `S3MIRRORD_TEST_ENDPOINT`, `_KEY`, `_SECRET` and `_BUCKET` name it. It may honour what it
/// likes, but all else must hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_given_endpoint() {
    let get = |name: &str| std::env::var(format!("S3MIRRORD_TEST_{name}")).ok();
    let (Some(endpoint), Some(key), Some(secret), Some(bucket)) =
        (get("ENDPOINT"), get("KEY"), get("SECRET"), get("BUCKET"))
    else {
        // not `skip`: nothing is lacking where no one named a store
        return eprintln!("skipped: S3MIRRORD_TEST_ENDPOINT, _KEY, _SECRET and _BUCKET are not all set");
    };
    let prefix = format!("s3mirrord-test-{:016x}/", fastrand::u64(..));
    let mut options = options(endpoint, &bucket, &prefix, &key, &secret);
    options.region = get("REGION");
    let store = S3::connect(options).await.unwrap();
    let capabilities = store.probe(&s3mirrord::model::Key::raw("near")).await.unwrap();
    eprintln!("{}: {capabilities:?}", store.place());
    contract::run(
        store,
        Expect {
            capabilities,
            uploads: true,
            parts: true,
            completes: true,
            resumes: true,
            checksums: false,
            newlines: true,
        },
    )
    .await;
}
