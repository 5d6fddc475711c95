//! Commands of the operator's, run before a mirror's files are read and after: to freeze what writes them, to take a
//! snapshot, to dump a database.
//!
//! A command gets no shell and no input; what it says goes where our own log goes. It leads a process group, which is
//! ended as a whole when its time is over, or when nobody waits for it any more.

use crate::{
    config::{self, Mirror},
    engine::Hooks,
    model::{Class, Fault},
};
use futures::{FutureExt, future::BoxFuture};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    os::fd::AsFd,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How long a group that was asked to end has until it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// The commands of one mirror.
#[derive(Clone, Debug)]
pub struct Hook {
    mirror: String,
    root: PathBuf,
    commands: config::Hooks,
}

impl Hooks for Hook {
    fn before(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.run("before_read", &self.commands.before).boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.run("after_read", &self.commands.after).boxed()
    }
}

impl Hook {
    /// Those of this mirror.
    pub fn of(mirror: &Mirror) -> Self {
        Self { mirror: mirror.name.clone(), root: mirror.root.clone(), commands: mirror.hooks.clone() }
    }

    async fn run(&self, name: &str, words: &[String]) -> Result<(), Fault> {
        let Some((program, rest)) = words.split_first() else { return Ok(()) };
        let fault = |cause: &dyn std::fmt::Display| {
            Fault::new(Class::Permanent, format!("run {name} of {}, {program:?}", self.mirror), cause)
        };
        let begun = Instant::now();
        let mut command = Command::new(program);
        command.args(rest).env("S3MIRRORD_MIRROR", &self.mirror).env("S3MIRRORD_ROOT", &self.root);
        // stdout is for what we say
        let words_to = io::stderr().as_fd().try_clone_to_owned().map_err(|error| fault(&error))?;
        command.stdin(Stdio::null()).stdout(words_to).process_group(0);
        let child = command.spawn().map_err(|error| {
            fault(&error)
                .remedy(format!("write the path of a program that can be run: {name} = [\"/path\", …]"))
        })?;
        let mut group = Group::of(child);
        let longest = self.commands.timeout;
        match timeout(longest, group.child.wait()).await {
            Ok(ended) => {
                group.id = None;
                let status = ended.map_err(|error| fault(&error))?;
                tracing::debug!(%status, took = ?begun.elapsed(), "{name}");
                match status.success() {
                    true => Ok(()),
                    false => Err(fault(&format!("it failed, {status}"))),
                }
            }
            Err(_) => {
                group.end().await;
                let cause =
                    format!("it took longer than {}, and was ended", humantime::format_duration(longest));
                Err(fault(&cause).remedy("give it more time with hook_timeout"))
            }
        }
    }
}

/// A command that runs, with all that it has begun.
struct Group {
    child: Child,
    /// Until it was waited for, nobody else has this id.
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { child, id }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // it may have ended just now
            let _ = kill_process_group(id, signal);
        }
    }

    async fn end(&mut self) {
        self.signal(Signal::TERM);
        let ended = timeout(GRACE, self.child.wait()).await;
        // also those that its leader has left behind
        self.signal(Signal::KILL);
        if ended.is_err() {
            let _ = self.child.wait().await;
        }
        self.id = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
