//! What the daemon tells machines: the metrics, whether it lives and is ready, the heartbeat, and what is in contrib/.

use crate::support::{
    bench::{Bench, PATIENCE, QUICK},
    skip,
};
use s3mirrord::{
    embedded::{Kind, Rule},
    service::metrics::TABLE,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A daemon that tells, and where.
pub(crate) struct Told {
    pub(crate) bench: Bench,
    pub(crate) at: SocketAddr,
}

impl Told {
    /// Of one mirror.
    pub(crate) async fn new(lines: &str) -> Self {
        let bench = Bench::new().await;
        let mirror = bench.mirror("www", &bench.root, "www/", &format!("{QUICK}{lines}"));
        Self::of(bench, &mirror)
    }

    /// Of these mirrors.
    pub(crate) fn of(bench: Bench, mirrors: &str) -> Self {
        // free a moment ago
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        bench.configure(mirrors);
        let text = std::fs::read_to_string(bench.config()).unwrap();
        std::fs::write(bench.config(), format!("metrics = \"{at}\"\n{text}")).unwrap();
        Self { bench, at }
    }

    pub(crate) fn start(&self) -> Child {
        self.bench.start_logged(self.bench.command(&["run"]))
    }

    /// Status and body; `None` while nobody listens.
    pub(crate) async fn asked(&self, method: &str, path: &str, host: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.at).await.ok()?;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        self.asked("GET", path, &self.at.to_string()).await
    }

    /// A metric of the mirror, or the sum of its samples.
    async fn value(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await?;
        let is = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let mut values =
            text.lines().filter(is).map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap());
        let first: f64 = values.next()?;
        Some(values.fold(first, |sum, value: f64| sum + value))
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is().await {
            assert!(begun.elapsed() < PATIENCE, "{what}\n{}", self.bench.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn behind(&self) -> Option<f64> {
        self.value("s3mirrord_oldest_unsynced_seconds").await
    }

    pub(crate) async fn in_sync(&self) {
        self.until("in sync", async || {
            self.behind().await == Some(0.0) && self.value("s3mirrord_settled").await == Some(1.0)
        })
        .await;
    }
}

fn project(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// promtool with these words, which is given this; `None` if it is not there.
async fn promtool(words: &[&str], given: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut tool) = command.spawn() else {
        skip("promtool is not here (apt-get install prometheus)");
        return None;
    };
    let mut input = tool.stdin.take().unwrap();
    input.write_all(given.as_bytes()).await.unwrap();
    drop(input);
    let ended = tool.wait_with_output().await.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    Some((ended.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_the_scrape_and_the_document_say_the_same() {
    let told = Told::new("").await;
    ["a", "d/b", "c"].iter().for_each(|name| told.bench.write(name, "text"));
    let _daemon = told.start();
    told.in_sync().await;
    let (status, scrape) = told.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let heads = |word: &str| -> Vec<(String, String)> {
        let lines = scrape.lines().filter_map(|line| line.strip_prefix(&format!("# {word} ")));
        lines.map(|line| line.split_once(' ').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let rows = |of: fn(&s3mirrord::service::metrics::Metric) -> String| -> Vec<_> {
        TABLE.iter().map(|metric| (metric.name.to_owned(), of(metric))).collect()
    };
    assert_eq!(heads("TYPE"), rows(|metric| metric.kind.word().to_owned()));
    assert_eq!(heads("HELP"), rows(|metric| metric.help.to_owned()));
    let labels: BTreeMap<_, _> = TABLE.iter().map(|metric| (metric.name, metric.labels)).collect();
    let mut seen = BTreeSet::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        seen.insert(name);
        let named: Vec<_> = rest.split("=\"").map(|part| part.rsplit([',', '"']).next().unwrap()).collect();
        let named = &named[..named.len() - 1];
        assert_eq!(named, labels[name], "{line}");
    }
    // what there is not yet, or not without a scrub and a drill
    let later: BTreeSet<_> =
        TABLE.iter().map(|metric| metric.name).filter(|name| !seen.contains(name)).collect();
    let asked = ["errors_total", "last_scrub", "scrub_ratio", "drill"];
    assert!(later.iter().all(|name| asked.iter().any(|part| name.contains(part))), "{later:?}");

    let document = project("docs/METRICS.md");
    let row = |metric: &s3mirrord::service::metrics::Metric| {
        let kind = metric.kind.word();
        format!("| `{}` | {kind} | {} | {} |", metric.name, metric.labels.join(", "), metric.help)
    };
    let wanted: Vec<_> = TABLE.iter().map(row).collect();
    let found: Vec<_> = document.lines().filter(|line| line.starts_with("| `s3mirrord_")).collect();
    assert_eq!(found, wanted);

    for (name, want) in [
        ("s3mirrord_mirrored_files", 3.0),
        ("s3mirrord_stored_bytes", 12.0),
        ("s3mirrord_actions_total", 3.0),
        ("s3mirrord_mirrors", 1.0),
        ("s3mirrord_trouble", 0.0),
        ("s3mirrord_held_deletes", 0.0),
    ] {
        assert_eq!(told.value(name).await, Some(want), "{name}");
    }
    assert!(told.value("s3mirrord_sent_bytes_total").await >= Some(12.0));
    told.until("the root, and a directory", async || told.value("s3mirrord_watches").await >= Some(2.0))
        .await;
    let sent: u64 = told.bench.server.requests().values().sum();
    assert_eq!(told.value("s3mirrord_requests_total").await, Some(sent as f64), "each request is counted");
    assert!(
        scrape.contains("s3mirrord_requests_total{mirror=\"www\",operation=\"PutObject\",status=\"200\"}")
    );
    let past = |at: Option<f64>| at.is_some_and(|at| (1.6e9..1e11).contains(&at));
    assert!(past(told.value("s3mirrord_last_comparison_timestamp_seconds").await));
    if let Some((fine, said)) = promtool(&["check", "metrics"], &scrape).await {
        assert!(fine && said.trim().is_empty(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_the_bucket_is_behind_rises_while_the_server_is_silent_outlives_kill_9_and_falls_to_0() {
    let told = Told::new("").await;
    told.bench.write("a", "1");
    let mut daemon = told.start();
    told.in_sync().await;
    let silence = told.bench.server.faults().add(Rule::new(Kind::Latency(HOUR)));
    told.bench.write("a", "2");
    let begun = Instant::now();
    told.until("it is noticed", async || told.behind().await > Some(0.0)).await;
    let mut last = 0.0;
    // once that is written down
    while last < 8.0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (before, age, after) = (begun.elapsed(), told.behind().await.unwrap(), begun.elapsed());
        // notes are as old as their event
        assert!(age > last && age <= after.as_secs_f64() + 0.1, "{age} after {last}");
        assert!(age >= before.as_secs_f64() - PATIENCE.as_secs_f64());
        last = age;
    }
    daemon.kill().await.unwrap();
    // nobody answers the next one either
    let refused = told.bench.server.faults().add(Rule::new(Kind::Drop));
    told.bench.server.faults().remove(silence);
    let (mut daemon, again) = (told.start(), Instant::now());
    told.until("it listens again", async || told.behind().await.is_some()).await;
    // and not as old as the daemon: the ledger has whole seconds
    let older = async || told.behind().await.unwrap() >= again.elapsed().as_secs_f64() + last - 1.5;
    told.until("it is as old as before", older).await;
    let age = told.behind().await.unwrap();
    assert!(age <= begun.elapsed().as_secs_f64() + 1.5, "{age}: no older than it is");
    assert_eq!(told.get("/readyz").await.map(|(status, _)| status), Some(503), "nor is it ready");
    told.until("it is told", async || told.value("s3mirrord_errors_total").await > Some(0.0)).await;
    told.bench.server.faults().remove(refused);
    told.in_sync().await;
    told.bench.await_objects(&[("a", "2")]).await;
    assert!(told.value("s3mirrord_request_retries_total").await > Some(0.0));
    let status = told.bench.await_status("in sync", |told| told["mirrors"][0]["settled"] == true).await;
    assert_eq!(status["mirrors"][0]["unsynced_seconds"], 0);
    daemon.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_mean_this_host_is_told_nothing_and_nobody_is_told_more_than_there_is() {
    let told = Told::new("").await;
    std::fs::remove_dir(&told.bench.root).unwrap();
    let _daemon = told.start();
    told.until("it listens", async || told.get("/").await.is_some()).await;
    told.until("it tells what is the matter", async || {
        let (status, why) = told.get("/readyz").await.unwrap();
        status == 503 && why.starts_with("www: ") && why.contains("root")
    })
    .await;
    assert_eq!(told.value("s3mirrord_trouble").await, Some(1.0));
    std::fs::create_dir(&told.bench.root).unwrap();
    told.until("it is ready", async || told.get("/readyz").await == Some((200, "ok\n".into()))).await;
    let port = told.at.port();
    for (method, path, host, want) in [
        ("GET", "/healthz", "localhost".to_owned(), 200),
        ("HEAD", "/metrics", format!("LocalHost:{port}"), 200),
        ("GET", "/metrics", format!("evil.example:{port}"), 421),
        ("GET", "/healthz", "127.0.0.1.evil.example".to_owned(), 421),
        ("GET", "/readyz", String::new(), 421),
        ("POST", "/metrics", told.at.to_string(), 405),
        ("GET", "/metrics/../etc", told.at.to_string(), 404),
        ("GET", "/", told.at.to_string(), 200),
    ] {
        let (status, body) = told.asked(method, path, &host).await.unwrap();
        assert_eq!(status, want, "{method} {path} {host}: {body}");
        assert!(want == 200 || !body.contains("www"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_well_has_a_heartbeat_whose_url_nobody_reads_in_the_log() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ping/5ecre7-u5id", listener.local_addr().unwrap());
    let told = Told::new(&format!("heartbeat = {url:?}")).await;
    told.bench.write("a", "1");
    let _daemon = told.start();
    let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("it beats").unwrap();
    let mut asked = vec![0; 1024];
    let n = stream.read(&mut asked).await.unwrap();
    assert!(asked[..n].starts_with(b"GET /ping/5ecre7-u5id HTTP/1.1\r\n"));
    assert_eq!(told.behind().await, Some(0.0), "it is well");
    stream.write_all(b"HTTP/1.1 500 5ecre7-u5id\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    told.until("it is told that this was no answer", async || {
        told.bench.log().contains("the heartbeat is not heard: the answer was HTTP 500")
    })
    .await;
    assert!(!told.bench.log().contains("5ecre7"), "{}", told.bench.log());
}

#[tokio::test]
async fn what_contrib_asks_for_is_told_and_its_rules_alarm() {
    let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
    for file in ["contrib/alerts.yml", "contrib/alerts.test.yml", "contrib/dashboard.json"] {
        let text = project(file);
        let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let named: BTreeSet<_> = text.split(word).filter(|word| word.starts_with("s3mirrord_")).collect();
        assert!(named.len() > 3 && named.is_subset(&names), "{file}: {:?}", named.difference(&names));
    }
    let dashboard: serde_json::Value = serde_json::from_str(&project("contrib/dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
    for words in [["check", "rules", "contrib/alerts.yml"], ["test", "rules", "contrib/alerts.test.yml"]] {
        let Some((fine, said)) = promtool(&words, "").await else { return };
        assert!(fine, "{said}");
    }
}

/// As many as are served at a time, each with more answers to come than it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_take_no_answer_keep_nobody_from_one() {
    let told = Told::new("").await;
    let _daemon = told.start();
    told.in_sync().await;
    let mut deaf = vec![];
    for _ in 0..32 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1024).unwrap();
        let mut stream = socket.connect(told.at).await.unwrap();
        let requests = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", told.at).repeat(2000);
        // what is not taken of them is as good
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.write_all(requests.as_bytes())).await;
        deaf.push(stream);
    }
    told.until("an answer", async || told.get("/healthz").await.is_some_and(|(status, _)| status == 200))
        .await;
    drop(deaf);
}
