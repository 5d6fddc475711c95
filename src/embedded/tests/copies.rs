//! CopyObject and UploadPartCopy.

use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, MetadataDirective, StorageClass,
};

use super::*;

#[tokio::test]
async fn a_copy_carries_metadata_or_replaces_it() {
    let bench = bench().await;
    let put = bench.client.put_object().bucket("bkt").key("a b").metadata("m", "1").tagging("t=1");
    let put = put
        .content_type("text/x")
        .storage_class(StorageClass::StandardIa)
        .body(ByteStream::from_static(b"x"));
    let tag = put.send().await.unwrap().e_tag;
    let copy = |key: &str| bench.client.copy_object().bucket("bkt").key(key).copy_source("bkt/a%20b");
    let idle = copy("a b").storage_class(StorageClass::StandardIa).send().await;
    assert_eq!(refusal(idle.unwrap_err()), (400, "InvalidRequest".to_owned()));
    let copied = copy("c").send().await.unwrap();
    assert_eq!(copied.copy_object_result().unwrap().e_tag(), tag.as_deref());
    let head = |key: &str| bench.client.head_object().bucket("bkt").key(key).send();
    let found = head("c").await.unwrap();
    assert_eq!((found.metadata().unwrap()["m"].as_str(), found.content_type()), ("1", Some("text/x")));
    assert_eq!(found.storage_class(), None, "c58: the class is not copied");
    let replace = copy("a b").metadata_directive(MetadataDirective::Replace).metadata("n", "2");
    replace.send().await.unwrap();
    let found = head("a b").await.unwrap();
    assert_eq!(found.metadata().unwrap().len(), 1);
    assert_eq!(found.metadata().unwrap()["n"], "2");
    assert_eq!(bench.get("a b").await.as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn a_copy_obeys_the_conditions_on_both_ends() {
    let bench = bench().await;
    let tag = bench.put("s", b"1").await;
    bench.put("t", b"2").await;
    let copy = || bench.client.copy_object().bucket("bkt").key("t").copy_source("bkt/s");
    let failed = (412, "PreconditionFailed".to_owned());
    assert_eq!(refusal(copy().copy_source_if_match("\"0\"").send().await.unwrap_err()), failed);
    assert_eq!(refusal(copy().copy_source_if_none_match(&tag).send().await.unwrap_err()), failed);
    let onto = [("x-amz-copy-source", "bkt/s"), ("if-none-match", "*")];
    let answer = raw(&bench.server, "PUT", "/bkt/t", &onto, SignableBody::Bytes(b""), b"").await;
    assert!(answer.starts_with("HTTP/1.1 412"), "{answer}");
    assert_eq!(bench.get("t").await.as_deref(), Some(&b"2"[..]));
    copy().copy_source_if_match(&tag).send().await.unwrap();
    assert_eq!(bench.get("t").await.as_deref(), Some(&b"1"[..]));
    let none = bench.client.copy_object().bucket("bkt").key("t").copy_source("bkt/none").send().await;
    assert_eq!(refusal(none.unwrap_err()), (404, "NoSuchKey".to_owned()));
}

#[tokio::test]
async fn an_object_made_of_parts_is_copied_with_a_plain_etag() {
    let bench = bench().await;
    bench.put("s", b"0123456789").await;
    let create = bench.client.create_multipart_upload().bucket("bkt").key("m").send().await.unwrap();
    let id = create.upload_id().unwrap();
    let part = |range: &str| {
        let part = bench.client.upload_part_copy().bucket("bkt").key("m").upload_id(id).part_number(1);
        part.copy_source("bkt/s").copy_source_range(range).send()
    };
    assert_eq!(refusal(part("bytes=5-10").await.unwrap_err()).0, 416);
    let tag = part("bytes=2-5").await.unwrap().copy_part_result.unwrap().e_tag;
    let parts = CompletedPart::builder().part_number(1).set_e_tag(tag).build();
    let parts = CompletedMultipartUpload::builder().parts(parts).build();
    let complete = bench.client.complete_multipart_upload().bucket("bkt").key("m").upload_id(id);
    let whole = complete.multipart_upload(parts).send().await.unwrap();
    assert!(whole.e_tag().unwrap().ends_with("-1\""));
    let copy = bench.client.copy_object().bucket("bkt").key("c").copy_source("bkt/m").send().await.unwrap();
    assert_eq!(copy.copy_object_result().unwrap().e_tag().unwrap(), bench.put("d", b"2345").await);
    assert_eq!(bench.get("c").await.as_deref(), Some(&b"2345"[..]));
}

#[tokio::test]
async fn a_part_is_copied_on_conditions_of_its_source_and_with_the_checksum_of_its_upload() {
    let bench = bench().await;
    let tag = bench.put("s", b"0123456789").await;
    let create = bench.client.create_multipart_upload().bucket("bkt").key("m");
    let create = create.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let id = create.upload_id().unwrap();
    let part = |number| {
        let part = bench.client.upload_part_copy().bucket("bkt").key("m").upload_id(id);
        part.part_number(number).copy_source("bkt/s")
    };
    let failed = (412, "PreconditionFailed".to_owned());
    assert_eq!(refusal(part(1).copy_source_if_match("\"0\"").send().await.unwrap_err()), failed);
    assert_eq!(refusal(part(1).copy_source_if_none_match(&tag).send().await.unwrap_err()), failed);
    assert_eq!(refusal(part(0).send().await.unwrap_err()), (400, "InvalidArgument".to_owned()));
    for range in ["bytes=2-", "bytes=-2", "2-3", "bytes=3-2"] {
        assert_eq!(refusal(part(1).copy_source_range(range).send().await.unwrap_err()).0, 400, "{range}");
    }
    let none = part(1).copy_source("bkt/none").send().await;
    assert_eq!(refusal(none.unwrap_err()), (404, "NoSuchKey".to_owned()));
    let held = bench.client.list_parts().bucket("bkt").key("m").upload_id(id).send().await.unwrap();
    assert!(held.parts().is_empty(), "what was refused left nothing");

    let done = part(1).copy_source_if_match(&tag).copy_source_range("bytes=0-9").send().await.unwrap();
    let result = done.copy_part_result().unwrap();
    assert_eq!(result.e_tag(), Some(&*tag), "the MD5 of the same bytes");
    let whole = bench.client.put_object().bucket("bkt").key("w").body(ByteStream::from_static(b"0123456789"));
    let whole = whole.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    assert_eq!(result.checksum_sha256(), whole.checksum_sha256());
    assert!(result.checksum_sha256().is_some());
    let gone = part(1).upload_id("none").send().await;
    assert_eq!(refusal(gone.unwrap_err()), (404, "NoSuchUpload".to_owned()));
}
