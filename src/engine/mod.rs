//! L3, the engine: keeps one prefix equal to one directory.
//!
//! A life is a row of *sessions*. A session begins by proving the root and the prefix, compares
//! everything once, and then follows notices; it ends when it is told to stop or when something of the
//! mirror as a whole fails, and then another begins after a pause. All state of a session is owned by
//! one task ([`session`]); workers get a job and return an outcome.

mod bracket;
mod commit;
mod context;
mod delete;
mod docket;
mod hold;
mod honours;
mod judge;
mod lag;
mod live;
mod nested;
mod overwrite;
mod owner;
mod report;
mod scrub;
mod session;
mod settle;
mod survey;
mod sweep;
mod timetable;
mod trash;
mod unreadable;
mod watch;
mod worker;

pub use bracket::Hooks;
pub use live::{Progress, Stored};
pub use owner::{Owner, look as owner};
pub use report::{Coverage, Deed, Ending, Event, Report, Sink, Status, Sums};
pub use scrub::Scrub;
pub use survey::kin_of as kin;
pub use trash::Trash;
pub use unreadable::Unreadable;

use crate::{
    ledger::Ledger,
    local::{Notice, Prune, Tree},
    model::{Class, Fault, Keep, MirrorId, Stamp},
    plan::Limits,
    queue::{Mono, Unsynced, delay},
    store::Store,
};
use futures::{Stream, StreamExt, stream::Fuse};
use lag::Lag;
use session::{Failed, Life};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// What the engine is told from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// From the watcher.
    Notice(Notice),
    /// Compare everything with the bucket now.
    Relist,
    /// An operator released condemned rows.
    Approved,
    /// An operator accepted another root: prove it and begin anew.
    Reopen,
}

/// Everything that shapes an engine's life. Clock, jitter and random bits are given, so that a seed
/// replays all of it.
#[derive(Clone)]
pub struct Options {
    /// The mirror's prefix, empty or ending in `/`.
    pub prefix: String,
    /// A change is dealt with when nothing more changed there for this long,
    pub quiet: Duration,
    /// and at the latest after this long.
    pub longest: Duration,
    /// Time between the two absences of a delete.
    pub grace: Duration,
    /// Time between comparisons of disk and ledger.
    pub rescan: Duration,
    /// Time between comparisons with the bucket.
    pub relist: Duration,
    /// Directories are mirrored.
    pub directories: bool,
    /// FIFOs and devices are mirrored.
    pub nodes: bool,
    /// What is kept of files beside bytes, time, mode and owner.
    pub keep: Keep,
    /// Objects whose file is gone are deleted.
    pub deletes: bool,
    /// Every object is proven again, again and again; `None`: it is not.
    pub scrub: Option<Scrub>,
    /// They, and objects that are replaced, are copied there before; `None`: they are not.
    pub trash: Option<Trash>,
    /// How many; `None`: any number.
    pub limits: Option<Limits>,
    /// How many objects may be replaced; `None`: any number.
    pub overwrites: Option<Limits>,
    /// One pass, then end.
    pub once: bool,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Take foreign objects for ours.
    pub adopt: bool,
    /// Take the prefix over from another host.
    pub take_over: bool,
    /// Keys that are dealt with at the same time, those included whose proof is not durable yet.
    pub room: usize,
    /// Jobs that run at the same time.
    pub workers: usize,
    /// Pages of a listing that are asked for at the same time, 1 at least.
    pub listers: usize,
    /// Rows of the ledger that are read together, and keys of a page of a listing.
    pub page: usize,
    /// This host, for the owner record,
    pub host: String,
    /// and this process.
    pub pid: u32,
    /// The id of the mirror if it has none yet.
    pub fresh_id: MirrorId,
    /// Seeds the jitter.
    pub seed: u64,
    /// How long in-flight jobs may take to end after a stop.
    pub drain: Duration,
    /// What the daemon has run before files are read, and after. A pass is all within.
    pub hooks: Option<Arc<dyn Hooks>>,
    /// The wall clock.
    pub wall: Arc<dyn Fn() -> Stamp + Send + Sync>,
}

/// A session that lasted this long is not a link in a chain of failures.
const LONG: Duration = Duration::from_secs(600);
/// Attempts that a pass of `once` gives a file or a listing.
const ROUNDS: u32 = 3;

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was told to stop, or a pass is over.
    Done,
    /// Something of the mirror as a whole failed, and `once` gave up; or another instance took over.
    Failed(Fault),
}

/// Mirrors until `stop`, or for one pass.
pub async fn run<T: Tree, S: Store, L: Ledger>(
    sides: (T, S, L),
    options: Options,
    prune: Prune,
    input: impl Stream<Item = Input> + Send,
    stop: CancellationToken,
    report: Report,
) -> End {
    let start = Instant::now();
    let mut input = Box::pin(input.fuse());
    let mut jitter = fastrand::Rng::with_seed(options.seed);
    let (mut failures, mut watch) = (0, Watch::default());
    let mut unsynced = Unsynced::default();
    let mut lag = Lag::inherited(&sides.2, start, (options.wall)(), &report).await;
    loop {
        let life = Life {
            stop: &stop,
            report: &report,
            start,
            jitter: &mut jitter,
            watch: &mut watch,
            lag: &mut lag,
            unsynced: &mut unsynced,
        };
        let begun = Instant::now();
        let session = session::run(&sides, &options, &prune, input.as_mut(), life).await;
        lag.ends(start.elapsed(), &report);
        let Err(Failed { fault, worked, progressed }) = session else { return End::Done };
        // one that only finds again what cannot be done must not be followed by the next at once; and a pass
        // gives up after some, however far each came
        let anew = !options.once && (progressed || begun.elapsed() >= LONG);
        failures = if anew { 1 } else { failures + 1 };
        report.tell(start.elapsed(), &Event::Trouble(fault.clone()));
        let passing = matches!(fault.class, Class::Transient | Class::Throttled) && failures < ROUNDS;
        if stop.is_cancelled() {
            return End::Done;
        }
        if (options.once && !passing) || (fault.class == Class::Owned && worked) {
            return End::Failed(fault);
        }
        let pause: Mono = delay(failures, jitter.f64());
        let rest = rest(pause, input.as_mut(), &mut watch, |event| report.tell(start.elapsed(), &event));
        if stop.run_until_cancelled(rest).await.is_none() {
            return End::Done;
        }
    }
}

/// The pause between two sessions. Ends early, but not within a second, when the watcher tells that the root
/// changed as a whole (it may be back), or an operator asks. What else is told meanwhile is forgotten: a
/// session begins with a look at everything.
async fn rest(
    pause: Mono,
    mut input: Pin<&mut Fuse<impl Stream<Item = Input> + Send>>,
    watch: &mut Watch,
    tell: impl Fn(Event),
) {
    let begun = Instant::now();
    let over = tokio::time::sleep_until(begun + pause);
    tokio::pin!(over);
    loop {
        tokio::select! { biased;
            () = &mut over => return,
            told = input.next(), if !input.is_done() => match told {
                Some(Input::Notice(Notice::Lost(_)) | Input::Relist | Input::Reopen) => {
                    return tokio::time::sleep_until(begun + pause.min(delay(1, 1.0))).await;
                }
                Some(Input::Notice(Notice::Degraded(fault))) => {
                    // a root that does not open is told by the next session
                    if fault.class == Class::Fatal {
                        watch.armed = true;
                    } else {
                        watch.is_degraded();
                        tell(Event::Degraded(fault));
                    }
                }
                Some(Input::Notice(Notice::Armed | Notice::Restored)) => {
                    if watch.is_whole() {
                        tell(Event::Restored);
                    }
                }
                None => watch.armed = true,
                Some(Input::Notice(Notice::Look(_)) | Input::Approved) => {}
            },
        }
    }
}
