//! Answers that are not what S3 says: cut, made by something in between, or of a store that ignores what it was asked.

use crate::{
    support::{
        memory::Memory,
        prepare::Prepare,
        server::{Answer, Request, Server},
    },
    wire::{everything, is, key, options, parts_until},
};
use s3mirrord::{
    model::{Class, ETag, Fault, KeyRange, Only, Part, Upload},
    store::{Depth, Options, S3, Start, Store},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

/// A store that sends and copies by parts of four bytes.
async fn store(server: &Server) -> S3 {
    let small = Options { threshold: 4, copy_threshold: 4, part_size: 4, ..options(server.endpoint()) };
    S3::connect(small).await.unwrap()
}

/// Asks for `whole`, cut after each of its bytes in turn, which is never believed, and then as it is. Other requests
/// are answered as `other` says. What was found then, and with how many requests more.
async fn cut_anywhere<T: std::fmt::Debug>(
    whole: &'static str,
    other: fn(&Request) -> Option<Answer>,
    ask: impl AsyncFn(&S3) -> Result<T, Fault>,
) -> (T, usize) {
    let end = Arc::new(AtomicUsize::new(0));
    let at = end.clone();
    let answer = move |request: &Request| other(request).unwrap_or_else(|| cut(whole, at.load(SeqCst)));
    let server = Server::start(move |_, request| answer(request)).await;
    let store = store(&server).await;
    for n in 0..whole.len() {
        end.store(n, SeqCst);
        match ask(&store).await {
            Err(fault) => assert_eq!(fault.class, Class::Transient, "{}: {fault}", &whole[..n]),
            Ok(believed) => panic!("{}: {believed:?}", &whole[..n]),
        }
    }
    end.store(whole.len(), SeqCst);
    let before = server.seen().len();
    (ask(&store).await.unwrap(), server.seen().len() - before)
}

fn cut(whole: &str, at: usize) -> Answer {
    Answer::new(200, &whole[..at])
}

/// HEAD of a source of eight bytes, and the end of an upload.
fn source(request: &Request) -> Option<Answer> {
    match request.method.as_str() {
        "HEAD" => Some(Answer::tagged("e").with("content-length", "8")),
        "DELETE" => Some(Answer::new(204, "").with("content-length", "0")),
        _ => None,
    }
}

#[tokio::test]
async fn c42_a_listing_that_is_cut_within_its_answer_is_none() {
    let page = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>false</IsTruncated>\
        <Contents><Key>web/a</Key><ETag>&quot;e&quot;</ETag><Size>1234</Size></Contents>\
        <Contents><Key>web/b&amp;c</Key><ETag>&quot;f-2&quot;</ETag><Size>56</Size></Contents>\
        <CommonPrefixes><Prefix>web/d/</Prefix></CommonPrefixes></ListBucketResult>";
    let list = async |store: &S3| store.list(&key(""), Depth::Children, Start::First).await;
    let (found, requests) = cut_anywhere(page, |_| None, list).await;
    let objects: Vec<_> = found.objects.iter().map(|(key, meta)| (key.as_str(), meta.size)).collect();
    assert_eq!(objects, [("a", 1234), ("b&c", 56)]);
    assert_eq!(found.directories, [key("d/")]);
    assert_eq!(requests, 2, "what was cut says nothing of the form: it is still read the quick way first");
}

#[tokio::test]
async fn c42_lists_of_uploads_and_parts_that_are_cut_are_none() {
    let uploads = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>web/a</Key>\
        <UploadId>12</UploadId></Upload></ListMultipartUploadsResult>";
    let all = async |store: &S3| store.uploads(&KeyRange::Under(key(""))).await;
    let upload = Upload { key: key("a"), id: "12".into(), initiated: None };
    assert_eq!(cut_anywhere(uploads, |_| None, all).await, (vec![upload.clone()], 1));

    let parts = "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><Size>12</Size>\
        <ETag>\"e1\"</ETag></Part></ListPartsResult>";
    let part = Part { number: 1, size: 12, etag: ETag::new("e1"), sha256: None };
    let told = async |store: &S3| store.parts(&upload).await;
    assert_eq!(cut_anywhere(parts, |_| None, told).await, (Some(vec![part]), 1));
}

#[tokio::test]
async fn c46_an_upload_of_which_half_a_tag_or_id_is_told_is_not_done() {
    let file = || Memory::new("12345678");
    let created = "<InitiateMultipartUploadResult><UploadId>U12</UploadId></InitiateMultipartUploadResult>";
    let create = async |store: &S3| store.create(&key("a"), &file().spec("o")).await;
    assert_eq!(cut_anywhere(created, |_| None, create).await.0.id, "U12");

    let completed = "<?xml version=\"1.0\"?>\n  \n<CompleteMultipartUploadResult><Location/>\
        <ETag>\"0123456789abcdef0123456789abcdef-2\"</ETag></CompleteMultipartUploadResult>";
    let other = |request: &Request| {
        let completes = is(request, "POST", "uploadId=U");
        (!completes).then(|| parts_until(request, || unreachable!("it is answered already")))
    };
    let send = async |store: &S3| {
        let (file, spec) = (Arc::new(file()), file().spec("o"));
        let (staged, _) = store.prepare(&key("a"), &file, &spec).await?;
        store.commit(staged, Only::Always).await
    };
    let (sent, _) = cut_anywhere(completed, other, send).await;
    assert_eq!(sent.etag, ETag::new("0123456789abcdef0123456789abcdef-2"));
}

#[tokio::test]
async fn c46_a_copy_of_which_half_a_tag_is_told_is_not_done() {
    let (from, etag, to) = (key("a"), ETag::new("e"), key("b"));
    let from = (&from, &etag);
    let copied = "<CopyObjectResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ETag>\"0123456789\"</ETag>\
        <LastModified>2026-01-02T03:04:05.000Z</LastModified></CopyObjectResult>";
    let one = |request: &Request| match request.method.as_str() {
        "HEAD" => Some(Answer::tagged("e").with("content-length", "4")),
        _ => None,
    };
    let spec = Memory::new("1234").spec("o");
    let copy = async |store: &S3| store.copy(from, &to, &spec, Only::Always).await;
    assert_eq!(cut_anywhere(copied, one, copy).await.0.etag, ETag::new("0123456789"));

    let part = "<CopyPartResult><ETag>\"0123456789\"</ETag></CopyPartResult>";
    let spec = Memory::new("12345678").spec("o");
    let upload = Upload { key: to.clone(), id: "U".into(), initiated: None };
    let fill = async |store: &S3| store.fill_copy(upload.clone(), from, &spec).await;
    cut_anywhere(part, source, fill).await;

    let tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>value</Value></Tag></TagSet></Tagging>";
    let other = |request: &Request| match request.method.as_str() {
        "POST" => Some(parts_until(request, || unreachable!("it is no upload"))),
        _ => source(request),
    };
    let create = async |store: &S3| store.create_copy(from, &to, &spec).await;
    assert_eq!(cut_anywhere(tags, other, create).await.0.id, "U");
}

/// An answer that says nothing of tags is not one that there are none.
#[tokio::test]
async fn c56_a_copy_by_parts_that_is_not_told_the_tags_is_not_begun() {
    let spec = Memory::new("12345678").spec("o");
    let tagged = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
    for (answer, want) in [
        (Answer::new(200, tagged), Ok(Some("k=v"))),
        (Answer::new(200, "<Tagging><TagSet/></Tagging>"), Ok(None)),
        (Answer::error(404, "NoSuchTagSet"), Ok(None)),
        (Answer::error(400, "NotImplemented"), Ok(None)),
        (Answer::error(400, "InvalidRequest"), Ok(None)),
        (Answer::error(405, "MethodNotAllowed"), Ok(None)),
        (Answer::new(501, ""), Ok(None)),
        (Answer::error(400, "RequestTimeout"), Err(Class::Transient)),
        (Answer::error(400, "ExpiredToken"), Err(Class::Fatal)),
        (Answer::error(400, "InvalidArgument"), Err(Class::Permanent)),
        (Answer::new(400, ""), Err(Class::Permanent)),
        (Answer::error(403, "AccessDenied"), Err(Class::Permanent)),
        (Answer::error(404, "NoSuchKey"), Err(Class::Changed)),
        (Answer::error(404, "NoSuchBucket"), Err(Class::Fatal)),
        (Answer::new(404, "not found"), Err(Class::Permanent)),
        (Answer::error(503, "SlowDown"), Err(Class::Throttled)),
    ] {
        let told = format!("{answer:?}");
        let server = Server::start(move |_, request| match request.method.as_str() {
            "POST" => parts_until(request, || unreachable!("it is no upload")),
            _ => source(request).unwrap_or_else(|| answer.clone()),
        })
        .await;
        let store = store(&server).await;
        let created = store.create_copy((&key("a"), &ETag::new("e")), &key("b"), &spec).await;
        assert_eq!(created.map(|_| ()).map_err(|fault| fault.class), want.map(|_| ()), "{told}");
        let seen = server.seen();
        let create = seen.iter().find(|request| request.method == "POST");
        assert_eq!(create.is_some(), want.is_ok(), "{told}");
        let tags = create.and_then(|create| create.headers.get("x-amz-tagging"));
        assert_eq!(tags.map(String::as_str), want.unwrap_or_default(), "{told}");
    }
}

/// What the store cannot copy can be sent: it is no reason to stop.
#[tokio::test]
async fn c56_a_copy_by_parts_that_the_store_cannot_begin_is_no_fault_of_the_mirrors() {
    let spec = Memory::new("12345678").spec("o");
    for answer in [Answer::error(501, "NotImplemented"), Answer::new(501, "")] {
        let server = Server::start(move |_, request| match request.method.as_str() {
            "POST" if request.headers.contains_key("x-amz-tagging") => answer.clone(),
            "POST" => parts_until(request, || unreachable!("it is no upload")),
            "GET" => Answer::new(
                200,
                "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
            ),
            _ => source(request).unwrap(),
        })
        .await;
        let store = store(&server).await;
        let fault = store.create_copy((&key("a"), &ETag::new("e")), &key("b"), &spec).await.unwrap_err();
        assert_eq!(fault.class, Class::Permanent, "{fault}");
        assert!(fault.what.starts_with("CreateMultipartUpload web/b"), "{fault}");
        store.create(&key("b"), &spec).await.unwrap();
    }
    let server = Server::start(|_, _| Answer::error(501, "NotImplemented")).await;
    let fault = self::store(&server).await.create(&key("b"), &spec).await.unwrap_err();
    assert_eq!(fault.class, Class::Fatal, "of a file that is sent it is: {fault}");
}

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

/// The store ignores `x-amz-copy-source-if-match`, and somebody replaces the source just before it is copied. By what the
/// tags are, and what the copy gets.
#[tokio::test]
async fn c56_a_copy_of_what_came_in_between_is_none() {
    let multi = |tag: &str| format!("{tag}-2");
    // the tag before, after, of the copy; encryption; what is wrong; HEADs
    #[rustfmt::skip]
    let cases = [
        (OLD.to_owned(), NEW.to_owned(), NEW.to_owned(), "AES256", true, 1),
        (OLD.to_owned(), OLD.to_owned(), OLD.to_owned(), "AES256", false, 1),
        // it was replaced after it was copied
        (OLD.to_owned(), NEW.to_owned(), OLD.to_owned(), "AES256", false, 1),
        (multi(OLD), NEW.to_owned(), NEW.to_owned(), "AES256", true, 2),
        (multi(OLD), multi(OLD), NEW.to_owned(), "AES256", false, 2),
        (OLD.to_owned(), NEW.to_owned(), OLD.to_owned(), "aws:kms", true, 2),
        (OLD.to_owned(), OLD.to_owned(), NEW.to_owned(), "aws:kms", false, 2),
        // nothing shows what was copied
        (OLD.to_owned(), String::new(), NEW.to_owned(), "aws:kms", true, 2),
    ];
    for (before, after, made, sse, wrong, heads) in cases {
        let told = format!("{before} {after} {made} {sse}");
        let (old, copied, unknown) = (before.clone(), made.clone(), after.is_empty());
        let asked = AtomicUsize::new(0);
        let server = Server::start(move |_, request| match request.method.as_str() {
            "HEAD" => {
                let tag = if asked.fetch_add(1, SeqCst) == 0 { &old } else { &after };
                if tag.is_empty() {
                    return Answer::new(500, "");
                }
                Answer::tagged(tag).with("content-length", "4").with("x-amz-server-side-encryption", sse)
            }
            "DELETE" => Answer::new(204, "").with("content-length", "0"),
            _ => Answer::new(200, format!("<CopyObjectResult><ETag>\"{copied}\"</ETag></CopyObjectResult>")),
        })
        .await;
        let store = store(&server).await;
        store.know(everything());
        let (spec, etag) = (Memory::new("1234").spec("o"), ETag::new(&before));
        let done = store.copy((&key("a"), &etag), &key("b"), &spec, Only::New).await;
        assert_eq!(done.is_err(), wrong, "{told}: {done:?}");
        let seen = server.seen();
        assert_eq!(seen.iter().filter(|request| request.method == "HEAD").count(), heads, "{told}");
        let removed: Vec<_> = seen.iter().filter(|request| request.method == "DELETE").collect();
        assert_eq!(removed.len(), usize::from(wrong), "{told}");
        if let Err(fault) = done {
            let want = if unknown { Class::Transient } else { Class::Changed };
            assert_eq!(fault.class, want, "{told}: {fault}");
            assert!(removed[0].target.starts_with("/bucket/web/b"), "{}", removed[0].target);
            assert_eq!(removed[0].headers["if-match"], format!("\"{made}\""), "{told}");
        }
    }
}
