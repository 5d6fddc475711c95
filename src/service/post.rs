//! One mirror's place in the daemon: a task of its own, which opens it and runs its engine again and again, and what
//! others may know of it and ask of it.

use super::{
    assembly::{self, Commons, Manner, Sides},
    drill,
    heartbeat::{self, Signs},
    progress::{self, Gauge},
    recent::Recent,
    supervise::Setting,
};
use crate::{
    config::Mirror,
    engine::{self, End, Event, Input, Report},
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
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument;

/// Requests of operators that wait for a mirror's engine.
const INBOX: usize = 16;
/// A watcher that gave no sign of life for so long is taken for dead; a healthy one gives one in 30 s.
const LIFELESS: Duration = Duration::from_secs(120);
/// What it gets to end after a stop, a little more than its engine takes.
const LAST: Duration = Duration::from_secs(28);
/// How long it is no trouble that what was in its place has not ended yet.
const HANDOVER: Duration = Duration::from_secs(5);

/// A mirror's place in the daemon: what others may know of it, and ask of it.
pub struct Post {
    /// Its configuration.
    pub mirror: Mirror,
    /// What its engine tells.
    pub report: Report,
    /// What its drills came to.
    pub drilled: drill::Told,
    /// What was done last.
    pub recent: Arc<Recent>,
    /// How fast it sends, for those who ask.
    gauge: Mutex<Gauge>,
    begun: Instant,
    /// What does not let its engine run at all.
    outage: Mutex<Option<Fault>>,
    sides: Mutex<Option<Sides>>,
    inbox: mpsc::Sender<Input>,
    opened: Arc<AtomicBool>,
    armed: AtomicBool,
    commons: Commons,
    /// Finish what is in flight, and end.
    stop: CancellationToken,
    /// End as it is.
    cut: CancellationToken,
    /// Its task has ended.
    over: CancellationToken,
    /// So has all that it had open.
    gone: CancellationToken,
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
    /// A mirror that ends with `stop`, and what it is to be told by: for [`Post::run`].
    pub(super) fn new(
        mirror: &Mirror,
        commons: &Commons,
        setting: &Setting,
        stop: &CancellationToken,
    ) -> (Arc<Self>, mpsc::Receiver<Input>) {
        let (inbox, told) = mpsc::channel(INBOX);
        let opened = Arc::new(AtomicBool::new(false));
        let (sink, open) = ((setting.sink)(mirror), opened.clone());
        let recent = Arc::new(Recent::default());
        let done = recent.clone();
        let report = Report::new(Arc::new(move |at, event| {
            if *event == Event::Opened {
                open.store(true, Relaxed);
            }
            done.note(event);
            sink(at, event);
        }));
        let post = Self {
            mirror: mirror.clone(),
            report,
            drilled: drill::Told::default(),
            recent,
            gauge: Mutex::new(Gauge::new(0)),
            begun: Instant::now(),
            outage: Mutex::default(),
            sides: Mutex::default(),
            inbox,
            opened,
            armed: AtomicBool::new(false),
            commons: commons.clone(),
            stop: stop.child_token(),
            cut: CancellationToken::new(),
            over: CancellationToken::new(),
            gone: CancellationToken::new(),
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

    /// Bytes that it sends in a second, by what was seen when it was asked before; `None`: none, or nobody has looked.
    pub fn rate(&self) -> Option<u64> {
        lock(&self.gauge).read(self.begun.elapsed(), self.report.progress()).rate()
    }

    /// Tells the engine; false if it does not listen.
    pub fn tell(&self, input: Input) -> bool {
        self.inbox.try_send(input).is_ok()
    }

    /// Its watcher lives, as far as that can be asked for.
    pub(super) fn lives(&self) -> bool {
        lives(lock(&self.sides).as_ref().and_then(|(tree, ..)| tree.pulse().silence()))
    }

    /// It works, or has told why not.
    pub(super) fn is_up(&self) -> bool {
        (self.opened.load(Relaxed) && self.armed.load(Relaxed)) || self.trouble().is_some()
    }

    /// Whether it is well, by all that is known of it.
    pub(super) fn signs(&self) -> Signs {
        let status = self.report.status();
        Signs {
            up: self.is_up() && !self.is_over(),
            lives: self.lives(),
            trouble: self.trouble().is_some(),
            held: status.held.is_some() || status.overwrites_held.is_some(),
            unsynced: status.unsynced,
        }
    }

    /// How long it may take from its stop until it has ended.
    pub(super) fn last(&self) -> Duration {
        let hooks = &self.mirror.hooks;
        // what comes after files are read is run in any case
        LAST + if hooks.is_empty() { Duration::ZERO } else { hooks.timeout }
    }

    /// True if what it has, or had, could be what `mirror` is to have: its ledger, or objects.
    pub(super) fn meets(&self, mirror: &Mirror) -> bool {
        let places = |of: &Mirror| {
            let trash = of.trash.iter().map(|trash| trash.prefix.clone());
            std::iter::once(of.prefix.clone()).chain(trash).collect::<Vec<_>>()
        };
        let (ours, theirs) = (places(&self.mirror), places(mirror));
        let overlap = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        self.mirror.name == mirror.name
            || self.mirror.bucket == mirror.bucket
                && ours.iter().any(|a| theirs.iter().any(|b| overlap(a, b)))
    }

    /// True if its task has ended, whyever.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// True if nothing of it is left.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Mirrors until the stop, once nothing is left of those that were in its place `before`.
    pub(super) async fn run(self: Arc<Self>, told: mpsc::Receiver<Input>, before: Vec<Arc<Self>>) -> Ended {
        let _over = self.over.clone().drop_guard();
        let _beats = self.mirror.heartbeat.clone().map(|heartbeat| {
            let beats = heartbeat::beat(self.clone(), heartbeat);
            AbortOnDropHandle::new(tokio::spawn(beats.in_current_span()))
        });
        let life = async {
            match self.stop.run_until_cancelled(self.follow(before)).await {
                Some(()) => self.lives_on(told).await,
                None => Ended::Stopped,
            }
        };
        self.cut.run_until_cancelled(life).await.unwrap_or(Ended::Stopped)
    }

    /// Waits until nothing is left of these.
    async fn follow(&self, before: Vec<Arc<Self>>) {
        let gone = async {
            for other in &before {
                other.gone.cancelled().await;
            }
        };
        tokio::pin!(gone);
        if tokio::time::timeout(HANDOVER, &mut gone).await.is_ok() {
            return;
        }
        let cause = "what was in its place before the configuration was loaded anew is still ending";
        let fault = Fault::new(Class::Transient, "open the mirror", cause);
        tracing::warn!("{fault}");
        *lock(&self.outage) = Some(fault);
        gone.await;
        *lock(&self.outage) = None;
    }

    /// Has it end as a stop does, within the time that a stop has, and gives back what it has open.
    pub(super) async fn leave(&self) {
        let _gone = self.gone.clone().drop_guard();
        self.stop.cancel();
        if tokio::time::timeout(self.last(), self.over.cancelled()).await.is_err() {
            tracing::warn!("some uploads did not end in time; they are taken up when it is mirrored again");
            self.cut.cancel();
            self.over.cancelled().await;
        }
        let closed = lock(&self.sides).take().map(|(_, _, ledger)| ledger.closed());
        if let Some(closed) = closed {
            closed.cancelled().await;
        }
        tracing::info!("ended: it is not in the configuration any more, or otherwise");
    }

    /// Opens what is not open, and runs the engine until the stop, again and again.
    async fn lives_on(&self, mut told: mpsc::Receiver<Input>) -> Ended {
        let (mut failures, stop) = (0, &self.stop);
        loop {
            let begun = Instant::now();
            let life = AssertUnwindSafe(self.life(&mut told, stop)).catch_unwind().await;
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
    pub(super) async fn open(&self) -> Result<Sides, Fault> {
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
