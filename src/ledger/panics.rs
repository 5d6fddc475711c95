//! Panics of the database, over bytes it did not expect: they are damage, and are told as such.
//!
//! So they are not also told by the panic hook, with a backtrace that helps no operator. Every other panic is.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// What panics on this thread is caught by [`caught`].
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; what its panic said, if it panics.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // at the end of a thread nothing is caught any more
            if !CAUGHT.try_with(Cell::get).unwrap_or(false) {
                told(info);
            }
        }));
    });
    let before = CAUGHT.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    done.map_err(|panic| text(&*panic))
}

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        process::Command,
        sync::atomic::{AtomicU32, Ordering},
    };

    #[test]
    fn what_is_caught_says_what_it_was() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("page {}", 3)), Err::<(), _>("page 3".to_owned()));
        assert_eq!(caught(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
    }

    /// Not a test of its own: what the child does.
    #[test]
    fn child_that_panics_in_three_ways() {
        static ROUNDS: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("S3MIRRORD_TEST_PANICS").is_none() || ROUNDS.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let _: Result<(), String> = caught(|| panic!("of the database"));
        let elsewhere = caught(|| std::thread::spawn(|| panic!("of another thread")).join());
        assert!(elsewhere.is_ok_and(|joined| joined.is_err()));
        panic!("of the program");
    }

    #[test]
    fn only_panics_that_are_caught_are_silent() {
        let child = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "ledger::panics::tests::child_that_panics_in_three_ways", "--nocapture"])
            .env("S3MIRRORD_TEST_PANICS", "1")
            .output()
            .expect("spawned");
        let told = String::from_utf8_lossy(&child.stderr);
        assert!(!child.status.success() && !told.contains("of the database"), "{told}");
        assert!(told.contains("of another thread") && told.contains("of the program"), "{told}");
    }
}
