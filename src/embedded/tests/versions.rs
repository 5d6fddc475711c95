//! Versioned buckets.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

use super::*;

impl Bench {
    async fn versioning(&self, status: BucketVersioningStatus) {
        let versioning = VersioningConfiguration::builder().status(status).build();
        let put = self.client.put_bucket_versioning().bucket("bkt").versioning_configuration(versioning);
        put.send().await.unwrap();
    }

    /// Key, version, whether it is the latest, and whether it is a delete marker: all pages of `most`.
    async fn versions(&self, most: i32) -> Vec<(String, String, bool, bool)> {
        let (mut found, mut key, mut version) = (Vec::new(), None, None);
        loop {
            let list = self.client.list_object_versions().bucket("bkt").max_keys(most);
            let page = list.set_key_marker(key).set_version_id_marker(version).send().await.unwrap();
            let text = |text: Option<&str>| text.unwrap().to_owned();
            found.extend(page.versions().iter().map(|version| {
                (text(version.key()), text(version.version_id()), version.is_latest().unwrap(), false)
            }));
            found.extend(page.delete_markers().iter().map(|marker| {
                (text(marker.key()), text(marker.version_id()), marker.is_latest().unwrap(), true)
            }));
            assert!(page.versions().len() + page.delete_markers().len() <= most as usize);
            if page.is_truncated() != Some(true) {
                found.sort();
                return found;
            }
            key = page.next_key_marker().map(str::to_owned);
            version = page.next_version_id_marker().map(str::to_owned);
            assert!(key.is_some());
            assert!(found.len() < 100, "the listing does not end");
        }
    }
}

#[tokio::test]
async fn every_version_is_kept_until_deleted_by_its_id() {
    let bench = bench().await;
    bench.put("k", b"0").await;
    bench.versioning(BucketVersioningStatus::Enabled).await;
    let put = |body: &'static [u8]| {
        bench.client.put_object().bucket("bkt").key("k").body(ByteStream::from_static(body))
    };
    let first = put(b"1").send().await.unwrap().version_id.unwrap();
    let second = put(b"2").send().await.unwrap().version_id.unwrap();
    let deleted = bench.client.delete_object().bucket("bkt").key("k").send().await.unwrap();
    assert_eq!(deleted.delete_marker(), Some(true));
    let marker = deleted.version_id.unwrap();
    assert_eq!(bench.get("k").await, None);
    assert!(bench.keys("").await.is_empty());
    let at = |version: &str| bench.client.get_object().bucket("bkt").key("k").version_id(version).send();
    for (version, body) in [("null", b"0"), (first.as_str(), b"1"), (second.as_str(), b"2")] {
        assert_eq!(at(version).await.unwrap().body.collect().await.unwrap().to_vec(), body);
    }
    assert_eq!(refusal(at(&marker).await.unwrap_err()).0, 405);
    assert_eq!(refusal(at("v00000000000beef").await.unwrap_err()), (404, "NoSuchVersion".to_owned()));
    put(b"x").key("l").send().await.unwrap();
    let all = bench.versions(1000).await;
    assert_eq!(all.len(), 5);
    assert_eq!(all.iter().filter(|(.., latest, _)| *latest).count(), 2);
    for most in 1..5 {
        assert_eq!(bench.versions(most).await, all, "by {most}");
    }
    bench.client.delete_object().bucket("bkt").key("k").version_id(&marker).send().await.unwrap();
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"2"[..]));
    bench.client.delete_object().bucket("bkt").key("k").version_id(&second).send().await.unwrap();
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn suspended_versioning_overwrites_only_the_null_version() {
    let bench = bench().await;
    bench.put("k", b"0").await;
    bench.versioning(BucketVersioningStatus::Enabled).await;
    bench.put("k", b"1").await;
    bench.versioning(BucketVersioningStatus::Suspended).await;
    bench.put("k", b"2").await;
    bench.put("k", b"3").await;
    let all = bench.versions(1000).await;
    assert_eq!(
        all.iter().map(|(_, id, latest, _)| (id == "null", *latest)).collect::<Vec<_>>(),
        [(true, true), (false, false)]
    );
    assert_eq!(bench.get("k").await.as_deref(), Some(&b"3"[..]));
    bench.client.delete_object().bucket("bkt").key("k").send().await.unwrap();
    let all = bench.versions(1000).await;
    assert_eq!(all.iter().filter(|(.., marker)| *marker).count(), 1);
    assert_eq!(all.len(), 2, "the marker took the place of the null version");
}
