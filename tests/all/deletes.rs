//! Deletes by the thousand (case 47): the requests, what their answers mean, and stores that do without.

use crate::support::{
    bench::{Bench, QUICK, Ran},
    server::{Answer, Request, Server},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::Md5;
use s3mirrord::{
    embedded::{self, Kind, Rule},
    model::{Capabilities, Class, ETag, Key},
    store::{Answers, Options, S3, Secret, Store},
};
use sha2::{Digest, Sha256};
use std::time::Duration;

fn key(text: &str) -> Key {
    Key::raw(text)
}

fn able() -> Capabilities {
    Capabilities {
        conditional_put: true,
        conditional_delete: true,
        conditional_batch: Some(true),
        verifies_sha256: true,
        verifies_crc64: true,
        verifies_md5: true,
        etag_is_md5: true,
    }
}

async fn store(endpoint: String, keys: (&str, &str)) -> S3 {
    store_of(endpoint, keys, 1).await
}

async fn store_of(endpoint: String, keys: (&str, &str), attempts: u32) -> S3 {
    let mut options = Options::new("bucket", "web/");
    options.endpoint_url = Some(endpoint);
    options.force_path_style = true;
    options.isolated = true;
    options.access_key_id = Some(keys.0.to_owned());
    options.secret_access_key = Some(Secret::new(keys.1));
    options.max_attempts = attempts;
    S3::connect(options).await.unwrap()
}

async fn scripted(server: &Server) -> S3 {
    let store = store(server.endpoint(), ("AKIDTEST", "hunter2")).await;
    store.know(able());
    store
}

async fn delete(store: &S3, keys: &[&str]) -> Answers {
    let objects: Vec<_> = keys.iter().map(|name| (key(name), ETag::new(&format!("tag of {name}")))).collect();
    store.delete_together(&objects).await
}

fn class(answers: &Answers, name: &str) -> Option<Result<(), Class>> {
    answers.get(&key(name)).map(|said| said.clone().map_err(|fault| fault.class))
}

fn result(inner: &str) -> Answer {
    let xmlns = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    Answer::new(200, format!("<?xml version=\"1.0\"?>\n<DeleteResult {xmlns}>{inner}</DeleteResult>\n"))
}

fn deleted(name: &str) -> String {
    format!("<Deleted><Key>web/{name}</Key></Deleted>")
}

fn failed(name: &str, code: &str, message: &str) -> String {
    format!("<Error><Key>web/{name}</Key><Code>{code}</Code><Message>{message}</Message></Error>")
}

#[tokio::test]
async fn c47_a_batch_is_sent_with_tags_and_in_the_form_that_old_servers_want() {
    let server = Server::start(|_, _| result(&(deleted("a&amp;b c") + &deleted("d")))).await;
    let store = scripted(&server).await;
    let answers = delete(&store, &["a&b c", "d"]).await;
    assert!(answers.len() == 2 && answers.values().all(Result::is_ok), "{answers:?}");
    let seen = server.seen();
    assert_eq!((seen.len(), &*seen[0].method), (1, "POST"));
    assert!(seen[0].target.starts_with("/bucket?delete") || seen[0].target.starts_with("/bucket/?delete"));
    let body = String::from_utf8(seen[0].body.clone()).unwrap();
    let object = "<Object><Key>web/a&amp;b c</Key><ETag>&quot;tag of a&amp;b c&quot;</ETag></Object>";
    assert!(body.contains(object), "{body}");
    assert!(!body.contains("<Quiet>true"), "what is done is told, too: {body}");
    let headers = &seen[0].headers;
    assert_eq!(headers["content-md5"], BASE64_STANDARD.encode(Md5::digest(&body)));
    assert_eq!(headers["x-amz-checksum-sha256"], BASE64_STANDARD.encode(Sha256::digest(&body)));
    assert!(headers["authorization"].contains("content-md5"), "signed: {}", headers["authorization"]);
    for absent in ["x-amz-trailer", "content-encoding", "transfer-encoding", "x-amz-checksum-crc32"] {
        assert_eq!(headers.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn c47_each_key_has_an_answer_of_its_own() {
    let inner = [
        deleted("done"),
        deleted("never asked for"),
        failed("denied", "AccessDenied", "Access Denied"),
        failed("locked", "AccessDenied", "Access Denied because object protected by object lock."),
        failed("slow", "SlowDown", "Please reduce your request rate."),
        failed("inner", "InternalError", "We encountered an internal error."),
        failed("gone", "NoSuchKey", "m"),
        failed("changed", "PreconditionFailed", "m"),
        failed("changed and gone", "PreconditionFailed", "m"),
        deleted("both"),
        failed("both", "InternalError", "m"),
        failed("odd", "", ""),
    ];
    let answer = inner.concat();
    let server = Server::start(move |_, request| match request.method.as_str() {
        "HEAD" if request.target.contains("gone") => Answer::new(404, ""),
        "HEAD" => Answer::tagged("new").with("content-length", "1"),
        _ => result(&answer),
    })
    .await;
    let store = scripted(&server).await;
    let names = [
        "done",
        "denied",
        "locked",
        "slow",
        "inner",
        "gone",
        "changed",
        "changed and gone",
        "both",
        "odd",
        "unsaid",
    ];
    let answers = delete(&store, &names).await;
    for (name, want) in [
        ("done", Some(Ok(()))),
        ("denied", Some(Err(Class::Denied))),
        ("locked", Some(Err(Class::Permanent))),
        ("slow", Some(Err(Class::Throttled))),
        ("inner", Some(Err(Class::Transient))),
        ("gone", Some(Ok(()))),
        ("changed", Some(Err(Class::Changed))),
        ("changed and gone", Some(Ok(()))),
        ("both", Some(Err(Class::Transient))),
        ("odd", Some(Err(Class::Transient))),
        ("unsaid", None),
        ("never asked for", None),
    ] {
        assert_eq!(class(&answers, name), want, "{name}");
    }
    let told = |name: &str| answers[&key(name)].as_ref().unwrap_err().to_string();
    assert!(told("denied").contains("web/denied") && told("denied").contains("s3:DeleteObject"));
    assert!(told("locked").contains("Object Lock"), "{}", told("locked"));
    let heads = server.seen().iter().filter(|request| request.method == "HEAD").count();
    assert_eq!(heads, 2, "only where a condition failed");
    assert!(!store.batches(&key("unsaid")), "a store that leaves keys out is not asked so again");
}

#[tokio::test]
async fn c45_c47_a_200_that_is_no_whole_answer_confirms_nothing() {
    let html = "<html><body>Log in to the network</body></html>";
    let error = "<Error><Code>InternalError</Code><Message>try again</Message></Error>";
    // the key that is cut off is that of another object
    let cut = "<DeleteResult><Deleted><Key>web/ab</Key></Deleted><Deleted><Key>web/a";
    let whole = "<DeleteResult><Deleted><Key>web/ab</Key></Deleted></DeleteResult>";
    for answer in [
        Answer::new(200, html),
        Answer::new(200, html).with("content-type", "text/html"),
        Answer::new(200, error),
        Answer::new(200, ""),
        Answer::new(200, cut),
        Answer::new(200, &whole[..whole.len() - 1]),
        Answer::Cut(200, whole.to_owned()),
        Answer::new(204, ""),
    ] {
        let text = format!("{answer:?}");
        let server = Server::start(move |_, _| answer.clone()).await;
        let store = scripted(&server).await;
        let answers = delete(&store, &["ab", "a", "abc"]).await;
        for name in ["ab", "a", "abc"] {
            assert_eq!(class(&answers, name), Some(Err(Class::Transient)), "{name}: {text}");
        }
        assert!(store.batches(&key("a")), "it may pass: {text}");
    }
}

#[tokio::test]
async fn c47_c50_a_request_that_fails_is_an_error_of_every_key_and_one_in_vain_is_not_sent_again() {
    for (answer, want, again) in [
        (Answer::error(503, "SlowDown"), Class::Throttled, true),
        (Answer::error(500, "InternalError"), Class::Transient, true),
        (Answer::error(403, "AccessDenied"), Class::Denied, true),
        (Answer::error(400, "ExpiredToken"), Class::Fatal, true),
        (Answer::error(404, "NoSuchBucket"), Class::Fatal, true),
        (Answer::error(501, "NotImplemented"), Class::Transient, false),
        (Answer::error(400, "MalformedXML"), Class::Transient, false),
        (Answer::error(400, "InvalidRequest"), Class::Transient, false),
        (Answer::error(405, "MethodNotAllowed"), Class::Transient, false),
        (Answer::new(411, ""), Class::Transient, false),
        (Answer::new(404, "page not found"), Class::Transient, false),
    ] {
        let text = format!("{answer:?}");
        let server = Server::start(move |_, _| answer.clone()).await;
        let store = scripted(&server).await;
        let answers = delete(&store, &["a", "b"]).await;
        for name in ["a", "b"] {
            assert_eq!(class(&answers, name), Some(Err(want)), "{text}");
        }
        assert_eq!(store.batches(&key("a")), again, "{text}");
        // nor in the next session of this life
        store.know(able());
        assert_eq!(store.batches(&key("a")), again, "{text}");
    }
}

/// Another attempt would come minutes after the look that the licence rests on.
#[tokio::test]
async fn c66_a_delete_is_sent_once_whatever_the_number_of_attempts() {
    let busy = |method: &'static str| {
        Server::start(move |n, request| match (n, request.method == method) {
            (0, true) => Answer::error(503, "SlowDown"),
            _ => result(&(deleted("a") + &deleted("b"))).with("etag", "\"tag of a\""),
        })
    };
    for (method, conditions) in [("POST", true), ("DELETE", true), ("HEAD", false)] {
        let server = busy(method).await;
        let store = store_of(server.endpoint(), ("AKIDTEST", "hunter2"), 5).await;
        store.know(Capabilities { conditional_delete: conditions, ..able() });
        let answers = match method {
            "POST" => delete(&store, &["a", "b"]).await,
            _ => {
                let said = store.delete(&key("a"), &ETag::new("tag of a")).await;
                [(key("a"), said.clone()), (key("b"), said)].into()
            }
        };
        let classes = ["a", "b"].map(|name| class(&answers, name));
        assert_eq!(classes, [Some(Err(Class::Throttled)); 2], "{method}");
        let seen: Vec<_> = server.seen().into_iter().map(|request| request.method).collect();
        assert_eq!(seen, [method], "one request");
    }
}

async fn bucket() -> embedded::Handle {
    let options = embedded::Options { buckets: vec!["bucket".into()], ..Default::default() };
    embedded::Server::start(options).await.unwrap()
}

/// Each fault meets DeleteObjects alone: all else that a probe finds stays.
#[tokio::test]
async fn c50_a_probe_finds_whether_batches_keep_what_has_another_tag() {
    let server = bucket().await;
    for (kind, want) in [
        (None, Some(true)),
        (Some(Kind::IgnoreConditions), Some(false)),
        (Some(Kind::NotImplemented), Some(false)),
        (Some(Kind::AccessDenied), Some(false)),
        (Some(Kind::InternalError), None),
        (Some(Kind::Html200), None),
        (Some(Kind::LostReply), None),
    ] {
        server.faults().clear();
        let what = format!("{kind:?}");
        if let Some(kind) = kind {
            server.faults().add(Rule::new(kind).operation("DeleteObjects"));
        }
        let store = store(server.endpoint(), (server.access_key(), server.secret_key())).await;
        server.reset_requests();
        let found = store.probe(&key(".s3mirrord/owner.json")).await.unwrap();
        assert_eq!(found, Capabilities { conditional_batch: want, ..able() }, "{what}");
        let asked: u64 = server.requests().values().sum();
        assert!(asked <= 17, "{what}: {asked}");
        store.know(found);
        assert_eq!(store.batches(&key("a")), want == Some(true), "{what}");
    }
    // one that refuses every tag, the right ones too
    let server = Server::start(|_, request: &Request| match request.method.as_str() {
        "POST" => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let name = body.split("<Key>web/").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
            result(&failed(name, "PreconditionFailed", ""))
        }
        _ => Answer::tagged("x"),
    })
    .await;
    let found = scripted(&server).await.probe(&key("o")).await.unwrap();
    assert_eq!(found.conditional_batch, Some(false));
}

/// Files and what deletes them: 10 requests for 10,000, and none for a key alone.
#[tokio::test(flavor = "multi_thread")]
async fn c47_ten_thousand_deletes_are_ten_requests() {
    let bench = Bench::with("delete_grace = \"2s\"\nmax_delete = \"off\"\n").await;
    bench.write("kept", "x");
    // and the markers of their 20 directories
    for n in 0..9_980 {
        bench.write(&format!("d{:02}/f{n:05}", n / 499), "x");
    }
    let pass = async || Ran::within(Duration::from_secs(240), bench.command(&["once", "--json"])).await;
    let first = pass().await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    (0..20).for_each(|n| std::fs::remove_dir_all(bench.root.join(format!("d{n:02}"))).unwrap());
    bench.server.reset_requests();
    let second = pass().await;
    assert_eq!((second.code, second.summary()["deleted"].as_u64()), (0, Some(9_980)), "{}", second.stderr);
    let requests = bench.server.requests();
    println!("{requests:?}");
    let asked = |operation: &str| requests.get(operation).copied().unwrap_or_default();
    assert_eq!(
        (asked("DeleteObjects"), asked("DeleteObject"), asked("HeadObject")),
        (10, 0, 0),
        "{requests:?}"
    );
    // and the listing, and the owner record read and claimed
    assert_eq!((asked("GetObject"), asked("PutObject"), requests.len()), (1, 1, 4), "{requests:?}");
    assert!((11..=13).contains(&asked("ListObjectsV2")), "{requests:?}");
    assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["kept"]);
    bench.server.reset_requests();
    let third = pass().await;
    assert_eq!((third.code, third.summary()["unchanged"].as_u64()), (0, Some(1)));
    let want = [("GetObject".to_owned(), 1), ("ListObjectsV2".to_owned(), 1)].into();
    assert_eq!(bench.server.requests(), want, "nothing is left to do");
}

/// A store that takes batches and ignores their tags would delete what another client just wrote.
#[tokio::test(flavor = "multi_thread")]
async fn c49_c50_where_batches_ignore_tags_deletes_go_one_by_one() {
    let bench = Bench::with(&format!("{QUICK}max_delete = \"off\"\n")).await;
    bench.server.faults().add(Rule::new(Kind::IgnoreConditions).operation("DeleteObjects"));
    let names: Vec<_> = (0..50).map(|n| format!("f{n:02}")).collect();
    names.iter().for_each(|name| bench.write(name, "x"));
    bench.write("kept", "x");
    assert_eq!(bench.run(&["once"]).await.code, 0);
    bench.server.reset_requests();
    names.iter().for_each(|name| bench.remove(name));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    let requests = bench.server.requests();
    assert_eq!((requests.get("DeleteObjects"), requests["DeleteObject"]), (None, 50), "{requests:?}");
    assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["kept"]);
}

/// The probe said yes, and then a gateway came in between; and names that XML does not carry.
#[tokio::test(flavor = "multi_thread")]
async fn c30_c50_what_a_batch_does_not_take_goes_alone() {
    let bench = Bench::with(&format!("{QUICK}max_delete = \"off\"\n")).await;
    let odd = ["new\nline", "carriage\rreturn", "tab\t", "bell\u{7}", "trail ", "nel\u{85}", "non\u{fffe}"];
    let fill = |bench: &Bench| {
        odd.iter().for_each(|name| bench.write(name, "x"));
        (0..20).for_each(|n| bench.write(&format!("plain & simple/ {n}"), "x"));
    };
    let empty = |bench: &Bench| {
        odd.iter().for_each(|name| bench.remove(name));
        std::fs::remove_dir_all(bench.root.join("plain & simple")).unwrap();
    };
    bench.write("kept", "x");
    for refused in [false, true] {
        fill(&bench);
        assert_eq!(bench.run(&["once"]).await.code, 0);
        empty(&bench);
        bench.server.reset_requests();
        if refused {
            bench.server.faults().add(Rule::new(Kind::NotImplemented).operation("DeleteObjects"));
        }
        let pass = bench.run(&["once"]).await;
        assert_eq!(pass.code, 0, "{}", pass.stderr);
        assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["kept"]);
        let requests = bench.server.requests();
        assert_eq!(requests["DeleteObjects"], 1, "it is not asked for again: {requests:?}");
        // the directory's marker goes as they do
        let alone = odd.len() as u64 + if refused { 21 } else { 0 };
        assert_eq!(requests["DeleteObject"], alone, "{requests:?}");
    }
}

/// Case 57: retained. It is told, and the others of its batch go.
#[tokio::test(flavor = "multi_thread")]
async fn c47_c57_what_may_not_be_deleted_stays_and_is_told() {
    let bench = Bench::with(&format!("{QUICK}max_delete = \"off\"\n")).await;
    bench.write("kept", "x");
    (0..10).for_each(|n| bench.write(&format!("f{n}"), "x"));
    assert_eq!(bench.run(&["once"]).await.code, 0);
    (0..10).for_each(|n| bench.remove(&format!("f{n}")));
    let denied = Rule::new(Kind::AccessDenied).operation("DeleteObjects").key("f7");
    let untold = Rule::new(Kind::Untold).operation("DeleteObjects").key("f8");
    bench.server.faults().add(denied);
    bench.server.faults().add(untold);
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("DeleteObject").key("f7"));
    bench.server.reset_requests();
    let pass = bench.run(&["once"]).await;
    assert_eq!(pass.code, 1, "{pass:?}");
    assert!(pass.stderr.contains("f7") && pass.stderr.contains("s3:DeleteObject"), "{pass:?}");
    assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["f7", "kept"]);
    let requests = bench.server.requests();
    assert!(requests["DeleteObjects"] + requests.get("DeleteObject").unwrap_or(&0) <= 6, "{requests:?}");
    bench.server.faults().clear();
    assert_eq!(bench.run(&["once"]).await.code, 0);
    assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["kept"]);
}
