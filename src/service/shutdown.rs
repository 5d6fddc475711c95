//! Signals: the first SIGTERM or SIGINT asks everything to drain, the second ends the process; SIGHUP asks
//! for the configuration to be read anew, and a look at everything.

use std::{io, process};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that a second signal ended: work was left undone.
const UNDRAINED: i32 = 1;

/// What signals ask for.
#[derive(Debug)]
pub struct Shutdown {
    /// Cancelled by the first SIGTERM or SIGINT: begin nothing new, finish what is in flight, go.
    pub drain: CancellationToken,
    /// One message for any number of SIGHUPs since the last was taken: read the configuration again and
    /// look at everything. Ends only with the process.
    pub reloads: mpsc::Receiver<()>,
}

impl Shutdown {
    /// Takes over SIGTERM, SIGINT and SIGHUP of this process, for good. Must be called within a runtime.
    ///
    /// # Errors
    /// The operating system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = signal(SignalKind::hangup())?;
        let drain = CancellationToken::new();
        let (reload, reloads) = mpsc::channel(1);
        let asked = drain.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    name = stop(&mut terminate, &mut interrupt) => {
                        if asked.is_cancelled() {
                            tracing::warn!(signal = name, "stopping at once; the next run takes up what is undone");
                            process::exit(UNDRAINED);
                        }
                        tracing::info!(signal = name, "finishing what is in flight; once more to stop at once");
                        asked.cancel();
                    }
                    Some(()) = hangup.recv() => {
                        // Full: one is waiting already, and it will see what this one would.
                        let _ = reload.try_send(());
                    }
                }
            }
        });
        Ok(Self { drain, reloads })
    }
}

async fn stop(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Signal as Kind, kill_process};
    use std::{
        env,
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
        time::{Duration, Instant},
    };

    const CHILD: &str = "S3MIRRORD_TEST_LISTENS";

    /// Says what it is asked for, one line each; never ends by itself.
    #[tokio::main(flavor = "current_thread")]
    async fn listen() {
        let mut shutdown = Shutdown::listen().expect("handlers");
        println!("\nlistening");
        let drain = shutdown.drain.clone();
        tokio::spawn(async move {
            while shutdown.reloads.recv().await.is_some() {
                println!("\nreload");
            }
        });
        drain.cancelled().await;
        println!("\ndrain");
        std::future::pending::<()>().await;
    }

    fn send(child: &Child, kind: Kind) {
        kill_process(Pid::from_child(child), kind).expect("sent");
    }

    /// Signals reach a whole process, so this test runs itself in one of its own.
    #[test]
    fn c67_the_first_signal_drains_and_the_second_ends() {
        if env::var_os(CHILD).is_some() {
            return listen();
        }
        for (first, second) in [(Kind::TERM, Kind::TERM), (Kind::INT, Kind::TERM), (Kind::TERM, Kind::INT)] {
            let mut child = Command::new(env::current_exe().expect("this test"))
                .args(["--exact", "--nocapture"])
                .arg("service::shutdown::tests::c67_the_first_signal_drains_and_the_second_ends")
                .env(CHILD, "1")
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("ran");
            let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let mut wait_for = |what: &str| {
                assert!(lines.any(|line| line.is_ok_and(|line| line == what)), "it ended before `{what}`");
            };
            wait_for("listening");
            send(&child, Kind::HUP);
            wait_for("reload");
            send(&child, Kind::HUP);
            wait_for("reload");
            send(&child, first);
            wait_for("drain");
            assert_eq!(child.try_wait().expect("asked"), None, "it drains for as long as it takes");
            send(&child, second);
            let deadline = Instant::now() + Duration::from_secs(20);
            let status = loop {
                if let Some(status) = child.try_wait().expect("asked") {
                    break status;
                }
                assert!(Instant::now() < deadline, "the second signal did not end it");
                std::thread::sleep(Duration::from_millis(5));
            };
            assert_eq!(status.code(), Some(UNDRAINED));
        }
    }
}
