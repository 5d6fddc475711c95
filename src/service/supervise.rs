//! All mirrors in one process, each on a task of its own: what ends or breaks one never takes the others
//! down.

use super::{
    assembly::{self, Commons, Manner, Sides},
    drill,
    posts::Posts,
    progress,
    shutdown::Shutdown,
    systemd, telemetry,
};
use crate::{
    config::{Config, Mirror},
    engine::{self, Deed, End, Ending, Event, Input, Report, Sink},
    ledger::{Held, Ledger, OpenError},
    local::Notice,
    model::{Class, Fault},
    queue::delay,
};
use futures::{FutureExt, StreamExt, stream};
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument;

/// Requests of operators that wait for a mirror's engine.
const INBOX: usize = 16;
/// How often the service manager hears how it goes.
const BEAT: Duration = Duration::from_secs(2);
/// A watcher that gave no sign of life for so long is taken for dead; a healthy one gives one in 30 s.
const LIFELESS: Duration = Duration::from_secs(120);
/// What it is asked to wait, from each beat on, while we start or stop.
const MORE: Duration = Duration::from_secs(30);
/// What mirrors get to end after a stop, a little more than their engines take.
const LAST: Duration = Duration::from_secs(28);

/// A mirror's place in the daemon: what others may know of it, and ask of it.
pub struct Post {
    /// Its configuration.
    pub mirror: Mirror,
    /// What its engine tells.
    pub report: Report,
    /// What its drills came to.
    pub drilled: drill::Told,
    /// What does not let its engine run at all.
    outage: Mutex<Option<Fault>>,
    sides: Mutex<Option<Sides>>,
    inbox: mpsc::Sender<Input>,
    opened: Arc<AtomicBool>,
    armed: AtomicBool,
    commons: Commons,
}

/// How mirrors are looked after.
#[derive(Clone)]
pub struct Setting {
    /// Neither variable nor file of AWS is read.
    pub isolated: bool,
    /// Where the events of a mirror go.
    pub sink: fn(&Mirror) -> Sink,
}

impl Default for Setting {
    /// As a daemon: events become log lines.
    fn default() -> Self {
        Self { isolated: false, sink: |mirror| log(&mirror.name) }
    }
}

/// How a mirror's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// Another instance holds the mirror.
    Another,
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Post {
    fn new(mirror: &Mirror, commons: &Commons, setting: &Setting) -> (Arc<Self>, mpsc::Receiver<Input>) {
        let (inbox, told) = mpsc::channel(INBOX);
        let opened = Arc::new(AtomicBool::new(false));
        let (sink, open) = ((setting.sink)(mirror), opened.clone());
        let report = Report::new(Arc::new(move |at, event| {
            if *event == Event::Opened {
                open.store(true, Relaxed);
            }
            sink(at, event);
        }));
        let post = Self {
            mirror: mirror.clone(),
            report,
            drilled: drill::Told::default(),
            outage: Mutex::default(),
            sides: Mutex::default(),
            inbox,
            opened,
            armed: AtomicBool::new(false),
            commons: commons.clone(),
        };
        (Arc::new(post), told)
    }

    /// Disk, bucket and ledger, once they are open.
    pub fn sides(&self) -> Option<Sides> {
        lock(&self.sides).clone()
    }

    /// What does not work, of the mirror as a whole.
    pub fn trouble(&self) -> Option<Fault> {
        lock(&self.outage).clone().or_else(|| self.report.status().trouble)
    }

    /// Tells the engine; false if it does not listen.
    pub fn tell(&self, input: Input) -> bool {
        self.inbox.try_send(input).is_ok()
    }

    /// Its watcher lives, as far as that can be asked for.
    fn lives(&self) -> bool {
        lives(self.sides().and_then(|(tree, ..)| tree.pulse().silence()))
    }

    /// It works, or has told why not.
    fn is_up(&self) -> bool {
        (self.opened.load(Relaxed) && self.armed.load(Relaxed)) || self.trouble().is_some()
    }

    /// Opens what is not open, and runs the engine until the stop, again and again.
    async fn run(self: Arc<Self>, mut told: mpsc::Receiver<Input>, stop: CancellationToken) -> Ended {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let life = AssertUnwindSafe(self.life(&mut told, &stop)).catch_unwind().await;
            let fault = match life {
                Ok(Ok(ended)) => return ended,
                Ok(Err(fault)) => fault,
                Err(_) => {
                    Fault::new(Class::Transient, "mirror", "a bug: its task panicked; starting it again")
                }
            };
            tracing::error!("{fault}");
            *lock(&self.outage) = Some(fault);
            failures = if begun.elapsed() > Duration::from_secs(600) { 1 } else { failures + 1 };
            let pause = delay(failures, fastrand::f64());
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ended::Stopped;
            }
        }
    }

    async fn life(&self, told: &mut mpsc::Receiver<Input>, stop: &CancellationToken) -> Result<Ended, Fault> {
        let open = self.open();
        let Some(sides) = stop.run_until_cancelled(open).await.transpose()? else {
            return Ok(Ended::Stopped);
        };
        let known = sides.2.tally().await?.records;
        let log = progress::log_first(self.report.clone(), known).in_current_span();
        let _log = AbortOnDropHandle::new(tokio::spawn(log));
        let _drills = self.mirror.drill.map(|every| {
            let (sides, state) = (sides.clone(), self.commons.state_dir.join(&self.mirror.name));
            let drills = drill::regularly(sides, self.mirror.clone(), state, every, self.drilled.clone());
            AbortOnDropHandle::new(tokio::spawn(drills.in_current_span()))
        });
        let prune = assembly::prune(&self.mirror);
        let watch = assembly::watch(&sides.0, prune.clone()).inspect(|input| {
            if matches!(input, Input::Notice(Notice::Armed | Notice::Degraded(_))) {
                self.armed.store(true, Relaxed);
            }
        });
        let asked = stream::poll_fn(|cx| told.poll_recv(cx));
        let options = assembly::options(&self.mirror, Manner::default())?;
        *lock(&self.outage) = None;
        let input = stream::select(asked, watch);
        match engine::run(sides, options, prune, input, stop.clone(), self.report.clone()).await {
            End::Done => Ok(Ended::Stopped),
            End::Failed(fault) if fault.class == Class::Owned => {
                tracing::error!("{fault}; this mirror ends here");
                *lock(&self.outage) = Some(fault);
                Ok(Ended::Another)
            }
            End::Failed(fault) => Err(fault),
        }
    }

    /// The three sides; the ledger stays open for the process's life.
    async fn open(&self) -> Result<Sides, Fault> {
        if let Some(sides) = self.sides() {
            return Ok(sides);
        }
        let ledger = assembly::ledger(&self.commons.state_dir, &self.mirror, false).await.map_err(fault)?;
        let sides = assembly::sides(&self.commons, &self.mirror, ledger).await?;
        *lock(&self.sides) = Some(sides.clone());
        Ok(sides)
    }
}

fn fault(error: OpenError) -> Fault {
    match error {
        OpenError::Fault(fault) => fault,
        OpenError::Held(held) => held_elsewhere(&held),
    }
}

fn held_elsewhere(held: &Held) -> Fault {
    Fault::new(Class::Owned, "open the mirror", held).remedy("stop the other one")
}

/// A watcher that was silent for so long; `None`: it need not be heard.
fn lives(silence: Option<Duration>) -> bool {
    silence.is_none_or(|silence| silence < LIFELESS)
}

/// Events as log lines.
fn log(mirror: &str) -> Sink {
    let (mirror, last) = (mirror.to_owned(), Mutex::new(None::<Fault>));
    Arc::new(move |_, event| match event {
        Event::Action { key, deed, ending, why, bytes, .. } => match ending {
            Ending::Done | Ending::Planned => {
                tracing::info!(path = %key, bytes, why, "{}", format!("{deed:?}").to_lowercase());
            }
            Ending::Held if *deed == Deed::Delete => tracing::debug!(path = %key, "its delete is held"),
            Ending::Held => tracing::debug!(path = %key, "it is held, and its object stays as it was"),
            Ending::Busy => tracing::warn!(path = %key, "it keeps changing while it is read"),
            Ending::Failed(fault) => tracing::error!(path = %key, "{fault}"),
        },
        Event::Opened => {
            *lock(&last) = None;
            tracing::info!("root and prefix are open");
        }
        Event::Settled => tracing::info!("in sync"),
        Event::Held(why) => {
            tracing::error!(
                "deletes are held: {why}; look at them with: s3mirrord approve --mirror {mirror}"
            );
        }
        Event::Released => tracing::info!("deletes are held no longer"),
        Event::OverwritesHeld(why) => {
            tracing::error!(
                "changed files are held, and their objects stay as they were: {why}; look at them with: \
                 s3mirrord approve --mirror {mirror}"
            );
        }
        Event::OverwritesReleased => tracing::info!("no changed files are held any longer"),
        // told once, however often it is tried
        Event::Trouble(fault) if lock(&last).replace(fault.clone()).as_ref() == Some(fault) => {}
        Event::Trouble(fault) if fault.class <= Class::Throttled => {
            tracing::warn!("{fault}; trying again")
        }
        Event::Trouble(fault) => tracing::error!("{fault}; trying again"),
        Event::Degraded(fault) => tracing::warn!("{fault}"),
        Event::Restored => tracing::info!("changes are seen as they happen again"),
    })
}

/// The mirrors of a daemon.
pub struct Supervisor {
    posts: Posts,
    tasks: JoinSet<Ended>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Opens the ledgers and starts every mirror that can be. What cannot is tried again.
    ///
    /// # Errors
    /// Other processes hold all of the mirrors.
    pub async fn start(config: &Config, stop: &CancellationToken, setting: &Setting) -> Result<Self, Fault> {
        let commons = Commons::new(config);
        let commons = if setting.isolated { commons.isolated() } else { commons };
        let (posts, inboxes): (Vec<_>, Vec<_>) =
            config.mirrors.iter().map(|mirror| Post::new(mirror, &commons, setting)).unzip();
        let mut held = vec![];
        for post in &posts {
            if let Err(fault) = post.open().instrument(telemetry::about(&post.mirror.name)).await {
                held.extend(Some(fault).filter(|fault| fault.class == Class::Owned));
            }
        }
        if held.len() == posts.len()
            && let Some(fault) = held.pop()
        {
            return Err(fault);
        }
        let mut tasks = JoinSet::new();
        for (post, told) in posts.iter().zip(inboxes) {
            let life = post.clone().run(told, stop.clone());
            tasks.spawn(life.instrument(telemetry::about(&post.mirror.name)));
        }
        let (_, posts) = Posts::new(posts.into());
        Ok(Self { posts, tasks, stop: stop.clone() })
    }

    /// Its mirrors, for others who ask.
    pub fn posts(&self) -> Posts {
        self.posts.clone()
    }

    /// Looks after the mirrors until the stop, or until other instances hold all of them: then that.
    ///
    /// The service manager hears READY when each mirror is watched and its prefix could be read, or has
    /// told what is the matter: a mirror in trouble is tried again and does not keep the others down.
    pub async fn watch(mut self, shutdown: &mut Shutdown) -> Ended {
        let mut beat = tokio::time::interval(BEAT);
        let (mut ready, mut told) = (false, String::new());
        let (watched, mut lifeless) = (systemd::watches(), false);
        loop {
            tokio::select! { biased;
                () = self.stop.cancelled() => break,
                ended = self.tasks.join_next() => if ended.is_none() { return Ended::Another },
                Some(()) = shutdown.rescans.recv() => {
                    systemd::reloading();
                    tracing::info!("looking at everything");
                    for post in &*self.posts.all() {
                        post.tell(Input::Relist);
                    }
                    systemd::ready();
                }
                _ = beat.tick() => {
                    let posts = self.posts.all();
                    let dead = posts.iter().find(|post| !post.lives()).map(|post| &post.mirror.name);
                    if !std::mem::replace(&mut lifeless, dead.is_some()) && dead.is_some() {
                        tracing::error!(mirror = dead, "its watcher gives no sign of life; restart the daemon if it stays so");
                    }
                    if watched && dead.is_none() {
                        systemd::alive();
                    }
                    let line = self.line();
                    if line != told {
                        systemd::status(&line);
                        told = line;
                    }
                    if !ready && !posts.iter().all(|post| post.is_up()) {
                        systemd::extend_timeout(MORE);
                        beat.reset_after(Duration::from_millis(100));
                    } else if !ready {
                        ready = true;
                        tracing::info!(mirrors = posts.len(), "ready");
                        systemd::ready();
                    }
                }
            }
        }
        self.drain().await;
        Ended::Stopped
    }

    /// Waits until uploads in flight are finished and their proofs written.
    async fn drain(mut self) {
        systemd::stopping();
        let posts = self.posts.all();
        let hooks = posts.iter().map(|post| &post.mirror.hooks).filter(|hooks| !hooks.is_empty());
        // what comes after files are read is run in any case
        let deadline = Instant::now() + LAST + hooks.map(|hooks| hooks.timeout).max().unwrap_or_default();
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! { biased;
                ended = self.tasks.join_next() => if ended.is_none() { return },
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!("some uploads did not end in time; the next run takes them up");
                    return;
                }
                _ = beat.tick() => {
                    systemd::extend_timeout(MORE);
                    systemd::alive();
                }
            }
        }
    }

    /// One line on how it goes.
    fn line(&self) -> String {
        let posts = self.posts.all();
        let statuses: Vec<_> = posts.iter().map(|post| (post, post.report.status())).collect();
        let settled = statuses.iter().filter(|(_, status)| status.settled).count();
        let waiting: usize = statuses.iter().map(|(_, s)| s.pending + s.in_flight).sum();
        let failing: usize = statuses.iter().map(|(_, s)| s.failing.len()).sum();
        let mut line = format!("{settled} of {} in sync, {waiting} changes under way", posts.len());
        if failing > 0 {
            line += &format!(", {failing} files failing");
        }
        for (post, status) in &statuses {
            if let Some(fault) = post.trouble() {
                line += &format!("; {}: {fault}", post.mirror.name);
            } else if let Some(why) = &status.held {
                line += &format!("; {}: deletes are held: {why}", post.mirror.name);
            } else if let Some(why) = &status.overwrites_held {
                line += &format!("; {}: changed files are held: {why}", post.mirror.name);
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c14_the_service_manager_is_told_nothing_for_a_watcher_that_was_silent_for_long() {
        // from one answer of the canary to the next, and then new watches, at their slowest
        let slow = Duration::from_secs(30 + 5 + 10 + 5);
        for (silence, want) in [(None, true), (Some(slow), true), (Some(LIFELESS * 2), false)] {
            assert_eq!(lives(silence), want, "{silence:?}");
        }
    }
}
