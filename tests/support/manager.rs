//! A service manager that only listens: what the daemon tells it, and when.

use super::bench::PATIENCE;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{net::UnixDatagram, process::Command};

pub struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
    begun: Instant,
    /// All messages so far, and when each came.
    pub heard: Vec<(Duration, String)>,
}

impl Manager {
    /// It listens at a socket in there.
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { path, socket, begun: Instant::now(), heard: vec![] }
    }

    /// Has the command tell it how it goes, and feed its watchdog.
    pub fn employ(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "300000000");
    }

    /// Waits for a message that holds this, and gives it; those before it are kept, too.
    pub async fn hear(&mut self, what: &str) -> String {
        let begun = Instant::now();
        loop {
            let mut bytes = [0; 8192];
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let Ok(n) = tokio::time::timeout(left, self.socket.recv(&mut bytes)).await else {
                panic!("never heard: {what}\n{:#?}", self.heard)
            };
            let told = String::from_utf8_lossy(&bytes[..n.unwrap()]).into_owned();
            self.heard.push((self.begun.elapsed(), told.clone()));
            if told.contains(what) {
                return told;
            }
        }
    }

    /// Listens until for so long nothing came that holds this; how long that took in all.
    pub async fn hear_no_more(&mut self, what: &str, silence: Duration) -> Duration {
        let begun = Instant::now();
        let mut last = begun;
        while last.elapsed() < silence {
            assert!(begun.elapsed() < PATIENCE, "still heard: {what}\n{:#?}", self.heard);
            let mut bytes = [0; 8192];
            let left = silence.saturating_sub(last.elapsed());
            let Ok(n) = tokio::time::timeout(left, self.socket.recv(&mut bytes)).await else { break };
            let told = String::from_utf8_lossy(&bytes[..n.unwrap()]).into_owned();
            if told.contains(what) {
                last = Instant::now();
            }
            self.heard.push((self.begun.elapsed(), told));
        }
        begun.elapsed()
    }

    /// Waits for the end of `process`, and listens to all that it told until then.
    pub async fn hear_out(&mut self, process: &mut tokio::process::Child) -> std::process::ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, process.wait()).await.expect("it ends in time").unwrap();
        let mut bytes = [0; 8192];
        // what it told is in the socket by now
        while let Ok(n) = self.socket.try_recv(&mut bytes) {
            let told = String::from_utf8_lossy(&bytes[..n]).into_owned();
            self.heard.push((self.begun.elapsed(), told));
        }
        ended
    }

    /// What came from the nth message on, in order.
    pub fn since(&self, n: usize) -> Vec<&str> {
        self.heard[n..].iter().map(|(_, told)| told.as_str()).collect()
    }
}
