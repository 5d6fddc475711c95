//! What the service manager is told. Everything is a no-op where there is none (`$NOTIFY_SOCKET` unset),
//! and a manager that does not listen is no reason to stop mirroring.

use sd_notify::NotifyState;
use std::{borrow::Cow, time::Duration};

/// Everything is armed: the daemon does its work.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A SIGHUP is being acted on; [`ready`] must follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the monotonic clock cannot be read"),
    }
}

/// Uploads in flight are being finished.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// True if it wants to hear [`alive`] now and then, or else ends the process.
pub fn watches() -> bool {
    sd_notify::watchdog_enabled().is_some()
}

/// All is well.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// One line for `systemctl status`. Control characters are replaced: a line break would begin a message of
/// its own.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(&one_line(text))]);
}

/// Asks for `more` time from now on to start or to stop; at most 71 minutes of it are heard.
pub fn extend_timeout(more: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(more.as_micros()).unwrap_or(u32::MAX))]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        return Cow::Owned(text.replace(char::is_control, " "));
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, os::unix::net::UnixDatagram, process::Command};

    const CHILD: &str = "S3MIRRORD_TEST_NOTIFIES";

    fn speak() {
        ready();
        reloading();
        status("1 file\nREADY=0\x1b");
        extend_timeout(Duration::from_millis(1500));
        extend_timeout(Duration::from_secs(9999));
        alive();
        stopping();
    }

    /// The environment cannot be changed in a process with threads, so this test runs itself in one of its own.
    #[test]
    fn the_manager_hears_each_message() {
        if env::var_os(CHILD).is_some() {
            return speak();
        }
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let output = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "service::systemd::tests::the_manager_hears_each_message"])
            .env(CHILD, "1")
            .env("NOTIFY_SOCKET", &path)
            .output()
            .expect("ran");
        assert!(output.status.success(), "{output:?}");
        let hear = || {
            let mut bytes = [0; 256];
            let n = socket.recv(&mut bytes).expect("a message in time");
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        };
        assert_eq!(hear(), "READY=1\n");
        let reload = hear();
        assert!(reload.starts_with("RELOADING=1\nMONOTONIC_USEC=") && reload.len() > 30, "{reload}");
        assert_eq!(hear(), "STATUS=1 file READY=0 \n");
        assert_eq!(hear(), "EXTEND_TIMEOUT_USEC=1500000\n");
        assert_eq!(hear(), "EXTEND_TIMEOUT_USEC=4294967295\n");
        assert_eq!(hear(), "WATCHDOG=1\n");
        assert_eq!(hear(), "STOPPING=1\n");
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        assert_eq!(env::var_os("NOTIFY_SOCKET"), None, "tests do not run as a service");
        speak();
    }
}
