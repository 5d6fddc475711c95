//! The status page: what it runs, whom it tells, and how it looks, in a browser.

use crate::{
    metrics::Told,
    support::{
        bench::{Bench, PATIENCE, QUICK},
        browser::Browser,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Child,
    time::timeout,
};

/// A name that runs, where names are markup.
const HOSTILE: &str = "<img src=x onerror=window.ran=1>";
/// The same with a directory in it.
const SCRIPT: &str = "<script>window.ran=1</script>";

/// The head of an answer, and what follows, as it comes.
async fn ask(told: &Told, head: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = BufReader::new(TcpStream::connect(told.at).await.unwrap());
    stream.get_mut().write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        let n = timeout(PATIENCE, stream.read_line(&mut answer)).await.expect("an answer").unwrap();
        assert!(n > 0, "{answer}");
    }
    (answer.to_ascii_lowercase(), stream)
}

async fn follow(told: &Told) -> (String, BufReader<TcpStream>) {
    ask(told, "GET /events HTTP/1.1\r\nHost: localhost").await
}

/// The next event, or its kind where it has one; `None` at the end, or when none comes in time.
async fn event(stream: &mut BufReader<TcpStream>, patience: Duration) -> Option<String> {
    let read = async {
        let mut told = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or_default() == 0 {
                return None;
            }
            told += &line;
            if told.ends_with("\n\n") || told.ends_with("\n\n\r\n") {
                return Some(told);
            }
        }
    };
    timeout(patience, read).await.ok().flatten()
}

/// Waits until the page says so.
async fn in_sync(told: &Told) {
    let says =
        |page: Option<(u16, String)>| page.is_some_and(|(_, page)| page.contains("1 of 1 mirror is in sync"));
    told.until("the page says that it is in sync", async || says(told.get("/").await)).await;
}

async fn stop(daemon: &mut Child) {
    let pid = Pid::from_raw(i32::try_from(daemon.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = timeout(Duration::from_secs(15), daemon.wait()).await.expect("nobody who looks holds it up");
    assert!(ended.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_those_who_mean_this_host_and_says_that_nothing_else_may_run() {
    let told = Told::new("").await;
    told.bench.write(SCRIPT, "1");
    let _daemon = told.start();
    in_sync(&told).await;
    let port = told.at.port();
    for (head, want) in [
        (format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}"), "200"),
        (format!("HEAD / HTTP/1.1\r\nHost: localhost:{port}"), "200"),
        (format!("HEAD /events HTTP/1.1\r\nHost: localhost:{port}"), "200"),
        (format!("GET / HTTP/1.1\r\nHost: evil.example:{port}"), "421"),
        (format!("GET /events HTTP/1.1\r\nHost: evil.example:{port}"), "421"),
        (format!("GET /events HTTP/1.1\r\nHost: localhost:{port}\r\nSec-Fetch-Site: cross-site"), "403"),
        (format!("POST / HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 0"), "405"),
        (format!("DELETE /events HTTP/1.1\r\nHost: localhost:{port}"), "405"),
        (format!("GET /live HTTP/1.1\r\nHost: localhost:{port}"), "404"),
    ] {
        let (answer, mut body) = ask(&told, &format!("{head}\r\nConnection: close")).await;
        assert!(answer.starts_with(&format!("http/1.1 {want} ")), "{head}: {answer}");
        for header in [
            "\ncache-control: no-store\r",
            "\nx-content-type-options: nosniff\r",
            "\nreferrer-policy: no-referrer\r",
            "\ncross-origin-resource-policy: same-origin\r",
            "\ncontent-security-policy: default-src 'none'; style-src 'sha256-",
            "; frame-ancestors 'none'\r",
        ] {
            assert!(answer.contains(header), "{head}: {header}: {answer}");
        }
        assert!(!answer.contains("unsafe") && !answer.contains("access-control"), "{answer}");
        let mut text = String::new();
        timeout(PATIENCE, body.read_to_string(&mut text)).await.expect("it ends").unwrap();
        let whole = want == "200" && head.starts_with("GET");
        assert_eq!(text.contains("<bdi>&lt;script&gt;window.ran=1&lt;/script&gt;</bdi>"), whole, "{text}");
        assert_eq!(text.matches("<script>").count(), usize::from(whole), "{text}");
        assert!(whole || !text.contains("www"), "{text}");
        assert!(
            !text.contains(told.bench.server.secret_key()) && !text.contains(told.bench.server.access_key())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_as_it_does_and_whoever_listens_holds_nothing_up() {
    let told = Told::new("").await;
    told.bench.write("first", "1");
    let mut daemon = told.start();
    in_sync(&told).await;
    let (head, mut stream) = follow(&told).await;
    assert!(head.contains("\ncontent-type: text/event-stream"), "{head}");
    let soon = Duration::from_secs(20);
    let now = event(&mut stream, soon).await.expect("what there is");
    assert!(now.contains("data: <main id=\"live\"") && now.contains("<bdi>first</bdi>"), "{now}");
    // what was still going on when it began
    let mut more = 0;
    while event(&mut stream, Duration::from_secs(4)).await.is_some() {
        more += 1;
        assert!(more < 10, "it is told again and again");
    }
    assert_eq!(
        event(&mut stream, Duration::from_secs(4)).await,
        None,
        "nothing changes, and nothing is told"
    );
    let begun = Instant::now();
    assert!(event(&mut stream, soon).await.expect("a sign of life").contains("event: beat"));
    assert!(begun.elapsed() < Duration::from_secs(16));
    told.bench.write(HOSTILE, "2");
    let (mut last, begun) = (String::new(), Instant::now());
    while !last.contains("<bdi>&lt;img src=x onerror=window.ran=1&gt;</bdi>") {
        assert!(begun.elapsed() < 2 * soon, "what changed is told: {last}");
        last = event(&mut stream, soon).await.expect("what changed");
        assert!(!last.contains("<img"), "{last}");
    }
    // one in the middle of its life, one that reads nothing
    let _idle = follow(&told).await;
    stop(&mut daemon).await;
    while event(&mut stream, soon).await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_follow_it_and_no_more_and_others_are_answered() {
    let told = Told::new("").await;
    let _daemon = told.start();
    told.until("it listens", async || told.get("/").await.is_some()).await;
    let mut streams = vec![];
    for _ in 0..16 {
        let (head, stream) = follow(&told).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        streams.push(stream);
    }
    let (head, _) = follow(&told).await;
    assert!(head.starts_with("http/1.1 503") && head.contains("\nretry-after: "), "{head}");
    assert_eq!(told.get("/metrics").await.map(|(status, _)| status), Some(200));
    assert_eq!(told.get("/").await.map(|(status, _)| status), Some(200));
    streams.pop();
    told.until("there is room again", async || follow(&told).await.0.starts_with("http/1.1 200")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_name_is_shown_and_nothing_runs() {
    let Some(mut browser) = Browser::open().await else { return };
    let told = Told::new("").await;
    told.bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("PutObject").key(HOSTILE));
    [SCRIPT, HOSTILE, "gpj.\u{202e}exe"].iter().for_each(|name| told.bench.write(name, "text"));
    let mut daemon = told.start();
    told.until("it listens", async || told.get("/").await.is_some()).await;
    let url = format!("http://{}/", told.at);
    browser.go(&url).await;
    let shows = |name: &str| format!("document.getElementById('live').innerText.includes({name:?})");
    for name in [SCRIPT, HOSTILE, "gpj.\\u{202e}exe", "What to do:", "AccessDenied"] {
        browser.until(name, &shows(name)).await;
    }
    browser.until("live", "document.getElementById('beat').textContent === 'Live'").await;
    told.bench.write(&format!("later/{SCRIPT}"), "text");
    browser.until("what comes later", &shows(&format!("later/{SCRIPT}"))).await;
    let title = "document.title === '0 of 1 in sync \u{b7} s3mirrord'";
    browser.until("the title is what it is to be", title).await;
    let clean =
        "typeof window.ran === 'undefined' && !document.querySelector('main :is(script, img, [onerror])')";
    assert_eq!(browser.run(clean).await, true);
    assert_eq!(browser.complaints, [""; 0]);

    // when the daemon is gone that is told, and when it is back, too
    stop(&mut daemon).await;
    browser.until("it is told", "document.getElementById('beat').className === 'lost'").await;
    let _daemon = told.start();
    browser.until("it is back", "document.getElementById('beat').textContent === 'Live'").await;
    browser.complaints.clear();

    // if a name did become markup, the policy would keep it from running
    let slip = format!("document.querySelector('main').insertAdjacentHTML('beforeend', {HOSTILE:?})");
    browser.run(&slip).await;
    browser.run("new Promise(done => setTimeout(done, 500))").await;
    assert_eq!(browser.run("typeof window.ran").await, "undefined");
    assert!(
        browser.complaints.iter().any(|said| said.contains("Content Security Policy")),
        "{:?}",
        browser.complaints
    );
}

/// Texts whose contrast to what is behind them is below 4.5 (WCAG 2.2, 1.4.3), and what is wider than the window.
const FAINT: &str = r"(() => {
    const light = c => { const [r, g, b] = c.match(/[\d.]+/g).map(n => n / 255)
        .map(n => n <= .04045 ? n / 12.92 : ((n + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
    const wrong = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; text = walk.nextNode();) {
        const element = text.parentElement;
        if (!text.data.trim() || ['SCRIPT', 'STYLE'].includes(element.nodeName)) continue;
        let behind = element;
        while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
        const [a, b] = [getComputedStyle(element).color, behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)'];
        const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
        if ((high + .05) / (low + .05) < 4.5) wrong.push(text.data + ' ' + a + ' on ' + b);
    }
    if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wrong.push('wide: ' + document.documentElement.scrollWidth);
    return wrong;
})()";

/// Four mirrors: in sync, sending, held, failing.
async fn busy(base: &Path) -> Told {
    let bench = Bench::new().await;
    let slow = "bandwidth = \"3MiB/s\"";
    let held = "max_delete = { count = 0, percent = 20, window = \"1h\" }";
    let mirrors: String = [("www", ""), ("photos", slow), ("home", ""), ("mail", held)]
        .map(|(name, lines)| {
            let root = base.join(name);
            std::fs::create_dir_all(&root).unwrap();
            bench.mirror(name, &root, &format!("web-1/{name}/"), &format!("{QUICK}{lines}"))
        })
        .concat();
    let denied = Rule::new(Kind::AccessDenied).operation("PutObject");
    bench.server.faults().add(denied.key("2026/payroll.ods"));
    Told::of(bench, &mirrors)
}

fn fill(base: &Path) {
    let write = |name: String, size: usize| {
        let path = base.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![b'x'; size]).unwrap();
    };
    (0..60).for_each(|n| write(format!("mail/cur/{n:04}.eml"), 4000 + 117 * n));
    for (name, size) in
        [("index.html", 5312), ("css/site.css", 18_204), ("img/<script>alert(1)</script>", 12)]
    {
        write(format!("www/{name}"), size);
    }
    write("home/documents/2026/payroll.ods".into(), 40_000);
    let long = "ANameWithNoPlaceToBreakIt".repeat(6);
    write(format!("home/{long}.txt"), 812);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_read_on_a_phone_light_and_dark_with_and_without_scripts() {
    let Some(mut browser) = Browser::open().await else { return };
    // with S3MIRRORD_PICTURES=/srv/example the pictures of the documents are taken, of mirrors below that
    let pictures = std::env::var_os("S3MIRRORD_PICTURES").map(std::path::PathBuf::from);
    let dir = tempfile::tempdir().unwrap();
    let base = pictures.as_deref().unwrap_or(dir.path());
    let told = busy(base).await;
    fill(base);
    let _daemon = told.start();
    told.until("it listens", async || told.get("/").await.is_some()).await;
    let status = |what: &'static str, is: fn(&serde_json::Value) -> bool| told.bench.await_status(what, is);
    status("sent", |told| told["mirrors"][3]["files"] == 60 && told["mirrors"][0]["settled"] == true).await;
    (0..45).for_each(|n| std::fs::remove_file(base.join(format!("mail/cur/{n:04}.eml"))).unwrap());
    std::fs::rename(base.join("www/index.html"), base.join("www/start.html")).unwrap();
    let film = std::fs::File::create(base.join("photos/2026-11-29 harbour.mp4")).unwrap();
    film.set_len(400 << 20).unwrap();
    status("held", |told| told["mirrors"][3]["held"]["deletes"] == 45).await;
    status("failing", |told| told["mirrors"][2]["failing"] == 1).await;
    status("told", |told| {
        let done = told["mirrors"][0]["recent"].as_array().unwrap();
        done.iter().any(|change| change["op"] == "copy" && change["from"] == "index.html")
            && told["mirrors"][2]["failing_sample"][0]["remedy"]
                .as_str()
                .unwrap()
                .starts_with("allow s3:PutObject")
    })
    .await;

    let url = format!("http://{}/", told.at);
    browser.look(860, 1680, false).await;
    browser.go(&url).await;
    let sending = "/\\d (Ki|Mi)?B\\/s/.test(document.getElementById('live').innerText)";
    browser.until("how fast it sends", sending).await;
    for (name, width, height, dark) in [
        ("light", 860, 1680, false),
        ("dark", 860, 1680, true),
        ("phone", 360, 1200, false),
        ("", 360, 1200, true),
    ] {
        browser.look(width, height, dark).await;
        assert_eq!(browser.run(FAINT).await, serde_json::json!([]), "{name}");
        let picture = browser.picture().await;
        assert!((8 << 10..900 << 10).contains(&picture.len()), "{name}: {} bytes", picture.len());
        if pictures.is_some() && !name.is_empty() {
            let file = format!("{}/docs/status-{name}.png", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(file, picture).unwrap();
        }
    }
    // what was unfolded stays so when something changes
    browser.run("document.querySelector('details').open = true").await;
    std::fs::write(base.join("www/unfolded"), "x").unwrap();
    browser.until("a change", "document.querySelector('main').innerText.includes('unfolded')").await;
    assert_eq!(browser.run("document.querySelector('details').open").await, true);
    let parts = "document.querySelectorAll('h1').length === 1 && document.querySelectorAll('section > .head > h2').length === 4
        && [...document.querySelectorAll('table')].every(table => table.caption && table.querySelector('th[scope]'))
        && document.querySelectorAll('section .state[aria-live=polite]').length === 4";
    assert_eq!(browser.run(parts).await, true);
    assert_eq!(browser.complaints, [""; 0]);

    browser.ask("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true})).await;
    browser.go(&url).await;
    for text in [
        "45 deletes are held",
        "s3mirrord approve --mirror mail",
        "payroll.ods",
        "What to do:",
        "Behind (RPO)",
    ] {
        let there = format!("document.querySelector('main').innerText.includes({text:?})");
        assert_eq!(browser.run(&there).await, true, "{text}");
    }
    let plain = "document.getElementById('beat').textContent.startsWith('As of 20')
        && document.querySelector('noscript > meta[http-equiv=refresh]') !== null";
    assert_eq!(browser.run(plain).await, true);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_room_to_follow_it_is_asked_again_and_again() {
    let Some(mut browser) = Browser::open().await else { return };
    let told = Told::new("").await;
    let _daemon = told.start();
    in_sync(&told).await;
    let mut streams = vec![];
    for _ in 0..16 {
        streams.push(follow(&told).await);
    }
    browser.go(&format!("http://{}/", told.at)).await;
    browser.until("it asks", "document.getElementById('beat').textContent === 'Asked every 5 s'").await;
    told.bench.write(HOSTILE, "text");
    let shows = format!("document.getElementById('live').innerText.includes({HOSTILE:?})");
    browser.until("what changed", &shows).await;
    assert_eq!(
        browser.run("document.querySelector('main img') === null && typeof window.ran").await,
        "undefined"
    );
    assert!(browser.complaints.iter().all(|said| said.contains("503")), "{:?}", browser.complaints);
}
