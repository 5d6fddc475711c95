//! Chromium without a window, asked by its debugging protocol over two pipes.

use super::{bench::PATIENCE, skip};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::unix::pipe,
    process::{Child, Command},
    time::timeout,
};

/// What it is called.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser with one page.
pub struct Browser {
    to: pipe::Sender,
    from: BufReader<pipe::Receiver>,
    asked: u64,
    session: Option<String>,
    /// What the page's console, its errors and its policy said.
    pub complaints: Vec<String>,
    _child: Child,
    _dir: tempfile::TempDir,
}

impl Browser {
    /// `None`, and it is told, where there is none.
    pub async fn open() -> Option<Self> {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&dirs).flat_map(|dir| NAMES.map(|name| dir.join(name)));
        let Some(program) = found.find(|file| file.is_file()) else {
            skip("Chromium is not here (apt-get install chromium)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|name| {
            let path = dir.path().join(name);
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            path
        });
        // open before it is: each end waits for the other
        let receiver = pipe::OpenOptions::new().open_receiver(&from).unwrap();
        let sender = pipe::OpenOptions::new().read_write(true).open_sender(&to).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\""]).arg(program);
        command.args(["--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run"]);
        command.args([
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            "--hide-scrollbars",
            "--disable-lcd-text",
        ]);
        command.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
        command.env("TO", &to).env("FROM", &from).env("HOME", dir.path()).env("TZ", "UTC");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let from = BufReader::new(receiver);
        let (asked, session, complaints) = (0, None, vec![]);
        let mut browser = Self { to: sender, from, asked, session, complaints, _child: child, _dir: dir };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"})).await;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.ask("Target.attachToTarget", target).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    /// Asks, and waits for the answer; what is told meanwhile is kept if it is a complaint.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut asked = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            asked["sessionId"] = session.as_str().into();
        }
        let mut line = serde_json::to_vec(&asked).unwrap();
        line.push(0);
        self.to.write_all(&line).await.unwrap();
        loop {
            let mut told = vec![];
            let read = timeout(PATIENCE, self.from.read_until(0, &mut told));
            assert!(read.await.expect("it answers").unwrap() > 0, "it has ended");
            let told: Value = serde_json::from_slice(told.strip_suffix(&[0]).unwrap()).unwrap();
            if told["id"] == self.asked {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
            let about = told["method"].as_str().unwrap_or_default();
            if ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"].contains(&about) {
                self.complaints.push(told["params"].to_string());
            }
        }
    }

    /// Goes there, and waits until it is there.
    pub async fn go(&mut self, url: &str) {
        let went = self.ask("Page.navigate", json!({"url": url})).await;
        assert!(went["errorText"].is_null(), "{went}");
        self.until("there", "document.readyState === 'complete' && location.href !== 'about:blank'").await;
    }

    /// What this comes to within the page.
    pub async fn run(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let told = self.ask("Runtime.evaluate", asked).await;
        assert!(told["exceptionDetails"].is_null(), "{script}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until this is true within the page.
    pub async fn until(&mut self, what: &str, script: &str) {
        let begun = Instant::now();
        while self.run(script).await != true {
            let page = self.run("document.documentElement.outerHTML").await;
            assert!(begun.elapsed() < PATIENCE, "{what}: {script}\n{page}\n{:#?}", self.complaints);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A window of this size; for whoever likes it dark.
    pub async fn look(&mut self, width: u32, height: u32, dark: bool) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.ask("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", features).await;
    }

    /// What the window shows, as PNG.
    pub async fn picture(&mut self) -> Vec<u8> {
        let told =
            self.ask("Page.captureScreenshot", json!({"format": "png", "optimizeForSpeed": false})).await;
        BASE64_STANDARD.decode(told["data"].as_str().unwrap()).unwrap()
    }
}
