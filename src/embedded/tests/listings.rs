//! Listings: order, pages, prefixes and tokens.

use std::collections::BTreeSet;

use super::*;

/// All pages of a listing: keys and common prefixes in the order they came, and how many pages.
async fn pages(bench: &Bench, prefix: &str, delimiter: Option<&str>, most: i32) -> (Vec<String>, usize) {
    let (mut entries, mut token, mut count) = (Vec::new(), None, 0);
    loop {
        let listing = bench.client.list_objects_v2().bucket("bkt").prefix(prefix).max_keys(most);
        let listing =
            listing.set_delimiter(delimiter.map(str::to_owned)).set_continuation_token(token.clone());
        let page = listing.send().await.unwrap();
        let keys = page.contents().iter().map(|object| object.key().unwrap().to_owned());
        let mut page_entries: Vec<String> = keys.collect();
        page_entries.extend(page.common_prefixes().iter().map(|common| common.prefix().unwrap().to_owned()));
        assert_eq!(page.key_count(), Some(page_entries.len() as i32));
        assert!(page_entries.len() <= most as usize);
        page_entries.sort();
        entries.extend(page_entries);
        count += 1;
        assert!(count < 100, "the listing does not end");
        assert_eq!(page.is_truncated(), Some(page.next_continuation_token().is_some()));
        match page.next_continuation_token() {
            Some(next) => token = Some(next.to_owned()),
            None => return (entries, count),
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_make_the_same_listing() {
    let bench = bench().await;
    let keys: BTreeSet<&str> = [
        "a",
        "a-b",
        "a.b",
        "a/",
        "a/b",
        "a/b/c",
        "a/\u{10ffff}",
        "a0",
        "b/c/d",
        "b/c/e",
        "b/f",
        "é/x",
        "é",
        "z/",
        "z//y",
    ]
    .into();
    for key in &keys {
        bench.put(key, b"").await;
    }
    for prefix in ["", "a", "a/", "b/c/", "é", "nothing"] {
        for delimiter in [None, Some("/")] {
            let rolled = |key: &str| {
                let at = delimiter.and_then(|delimiter| key[prefix.len()..].find(delimiter));
                at.map_or(key.to_owned(), |at| key[..=prefix.len() + at].to_owned())
            };
            let expected: BTreeSet<String> =
                keys.iter().filter(|key| key.starts_with(prefix)).map(|key| rolled(key)).collect();
            let expected: Vec<String> = expected.into_iter().collect();
            for most in [1, 2, 3, 1000] {
                let (found, count) = pages(&bench, prefix, delimiter, most).await;
                assert_eq!(found, expected, "{prefix:?} {delimiter:?} by {most}");
                assert_eq!(
                    count,
                    expected.len().div_ceil(most as usize).max(1),
                    "{prefix:?} {delimiter:?} by {most}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_listing_starts_after_what_it_is_told() {
    let bench = bench().await;
    for key in ["a", "b/1", "b/2", "c"] {
        bench.put(key, b"").await;
    }
    let after = |start: &'static str, delimiter: Option<&'static str>| {
        let listing = bench.client.list_objects_v2().bucket("bkt").start_after(start);
        let listing = listing.set_delimiter(delimiter.map(str::to_owned)).send();
        async move {
            let page = listing.await.unwrap();
            let keys = page.contents().iter().map(|object| object.key().unwrap().to_owned());
            keys.chain(page.common_prefixes().iter().map(|common| common.prefix().unwrap().to_owned()))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(after("a", None).await, ["b/1", "b/2", "c"]);
    assert_eq!(after("aa", None).await, ["b/1", "b/2", "c"]);
    assert_eq!(after("b/1", None).await, ["b/2", "c"]);
    assert_eq!(after("b/", Some("/")).await, ["c"]);
    assert_eq!(after("z", None).await, [""; 0]);
    let none = bench.client.list_objects_v2().bucket("bkt").max_keys(0).send().await.unwrap();
    assert_eq!((none.contents().len(), none.is_truncated()), (0, Some(false)));
    let bad = bench.client.list_objects_v2().bucket("bkt").continuation_token("no token").send().await;
    assert_eq!(refusal(bad.unwrap_err()), (400, "InvalidArgument".to_owned()));
}

#[tokio::test]
async fn the_older_listing_pages_by_marker() {
    let bench = bench().await;
    for key in ["a", "b/1", "b/2", "c d", "e"] {
        bench.put(key, b"").await;
    }
    let list = |marker: &'static str| {
        let listing = bench.client.list_objects().bucket("bkt").delimiter("/").max_keys(2).marker(marker);
        listing.encoding_type("url".into()).send()
    };
    let page = list("").await.unwrap();
    assert_eq!((page.next_marker(), page.is_truncated()), (Some("b/"), Some(true)));
    let page = list("b/").await.unwrap();
    let keys: Vec<_> = page.contents().iter().map(|object| object.key().unwrap()).collect();
    assert_eq!((keys, page.is_truncated()), (vec!["c+d", "e"], Some(false)));
}

#[tokio::test]
async fn buckets_come_and_go() {
    let bench = bench().await;
    bench.client.create_bucket().bucket("other").send().await.unwrap();
    let again = bench.client.create_bucket().bucket("other").send().await;
    assert_eq!(refusal(again.unwrap_err()), (409, "BucketAlreadyOwnedByYou".to_owned()));
    let all = bench.client.list_buckets().send().await.unwrap();
    let names: Vec<_> = all.buckets().iter().map(|bucket| bucket.name().unwrap()).collect();
    assert_eq!(names, ["bkt", "other"]);
    let head = bench.client.head_bucket().bucket("other").send().await.unwrap();
    assert_eq!(head.bucket_region(), Some("us-east-1"));
    bench.put("k", b"").await;
    let full = bench.client.delete_bucket().bucket("bkt").send().await;
    assert_eq!(refusal(full.unwrap_err()), (409, "BucketNotEmpty".to_owned()));
    bench.client.delete_bucket().bucket("other").send().await.unwrap();
    let gone = bench.client.head_bucket().bucket("other").send().await;
    assert_eq!(refusal(gone.unwrap_err()).0, 404);
}
