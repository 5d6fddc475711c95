//! Every fault does what it says.

use std::time::{Duration, Instant};

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};

use super::super::{Kind, Rule};
use super::*;

fn put(bench: &Bench, key: &str) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
    bench.client.put_object().bucket("bkt").key(key).body(ByteStream::from_static(b"data"))
}

#[tokio::test]
async fn refusals_have_no_effect_and_are_counted() {
    let bench = bench().await;
    for (kind, status, code) in [
        (Kind::SlowDown, 503, "SlowDown"),
        (Kind::InternalError, 500, "InternalError"),
        (Kind::AccessDenied, 403, "AccessDenied"),
        (Kind::Moved("eu-west-1".to_owned()), 301, "PermanentRedirect"),
    ] {
        let id = bench.server.faults().add(Rule::new(kind).operation("PutObject").times(1));
        assert_eq!(refusal(put(&bench, "k").send().await.unwrap_err()), (status, code.to_owned()));
        assert_eq!(bench.get("k").await, None);
        assert_eq!(bench.server.faults().met(id), 1);
    }
    assert_eq!(bench.count("PutObject"), 4);
    put(&bench, "k").send().await.unwrap();
    bench.server.reset_requests();
    assert!(bench.server.requests().is_empty());
}

#[tokio::test]
async fn c48_a_lost_reply_comes_after_the_effect_and_a_drop_before() {
    let bench = bench().await;
    bench.server.faults().add(Rule::new(Kind::Drop).exact_key("dropped"));
    bench.server.faults().add(Rule::new(Kind::LostReply).exact_key("lost").operation("PutObject"));
    for key in ["dropped", "lost"] {
        let error = put(&bench, key).send().await.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    }
    assert_eq!(bench.keys("").await, ["lost"]);
    assert_eq!(bench.get("lost").await.as_deref(), Some(&b"data"[..]));
}

#[tokio::test]
async fn a_503_of_a_balancers_may_come_after_the_effect() {
    let bench = bench().await;
    bench.server.faults().add(Rule::new(Kind::Unavailable).operation("PutObject"));
    let error = put(&bench, "k").send().await.unwrap_err();
    assert_eq!(error.raw_response().map(|answer| answer.status().as_u16()), Some(503));
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"data"[..]));
}

#[tokio::test]
async fn c74_a_lingering_put_lands_after_its_client_gave_up() {
    let bench = bench().await;
    let rule = Rule::new(Kind::Linger(Duration::from_secs(1))).operation("PutObject").times(1);
    let rule = bench.server.faults().add(rule);
    // In one piece, so that all of it is there when the client hangs up.
    let request = written(&bench.server, "PUT", "/bkt/k", &[], SignableBody::Bytes(b"data"), b"data");
    let mut stream = TcpStream::connect(bench.server.address()).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.server.faults().met(rule) == 0 {
        assert!(Instant::now() < deadline, "the put was never seen");
        tokio::task::yield_now().await;
    }
    drop(stream);
    bench.put("k", b"successor").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.get("k").await.as_deref() != Some(b"data") {
        assert!(Instant::now() < deadline, "the old put never landed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn latency_holds_a_request() {
    let bench = bench().await;
    bench.server.faults().add(Rule::new(Kind::Latency(Duration::from_millis(80))));
    let start = Instant::now();
    put(&bench, "k").send().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn c45_a_proxys_page_is_200_without_an_etag() {
    let bench = bench().await;
    bench.server.faults().add(Rule::new(Kind::Html200).operation("PutObject"));
    assert_eq!(put(&bench, "k").send().await.unwrap().e_tag(), None);
    assert_eq!(bench.get("k").await, None);
}

#[tokio::test]
async fn c46_a_200_may_hold_an_error_or_half_an_answer() {
    let bench = bench().await;
    bench.put("k", b"data").await;
    let copy = || bench.client.copy_object().bucket("bkt").key("c").copy_source("bkt/k").send();
    bench.server.faults().add(Rule::new(Kind::ErrorIn200).operation("CopyObject").times(1));
    assert_eq!(refusal(copy().await.unwrap_err()), (200, "InternalError".to_owned()));
    assert_eq!(bench.get("c").await, None);
    let upload = bench.client.create_multipart_upload().bucket("bkt").key("m").send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let part = bench.client.upload_part().bucket("bkt").key("m").upload_id(id).part_number(1);
    let tag = part.body(ByteStream::from_static(b"data")).send().await.unwrap().e_tag;
    let part = CompletedPart::builder().part_number(1).set_e_tag(tag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    bench.server.faults().add(Rule::new(Kind::CutShort).operation("CompleteMultipartUpload"));
    let complete = bench.client.complete_multipart_upload().bucket("bkt").key("m").upload_id(id);
    let done = complete.multipart_upload(parts).send().await;
    assert!(done.map_or(true, |done| done.e_tag().is_none()), "the answer was to be cut");
    assert_eq!(bench.get("m").await.as_deref(), Some(&b"data"[..]), "the effect was to happen");
}

#[tokio::test]
async fn a_cut_get_breaks_before_its_announced_end() {
    let bench = bench().await;
    bench.put("k", &[7; 100_000]).await;
    bench.server.faults().add(Rule::new(Kind::CutShort).operation("GetObject"));
    let got = bench.client.get_object().bucket("bkt").key("k").send().await.unwrap();
    assert_eq!(got.content_length(), Some(100_000));
    got.body.collect().await.unwrap_err();
}

#[tokio::test]
async fn c41_c42_c43_c44_listings_lie_as_told() {
    let bench = bench().await;
    for key in ["a", "b", "c d", "e"] {
        bench.put(key, b"").await;
    }
    let faults = bench.server.faults();
    let list = |token: Option<String>| {
        let list = bench.client.list_objects_v2().bucket("bkt").max_keys(2).encoding_type("url".into());
        list.set_continuation_token(token).send()
    };
    faults.add(Rule::new(Kind::TruncatedListing));
    let page = list(None).await.unwrap();
    assert_eq!((page.is_truncated(), page.next_continuation_token()), (Some(true), None));
    faults.clear();
    faults.add(Rule::new(Kind::RepeatedToken));
    let token = list(None).await.unwrap().next_continuation_token;
    let page = list(token.clone()).await.unwrap();
    assert_eq!((page.is_truncated(), page.next_continuation_token), (Some(true), token.clone()));
    faults.clear();
    faults.add(Rule::new(Kind::OmitKey("a".to_owned())));
    assert_eq!(bench.keys("").await, ["b", "c d", "e"]);
    faults.clear();
    faults.add(Rule::new(Kind::UnsortedListing));
    assert_eq!(bench.keys("").await, ["e", "c d", "b", "a"]);
    faults.clear();
    faults.add(Rule::new(Kind::NoUrlEncoding));
    let page = list(token).await.unwrap();
    assert_eq!((page.contents()[0].key(), page.encoding_type()), (Some("c d"), None));
}

#[tokio::test]
async fn c40_c50_a_store_may_do_less_than_s3() {
    let bench = bench().await;
    let faults = bench.server.faults();
    let plain = bench.put("k", b"data").await;
    faults.add(Rule::new(Kind::IgnoreConditions));
    put(&bench, "k").if_none_match("*").send().await.unwrap();
    bench.client.delete_object().bucket("bkt").key("k").if_match("\"0\"").send().await.unwrap();
    assert_eq!(bench.get("k").await, None);
    faults.clear();
    faults.add(Rule::new(Kind::NoChecksumVerification));
    put(&bench, "k").checksum_crc32("AAAAAA==").send().await.unwrap();
    faults.clear();
    for (header, ignored) in [("content-md5", true), ("x-amz-checksum-crc32", false)] {
        let rule = faults.add(Rule::new(Kind::Ignore(header)));
        let (md5, crc32) = (put(&bench, "k").content_md5("AAAAAAAAAAAAAAAAAAAAAA=="), put(&bench, "k"));
        let crc32 = crc32.checksum_crc32("AAAAAA==");
        assert_eq!((md5.send().await.is_ok(), crc32.send().await.is_ok()), (ignored, !ignored), "{header}");
        faults.remove(rule);
    }
    faults.add(Rule::new(Kind::FlipBit));
    let flipped = put(&bench, "k").checksum_crc32("rfPzYw==").send().await;
    assert_eq!(refusal(flipped.unwrap_err()), (400, "BadDigest".to_owned()));
    let tag = bench.put("k", b"data").await;
    faults.clear();
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"eata"[..]));
    assert_eq!(bench.put("k", b"eata").await, tag, "digests are of what is stored");
    put(&bench, "k").checksum_crc32("rfPzYw==").send().await.unwrap();
    faults.add(Rule::new(Kind::RejectChecksums));
    let refused = put(&bench, "k").checksum_crc32("AAAAAA==").send().await;
    assert_eq!(refusal(refused.unwrap_err()), (501, "NotImplemented".to_owned()));
    put(&bench, "k").send().await.unwrap();
    faults.clear();
    faults.add(Rule::new(Kind::RandomEtag));
    let random = bench.put("k", b"data").await;
    assert_eq!(random.len(), plain.len());
    assert_ne!(random, plain);
    faults.clear();
    faults.add(Rule::new(Kind::StoreFraming));
    bench.put("k", b"data").await;
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"4\r\ndata\r\n0\r\n\r\n"[..]));
}

#[tokio::test]
async fn c47_single_keys_of_a_batch_fail() {
    let bench = bench().await;
    bench.put("a", b"").await;
    bench.put("b", b"").await;
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("DeleteObjects").exact_key("a"));
    let named = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
    let batch = Delete::builder().objects(named("a")).objects(named("b")).build().unwrap();
    let done = bench.client.delete_objects().bucket("bkt").delete(batch).send().await.unwrap();
    assert_eq!(done.errors()[0].code(), Some("AccessDenied"));
    assert_eq!(done.deleted()[0].key(), Some("b"));
    assert_eq!(bench.keys("").await, ["a"]);
    bench.server.faults().clear();
    bench.server.faults().add(Rule::new(Kind::Untold).operation("DeleteObjects").exact_key("a"));
    let batch = Delete::builder().objects(named("a")).objects(named("c")).build().unwrap();
    let done = bench.client.delete_objects().bucket("bkt").delete(batch.clone()).send().await.unwrap();
    assert_eq!((done.errors().len(), done.deleted().len()), (0, 1));
    assert_eq!(done.deleted()[0].key(), Some("c"));
    assert!(bench.keys("").await.is_empty());
    bench.server.faults().add(Rule::new(Kind::NotImplemented).operation("DeleteObjects"));
    let done = bench.client.delete_objects().bucket("bkt").delete(batch).send().await;
    assert_eq!(refusal(done.unwrap_err()), (501, "NotImplemented".to_owned()));
}

#[tokio::test]
async fn c53_a_wrong_clock_refuses_and_tells_its_time() {
    let bench = bench().await;
    bench.server.faults().add(Rule::new(Kind::Clock(1200)));
    let error = put(&bench, "k").send().await.unwrap_err();
    let date = error.raw_response().unwrap().headers().get("date").unwrap().to_owned();
    assert_eq!(refusal(error), (403, "RequestTimeTooSkewed".to_owned()));
    let told = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp();
    let ahead = told.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((1190..=1200).contains(&ahead), "{date}");
    // The SDK has learned the server's time from that answer.
    put(&bench, "k").send().await.unwrap();
}
