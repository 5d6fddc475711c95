//! Stores that verify little (CASES 50): what the probe finds of each, and that a bit which flips behind the store's door
//! is noticed by what goes with the body, or by the tag of the answer.

use crate::{
    stores::options,
    support::{
        bench::Bench,
        memory::{Memory, pattern},
        prepare::Prepare,
    },
};
use s3mirrord::{
    embedded::{self, Faults, Kind, Rule, Server},
    model::{Capabilities, Class, Fault, Key, Only},
    store::{Options, S3, Store},
};
use std::{fs, sync::Arc};

const PART: usize = 8 << 20;
const SHA256: &str = "x-amz-checksum-sha256";
const CRC64: &str = "x-amz-checksum-crc64nvme";

/// A sort of store.
struct Sort {
    name: &'static str,
    faults: Vec<Kind>,
    /// It verifies SHA-256, CRC-64/NVME, MD5; its tags are MD5s.
    finds: [bool; 4],
}

impl Sort {
    fn all() -> Vec<Self> {
        let sort = |name, faults: &[Kind], finds| Self { name, faults: faults.to_vec(), finds };
        vec![
            sort("all", &[], [true, true, true, true]),
            sort("CRC-64/NVME and MD5", &[Kind::Ignore(SHA256)], [false, true, true, true]),
            sort("MD5", &[Kind::Ignore(SHA256), Kind::Ignore(CRC64)], [false, false, true, true]),
            sort("MD5 alone", &[Kind::RejectChecksums], [false, false, true, true]),
            sort("nothing", &[Kind::NoChecksumVerification], [false, false, false, true]),
            sort("nothing at all", &[Kind::NoChecksumVerification, Kind::RandomEtag], [false; 4]),
        ]
    }

    fn is_blind(&self) -> bool {
        !self.finds.contains(&true)
    }

    fn set(&self, faults: &Faults) {
        for kind in &self.faults {
            faults.add(Rule::new(kind.clone()));
        }
    }
}

async fn put(store: &S3, at: &str, size: usize) -> Result<(), Fault> {
    let file = Memory::pattern(size, 3);
    let spec = file.spec("o");
    let (staged, _) = store.prepare(&Key::raw(at), &Arc::new(file), &spec).await?;
    store.commit(staged, Only::Always).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c50_what_goes_with_a_body_is_what_the_store_verifies() {
    for sort in Sort::all() {
        let name = sort.name;
        let buckets = vec!["bucket".into()];
        let server = Server::start(embedded::Options { buckets, ..Default::default() }).await.unwrap();
        sort.set(server.faults());
        let (key, secret) = (server.access_key(), server.secret_key());
        let connect = async |max_attempts| {
            let options = options(server.endpoint(), "bucket", "web/", key, secret);
            S3::connect(Options { max_attempts, ..options }).await.unwrap()
        };
        let store = connect(1).await;
        // before anything is known
        put(&store, "first", 10).await.unwrap();
        let can = store.probe(&Key::raw("near")).await.unwrap();
        let Capabilities { verifies_sha256, verifies_crc64, verifies_md5, etag_is_md5, .. } = can;
        assert_eq!([verifies_sha256, verifies_crc64, verifies_md5, etag_is_md5], sort.finds, "{name}");
        assert!(can.conditional_put && can.conditional_delete, "{name}: {can:?}");
        // as it is, and in a life that knows it from the start; the short way, too
        for (life, attempts) in [(1, 1), (2, 2)] {
            let store = connect(attempts).await;
            store.know(can);
            for (at, size) in [("small", 10), ("middle", 100_000), ("large", PART + 1)] {
                let operation = if size > PART { "UploadPart" } else { "PutObject" };
                put(&store, at, size).await.unwrap_or_else(|fault| panic!("{name}, {at}: {fault}"));
                let flip = Rule::new(Kind::FlipBit).operation(operation).key(at);
                let flip = server.faults().add(flip);
                let noticed = put(&store, at, size).await.map_err(|fault| fault.class);
                let want = if sort.is_blind() { Ok(()) } else { Err(Class::Transient) };
                assert_eq!(noticed, want, "{name}, {at}, life {life}");
                assert!(server.faults().met(flip) > 0, "{name}, {at}");
                server.faults().remove(flip);
                put(&store, at, size).await.unwrap_or_else(|fault| panic!("{name}, {at}: {fault}"));
            }
        }
        server.stop().await;
    }
}

/// The real thing: the file arrives as it is, though a bit flipped at first, and nothing is sent a third time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c50_a_bit_that_flips_is_noticed_by_every_sort_of_store_and_the_file_sent_again() {
    for sort in Sort::all() {
        let (name, bench) = (sort.name, Bench::new().await);
        let faults = bench.server.faults();
        sort.set(faults);
        let files = [("small", 10), ("middle", 100_000), ("large", PART + 5)];
        let mut flips = vec![];
        for (file, size) in files {
            fs::write(bench.root.join(file), pattern(size, 5)).unwrap();
            let operation = if size > PART { "UploadPart" } else { "PutObject" };
            let flip = Rule::new(Kind::FlipBit).operation(operation).key(file).times(1);
            flips.push(faults.add(flip));
        }
        let ran = bench.run(&["once", "--json"]).await;
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        assert!(flips.iter().all(|flip| faults.met(*flip) == 1), "{name}");
        let warned = ran.stderr.contains("verifies no checksum");
        assert_eq!(warned, sort.is_blind(), "{name}: {}", ran.stderr);
        assert_eq!(
            ran.stderr.matches("verifies no checksum").count(),
            usize::from(warned),
            "{name}: told once"
        );
        for (file, size) in files {
            let get = bench.client().get_object().bucket("backups").key(format!("www/{file}"));
            let body = get.send().await.unwrap().body.collect().await.unwrap().into_bytes();
            assert_eq!(body == pattern(size, 5), !sort.is_blind(), "{name}: {file}");
        }
        let again = bench.run(&["once", "--json"]).await;
        assert_eq!((again.code, &again.summary()["uploaded"]), (0, &0.into()), "{name}: {again:?}");
    }
}
