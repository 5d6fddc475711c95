//! All mirrors in one process, each on a task of its own: what ends or breaks one never takes the others
//! down.

pub use super::post::{Ended, Post};

use super::{
    assembly::Commons,
    log,
    posts::Posts,
    reload::{Changes, Fate},
    shutdown::Shutdown,
    systemd, telemetry,
};
use crate::{
    config::{Config, Mirror, Problems},
    engine::{Input, Sink},
    model::{Class, Fault},
    store::Memory,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle, JoinSet},
    time::{Instant, Interval},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How often the service manager hears how it goes,
const BEAT: Duration = Duration::from_secs(2);
/// and how often it is looked whether there is something to tell while nothing happens.
const REST: Duration = Duration::from_secs(5);
/// How soon it hears that all are up.
const SOON: Duration = Duration::from_millis(100);
/// What it is asked to wait, from each beat on, while we start or stop.
const MORE: Duration = Duration::from_secs(30);

/// How mirrors are looked after.
#[derive(Clone)]
pub struct Setting {
    /// Neither variable nor file of AWS is read.
    pub isolated: bool,
    /// Where the events of a mirror go.
    pub sink: fn(&Mirror) -> Sink,
    /// What is read anew on SIGHUP; `None`: nothing is.
    pub file: Option<PathBuf>,
}

impl Default for Setting {
    /// As a daemon: events become log lines.
    fn default() -> Self {
        Self { isolated: false, sink: |mirror| log::of(&mirror.name), file: None }
    }
}

/// The mirrors of a daemon.
pub struct Supervisor {
    posts: Posts,
    /// To put others in their place.
    place: watch::Sender<Arc<[Arc<Post>]>>,
    tasks: JoinSet<Ended>,
    stop: CancellationToken,
    setting: Setting,
    /// What the mirrors are as.
    config: Config,
    commons: Commons,
    /// What was another mirror's by the configuration before, and may not be gone yet.
    leaving: Vec<Arc<Post>>,
    /// The configuration is being read anew.
    loading: Option<JoinHandle<Result<Config, Problems>>>,
    /// The service manager has heard that all are up,
    ready: bool,
    /// and was asked for more time then.
    asked: Option<Instant>,
}

impl Supervisor {
    /// Opens the ledgers and starts every mirror that can be. What cannot is tried again.
    ///
    /// # Errors
    /// Other processes hold all of the mirrors.
    pub async fn start(config: &Config, stop: &CancellationToken, setting: &Setting) -> Result<Self, Fault> {
        telemetry::heed(&config.mirrors);
        let commons = commons(config, setting);
        let begin = |mirror| Post::new(mirror, &commons, setting, stop);
        let (begun, inboxes): (Vec<_>, Vec<_>) = config.mirrors.iter().map(begin).unzip();
        let mut held = vec![];
        for post in &begun {
            if let Err(fault) = post.open().instrument(telemetry::about(&post.mirror.name)).await {
                held.extend(Some(fault).filter(|fault| fault.class == Class::Owned));
            }
        }
        if held.len() == begun.len()
            && let Some(fault) = held.pop()
        {
            return Err(fault);
        }
        let mut tasks = JoinSet::new();
        for (post, told) in begun.iter().zip(inboxes) {
            let life = post.clone().run(told, vec![]);
            tasks.spawn(life.instrument(telemetry::about(&post.mirror.name)));
        }
        let (place, posts) = Posts::new(begun.into());
        Ok(Self {
            posts,
            place,
            tasks,
            stop: stop.clone(),
            setting: setting.clone(),
            config: config.clone(),
            commons,
            leaving: vec![],
            loading: None,
            ready: false,
            asked: None,
        })
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
        let mut told = String::new();
        let (patience, mut lifeless) = (systemd::patience(), false);
        let rest = patience.map_or(REST, |patience| REST.min(patience / 3));
        loop {
            tokio::select! { biased;
                () = self.stop.cancelled() => break,
                ended = self.tasks.join_next() => if ended.is_none() { return Ended::Another },
                Some(()) = shutdown.reloads.recv(), if self.loading.is_none() => {
                    systemd::reloading();
                    self.ready = false;
                    self.load();
                    beat.reset_immediately();
                }
                loaded = loaded(&mut self.loading) => {
                    self.loading = None;
                    self.take(loaded);
                    beat.reset_immediately();
                }
                _ = beat.tick() => {
                    let posts = self.posts.all();
                    let dead = posts.iter().find(|post| !post.lives()).map(|post| &post.mirror.name);
                    if !std::mem::replace(&mut lifeless, dead.is_some()) && dead.is_some() {
                        tracing::error!(mirror = dead, "its watcher gives no sign of life; restart the daemon if it stays so");
                    }
                    if patience.is_some() && dead.is_none() {
                        systemd::alive();
                    }
                    let line = self.line();
                    match line == told {
                        true => beat.reset_after(rest),
                        false if systemd::status(&line) => told = line,
                        false => {}
                    }
                    self.announce(&posts, &mut beat);
                }
            }
        }
        self.drain().await;
        Ended::Stopped
    }

    /// Tells that all are up, once they are.
    fn announce(&mut self, posts: &[Arc<Post>], beat: &mut Interval) {
        if self.ready {
            return;
        }
        let up = self.loading.is_none() && posts.iter().all(|post| post.is_up());
        if up && systemd::ready() {
            self.ready = true;
            tracing::info!(mirrors = posts.len(), "ready");
            return;
        }
        if self.asked.is_none_or(|asked| asked.elapsed() >= BEAT) {
            self.asked = Some(Instant::now());
            systemd::extend_timeout(MORE);
        }
        beat.reset_after(SOON);
    }

    /// Begins to read the configuration anew. Its roots are looked at, too, and one may hang.
    fn load(&mut self) {
        let (file, same) = (self.setting.file.clone(), self.config.clone());
        let load = move || file.map_or(Ok(same), |file| Config::load(&file));
        self.loading = Some(tokio::task::spawn_blocking(load));
    }

    /// Takes what was read: all of it, or, if anything is wrong with it, nothing.
    fn take(&mut self, loaded: Result<Result<Config, Problems>, JoinError>) {
        let file = self.setting.file.clone();
        let taken = match loaded {
            Ok(Ok(config)) => match Changes::between(&self.config, &config) {
                Ok(changes) => {
                    self.adopt(config, &changes);
                    Ok(())
                }
                Err(problem) => Err(Problems { file, list: vec![problem] }.to_string()),
            },
            Ok(Err(problems)) => Err(problems.to_string()),
            // a bug, and no reason to end
            Err(error) => Err(error.to_string()),
        };
        self.posts.were_read_anew(taken.err().map(|problems| {
            problems.lines().for_each(|problem| tracing::error!("{problem}"));
            tracing::error!("the configuration was not loaded anew: all goes on as before");
            let first = problems.lines().next().unwrap_or_default();
            match problems.lines().count() {
                0 | 1 => first.to_owned(),
                n => format!("{n} problems, the first of them: {first}"),
            }
        }));
    }

    /// Ends what is in the configuration no longer, and begins what is new in it.
    fn adopt(&mut self, config: Config, changes: &Changes) {
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        telemetry::heed(&config.mirrors);
        tracing::info!("the configuration was loaded anew: {changes}; looking at everything");
        self.commons.bandwidth.heed(&config);
        if self.config.bandwidth != config.bandwidth {
            tracing::info!("all mirrors together keep to another bandwidth from now on");
        }
        if changes.shared {
            self.commons.memory = Memory::new(config.memory_limit);
        }
        let (old, mut now, mut begun) = (self.posts.all(), vec![], vec![]);
        let mut leaving: Vec<_> = changes.removed.iter().map(|n| old[*n].clone()).collect();
        for (mirror, fate) in config.mirrors.iter().zip(&changes.fates) {
            match *fate {
                Fate::Kept(n) if !old[n].is_over() => {
                    if self.config.mirrors[n].bandwidth != mirror.bandwidth {
                        tracing::info!(mirror = mirror.name, "it keeps to another bandwidth from now on");
                    }
                    old[n].tell(Input::Relist);
                    now.push(old[n].clone());
                    continue;
                }
                Fate::Kept(n) | Fate::Changed(n) => leaving.push(old[n].clone()),
                Fate::Added => {}
            }
            let (post, told) = Post::new(mirror, &self.commons, &self.setting, &self.stop);
            now.push(post.clone());
            begun.push((post, told));
        }
        for post in &leaving {
            let (leaver, name) = (post.clone(), &post.mirror.name);
            tokio::spawn(async move { leaver.leave().await }.instrument(telemetry::about(name)));
        }
        self.leaving.retain(|post| !post.is_gone());
        self.leaving.extend(leaving);
        for (post, told) in begun {
            let before = self.leaving.iter().filter(|other| other.meets(&post.mirror)).cloned().collect();
            let life = post.clone().run(told, before);
            self.tasks.spawn(life.instrument(telemetry::about(&post.mirror.name)));
        }
        self.place.send_replace(now.into());
        self.config = config;
    }

    /// Waits until uploads in flight are finished and their proofs written.
    async fn drain(mut self) {
        systemd::stopping();
        let posts = self.posts.all();
        let last = posts.iter().chain(&self.leaving).map(|post| post.last()).max().unwrap_or_default();
        let deadline = Instant::now() + last;
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
        if let Some(why) = self.posts.refused() {
            line += &format!("; the configuration was not loaded anew: {why}");
        }
        line
    }
}

/// What mirrors share.
fn commons(config: &Config, setting: &Setting) -> Commons {
    let commons = Commons::new(config);
    if setting.isolated { commons.isolated() } else { commons }
}

/// What was read anew; never ends if nothing is.
async fn loaded<T>(loading: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match loading {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}
