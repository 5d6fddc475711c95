//! What the service manager is told. Everything is a no-op where there is none (`$NOTIFY_SOCKET` unset).
//!
//! It is never waited for: one that does not listen any more is no reason to stop mirroring. What it has no room for
//! is not told, and what has to be is told again.

use sd_notify::NotifyState;
use std::{
    borrow::Cow,
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// Everything is armed: the daemon does its work. False if it is to be told again.
pub fn ready() -> bool {
    tell(&[NotifyState::Ready])
}

/// A SIGHUP is being acted on; [`ready`] must follow. False if it is to be told again.
pub fn reloading() -> bool {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::debug!(%error, "the monotonic clock cannot be read");
            true
        }
    }
}

/// Uploads in flight are being finished.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How long it goes without hearing [`alive`] before it ends the process; `None`: as long as it likes.
pub fn patience() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
}

/// All is well.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// One line for `systemctl status`. Control characters are replaced: a line break would begin a message of
/// its own. False if it is to be told again.
pub fn status(text: &str) -> bool {
    tell(&[NotifyState::Status(&one_line(text))])
}

/// Asks for `more` time from now on to start or to stop; at most 71 minutes of it are heard.
pub fn extend_timeout(more: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(more.as_micros()).unwrap_or(u32::MAX))]);
}

/// False if it should have heard it, and has no room for it now.
fn tell(states: &[NotifyState<'_>]) -> bool {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return true };
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    let sent = send(&socket, message.as_bytes());
    if let Err(error) = &sent {
        tracing::debug!(%error, "the service manager does not listen");
    }
    !sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// The name of a socket is a path, or, after `@`, an abstract one.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to_addr(message, &address).map(drop)
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
    use std::process::Command;

    const CHILD: &str = "S3MIRRORD_TEST_NOTIFIES";

    fn speak() {
        assert!(ready() && reloading() && status("1 file\nREADY=0\x1b"));
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
    fn one_that_does_not_listen_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        let sent = (0..100_000).map(|_| send(path.as_os_str(), b"WATCHDOG=1\n"));
        let full = sent.filter_map(Result::err).next().expect("it holds only so many");
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(socket);
        assert!(send(path.as_os_str(), b"READY=1\n").is_err());

        let name = format!("s3mirrord-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("bound");
        send(OsStr::new(&format!("@{name}")), b"READY=1\n").expect("sent");
        let mut bytes = [0; 16];
        let n = socket.recv(&mut bytes).expect("heard");
        assert_eq!(&bytes[..n], b"READY=1\n");
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        assert_eq!(env::var_os("NOTIFY_SOCKET"), None, "tests do not run as a service");
        speak();
    }
}
