//! Single objects: what goes in comes out, and what is wrong never goes in.

use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ObjectCannedAcl, ObjectLockLegalHoldStatus, ObjectLockMode,
    ServerSideEncryption, StorageClass,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn c30_every_key_stays_itself() {
    let bench = bench().await;
    let long = "k".repeat(1024);
    let keys = [
        "a",
        "./a",
        "a/",
        "a//",
        "a//b",
        "a/b",
        "a/../b",
        "b",
        "../b",
        "/b",
        " x ",
        "a b+c%41",
        "x\ny\u{1}",
        "ünï-日本",
        "\u{301}",
        "q?r#s&t",
        "e=mc2,;:@~!*'()",
        long.as_str(),
    ];
    for key in keys {
        bench.put(key, key.as_bytes()).await;
    }
    for key in keys {
        assert_eq!(bench.get(key).await.as_deref(), Some(key.as_bytes()), "{key:?}");
    }
    let listing =
        bench.client.list_objects_v2().bucket("bkt").encoding_type("url".into()).send().await.unwrap();
    assert_eq!(listing.encoding_type().unwrap().as_str(), "url");
    let listed: Vec<String> = listing
        .contents()
        .iter()
        .map(|object| super::super::percent::decode(object.key().unwrap()).unwrap())
        .collect();
    let mut sorted = keys.map(str::to_owned);
    sorted.sort_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
    assert_eq!(listed, sorted);
    for key in keys {
        bench.client.delete_object().bucket("bkt").key(key).send().await.unwrap();
    }
    assert!(bench.keys("").await.is_empty());
}

#[tokio::test]
async fn c30_a_path_on_the_wire_is_not_folded() {
    let bench = bench().await;
    let put = |path: &'static str| raw(&bench.server, "PUT", path, &[], SignableBody::Bytes(b"1"), b"1");
    for path in ["/bkt/a/../b", "/bkt/./b", "/bkt//b", "/bkt/b/."] {
        assert!(put(path).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    assert_eq!(bench.keys("").await, ["./b", "/b", "a/../b", "b/."]);
}

#[tokio::test]
async fn c30_a_key_over_1024_bytes_is_refused() {
    let bench = bench().await;
    let put = bench.client.put_object().bucket("bkt").key("é".repeat(513)).send().await;
    assert_eq!(refusal(put.unwrap_err()), (400, "KeyTooLongError".to_owned()));
}

#[tokio::test]
async fn what_is_said_of_an_object_comes_back() {
    let bench = bench().await;
    let put =
        bench.client.put_object().bucket("bkt").key("k").content_type("text/x").cache_control("no-cache");
    let put = put.metadata("Mode", "33188").storage_class(StorageClass::StandardIa).tagging("a=1&b=x%20y");
    put.server_side_encryption(ServerSideEncryption::Aes256)
        .body(ByteStream::from_static(b"12345"))
        .send()
        .await
        .unwrap();
    let head = bench.client.head_object().bucket("bkt").key("k").send().await.unwrap();
    assert_eq!(head.content_type(), Some("text/x"));
    assert_eq!(head.cache_control(), Some("no-cache"));
    assert_eq!(head.metadata().unwrap()["mode"], "33188");
    assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
    assert_eq!(head.content_length(), Some(5));
    let tags = bench.client.get_object_tagging().bucket("bkt").key("k").send().await.unwrap();
    let tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
    assert_eq!(tags, [("a", "1"), ("b", "x y")]);
    let get = |range: &'static str| bench.client.get_object().bucket("bkt").key("k").range(range).send();
    let part = get("bytes=1-3").await.unwrap();
    assert_eq!(part.content_range(), Some("bytes 1-3/5"));
    assert_eq!(part.body.collect().await.unwrap().to_vec(), b"234");
    assert_eq!(get("bytes=-2").await.unwrap().body.collect().await.unwrap().to_vec(), b"45");
    assert_eq!(refusal(get("bytes=5-").await.unwrap_err()).0, 416);
}

#[tokio::test]
async fn locks_and_acls_are_told_and_not_copied() {
    let bench = bench().await;
    let until = DateTime::from_secs(4_000_000_000);
    let put = || {
        let put = bench.client.put_object().bucket("bkt").key("k").body(ByteStream::from_static(b"x"));
        put.object_lock_mode(ObjectLockMode::Governance).acl(ObjectCannedAcl::PublicRead)
    };
    let wrong = put().checksum_algorithm(ChecksumAlgorithm::Sha256).send().await;
    assert_eq!(refusal(wrong.unwrap_err()), (400, "InvalidArgument".to_owned()), "until when?");
    let put = || put().object_lock_retain_until_date(until);
    let wrong = put().send().await;
    assert_eq!(refusal(wrong.unwrap_err()), (400, "InvalidRequest".to_owned()), "a lock asks for a checksum");
    let put = put().object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
    put.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let copy = bench.client.copy_object().bucket("bkt").key("c").copy_source("bkt/k");
    copy.send().await.unwrap();
    let grants = |key| {
        let ask = bench.client.get_object_acl().bucket("bkt").key(key);
        async move { ask.send().await.unwrap().grants().len() }
    };
    let head = |key| bench.client.head_object().bucket("bkt").key(key).send();
    let (found, copied) = (head("k").await.unwrap(), head("c").await.unwrap());
    assert_eq!(found.object_lock_mode(), Some(&ObjectLockMode::Governance));
    assert_eq!(found.object_lock_retain_until_date(), Some(&until));
    assert_eq!(found.object_lock_legal_hold_status(), Some(&ObjectLockLegalHoldStatus::On));
    assert_eq!((copied.object_lock_mode(), copied.object_lock_legal_hold_status()), (None, None));
    assert_eq!((grants("k").await, grants("c").await), (2, 1));
}

#[tokio::test]
async fn metadata_over_2_kib_is_refused() {
    let bench = bench().await;
    let put = |size| bench.client.put_object().bucket("bkt").key("k").metadata("m", "x".repeat(size)).send();
    put(2047).await.unwrap();
    assert_eq!(refusal(put(2048).await.unwrap_err()), (400, "MetadataTooLarge".to_owned()));
}

#[tokio::test]
async fn conditions_of_writes_reads_and_deletes() {
    let bench = bench().await;
    let put = || bench.client.put_object().bucket("bkt").key("k");
    let failed = (412, "PreconditionFailed".to_owned());
    assert_eq!(refusal(put().if_match("\"0\"").send().await.unwrap_err()), (404, "NoSuchKey".to_owned()));
    let tag = put().if_none_match("*").send().await.unwrap().e_tag.unwrap();
    assert_eq!(refusal(put().if_none_match("*").send().await.unwrap_err()), failed);
    assert_eq!(refusal(put().if_match("\"0\"").send().await.unwrap_err()), failed);
    put().if_match(&tag).send().await.unwrap();
    put().if_match(tag.trim_matches('"')).send().await.unwrap();
    let get = || bench.client.get_object().bucket("bkt").key("k");
    assert_eq!(refusal(get().if_match("\"0\"").send().await.unwrap_err()), failed);
    assert_eq!(refusal(get().if_none_match(&tag).send().await.unwrap_err()).0, 304);
    let delete = || bench.client.delete_object().bucket("bkt").key("k");
    assert_eq!(refusal(delete().if_match("\"0\"").send().await.unwrap_err()), failed);
    delete().if_match(&tag).send().await.unwrap();
    assert_eq!(bench.get("k").await, None);
    delete().if_match(&tag).send().await.unwrap();
    assert_eq!(refusal(delete().if_match("*").send().await.unwrap_err()), failed);
}

#[tokio::test]
async fn only_one_of_many_creators_wins() {
    let bench = bench().await;
    let puts = (0..32).map(|_| bench.client.put_object().bucket("bkt").key("k").if_none_match("*").send());
    let won = futures::future::join_all(puts).await.iter().filter(|put| put.is_ok()).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_wrong_digest_stores_nothing() {
    let bench = bench().await;
    let put = || bench.client.put_object().bucket("bkt").key("k").body(ByteStream::from_static(b"data"));
    let bad = (400, "BadDigest".to_owned());
    let zeros = |count: usize| STANDARD.encode(vec![0; count]);
    assert_eq!(refusal(put().content_md5(zeros(16)).send().await.unwrap_err()), bad);
    assert_eq!(refusal(put().content_md5("x").send().await.unwrap_err()), (400, "InvalidDigest".to_owned()));
    assert_eq!(refusal(put().checksum_crc32(zeros(4)).send().await.unwrap_err()), bad);
    assert_eq!(refusal(put().checksum_crc32_c(zeros(4)).send().await.unwrap_err()), bad);
    assert_eq!(refusal(put().checksum_crc64_nvme(zeros(8)).send().await.unwrap_err()), bad);
    assert_eq!(refusal(put().checksum_sha1(zeros(20)).send().await.unwrap_err()), bad);
    assert_eq!(refusal(put().checksum_sha256(zeros(32)).send().await.unwrap_err()), bad);
    let wrong = SignableBody::Precomputed("0".repeat(64));
    let answer = raw(&bench.server, "PUT", "/bkt/k", &[], wrong, b"data").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("XAmzContentSHA256Mismatch"), "{answer}");
    assert!(bench.keys("").await.is_empty());
}

#[tokio::test]
async fn a_wrong_trailer_stores_nothing() {
    let bench = bench().await;
    let send = |crc: &'static str| {
        let headers = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "4"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        let body = format!("4\r\ndata\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n");
        let server = &bench.server;
        async move {
            raw(
                server,
                "PUT",
                "/bkt/k",
                &headers,
                SignableBody::StreamingUnsignedPayloadTrailer,
                body.as_bytes(),
            )
            .await
        }
    };
    let answer = send("AAAAAA==").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("BadDigest"), "{answer}");
    assert_eq!(bench.get("k").await, None);
    let answer = send("rfPzYw==").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"data"[..]));
    let head = bench.client.head_object().bucket("bkt").key("k").send().await.unwrap();
    assert_eq!(head.content_encoding(), None, "how the body travelled is not kept");
}

#[tokio::test]
async fn checksums_asked_for_are_kept_and_told() {
    let bench = bench().await;
    let checking = client(&bench.server, RequestChecksumCalculation::WhenSupported);
    for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Sha256] {
        let put = checking.put_object().bucket("bkt").key("k").checksum_algorithm(algorithm);
        put.body(ByteStream::from_static(b"data")).send().await.unwrap();
        let head = bench.client.head_object().bucket("bkt").key("k").checksum_mode(ChecksumMode::Enabled);
        let head = head.send().await.unwrap();
        let told = [head.checksum_crc32(), head.checksum_crc64_nvme(), head.checksum_sha256()];
        assert_eq!(told.iter().flatten().count(), 1, "{told:?}");
        assert_eq!(head.checksum_type().unwrap().as_str(), "FULL_OBJECT");
    }
}

#[tokio::test]
async fn c54_strangers_are_turned_away_uncounted() {
    let bench = bench().await;
    let keys = Credentials::new(bench.server.access_key(), "wrong", None, None, "test");
    let config =
        bench.client.config().to_builder().credentials_provider(SharedCredentialsProvider::new(keys)).build();
    let put = Client::from_conf(config).put_object().bucket("bkt").key("k").send().await;
    assert_eq!(refusal(put.unwrap_err()), (403, "SignatureDoesNotMatch".to_owned()));
    assert_eq!(bench.count("PutObject"), 0);
    let none = bench.client.list_objects_v2().bucket("none").send().await;
    assert_eq!(refusal(none.unwrap_err()), (404, "NoSuchBucket".to_owned()));
    assert_eq!(bench.count("ListObjectsV2"), 1);
}

#[tokio::test]
async fn c59_archived_objects_are_told_of_but_not_given() {
    let bench = bench().await;
    let put = bench.client.put_object().bucket("bkt").key("k").storage_class(StorageClass::Glacier);
    put.send().await.unwrap();
    bench.client.head_object().bucket("bkt").key("k").send().await.unwrap();
    let refused = (403, "InvalidObjectState".to_owned());
    let get = bench.client.get_object().bucket("bkt").key("k").send().await;
    assert_eq!(refusal(get.unwrap_err()), refused);
    let copy = bench.client.copy_object().bucket("bkt").key("c").copy_source("bkt/k").send().await;
    assert_eq!(refusal(copy.unwrap_err()), refused);
}

#[tokio::test]
async fn c40_under_kms_the_etag_is_no_md5() {
    let bench = bench().await;
    let put = bench.client.put_object().bucket("bkt").key("k").body(ByteStream::from_static(b"x"));
    let tag = put.server_side_encryption(ServerSideEncryption::AwsKms).send().await.unwrap().e_tag.unwrap();
    assert_eq!(tag.len(), 34);
    assert_ne!(tag, bench.put("plain", b"x").await);
}

#[tokio::test]
async fn c47_each_key_of_a_batch_is_judged_alone() {
    use aws_sdk_s3::types::{Delete, ObjectIdentifier};
    let bench = bench().await;
    let tag = bench.put("a", b"1").await;
    bench.put("b", b"2").await;
    let named = |key: &str, tag: &str| ObjectIdentifier::builder().key(key).e_tag(tag).build().unwrap();
    let batch = [named("a", &tag), named("b", &tag), named("c", &tag)];
    let batch = Delete::builder().set_objects(Some(batch.into())).quiet(true).build().unwrap();
    let done = bench.client.delete_objects().bucket("bkt").delete(batch).send().await.unwrap();
    let errors: Vec<_> =
        done.errors().iter().map(|error| (error.key().unwrap(), error.code().unwrap())).collect();
    assert_eq!(errors, [("b", "PreconditionFailed")]);
    assert!(done.deleted().is_empty());
    assert_eq!(bench.keys("").await, ["b"]);
}
