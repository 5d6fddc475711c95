//! Starting, stopping, and starting again over what was there.

use std::time::Duration;

use super::super::{Bodies, Kind, Rule};
use super::*;

async fn again(address: std::net::SocketAddr, contents: super::super::Contents) -> Bench {
    with(Options { listen: address, contents: Some(contents), ..Options::default() }).await
}

#[tokio::test]
async fn a_restart_on_the_same_port_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let bench =
        with(Options { bodies: Bodies::Directory(directory.path().into()), ..Options::default() }).await;
    let address = bench.server.address();
    bench.put("small", b"1").await;
    bench.put("large", &[9; 200_000]).await;
    let upload = bench.client.create_multipart_upload().bucket("bkt").key("m").send().await.unwrap();
    let contents = bench.server.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens");
    let bench = again(address, contents).await;
    assert_eq!(bench.get("small").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(bench.get("large").await, Some(vec![9; 200_000]));
    let parts = bench.client.list_parts().bucket("bkt").key("m").upload_id(upload.upload_id().unwrap());
    parts.send().await.unwrap();
    assert_eq!(directory.path().read_dir().unwrap().count(), 1);
    bench.client.delete_object().bucket("bkt").key("large").send().await.unwrap();
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_end_and_a_kill_does_not() {
    for (graceful, kept) in [(true, vec!["k"]), (false, vec![])] {
        let bench = bench().await;
        let address = bench.server.address();
        let rule = bench.server.faults().add(Rule::new(Kind::Linger(Duration::from_millis(200))).key("k"));
        let put = bench.client.put_object().bucket("bkt").key("k").body(ByteStream::from_static(b"1")).send();
        let put = tokio::spawn(put);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while bench.server.faults().met(rule) == 0 {
            assert!(std::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        let contents = if graceful { bench.server.stop().await } else { bench.server.kill().await };
        assert_eq!(put.await.unwrap().is_ok(), graceful);
        assert_eq!(again(address, contents).await.keys("").await, kept);
    }
}

#[tokio::test]
async fn a_dropped_handle_ends_the_server() {
    let bench = bench().await;
    let address = bench.server.address();
    drop(bench);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "still listening");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bench =
        with(Options { bodies: Bodies::Directory(directory.path().into()), ..Options::default() }).await;
    let body = ByteStream::from(vec![1; 3_000_000]);
    let put =
        bench.client.put_object().bucket("bkt").key("k").body(body).content_md5("AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(refusal(put.send().await.unwrap_err()).0, 400);
    assert_eq!(bench.get("k").await, None);
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_bad_bucket_name_is_refused_at_the_start() {
    let options = Options { buckets: vec!["No Bucket".to_owned()], ..Options::default() };
    assert_eq!(Server::start(options).await.err().unwrap().kind(), std::io::ErrorKind::InvalidInput);
}
