//! Secrets are planted wherever one may stand, and everything that anybody may read is searched for them.

use crate::support::bench::{Bench, PATIENCE, QUICK};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SECRET: &str = "cAnArYsEcReT0123456789";
const TOKEN: &str = "cAnArYtOkEn0123456789";
const BEAT: &str = "cAnArYbEaT0123456789";

/// All bytes of the files below.
fn files(at: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut all, mut dirs) = (vec![], vec![at.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.symlink_metadata().unwrap().is_dir() {
                true => dirs.push(path),
                false => all.push((path.display().to_string(), fs::read(&path).unwrap_or_default())),
            }
        }
    }
    all
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Whatever was said, and by whom.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    fn hear(&mut self, who: impl Into<String>, what: impl Into<Vec<u8>>) {
        self.0.push((who.into(), what.into()));
    }

    async fn run(&mut self, bench: &Bench, words: &[&str]) -> i32 {
        let ran = bench.run(words).await;
        self.hear(format!("{words:?}, stdout"), ran.stdout);
        self.hear(format!("{words:?}, stderr"), ran.stderr);
        ran.code
    }

    /// Nothing holds one of these.
    fn is_silent_on(&self, secrets: &[&str]) {
        assert!(
            self.0.iter().map(|(_, what)| what.len()).sum::<usize>() > 1000,
            "there is something to search"
        );
        for (who, what) in &self.0 {
            for secret in secrets {
                assert!(!holds(what, secret), "{who} tells {secret}: {}", String::from_utf8_lossy(what));
            }
        }
    }
}

async fn scrape(port: u16, path: &str) -> String {
    let begun = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => break stream,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    told
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The configuration of the bench with these instead of its secret, and lines of its own at the top and in `[s3]`.
fn configure(bench: &Bench, secret: &str, top: &str, s3: &str) {
    let lines = format!("{QUICK}heartbeat = \"http://127.0.0.1:9/{BEAT}\"\n");
    bench.configure(&bench.mirror("www", &bench.root, "www/", &lines));
    let text = fs::read_to_string(bench.config()).unwrap();
    let own = format!("secret_access_key = {:?}", bench.server.secret_key());
    assert!(text.contains(&own));
    let text = text.replace(&own, &format!("secret_access_key = {secret:?}\n{s3}"));
    fs::write(bench.config(), format!("{top}\n{text}")).unwrap();
}

/// Every verb at its most talkative, all that the daemon says, and all that is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_works_tells_no_secret() {
    let bench = Bench::new().await;
    let (secret, port) = (bench.server.secret_key().to_owned(), free_port());
    configure(&bench, &secret, &format!("metrics = \"127.0.0.1:{port}\""), "");
    bench.write("d/file", "a file");
    bench.write("gone", "a file");
    let out = bench.dir.path().join("out");
    let out = out.to_str().unwrap();
    let mut heard = Heard::default();
    for words in [
        &["doctor", "-vvvv"][..],
        &["doctor", "--json", "-vvvv"],
        &["once", "-vvvv"],
        &["once", "--json", "-vvvv", "--log-format", "json"],
        &["once", "--dry-run", "-vvvv"],
        &["verify", "--deep", "-vvvv"],
        &["ls", "-l", "-vvvv"],
        &["explain", "-vvvv", "d/file"],
        &["restore", "-vvvv", "--to", out],
        &["approve", "-vvvv", "--yes"],
        &["status", "-vvvv"],
    ] {
        heard.run(&bench, words).await;
    }
    let _daemon = bench.start_logged(bench.command(&["run", "-vvvv", "--log-format", "json"]));
    bench.await_status("settled", |status| status["mirrors"][0]["settled"] == true).await;
    bench.write("d/another", "file");
    bench.remove("gone");
    bench.await_objects(&[("d/another", "file"), ("d/file", "a file")]).await;
    for words in [&["status", "--json"][..], &["status"], &["explain", "d/file"], &["doctor"], &["verify"]] {
        heard.run(&bench, words).await;
    }
    for path in ["/", "/metrics", "/healthz", "/readyz"] {
        heard.hear(path, scrape(port, path).await);
    }
    heard.hear("the log", bench.log());
    heard.0.extend(files(&bench.state()));
    heard.is_silent_on(&[&secret, BEAT]);
}

/// Wrong secrets: the errors of the store, of the heartbeat and of a reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_tells_no_secret() {
    let bench = Bench::new().await;
    bench.write("file", "a file");
    let mut heard = Heard::default();
    configure(&bench, SECRET, "", &format!("session_token = {TOKEN:?}"));
    assert_eq!(heard.run(&bench, &["once", "-vvvv"]).await, 3);
    for words in [&["doctor", "-vvvv"][..], &["ls"], &["verify"], &["restore", "--to", "/nowhere/at/all"]] {
        assert_ne!(heard.run(&bench, words).await, 0, "{words:?}");
    }
    let daemon = bench.start_logged(bench.command(&["run", "-vvvv"]));
    let begun = Instant::now();
    while !bench.log().contains("HTTP 403") {
        assert!(begun.elapsed() < PATIENCE, "{}", bench.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    heard.run(&bench, &["status", "--json"]).await;
    // and one that cannot be read any more
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), text.replace("[s3]", "[s3").replace("www", &format!("w{TOKEN}"))).unwrap();
    let pid = rustix::process::Pid::from_raw(daemon.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    let begun = Instant::now();
    while !bench.log().contains("as it was") && !bench.log().contains("not loaded") {
        assert!(begun.elapsed() < PATIENCE, "{}", bench.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    heard.hear("the log", bench.log());
    heard.0.extend(files(&bench.state()));
    heard.is_silent_on(&[SECRET, BEAT]);
}

/// Mistakes in the very lines that hold them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_misspelt_tells_no_secret() {
    let bench = Bench::new().await;
    configure(&bench, SECRET, "", "");
    let good = fs::read_to_string(bench.config()).unwrap();
    let mut heard = Heard::default();
    let key = format!("secret_access_key = {SECRET:?}");
    let url = format!("endpoint_url = {:?}", bench.server.endpoint());
    let beat = format!("heartbeat = \"http://127.0.0.1:9/{BEAT}\"");
    for (from, to) in [
        (&key, format!("secret_acess_key = {SECRET:?}")),
        (&key, format!("secret_access_key = \"{SECRET}")),
        (&key, format!("secret_access_key = {SECRET}")),
        (&key, format!("secret_access_key = {SECRET:?} {TOKEN}")),
        (&key, format!("secret_access_key = \" {SECRET}\"")),
        (&key, format!("secret_access_key = [{SECRET:?}]")),
        (&key, format!("{key}\n{key}")),
        (&key, format!("{key}\nsession_token = \"{TOKEN} \"")),
        (&key, format!("{key}\ncredentials_file = {SECRET:?}")),
        (&url, format!("endpoint_url = \"http://user:{SECRET}@127.0.0.1:9\"")),
        (&url, format!("endpoint_url = \"http://127.0.0.1:9/?token={SECRET}\"")),
        (&beat, format!("heartbeat = \"ftp://127.0.0.1/{BEAT}\"")),
        (&beat, format!("heartbeat = \"{BEAT}\"")),
        (&beat, format!("heartbeat = [\"{BEAT}\"]")),
        (&beat, format!("heartbeet = \"http://127.0.0.1:9/{BEAT}\"")),
    ] {
        assert!(good.contains(from.as_str()));
        fs::write(bench.config(), good.replace(from.as_str(), &to)).unwrap();
        let code = heard.run(&bench, &["once", "-vvvv"]).await;
        assert_eq!(
            code,
            2,
            "{to}: {:?}",
            heard.0.last().map(|(_, said)| String::from_utf8_lossy(said).into_owned())
        );
    }
    // others can read it
    fs::write(bench.config(), &good).unwrap();
    fs::set_permissions(bench.config(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(heard.run(&bench, &["once", "-vvvv"]).await, 2);
    heard.is_silent_on(&[SECRET, TOKEN, BEAT]);
}

/// A file of keys that is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_keys_that_cannot_be_understood_tells_no_secret() {
    let bench = Bench::new().await;
    bench.write("file", "a file");
    let keys = bench.dir.path().join("keys");
    configure(&bench, SECRET, "", "");
    let text = fs::read_to_string(bench.config()).unwrap();
    let text = text.replace(&format!("secret_access_key = {SECRET:?}"), "");
    let text = text.replace(&format!("access_key_id = {:?}", bench.server.access_key()), "");
    fs::write(bench.config(), text.replace("[s3]", &format!("[s3]\ncredentials_file = {keys:?}"))).unwrap();
    let mut heard = Heard::default();
    for file in [
        format!("[default]\naws_access_key_id = AKID\naws_secret_access_key {SECRET}\n"),
        format!("[default\naws_access_key_id = AKID\naws_secret_access_key = {SECRET}\n"),
        format!("[default]\naws_secret_access_key = {SECRET}\n"),
        format!("[default]\naws_access_key_id = AKID\naws_secret_access_key = {SECRET}\n"),
        format!("{SECRET}\n"),
    ] {
        fs::write(&keys, &file).unwrap();
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
        for words in [&["once", "-vvvv"][..], &["doctor", "-vvvv"]] {
            assert_ne!(heard.run(&bench, words).await, 0, "{file}");
        }
    }
    heard.is_silent_on(&[SECRET]);
}
