//! Multipart uploads.

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};

use super::*;

const MIB: usize = 1 << 20;

impl Bench {
    async fn create(&self, key: &str) -> String {
        let create = self.client.create_multipart_upload().bucket("bkt").key(key).metadata("m", "1");
        create.send().await.unwrap().upload_id.unwrap()
    }

    async fn part(&self, key: &str, id: &str, number: i32, body: Vec<u8>) -> CompletedPart {
        let part = self.client.upload_part().bucket("bkt").key(key).upload_id(id).part_number(number);
        let tag = part.body(ByteStream::from(body)).send().await.unwrap().e_tag;
        CompletedPart::builder().part_number(number).set_e_tag(tag).build()
    }

    fn complete(
        &self,
        key: &str,
        id: &str,
        parts: &[CompletedPart],
    ) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder
    {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
        self.client.complete_multipart_upload().bucket("bkt").key(key).upload_id(id).multipart_upload(parts)
    }
}

#[tokio::test]
async fn an_upload_is_seen_only_when_complete() {
    let bench = bench().await;
    let id = bench.create("k").await;
    let second = bench.part("k", &id, 7, b"tail".to_vec()).await;
    let first = bench.part("k", &id, 2, vec![1; 5 * MIB]).await;
    bench.part("k", &id, 9, b"unnamed".to_vec()).await;
    assert_eq!(bench.get("k").await, None);
    let parts =
        bench.client.list_parts().bucket("bkt").key("k").upload_id(&id).max_parts(2).send().await.unwrap();
    let numbers: Vec<_> =
        parts.parts().iter().map(|part| (part.part_number().unwrap(), part.size().unwrap())).collect();
    assert_eq!(numbers, [(2, 5 << 20), (7, 4)]);
    assert_eq!(parts.next_part_number_marker(), Some("7"));
    let done = bench.complete("k", &id, &[first, second]).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""));
    assert_eq!(bench.get("k").await, Some([vec![1; 5 * MIB], b"tail".to_vec()].concat()));
    let head = bench.client.head_object().bucket("bkt").key("k").part_number(2).send().await.unwrap();
    assert_eq!((head.parts_count(), head.content_length()), (Some(2), Some(4)));
    assert_eq!(head.metadata().unwrap()["m"], "1");
    let again = bench.client.list_parts().bucket("bkt").key("k").upload_id(&id).send().await;
    assert_eq!(refusal(again.unwrap_err()), (404, "NoSuchUpload".to_owned()));
}

#[tokio::test]
async fn a_complete_that_names_parts_wrongly_changes_nothing() {
    let bench = bench().await;
    let id = bench.create("k").await;
    let small = bench.part("k", &id, 1, vec![0; 5 * MIB - 1]).await;
    let last = bench.part("k", &id, 2, vec![0; 1]).await;
    let stranger = CompletedPart::builder().part_number(1).e_tag(last.e_tag().unwrap()).build();
    let absent = CompletedPart::builder().part_number(3).e_tag(last.e_tag().unwrap()).build();
    for (parts, code) in [
        (vec![small.clone(), last.clone()], "EntityTooSmall"),
        (vec![last.clone(), small.clone()], "InvalidPartOrder"),
        (vec![small.clone(), small.clone()], "InvalidPartOrder"),
        (vec![stranger], "InvalidPart"),
        (vec![absent], "InvalidPart"),
    ] {
        let refused = bench.complete("k", &id, &parts).send().await;
        assert_eq!(refusal(refused.unwrap_err()), (400, code.to_owned()));
    }
    assert_eq!(bench.get("k").await, None);
    bench.complete("k", &id, &[small]).send().await.unwrap();
}

#[tokio::test]
async fn a_complete_obeys_conditions_and_keeps_its_parts() {
    let bench = bench().await;
    let tag = bench.put("k", b"first").await;
    let id = bench.create("k").await;
    let part = bench.part("k", &id, 1, b"second".to_vec()).await;
    let refused = bench.complete("k", &id, std::slice::from_ref(&part)).if_none_match("*").send().await;
    assert_eq!(refusal(refused.unwrap_err()), (412, "PreconditionFailed".to_owned()));
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"first"[..]));
    bench.complete("k", &id, &[part]).if_match(tag).send().await.unwrap();
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"second"[..]));
}

#[tokio::test]
async fn c55_uploads_in_progress_are_listed_until_aborted() {
    let bench = bench().await;
    let first = bench.create("p/a b").await;
    bench.create("p/c").await;
    bench.create("q").await;
    let list = || bench.client.list_multipart_uploads().bucket("bkt").prefix("p/").max_uploads(1);
    let page = list().encoding_type("url".into()).send().await.unwrap();
    assert_eq!((page.uploads()[0].key(), page.is_truncated()), (Some("p/a+b"), Some(true)));
    assert_eq!(page.uploads()[0].upload_id(), Some(first.as_str()));
    let rest = list().key_marker("p/a b").upload_id_marker(&first).send().await.unwrap();
    assert_eq!((rest.uploads()[0].key(), rest.is_truncated()), (Some("p/c"), Some(false)));
    let abort = || bench.client.abort_multipart_upload().bucket("bkt").key("p/a b").upload_id(&first).send();
    abort().await.unwrap();
    assert_eq!(refusal(abort().await.unwrap_err()), (404, "NoSuchUpload".to_owned()));
    assert_eq!(list().send().await.unwrap().uploads()[0].key(), Some("p/c"));
}

#[tokio::test]
async fn a_part_with_a_wrong_checksum_is_not_kept() {
    let bench = bench().await;
    let create = bench.client.create_multipart_upload().bucket("bkt").key("k");
    let id = create.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await.unwrap().upload_id.unwrap();
    let part = bench.client.upload_part().bucket("bkt").key("k").upload_id(&id).part_number(1);
    let part = part.body(ByteStream::from_static(b"data")).checksum_crc64_nvme("AAAAAAAAAAA=").send().await;
    assert_eq!(refusal(part.unwrap_err()), (400, "BadDigest".to_owned()));
    let parts = bench.client.list_parts().bucket("bkt").key("k").upload_id(&id).send().await.unwrap();
    assert!(parts.parts().is_empty());
    let parts = [bench.part("k", &id, 1, vec![3; 5 * MIB]).await, bench.part("k", &id, 2, vec![4; 9]).await];
    let done = bench.complete("k", &id, &parts).send().await.unwrap();
    let whole =
        bench.client.put_object().bucket("bkt").key("w").checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
    let whole = whole.body([vec![3; 5 * MIB], vec![4; 9]].concat().into()).send().await.unwrap();
    assert_eq!(done.checksum_crc64_nvme(), whole.checksum_crc64_nvme());
    assert!(done.checksum_crc64_nvme().is_some());
}
