//! Faults on the wire that no real store shows on request: what a server answers here, the test says.

use crate::support::{
    memory::{Memory, pattern},
    prepare::Prepare,
    server::{Answer, Request, Server},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use s3mirrord::{
    model::{Capabilities, Class, ETag, Fault, Key, KeyRange, Only, Part, RemoteMeta, Upload},
    store::{Depth, Options, S3, Secret, Start, Store},
};
use sha2::{Digest, Sha256};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

const HTML: &str = "<html><body>Log in to the network</body></html>";
const PART: usize = 8 << 20;

pub(crate) fn options(endpoint: String) -> Options {
    let mut options = Options::new("bucket", "web/");
    options.endpoint_url = Some(endpoint);
    options.force_path_style = true;
    options.isolated = true;
    options.access_key_id = Some("AKIDTEST".to_owned());
    options.secret_access_key = Some(Secret::new("hunter2"));
    options.max_attempts = 1;
    options
}

async fn store(server: &Server) -> S3 {
    S3::connect(options(server.endpoint())).await.unwrap()
}

pub(crate) fn key(text: &str) -> Key {
    Key::raw(text)
}

pub(crate) fn everything() -> Capabilities {
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

async fn put(store: &S3, file: Memory, only: Only) -> Result<RemoteMeta, Fault> {
    let spec = file.spec("o");
    let (staged, _) = store.prepare(&key("a.txt"), &Arc::new(file), &spec).await?;
    store.commit(staged, only).await
}

pub(crate) fn is(request: &Request, method: &str, query: &str) -> bool {
    request.method == method && request.target.contains(query)
}

/// An upload in parts that goes well until Complete.
pub(crate) fn parts_until(request: &Request, complete: impl Fn() -> Answer) -> Answer {
    if is(request, "POST", "?uploads") {
        Answer::new(
            200,
            "<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>",
        )
    } else if is(request, "PUT", "partNumber") {
        Answer::tagged("part")
    } else if is(request, "DELETE", "uploadId=U") {
        Answer::new(204, "").with("content-length", "0")
    } else {
        complete()
    }
}

#[tokio::test]
async fn a_body_is_hashed_once_and_sent_as_it_is() {
    let server = Server::start(|_, _| Answer::tagged("e")).await;
    let store = store(&server).await;
    let bytes = pattern(300_000, 1);
    put(&store, Memory::new(bytes.clone()), Only::New).await.unwrap();
    store.know(everything());
    put(&store, Memory::new(bytes.clone()), Only::New).await.unwrap();
    put(&store, Memory::new(""), Only::Match(ETag::new("tag"))).await.unwrap();

    let seen = server.seen();
    let digest = Sha256::digest(&bytes);
    for request in &seen[..2] {
        assert_eq!(request.target, "/bucket/web/a.txt?x-id=PutObject");
        assert_eq!(request.headers["x-amz-content-sha256"], hex::encode(digest));
        assert_eq!(request.headers["x-amz-checksum-sha256"], BASE64_STANDARD.encode(digest));
        assert_eq!(request.headers["content-length"], "300000");
        assert_eq!(request.headers["content-type"], "text/plain");
        assert_eq!(request.headers["x-amz-meta-mtime"], "1700000000.123456789");
        assert_eq!(request.headers["x-amz-meta-mode"], "0100640");
        assert_eq!(request.headers["x-amz-meta-uid"], "1000");
        assert_eq!(request.headers["x-amz-meta-gid"], "50");
        assert_eq!(request.headers["x-amz-meta-s3mirrord-own"], "o");
        assert_eq!(request.headers["x-amz-meta-s3mirrord-sha256"], hex::encode(digest));
        for absent in
            ["content-encoding", "x-amz-trailer", "x-amz-sdk-checksum-algorithm", "transfer-encoding"]
        {
            assert_eq!(request.headers.get(absent), None, "{absent}");
        }
        assert!(request.body == bytes);
    }
    let conditions: Vec<_> =
        seen.iter().map(|r| (r.headers.get("if-none-match"), r.headers.get("if-match"))).collect();
    let (star, tag) = ("*".to_owned(), "\"tag\"".to_owned());
    assert_eq!(
        conditions,
        [(None, None), (Some(&star), None), (None, Some(&tag))],
        "only once they are known"
    );
    assert_eq!(seen[2].headers["content-length"], "0");
    assert_eq!(store.requests()["PutObject"], 3);
}

#[tokio::test]
async fn c27_a_retry_sends_the_same_bytes() {
    let server =
        Server::start(|n, _| if n < 2 { Answer::error(503, "SlowDown") } else { Answer::tagged("e") }).await;
    let mut options = options(server.endpoint());
    options.max_attempts = 5;
    let store = S3::connect(options).await.unwrap();
    put(&store, Memory::pattern(200_000, 1), Only::Always).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|r| r.body == pattern(200_000, 1)));
    assert_eq!(store.requests()["PutObject"], 3, "retries count");
}

#[tokio::test]
async fn c45_a_200_that_is_no_s3_answer_is_a_failure() {
    let server = Server::start(|_, _| Answer::new(200, HTML)).await;
    let store = store(&server).await;
    let mut faults = vec![
        put(&store, Memory::new("x"), Only::Always).await.unwrap_err(),
        put(&store, Memory::pattern(PART + 1, 1), Only::Always).await.unwrap_err(),
        store.write(&key("a"), Bytes::new(), Only::Always).await.unwrap_err(),
        store.head(&key("a")).await.unwrap_err(),
        store.read(&key("a")).await.unwrap_err(),
        store.list(&key(""), Depth::All, Start::First).await.unwrap_err(),
        store.uploads(&KeyRange::Under(key(""))).await.unwrap_err(),
        store.delete(&key("a"), &ETag::new("e")).await.unwrap_err(),
        store.probe(&key("a")).await.unwrap_err(),
    ];
    let spec = Memory::new("").spec("o");
    faults.push(store.copy((&key("a"), &ETag::new("e")), &key("b"), &spec, Only::Always).await.unwrap_err());
    for fault in faults {
        assert_eq!(fault.class, Class::Transient, "{fault}");
        assert!(fault.cause.contains("not an S3 answer"), "{fault}");
    }
}

#[tokio::test]
async fn c45_html_is_no_confirmation_of_a_delete() {
    let server =
        Server::start(|_, _| Answer::new(200, HTML).with("content-type", "text/html; charset=utf-8")).await;
    let store = store(&server).await;
    store.know(everything());
    let upload = Upload { key: key("a"), id: "U".to_owned(), initiated: None };
    for fault in
        [store.delete(&key("a"), &ETag::new("e")).await.unwrap_err(), store.abort(&upload).await.unwrap_err()]
    {
        assert_eq!(fault.class, Class::Transient, "{fault}");
        assert!(fault.cause.contains("not an S3 answer"), "{fault}");
    }
    // some stores call an empty answer HTML
    for status in [200, 204] {
        let server =
            Server::start(move |_, _| Answer::new(status, "").with("content-type", "text/html")).await;
        let store = self::store(&server).await;
        store.know(everything());
        store.delete(&key("a"), &ETag::new("e")).await.unwrap();
    }
}

/// The clock of either side may be off: the SDK takes the server's time from its answer.
#[tokio::test]
async fn c53_a_clock_that_is_off_is_corrected() {
    let server = Server::start(|_, request| {
        let there = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(20);
        let signed =
            jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &request.headers["x-amz-date"]).unwrap();
        let signed = signed.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
        if (signed.as_second() - there.as_second()).abs() < 300 {
            return Answer::tagged("e");
        }
        let date = there.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Answer::error(403, "RequestTimeTooSkewed").with("date", date)
    })
    .await;
    let mut options = options(server.endpoint());
    options.max_attempts = 5;
    let store = S3::connect(options).await.unwrap();
    put(&store, Memory::new("x"), Only::Always).await.unwrap();
}

#[tokio::test]
async fn a_listing_in_an_odd_form_shows_all_the_same_objects() {
    let object = |key: &str| format!("<Contents><Key>web/{key}</Key><Size>1</Size><ETag>e</ETag></Contents>");
    let odd = "<Contents><Key>web/b&amp;c</Key><Size>1</Size><ETag>e</ETag></Contents>";
    let answer = format!(
        "<ListBucketResult>{}{odd}{}<IsTruncated>false</IsTruncated></ListBucketResult>",
        object("a"),
        object("d")
    );
    let server = Server::start(move |_, _| Answer::new(200, answer.clone())).await;
    let store = store(&server).await;
    for requests in [2, 3] {
        let page = store.list(&key(""), Depth::All, Start::First).await.unwrap();
        let keys: Vec<_> = page.objects.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b&c", "d"]);
        assert_eq!(server.seen().len(), requests, "it is asked for again once in a life");
    }
}

#[tokio::test]
async fn c42_a_listing_is_never_cut_short() {
    let page = |inner: &str| {
        Answer::new(
            200,
            format!(
                "<ListBucketResult><EncodingType>url</EncodingType>{inner}<Contents><Key>web/a%0A</Key>\
                <Size>1</Size><ETag>\"e\"</ETag></Contents></ListBucketResult>"
            ),
        )
    };
    for inner in [
        "<IsTruncated>true</IsTruncated>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken>sent</NextContinuationToken>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken></NextContinuationToken>",
        "",
    ] {
        let server = Server::start(move |_, _| page(inner)).await;
        let fault =
            store(&server).await.list(&key(""), Depth::All, Start::Token("sent".into())).await.unwrap_err();
        assert_eq!(fault.class, Class::Transient, "{inner}: {fault}");
    }
    let server = Server::start(move |n, _| match n {
        0 => page("<IsTruncated>true</IsTruncated><NextContinuationToken>t2</NextContinuationToken>"),
        _ => page("<IsTruncated>false</IsTruncated>"),
    })
    .await;
    let store = store(&server).await;
    let first = store.list(&key(""), Depth::All, Start::First).await.unwrap();
    assert_eq!((first.objects[0].0.as_str(), first.next.as_deref()), ("a\n", Some("t2")));
    assert_eq!(
        store.list(&key(""), Depth::All, Start::Token(first.next.expect("more"))).await.unwrap().next,
        None
    );
    let seen = server.seen();
    assert!(seen[0].target.contains("encoding-type=url") && seen[0].target.contains("prefix=web%2F"));
    assert!(seen[1].target.contains("continuation-token=t2"));
}

#[tokio::test]
async fn c42_a_list_of_uploads_is_never_cut_short() {
    for inner in [
        "<IsTruncated>true</IsTruncated>",
        "<IsTruncated>true</IsTruncated><NextKeyMarker>web/a</NextKeyMarker>\
         <NextUploadIdMarker>1</NextUploadIdMarker>",
    ] {
        let server = Server::start(move |_, _| {
            Answer::new(200, format!("<ListMultipartUploadsResult>{inner}</ListMultipartUploadsResult>"))
        })
        .await;
        let fault = store(&server).await.uploads(&KeyRange::Under(key(""))).await.unwrap_err();
        assert_eq!(fault.class, Class::Transient, "{inner}: {fault}");
        assert!(server.seen().len() <= 2);
    }
    let server = Server::start(move |n, _| {
        let tail = match n {
            0 => "<IsTruncated>true</IsTruncated><NextKeyMarker>web%2Fb%0A</NextKeyMarker>",
            _ => "<IsTruncated>false</IsTruncated>",
        };
        Answer::new(
            200,
            format!(
                "<ListMultipartUploadsResult><EncodingType>url</EncodingType><Upload><Key>web/a+{n}</Key>\
                <UploadId>{n}</UploadId></Upload>{tail}</ListMultipartUploadsResult>"
            ),
        )
    })
    .await;
    let found = store(&server).await.uploads(&KeyRange::Under(key(""))).await.unwrap();
    let upload = |n: u8| Upload { key: key(&format!("a {n}")), id: n.to_string(), initiated: None };
    assert_eq!(found, [upload(0), upload(1)]);
    assert!(server.seen()[1].target.contains("key-marker=web%2Fb%0A"), "markers are decoded before use");
}

#[tokio::test]
async fn c42_a_list_of_parts_is_never_cut_short() {
    let upload = Upload { key: key("a b"), id: "U".into(), initiated: None };
    let page = |inner: String| Answer::new(200, format!("<ListPartsResult>{inner}</ListPartsResult>"));
    let part = |n: u32| {
        let sum = BASE64_STANDARD.encode([n as u8; 32]);
        format!(
            "<Part><PartNumber>{n}</PartNumber><Size>{n}</Size><ETag>\"e{n}\"</ETag>\
             <ChecksumSHA256>{sum}</ChecksumSHA256></Part>"
        )
    };
    let more = |marker: &str| {
        format!("<IsTruncated>true</IsTruncated><NextPartNumberMarker>{marker}</NextPartNumberMarker>")
    };
    for inner in [
        "<IsTruncated>true</IsTruncated>".to_owned(),
        more("1"),
        more(""),
        String::new(),
        // it goes back
        part(1) + &more("1") + &part(1),
        // what every part must have
        "<IsTruncated>false</IsTruncated><Part><Size>1</Size><ETag>e</ETag></Part>".to_owned(),
        "<IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>".to_owned(),
        "<IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><Size>1</Size></Part>".to_owned(),
    ] {
        let told = inner.clone();
        let server = Server::start(move |_, _| page(inner.clone())).await;
        let fault = store(&server).await.parts(&upload).await.unwrap_err();
        assert_eq!(fault.class, Class::Transient, "{told}: {fault}");
        assert!(server.seen().len() <= 2);
    }
    let server = Server::start(move |n, _| match n {
        0 => page(part(1) + &more("1")),
        1 => page(part(7) + &more("7")),
        _ => page("<IsTruncated>false</IsTruncated>".to_owned()),
    })
    .await;
    let found = store(&server).await.parts(&upload).await.unwrap().unwrap();
    let part = |n: u8| Part {
        number: n.into(),
        size: n.into(),
        etag: ETag::new(&format!("e{n}")),
        sha256: Some([n; 32]),
    };
    assert_eq!(found, [part(1), part(7)]);
    let seen = server.seen();
    assert!(seen[0].target.starts_with("/bucket/web/a%20b?") && seen[0].target.contains("uploadId=U"));
    assert!(!seen[0].target.contains("part-number-marker"), "{}", seen[0].target);
    assert!(seen[2].target.contains("part-number-marker=7"), "{}", seen[2].target);
    for (answer, want) in [
        (Answer::error(404, "NoSuchUpload"), Ok(None)),
        (Answer::error(403, "AccessDenied"), Err(Class::Denied)),
        (Answer::error(503, "SlowDown"), Err(Class::Throttled)),
        (Answer::new(200, HTML).with("content-type", "text/html"), Err(Class::Transient)),
    ] {
        let text = format!("{answer:?}");
        let server = Server::start(move |_, _| answer.clone()).await;
        let found = store(&server).await.parts(&upload).await;
        assert_eq!(found.map_err(|fault| fault.class), want, "{text}");
    }
}

#[tokio::test]
async fn c46_complete_is_not_done_until_it_says_so() {
    let error = "<Error><Code>InternalError</Code><Message>try again</Message></Error>";
    let whole = "<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>";
    let answers: [(Answer, Option<Class>); 9] = [
        (Answer::new(200, error), Some(Class::Transient)),
        (
            Answer::new(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"),
            Some(Class::Transient),
        ),
        (Answer::new(200, ""), Some(Class::Transient)),
        (Answer::Cut(200, whole[..40].to_owned()), Some(Class::Transient)),
        (Answer::error(404, "NoSuchUpload"), Some(Class::Transient)),
        (Answer::error(400, "InvalidPart"), Some(Class::Transient)),
        (Answer::error(412, "PreconditionFailed"), Some(Class::Changed)),
        (Answer::error(400, "InvalidRequest"), Some(Class::Permanent)),
        (Answer::new(200, whole), None),
    ];
    for (answer, want) in answers {
        let text = format!("{answer:?}");
        let server = Server::start(move |_, request| parts_until(request, || answer.clone())).await;
        let store = store(&server).await;
        store.know(everything());
        let found = put(&store, Memory::pattern(PART + 1, 1), Only::New).await;
        let seen = server.seen();
        let aborted = seen.iter().any(|r| r.method == "DELETE");
        match want {
            Some(class) => assert_eq!(found.unwrap_err().class, class, "{text}"),
            None => assert_eq!(found.unwrap().etag.to_string(), "e-2"),
        }
        let ended = matches!(want, Some(Class::Changed | Class::Permanent)) || text.contains("InvalidPart");
        assert_eq!(aborted, ended, "an open outcome leaves the upload: {text}");
        let complete = seen.iter().find(|r| is(r, "POST", "uploadId=U")).unwrap();
        assert_eq!(complete.headers["if-none-match"], "*");
        let body = String::from_utf8_lossy(&complete.body);
        let checksum = BASE64_STANDARD.encode(Sha256::digest(&pattern(PART + 1, 1)[PART..]));
        assert!(body.contains(&format!("<ChecksumSHA256>{checksum}</ChecksumSHA256>")), "{body}");
        let part = seen.iter().find(|r| is(r, "PUT", "partNumber=2")).unwrap();
        assert_eq!(part.headers["x-amz-checksum-sha256"], checksum);
        let create = seen.iter().find(|r| is(r, "POST", "?uploads")).unwrap();
        assert_eq!(create.headers["x-amz-checksum-algorithm"], "SHA256");
        assert_eq!(create.headers["x-amz-meta-s3mirrord-part-size"], PART.to_string());
    }
}

/// What is wrong with the object stays wrong, and where there is no room an upload that is open takes it.
#[tokio::test]
async fn c28_an_upload_that_fails_is_taken_back() {
    for (answer, class) in [
        (Answer::error(400, "InvalidArgument"), Class::Permanent),
        (Answer::error(403, "QuotaExceeded"), Class::Fatal),
        (Answer::new(507, ""), Class::Fatal),
    ] {
        let refused = answer.clone();
        let server = Server::start(move |_, request| match is(request, "PUT", "partNumber=2") {
            true => refused.clone(),
            false => parts_until(request, || Answer::new(500, "")),
        })
        .await;
        let store = store(&server).await;
        let fault = put(&store, Memory::pattern(5 * PART, 1), Only::Always).await.unwrap_err();
        assert_eq!(fault.class, class, "{fault}");
        assert!(server.seen().iter().any(|r| is(r, "DELETE", "uploadId=U")), "{answer:?}");
    }
}

/// Somebody has to deal with it, and then it goes on.
#[tokio::test]
async fn c54_a_fault_of_the_mirrors_leaves_the_upload_open() {
    for answer in [
        Answer::error(403, "AccessDenied"),
        Answer::error(400, "KMS.DisabledException"),
        Answer::error(400, "ExpiredToken"),
        Answer::new(400, ""),
        Answer::new(301, ""),
    ] {
        for refused in ["PUT", "POST"] {
            let told = answer.clone();
            let server = Server::start(move |_, request| {
                match is(request, refused, "partNumber=2")
                    || is(request, refused, "uploadId=U") && refused == "POST"
                {
                    true => told.clone(),
                    false => parts_until(request, || Answer::new(500, "")),
                }
            })
            .await;
            let options = Options { threshold: 4, part_size: 4, ..options(server.endpoint()) };
            let store = S3::connect(options).await.unwrap();
            let fault = put(&store, Memory::pattern(20, 1), Only::Always).await.unwrap_err();
            assert!(matches!(fault.class, Class::Denied | Class::Fatal), "{fault}");
            let seen = server.seen();
            assert!(!seen.iter().any(|r| r.method == "DELETE"), "{answer:?}, {refused}");
            assert!(seen.iter().any(|r| is(r, "PUT", "partNumber=3")), "what is on its way arrives");
        }
    }
}

/// What is on its way when one part fails arrives, and is not sent again.
#[tokio::test]
async fn c55_an_upload_that_may_go_on_is_left_open() {
    let server = Server::start(|_, request| {
        if is(request, "PUT", "partNumber=2") {
            return Answer::error(503, "SlowDown");
        }
        parts_until(request, || Answer::new(500, ""))
    })
    .await;
    let store = store(&server).await;
    let fault = put(&store, Memory::pattern(5 * PART, 1), Only::Always).await.unwrap_err();
    assert_eq!(fault.class, Class::Throttled, "{fault}");
    let seen = server.seen();
    assert!(!seen.iter().any(|r| r.method == "DELETE"));
    assert!(seen.iter().any(|r| is(r, "PUT", "partNumber=3")));
}

#[tokio::test]
async fn c46_a_copy_is_not_done_until_it_says_so() {
    let answers = [
        Answer::new(200, "<Error><Code>InternalError</Code><Message>m</Message></Error>"),
        Answer::new(200, "<CopyObjectResult></CopyObjectResult>"),
        Answer::Cut(200, "<CopyObjectResult>".to_owned()),
    ];
    for answer in answers {
        let text = format!("{answer:?}");
        let server = Server::start(move |_, request| match request.method.as_str() {
            "HEAD" => Answer::tagged("e").with("content-length", "3"),
            _ => answer.clone(),
        })
        .await;
        let spec = Memory::new("abc").spec("o");
        let from = (&key("a"), &ETag::new("e"));
        let fault = store(&server).await.copy(from, &key("b"), &spec, Only::Always).await.unwrap_err();
        assert_eq!(fault.class, Class::Transient, "{text}: {fault}");
    }
}

#[tokio::test]
async fn c58_a_copy_keeps_what_is_not_user_metadata() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "HEAD" => Answer::tagged("e")
            .with("content-length", "3")
            .with("x-amz-storage-class", "STANDARD_IA")
            .with("x-amz-server-side-encryption", "aws:kms")
            .with("x-amz-server-side-encryption-aws-kms-key-id", "key-1")
            .with("cache-control", "max-age=1")
            .with("x-amz-meta-mtime", "1")
            .with("x-amz-meta-md5chksum", "theirs"),
        _ => Answer::new(200, "<CopyObjectResult><ETag>\"f\"</ETag></CopyObjectResult>"),
    })
    .await;
    let store = store(&server).await;
    let spec = Memory::new("abc").spec("o");
    let from = (&key("a b+c"), &ETag::new("e"));
    let meta = store.copy(from, &key("b"), &spec, Only::Always).await.unwrap();
    assert_eq!((&*meta.etag.to_string(), meta.size), ("f", 3));
    let seen = server.seen();
    for (name, want) in [
        ("x-amz-copy-source", "bucket/web/a%20b%2Bc"),
        ("x-amz-copy-source-if-match", "\"e\""),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
        ("cache-control", "max-age=1"),
        ("x-amz-meta-md5chksum", "theirs"),
        ("x-amz-meta-mtime", "1700000000.123456789"),
    ] {
        assert_eq!(seen[1].headers.get(name).map(String::as_str), Some(want), "{name}");
    }
    let tags = seen[1].headers.keys().find(|name| name.contains("tagging"));
    assert_eq!(tags, None, "they go along by themselves, and stores without them refuse to hear of them");
}

#[tokio::test]
async fn c56_what_one_request_cannot_copy_is_refused() {
    let server =
        Server::start(|_, _| Answer::tagged("e").with("content-length", ((5u64 << 30) + 1).to_string()))
            .await;
    let spec = Memory::new("").spec("o");
    let from = (&key("a"), &ETag::new("e"));
    let fault = store(&server).await.copy(from, &key("b"), &spec, Only::Always).await.unwrap_err();
    assert_eq!(fault.class, Class::Permanent, "{fault}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn c51_slow_down_is_told_apart() {
    let server = Server::start(|_, _| Answer::error(503, "SlowDown")).await;
    let fault = put(&store(&server).await, Memory::new("x"), Only::Always).await.unwrap_err();
    assert_eq!(fault.class, Class::Throttled, "{fault}");
    assert!(
        fault.to_string().contains("PutObject web/a.txt") && fault.to_string().contains("REQ1"),
        "{fault}"
    );
}

/// Neither does the SDK try on its own what it is refused, nor is it tried without a pause.
#[tokio::test]
async fn c51_what_asks_for_less_is_tried_as_often_as_it_may_and_no_more() {
    for (status, code) in [(503, "SlowDown"), (429, "TooManyRequests"), (400, "RequestLimitExceeded")] {
        let server = Server::start(move |_, _| Answer::error(status, code)).await;
        let mut options = options(server.endpoint());
        options.max_attempts = 3;
        let store = S3::connect(options).await.unwrap();
        let (begun, top, one) = (Instant::now(), key(""), key("a"));
        let (put, list, read, create) = tokio::join!(
            put(&store, Memory::pattern(200_000, 1), Only::Always),
            store.list(&top, Depth::All, Start::First),
            store.read(&one),
            put(&store, Memory::pattern(PART + 1, 1), Only::Always),
        );
        let classes = [put.map(drop), list.map(drop), read.map(drop), create.map(drop)]
            .map(|said| said.unwrap_err().class);
        assert_eq!(classes, [Class::Throttled; 4], "{code}");
        assert_eq!(server.seen().len(), 12, "{code}: {:?}", store.requests());
        assert!(begun.elapsed() >= Duration::from_millis(750), "{code}");
    }
}

#[tokio::test]
async fn c53_c54_what_is_wrong_with_the_mirror_is_told_apart() {
    for (answer, words) in [
        (Answer::error(403, "RequestTimeTooSkewed"), &["clock"][..]),
        (Answer::error(400, "ExpiredToken"), &["renew"]),
        (Answer::error(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-west-3"), &["eu-west-3"]),
        (Answer::error(404, "NoSuchBucket"), &["bucket"]),
        (Answer::error(403, "SignatureDoesNotMatch"), &["secret key"]),
    ] {
        let server = Server::start(move |_, _| answer.clone()).await;
        let fault = put(&store(&server).await, Memory::new("x"), Only::Always).await.unwrap_err();
        assert_eq!(fault.class, Class::Fatal, "{fault}");
        let text = fault.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(!text.contains("hunter2") && text.contains("REQ1"), "{text}");
    }
}

#[tokio::test]
async fn c54_what_is_denied_of_an_object_may_be_allowed_of_others() {
    for (answer, want) in [
        (Answer::error(403, "AccessDenied"), Class::Denied),
        (Answer::new(403, ""), Class::Denied),
        (Answer::new(401, ""), Class::Fatal),
    ] {
        let server = Server::start(move |_, _| answer.clone()).await;
        let store = store(&server).await;
        let fault = put(&store, Memory::new("x"), Only::Always).await.unwrap_err();
        assert_eq!(fault.class, want, "{fault}");
        assert!(fault.to_string().contains("s3:PutObject"), "{fault}");
        let listed = store.list(&key(""), Depth::All, Start::First).await.unwrap_err();
        assert_eq!(listed.class, Class::Fatal, "{listed}");
    }
}

#[tokio::test]
async fn c54_a_403_is_never_absent() {
    let server = Server::start(|_, _| Answer::new(403, "")).await;
    let store = store(&server).await;
    let fault = store.head(&key("a")).await.unwrap_err();
    assert_eq!(fault.class, Class::Denied, "{fault}");
    assert!(fault.to_string().contains("s3:ListBucket"), "{fault}");
    assert_eq!(store.delete(&key("a"), &ETag::new("e")).await.unwrap_err().class, Class::Denied);
    let server = Server::start(|_, _| Answer::new(404, "")).await;
    assert_eq!(self::store(&server).await.head(&key("a")).await.unwrap(), None);
    let server = Server::start(|_, _| {
        Answer::new(301, "").with("x-amz-bucket-region", "ap-south-1").with("content-length", "0")
    })
    .await;
    let fault = self::store(&server).await.head(&key("a")).await.unwrap_err();
    assert!(fault.to_string().contains("region = \"ap-south-1\""), "{fault}");
}

/// Checksums are told to those alone who may decrypt, and not every store knows the question.
#[tokio::test]
async fn c40_a_head_that_is_refused_its_checksums_does_without() {
    for status in [400, 403, 501] {
        let server = Server::start(move |_, request| {
            let asks = request.headers.get("x-amz-checksum-mode").is_some_and(|mode| mode == "ENABLED");
            if asks { Answer::new(status, "") } else { Answer::tagged("e").with("content-length", "1") }
        })
        .await;
        let store = store(&server).await;
        for _ in 0..3 {
            let head = store.head(&key("a")).await.unwrap().unwrap();
            assert_eq!((&*head.meta.etag.to_string(), head.checksum), ("e", None));
        }
        // a HEAD of 400 does not say why: a GET would
        let why = u64::from(status == 400);
        assert_eq!(server.seen().len() as u64, 4 + why, "{status}: asked once for all");
        assert_eq!(store.requests().get("GetObject").copied().unwrap_or_default(), why);
    }
    // what is refused without them too is refused, and they are asked for again
    let server = Server::start(|_, _| Answer::new(403, "")).await;
    let store = store(&server).await;
    for _ in 0..2 {
        assert_eq!(store.head(&key("a")).await.unwrap_err().class, Class::Denied);
    }
    let asked = |request: &Request| request.headers.contains_key("x-amz-checksum-mode");
    assert_eq!(server.seen().iter().map(asked).collect::<Vec<_>>(), [true, false, true, false]);
}

#[tokio::test]
async fn c40_a_head_of_400_is_told_apart_by_a_get() {
    let sse_c = "<Error><Code>InvalidRequest</Code><Message>The object was stored using a form of Server Side \
                 Encryption. The correct parameters must be provided to retrieve the object.</Message></Error>";
    let expired =
        "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    for (body, class, word) in
        [(sse_c, Class::Permanent, "SSE-C"), (expired, Class::Fatal, "renew the credentials")]
    {
        let server = Server::start(move |_, request| {
            Answer::new(400, if request.method == "GET" { body } else { "" })
        })
        .await;
        let fault = store(&server).await.head(&key("a")).await.unwrap_err();
        assert_eq!(fault.class, class, "{fault}");
        assert!(fault.to_string().contains(word), "{fault}");
        assert_eq!(server.seen()[1].headers["range"], "bytes=0-0", "no more than a byte is fetched");
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn c49_a_failed_condition_on_what_is_gone_is_a_delete() {
    for (status, gone) in [(404, true), (200, false)] {
        let server = Server::start(move |_, request| match request.method.as_str() {
            "HEAD" => Answer::new(status, "").with("etag", "\"new\"").with("content-length", "1"),
            _ => Answer::error(412, "PreconditionFailed"),
        })
        .await;
        let store = store(&server).await;
        store.know(everything());
        let found = store.delete(&key("a"), &ETag::new("old")).await.map_err(|f| f.class);
        assert_eq!(found, if gone { Ok(()) } else { Err(Class::Changed) });
        assert_eq!(server.seen()[0].headers["if-match"], "\"old\"");
    }
}

#[tokio::test]
async fn c50_a_probe_finds_what_a_store_ignores() {
    // takes anything
    let server = Server::start(|_, _| Answer::tagged("x")).await;
    let found = store(&server).await.probe(&key(".s3mirrord/owner")).await.unwrap();
    let nothing = Capabilities {
        conditional_put: false,
        conditional_delete: false,
        conditional_batch: None,
        verifies_sha256: false,
        verifies_crc64: false,
        verifies_md5: false,
        etag_is_md5: false,
    };
    assert_eq!(found, nothing);
    let last = server.seen().pop().unwrap();
    assert!(last.method == "DELETE" && last.target.contains("web/.s3mirrord/owner-probe-"), "{last:?}");
    assert_eq!(last.headers.get("if-match"), None);

    // knows no conditions
    let server = Server::start(|_, request| {
        let conditional = ["if-match", "if-none-match"].iter().any(|h| request.headers.contains_key(*h));
        if conditional { Answer::error(501, "NotImplemented") } else { Answer::tagged("x") }
    })
    .await;
    assert_eq!(store(&server).await.probe(&key("o")).await.unwrap(), nothing);

    // refuses every condition, the right ones too
    let server = Server::start(|_, request| {
        let conditional = ["if-match", "if-none-match"].iter().any(|h| request.headers.contains_key(*h));
        if conditional { Answer::error(412, "PreconditionFailed") } else { Answer::tagged("x") }
    })
    .await;
    assert_eq!(store(&server).await.probe(&key("o")).await.unwrap(), nothing);

    // refuses `If-Match` even when it is right
    let server = Server::start(|n, request| {
        let exists = n < 6 && request.headers.contains_key("if-none-match");
        if exists || request.headers.contains_key("if-match") {
            Answer::error(412, "PreconditionFailed")
        } else {
            Answer::tagged("x")
        }
    })
    .await;
    assert_eq!(store(&server).await.probe(&key("o")).await.unwrap(), nothing);

    // refuses a checksum of any kind, the right ones too: that is not to verify it
    let server = Server::start(|_, request| {
        let unknown = request.headers.keys().any(|name| name.starts_with("x-amz-checksum-"));
        match unknown && request.method == "PUT" {
            true => Answer::error(400, "InvalidRequest"),
            false => Answer::tagged("x"),
        }
    })
    .await;
    assert_eq!(store(&server).await.probe(&key("o")).await.unwrap(), nothing);

    // rejects all that we send: clear, and nothing goes on
    let server = Server::start(|_, request| match request.method.as_str() {
        "PUT" => Answer::error(501, "NotImplemented"),
        _ => Answer::new(204, "").with("content-length", "0"),
    })
    .await;
    let fault = store(&server).await.probe(&key("o")).await.unwrap_err();
    assert_eq!(fault.class, Class::Fatal, "{fault}");
}

#[tokio::test]
async fn a_read_that_is_cut_short_fails() {
    let server =
        Server::start(|_, _| Answer::new(200, "abc").with("etag", "\"e\"").with("content-length", "5")).await;
    let mut options = options(server.endpoint());
    options.patience = Duration::from_millis(200);
    let store = S3::connect(options).await.unwrap();
    let fault = store.read(&key("a")).await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
    assert!(fault.cause.contains("throughput"), "it says why: {fault}");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start(|_, _| Answer::Silence).await;
    let mut options = options(server.endpoint());
    options.patience = Duration::from_millis(200);
    options.max_attempts = 2;
    let store = S3::connect(options).await.unwrap();
    let begun = Instant::now();
    for fault in [
        store.head(&key("a")).await.unwrap_err(),
        store.list(&key(""), Depth::All, Start::First).await.unwrap_err(),
        put(&store, Memory::new("x"), Only::Always).await.unwrap_err(),
    ] {
        assert_eq!(fault.class, Class::Transient, "{fault}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(store.requests()["HeadObject"], 2);
}

#[tokio::test]
async fn nobody_listening_is_transient() {
    let fault = {
        let server = Server::start(|_, _| Answer::Silence).await;
        let store = store(&server).await;
        drop(server);
        store.head(&key("a")).await.unwrap_err()
    };
    assert_eq!(fault.class, Class::Transient, "{fault}");
}

/// A server that reads a body at a pace, and `most` bytes of it at most.
async fn slow_reader(pace: usize, most: usize) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut buffer, mut taken) = (vec![0; pace], 0);
            while taken < most {
                match stream.read(&mut buffer).await {
                    Ok(n) if n > 0 => taken += n,
                    _ => break,
                }
                if taken > PART {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if taken < PART {
                std::future::pending::<()>().await;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n").await;
            // closing on unread bytes would break the connection under the answer
            while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
        }
    });
    endpoint
}

#[tokio::test]
async fn c52_a_slow_uplink_is_no_stall() {
    let mut options = options(slow_reader(32 << 10, usize::MAX).await);
    options.patience = Duration::from_millis(500);
    let store = S3::connect(options).await.unwrap();
    let begun = Instant::now();
    put(&store, Memory::pattern(PART, 1), Only::Always).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2), "it was not slow: {:?}", begun.elapsed());
}

#[tokio::test]
async fn c52_a_dead_uplink_is_a_stall() {
    let mut options = options(slow_reader(32 << 10, 1 << 20).await);
    options.patience = Duration::from_millis(500);
    let store = S3::connect(options).await.unwrap();
    let stalled = put(&store, Memory::pattern(PART, 1), Only::Always);
    let fault = tokio::time::timeout(Duration::from_secs(30), stalled).await.expect("given up").unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
}

/// What hangs is not waited for as often as what is answered may be tried.
#[tokio::test]
async fn c52_a_request_without_an_answer_is_given_up_after_two_times_its_patience() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (endpoint, met) =
        (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let count = met.clone();
    let taking = tokio::spawn(async move {
        let mut silent = vec![];
        while let Ok((connection, _)) = listener.accept().await {
            count.fetch_add(1, Relaxed);
            silent.push(connection);
        }
    });
    let patient = Options { patience: Duration::from_secs(1), max_attempts: 9, ..options(endpoint) };
    let store = S3::connect(patient).await.unwrap();
    let fault = store.list(&key(""), Depth::All, Start::First).await.unwrap_err();
    taking.abort();
    assert_eq!(fault.class, Class::Transient, "{fault}");
    let met = met.load(Relaxed);
    assert!((2..=4).contains(&met), "{met} attempts");
}
