//! The short way of a small PUT: the same request as the SDK's, and the SDK's where it does not go well.

use crate::{
    support::{
        memory::{Memory, pattern},
        prepare::Prepare,
        server::{Answer, Request, Server, serve},
    },
    wire::parts_until,
};
use s3mirrord::{
    model::{Capabilities, Class, ETag, Fault, Key, ObjectOptions, Only, RelPath, RemoteMeta},
    store::{Objects, Options, S3, Secret, Store},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

async fn store(server: &Server, attempts: u32) -> S3 {
    store_with(server, attempts, |_| ()).await
}

async fn store_with(server: &Server, attempts: u32, set: impl FnOnce(&mut Options)) -> S3 {
    let mut options = Options::new("bucket", "web/");
    options.endpoint_url = Some(server.endpoint());
    options.force_path_style = true;
    options.isolated = true;
    options.access_key_id = Some("AKID/TEST".to_owned());
    options.secret_access_key = Some(Secret::new("hunter2"));
    options.session_token = Some(Secret::new("token"));
    options.max_attempts = attempts;
    set(&mut options);
    let store = S3::connect(options).await.unwrap();
    store.know(Capabilities {
        conditional_put: true,
        conditional_delete: true,
        verifies_sha256: true,
        verifies_crc64: true,
        verifies_md5: true,
        etag_is_md5: true,
        conditional_batch: Some(true),
    });
    store
}

async fn put(store: &S3, key: &str, bytes: Vec<u8>, only: Only) -> Result<RemoteMeta, Fault> {
    let file = Memory::new(bytes);
    let spec = file.spec("öwn");
    let (staged, _) = store.prepare(&Key::raw(key), &Arc::new(file), &spec).await?;
    store.commit(staged, only).await
}

fn by_the_sdk(request: &Request) -> bool {
    request.headers.contains_key("amz-sdk-invocation-id")
}

/// What must be the same, whoever sends it.
fn essence(request: &Request) -> (String, BTreeMap<String, String>, Vec<u8>) {
    let own = ["user-agent", "x-amz-user-agent", "x-amz-date", "authorization"];
    let headers = request.headers.clone().into_iter();
    let headers = headers.filter(|(name, _)| !name.starts_with("amz-sdk-") && !own.contains(&name.as_str()));
    let target = request.target.trim_end_matches("?x-id=PutObject");
    (format!("{} {target}", request.method), headers.collect(), request.body.clone())
}

/// The headers that are signed, but those of the SDK alone.
fn signed(request: &Request) -> Vec<String> {
    let (_, names) = request.headers["authorization"].split_once("SignedHeaders=").unwrap();
    let names = names.split_once(',').unwrap().0.split(';');
    names
        .filter(|name| !name.starts_with("amz-sdk-") && *name != "x-amz-user-agent")
        .map(String::from)
        .collect()
}

#[tokio::test]
async fn it_is_the_request_that_the_sdk_would_send() {
    let server = Server::start(|_, _| Answer::tagged("e")).await;
    let odd = "a b/é+%\u{201b}(1)*'!=&;:@$,~-_.x/ü\u{7f}.html";
    for (key, bytes, only) in [
        ("a.txt", pattern(4096, 1), Only::New),
        (odd, pattern(10, 2), Only::Match(ETag::new("old"))),
        ("empty", vec![], Only::Always),
        ("most", pattern(64 << 10, 3), Only::New),
    ] {
        let before = server.seen().len();
        let store = store(&server, 2).await;
        for _ in 0..2 {
            let remote = put(&store, key, bytes.clone(), only.clone()).await.unwrap();
            assert_eq!((remote.etag, remote.size), (ETag::new("e"), bytes.len() as u64));
        }
        let [first, second] = &server.seen()[before..] else { panic!("two requests") };
        assert!(by_the_sdk(first) && !by_the_sdk(second), "{key}: the first one shows the way");
        assert_eq!(essence(first), essence(second), "{key}");
        assert_eq!(signed(first), signed(second), "{key}");
        assert_eq!(second.headers["x-amz-security-token"], "token");
        assert_eq!(store.requests()["PutObject"], 2);
    }
}

#[tokio::test]
async fn what_is_large_goes_the_sdks_way() {
    let server = Server::start(|_, _| Answer::tagged("e")).await;
    let store = store(&server, 2).await;
    for _ in 0..2 {
        put(&store, "large", pattern((64 << 10) + 1, 1), Only::New).await.unwrap();
    }
    assert!(server.seen().iter().all(by_the_sdk));
}

#[tokio::test]
async fn what_more_was_chosen_of_goes_the_sdks_way() {
    let server = Server::start(|_, _| Answer::tagged("e")).await;
    let classy = ObjectOptions { storage_class: Some("GLACIER".into()), ..ObjectOptions::default() };
    let by_name = move |path: &RelPath| {
        Arc::new(if path.as_bytes() == b"cold" { classy.clone() } else { ObjectOptions::default() })
    };
    let objects = Objects::by(ObjectOptions::default(), by_name);
    let chosen = store_with(&server, 2, |options| options.objects = objects).await;
    let paid = store_with(&server, 2, |options| options.requester_pays = true).await;
    for (store, key) in [(&chosen, "a"), (&chosen, "a"), (&chosen, "cold"), (&paid, "a"), (&paid, "a")] {
        put(store, key, pattern(100, 1), Only::New).await.unwrap();
    }
    let seen = server.seen();
    let ways: Vec<_> = seen.iter().map(by_the_sdk).collect();
    assert_eq!(ways, [true, false, true, true, true]);
    assert_eq!(seen[2].headers["x-amz-storage-class"], "GLACIER");
    assert!(seen[3..].iter().all(|request| request.headers["x-amz-request-payer"] == "requester"));
}

#[tokio::test]
async fn what_is_not_plainly_confirmed_goes_the_sdks_way_and_so_does_what_follows() {
    for answer in [
        Answer::error(500, "InternalError"),
        Answer::error(403, "ExpiredToken"),
        Answer::error(403, "RequestTimeTooSkewed"),
        Answer::error(400, "BadDigest"),
        Answer::new(301, ""),
        Answer::new(200, ""),
        Answer::new(200, "<html>Log in</html>").with("etag", "\"x\""),
        Answer::tagged(""),
        Answer::Cut(500, String::new()),
    ] {
        let odd = answer.clone();
        let server = Server::start(move |n, _| if n == 1 { odd.clone() } else { Answer::tagged("e") }).await;
        let store = store(&server, 2).await;
        for key in ["a", "b", "c"] {
            let remote = put(&store, key, pattern(100, 1), Only::New).await.unwrap();
            assert_eq!(remote.etag, ETag::new("e"), "{answer:?}");
        }
        let ways: Vec<_> = server.seen().iter().map(by_the_sdk).collect();
        assert_eq!(ways, [true, false, true, true], "{answer:?}");
        assert_eq!(store.requests()["PutObject"], 4);
        // it is tried again after a while
        let begun = Instant::now();
        while server.seen().iter().filter(|request| !by_the_sdk(request)).count() == 1 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{answer:?}: never again");
            put(&store, "d", pattern(100, 1), Only::New).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// From one request to the next, whichever way it goes.
#[tokio::test]
async fn c45_a_page_that_stands_in_for_the_store_confirms_no_put() {
    let page = |body: &str| Answer::new(200, body).with("etag", "\"x\"");
    for page in [
        page("<html>Log in</html>"),
        page("<!DOCTYPE html>\n<html lang=\"en\">Log in</html>"),
        page("Log in").with("content-type", "text/html; charset=utf-8"),
        page("{\"error\":\"log in\"}").with("content-type", "application/json"),
    ] {
        let odd = page.clone();
        let server = Server::start(move |n, request| match n {
            0 => Answer::tagged("e"),
            _ if request.method == "PUT" => odd.clone(),
            _ => parts_until(request, || Answer::new(500, "")),
        })
        .await;
        let store = store_with(&server, 2, |options| {
            options.threshold = 100_000;
            options.part_size = 100_000;
        })
        .await;
        put(&store, "a", pattern(100, 1), Only::New).await.unwrap();
        for size in [100, 70_000, 100_001] {
            let fault = put(&store, "b", pattern(size, 2), Only::New).await.unwrap_err();
            assert_eq!(fault.class, Class::Transient, "{page:?}, {size}: {fault}");
            assert!(fault.cause.contains("not an S3 answer"), "{page:?}, {size}: {fault}");
        }
    }
}

/// It is no fault of the short way: neither is it left, nor is the request sent again at once.
#[tokio::test]
async fn c51_what_asks_for_less_is_given_a_pause_and_goes_the_short_way_again() {
    for (answer, code) in [
        (Answer::error(503, "SlowDown"), "SlowDown (HTTP 503, request REQ1)"),
        (Answer::error(429, "TooManyRequests"), "TooManyRequests"),
        (Answer::new(503, ""), "asks for less (HTTP 503)"),
        (Answer::Cut(503, "<Error>".to_owned()), "(HTTP 503)"),
    ] {
        let refusals = Arc::new(AtomicUsize::new(2));
        let (left, odd) = (refusals.clone(), answer.clone());
        let server = Server::start(move |n, _| {
            let refused = n > 0 && left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok();
            if refused { odd.clone() } else { Answer::tagged("e") }
        })
        .await;
        let store = store(&server, 5).await;
        put(&store, "a", pattern(100, 1), Only::New).await.unwrap();
        let begun = Instant::now();
        let remote = put(&store, "b", pattern(100, 2), Only::New).await.unwrap();
        assert_eq!(remote.etag, ETag::new("e"), "{answer:?}");
        assert!(begun.elapsed() >= Duration::from_millis(750), "{answer:?}: {:?}", begun.elapsed());
        let ways: Vec<_> = server.seen().iter().map(by_the_sdk).collect();
        assert_eq!(ways, [true, false, false, false], "{answer:?}");
        assert!(server.seen()[1..].iter().all(|request| request.body == pattern(100, 2)));
        // who gives up in the pause leaves nothing behind
        refusals.store(usize::MAX, SeqCst);
        let given_up = put(&store, "c", pattern(100, 3), Only::New);
        assert!(timeout(Duration::from_millis(200), given_up).await.is_err(), "{answer:?}");
        assert_eq!(server.seen().len(), 5, "{answer:?}");
        refusals.store(0, SeqCst);
        put(&store, "d", pattern(100, 4), Only::New).await.unwrap();

        let once = store_with(&server, 2, |_| ()).await;
        put(&once, "a", pattern(100, 1), Only::New).await.unwrap();
        refusals.store(usize::MAX, SeqCst);
        let fault = put(&once, "b", pattern(100, 2), Only::New).await.unwrap_err();
        assert_eq!(fault.class, Class::Throttled);
        assert!(fault.to_string().contains(code) && fault.to_string().contains("web/b"), "{fault}");
    }
}

/// The object may be that of the very request whose answer was lost: what a 412 means is found out as ever.
#[tokio::test]
async fn c48_a_condition_that_does_not_hold_is_a_changed_object() {
    let server = Server::start(|n, _| match n {
        1 | 2 => Answer::error(412, "PreconditionFailed"),
        _ => Answer::tagged("e"),
    })
    .await;
    let store = store(&server, 2).await;
    put(&store, "a", pattern(100, 1), Only::New).await.unwrap();
    let fault = put(&store, "b", pattern(100, 1), Only::New).await.unwrap_err();
    assert_eq!(fault.class, Class::Changed);
    put(&store, "c", pattern(100, 1), Only::New).await.unwrap();
    let ways: Vec<_> = server.seen().iter().map(by_the_sdk).collect();
    assert_eq!(ways, [true, false, true, false], "it is no reason to rest");
}

/// It is an attempt beside those of the SDK.
#[tokio::test]
async fn where_there_is_one_attempt_it_is_the_sdks() {
    let server = Server::start(|_, _| Answer::tagged("e")).await;
    let store = store(&server, 1).await;
    for key in ["a", "b"] {
        put(&store, key, pattern(100, 1), Only::New).await.unwrap();
    }
    assert!(server.seen().iter().all(by_the_sdk));
}

/// A server whose clock is so many minutes ahead of this one's.
fn dated(request: &Request, minutes: i64) -> Answer {
    let there = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &request.headers["x-amz-date"]).unwrap();
    let signed = signed.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    if (signed.as_second() - there.as_second()).abs() < 300 {
        return Answer::tagged("e");
    }
    let date = there.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Answer::error(403, "RequestTimeTooSkewed").with("date", date)
}

#[tokio::test]
async fn c53_a_clock_that_is_off_is_corrected_on_the_short_way_too() {
    for minutes in [-20, 20] {
        let apart = Arc::new(AtomicI64::new(minutes));
        let now = apart.clone();
        let server = Server::start(move |_, request| dated(request, now.load(SeqCst))).await;
        let store = store(&server, 5).await;
        for key in ["a", "b", "c"] {
            put(&store, key, pattern(100, 1), Only::New).await.unwrap();
        }
        let ways = |from: usize| server.seen()[from..].iter().map(by_the_sdk).collect::<Vec<_>>();
        assert_eq!(ways(0), [true, true, false, false], "{minutes}: the SDK's second attempt was well dated");
        // the clock is set: the SDK learns that from an answer that it does not try again after
        apart.store(0, SeqCst);
        assert_eq!(put(&store, "d", pattern(100, 1), Only::New).await.unwrap_err().class, Class::Fatal);
        put(&store, "d", pattern(100, 1), Only::New).await.unwrap();
        assert_eq!(ways(4), [false, true, true], "{minutes}");
        // the short way rests for a second
        let begun = Instant::now();
        let mut ahead = server.seen().len();
        while ways(ahead).last() != Some(&false) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{minutes}: not learnt anew");
            ahead = server.seen().len();
            put(&store, "e", pattern(100, 1), Only::Always).await.unwrap();
        }
        assert_eq!(ways(ahead), [false], "{minutes}: learnt anew");
    }
}

/// What was learnt holds the client, and the client what learns.
#[tokio::test]
async fn nothing_is_left_of_a_store_that_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (open, mut ended) = mpsc::channel::<()>(1);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let open = open.clone();
            tokio::spawn(async move {
                serve(stream, Arc::default(), Arc::new(|_, _: &Request| Answer::tagged("e"))).await;
                drop(open);
            });
        }
    });
    let mut options = crate::wire::options(endpoint);
    options.max_attempts = 2;
    let store = S3::connect(options).await.unwrap();
    for key in ["a", "b"] {
        put(&store, key, pattern(100, 1), Only::New).await.unwrap();
    }
    drop(store);
    serving.abort();
    // each connection that is open holds a sender
    let closed = timeout(Duration::from_secs(10), ended.recv()).await;
    assert_eq!(closed, Ok(None), "its connections stay open");
}
