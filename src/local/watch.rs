//! Watching: what the kernel tells becomes notices of where to look.
//!
//! notify's thread turns events into signs and puts them into an inbox; it never waits and drops
//! nothing silently. A thread of our own takes them out, watches new directories before it tells
//! of them, and puts notices into an outbox, which is the stream. When events were lost, or the root is not
//! where it was, all watches are made anew, and then all is to be looked at.
//!
//! The root itself is asked for every five seconds (by statx, which is no event): a mount over it makes no event at all, and an unmount
//! none that notify passes on. That events come at all is proven by a canary; that the root's own watch lives, every ten
//! seconds, by the event of the root's being opened.

use super::{
    Notice, Prune,
    arm::Watches,
    canary::{Canary, Perch, Turn},
    event::Sign,
    outbox::{Outbox, Taken},
    plight::{Plight, remote},
    root::Root,
};
use crate::model::{Class, Fault, RelPath, Scope};
use futures::{Stream, stream};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Signs that wait for our thread.
const INBOX: usize = 65_536;
/// Notices that wait for the engine.
const OUTBOX: usize = 8_192;
/// How often it is looked whether the root is where it was. Each time wakes a thread of each mirror, whatever else rests.
const TICK: Duration = Duration::from_secs(5);
/// How often one that cannot be watched is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// The longest rest between two rebuilds in a storm of overflows.
const REST: Duration = Duration::from_secs(10);
/// Trying for watches that are missing takes one in so many parts of the time at the most.
const SHARE: u32 = 10;

/// The notices of a root. Ends only when one of the threads has.
pub(super) fn watch(
    root: Arc<Root>,
    prune: Prune,
    perch: Perch,
) -> impl Stream<Item = Notice> + Send + use<> {
    stream::unfold((None::<Reader>, Some((root, prune, perch))), |(reader, start)| async move {
        let reader = match (reader, start) {
            (Some(reader), _) => reader,
            (None, Some((root, prune, perch))) => Reader::start(root, prune, perch),
            (None, None) => return None,
        };
        let notice = reader.lines.outbox.next().await?;
        Some((notice, (Some(reader), None)))
    })
}

/// The two queues.
#[derive(Clone)]
struct Lines {
    inbox: Arc<Outbox<Sign>>,
    outbox: Arc<Outbox<Notice>>,
}

impl Lines {
    fn new() -> Self {
        let lost = Notice::Lost("more happened than could be told".into());
        let summed = |notice: &Notice| matches!(notice, Notice::Look(_) | Notice::Lost(_));
        Self {
            inbox: Arc::new(Outbox::new(INBOX, Sign::Overflow, |_| true)),
            outbox: Arc::new(Outbox::new(OUTBOX, lost, summed)),
        }
    }

    fn close(&self) {
        self.inbox.close();
        self.outbox.close();
    }
}

/// The stream's side; when it goes, the threads end.
struct Reader {
    lines: Lines,
    perch: Perch,
}

impl Reader {
    fn start(root: Arc<Root>, prune: Prune, perch: Perch) -> Self {
        let lines = Lines::new();
        // one that begins after another has died is asked for from the beginning
        perch.pulse.beat();
        let (canary, own) =
            (Canary::new(&perch, Instant::now()), Canary::of_root(perch.rhythm, Instant::now()));
        let warden =
            Warden { root, prune, perch: perch.clone(), lines: lines.clone(), canary, own, told: None };
        if thread::Builder::new().name("watch".into()).spawn(move || warden.run()).is_err() {
            lines.close();
        }
        Self { lines, perch }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.lines.inbox.is_closed() {
            self.perch.pulse.end();
        }
        self.lines.close();
    }
}

/// Our thread. However it ends, the stream ends with it.
struct Warden {
    root: Arc<Root>,
    prune: Prune,
    perch: Perch,
    lines: Lines,
    canary: Canary,
    /// The root, as a canary of its own watch.
    own: Canary,
    /// Why changes are not seen as they happen, as it was told.
    told: Option<Plight>,
}

impl Drop for Warden {
    fn drop(&mut self) {
        self.lines.close();
    }
}

/// Why the watches no longer serve.
enum End {
    /// They are to be made anew.
    Again(String),
    /// Nobody listens, or notify's thread has ended.
    Over,
}

impl Warden {
    fn run(mut self) {
        let mut lost: Option<String> = None;
        let mut trouble: Option<Fault> = None;
        loop {
            let begun = Instant::now();
            match Watches::new(&self.root, &self.prune, &self.perch, &self.lines.inbox) {
                Ok(mut watches) => {
                    trouble = None;
                    self.tell(lost.take().map_or(Notice::Armed, Notice::Lost));
                    let far = self.root.open().ok().and_then(|root| root.filesystem.remote);
                    match far {
                        None => self.perch.pulse.begin(),
                        Some(_) => self.perch.pulse.end(),
                    }
                    let took = begun.elapsed();
                    let end = self.serve(&mut watches, far, took);
                    watches.end();
                    match end {
                        End::Over => return,
                        End::Again(why) => lost = Some(why),
                    }
                    // The scan that is to follow sees what these told of.
                    self.lines.inbox.clear();
                    if begun.elapsed() < took * 2 {
                        thread::sleep(took.min(REST));
                    }
                }
                Err(fault) => {
                    if lost.is_none() {
                        // It comes first, whatever follows.
                        self.tell(Notice::Armed);
                    }
                    lost = Some("it could not be watched for a while".into());
                    if trouble.as_ref() != Some(&fault) {
                        if fault.class != Class::Fatal {
                            self.told = Some(Plight::Unwatched);
                        }
                        self.tell(Notice::Degraded(fault.clone()));
                        trouble = Some(fault);
                    }
                    self.perch.pulse.beat();
                    let retry = Instant::now() + RETRY;
                    while let Some(left) = retry.checked_duration_since(Instant::now()) {
                        if self.lines.inbox.take(left) == Taken::Closed {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn tell(&self, notice: Notice) {
        self.lines.outbox.push(notice);
    }

    /// Tells what is the matter, if it is not what was told.
    fn report(&mut self, watches: &Watches, far: Option<&'static str>) {
        let mute = (self.perch.file.as_ref()).filter(|_| self.canary.is_mute());
        let short = watches.shortfall();
        let plight = (short.plight()).or(mute.map(|_| Plight::Mute)).or(far.map(|_| Plight::Remote));
        if plight == self.told {
            return;
        }
        self.told = plight;
        self.tell(match (plight, mute, far) {
            (None, ..) => Notice::Restored,
            (Some(Plight::Mute), Some(file), _) => Notice::Degraded(self.canary.fault(file)),
            (Some(Plight::Remote), _, Some(kind)) => Notice::Degraded(remote(kind)),
            _ => Notice::Degraded(short.fault(self.root.path())),
        });
    }

    /// Until the watches, which it `took` some time to make, no longer serve.
    fn serve(&mut self, watches: &mut Watches, far: Option<&'static str>, took: Duration) -> End {
        let mut due = self.perch.rhythm.next(Instant::now(), TICK);
        let mut refill = Instant::now() + self.perch.interval.max(took * SHARE);
        self.canary.listen(Instant::now());
        self.own.listen(Instant::now());
        // whoever was told of something of the former watches hears whether it is so with these
        if self.told.is_some() && watches.shortfall().plight() == self.told {
            self.told = None;
        }
        loop {
            self.report(watches, far);
            let wake = [self.canary.next(), self.own.next()].into_iter().flatten().fold(due, Instant::min);
            match self.lines.inbox.take(wake.saturating_duration_since(Instant::now())) {
                Taken::Closed => return End::Over,
                Taken::Item(Sign::Overflow) => return End::Again("events were lost".into()),
                Taken::Item(Sign::Root) => due = Instant::now(),
                Taken::Item(Sign::Canary) => {
                    self.canary.heard(Instant::now());
                    self.perch.pulse.beat();
                }
                Taken::Item(sign) => {
                    // What it told of would be forgotten otherwise.
                    if let Err(fault) = self.heed(watches, sign) {
                        return End::Again(fault.cause);
                    }
                }
                // only now is it known that the canary's answer does not wait in the queue
                Taken::Nothing => {
                    match self.canary.turn(Instant::now()) {
                        Turn::Rest => {}
                        Turn::Ask => self.canary.asked(watches.ask(), Instant::now()),
                        Turn::Anew => {
                            return End::Again("the watcher does not hear its canary any more".into());
                        }
                    }
                    if watches.root_told() {
                        self.own.heard(Instant::now());
                    }
                    match self.own.turn(Instant::now()) {
                        Turn::Rest => {}
                        Turn::Ask => {
                            let asked = watches.ask_root();
                            self.own.asked(asked.map_err(|fault| fault.cause), Instant::now());
                        }
                        Turn::Anew => return End::Again("the root's own watch is not heard any more".into()),
                    }
                }
            }
            if due <= Instant::now() {
                if !watches.is_alive() {
                    return End::Over;
                }
                match watches.is_in_place() {
                    Ok(true) => due = self.perch.rhythm.next(Instant::now(), TICK),
                    Ok(false) => return End::Again("the root was mounted or made anew".into()),
                    Err(fault) => return End::Again(fault.cause),
                }
                if self.canary.is_mute() {
                    self.perch.pulse.beat();
                }
            }
            if refill <= Instant::now() {
                let begun = Instant::now();
                match watches.refill() {
                    Ok(true) => {
                        self.tell(Notice::Lost("some directories were not watched for a while".into()))
                    }
                    Ok(false) => {}
                    Err(fault) => return End::Again(fault.cause),
                }
                refill = Instant::now() + self.perch.interval.max(begun.elapsed() * SHARE);
            }
        }
    }

    /// Turns a sign into a notice.
    fn heed(&self, watches: &mut Watches, sign: Sign) -> Result<(), Fault> {
        let kind = |path: &RelPath| {
            let found = self.root.path().join(path.as_path()).symlink_metadata();
            found.ok().map(|found| found.is_dir())
        };
        match sign {
            Sign::Overflow | Sign::Root | Sign::Canary => {}
            Sign::File(path) => self.file(path),
            Sign::Directory(path) => self.directory(watches, path)?,
            Sign::Either(path) => match kind(&path) {
                Some(true) => self.directory(watches, path)?,
                Some(false) => self.file(path),
                // Gone: it may have been either.
                None if self.prune.excludes(&path, true) => self.file(path),
                None => self.tell(Notice::Look(Scope::File(path))),
            },
            Sign::Attributes(path) => {
                for opened in watches.add_denied(&path)? {
                    self.tell(Notice::Look(Scope::Tree(opened)));
                }
                match kind(&path) {
                    Some(true) if self.prune.excludes(&path, true) => {}
                    // What is in it may have become readable, or no longer be.
                    Some(true) => self.tell(Notice::Look(Scope::Children(path))),
                    // that it is gone is told otherwise
                    _ if path.is_root() => {}
                    _ => self.file(path),
                }
            }
        }
        Ok(())
    }

    fn file(&self, path: RelPath) {
        if !self.prune.excludes(&path, false) {
            self.tell(Notice::Look(Scope::File(path)));
        }
    }

    fn directory(&self, watches: &mut Watches, path: RelPath) -> Result<(), Fault> {
        if !self.prune.excludes(&path, true) {
            watches.add(&path)?;
            self.tell(Notice::Look(Scope::Tree(path)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn c02_after_an_overflow_even_directories_born_in_the_gap_are_watched() {
        let temp = tempfile::tempdir().expect("a directory");
        let at = |path: &str| temp.path().join(path);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let reader = Reader::start(Arc::new(Root::new(temp.path())), Prune::default(), Perch::default());
        let next = || {
            let notice = async { tokio::time::timeout(REST * 3, reader.lines.outbox.next()).await };
            runtime.block_on(notice).expect("a notice in time").expect("the watcher lives")
        };
        assert_eq!(next(), Notice::Armed);
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("the limit");
        let most: usize = most.trim().parse().expect("a number");
        {
            let _stalled = reader.lines.inbox.state();
            fs::create_dir(at("many")).expect("mkdir");
            // Each makes two events, and no two alike in a row.
            for n in 0..most {
                fs::write(at(&format!("f{n}")), "").expect("write");
            }
            fs::create_dir_all(at("born/in/the/gap")).expect("mkdir");
        }
        while !matches!(next(), Notice::Lost(_)) {}
        fs::write(at("born/in/the/gap/f"), "").expect("write");
        let f = RelPath::new(b"born/in/the/gap/f").expect("valid path");
        while next() != Notice::Look(Scope::File(f.clone())) {}
    }

    #[test]
    fn c14_when_a_thread_ends_the_stream_ends() {
        let temp = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        // A filter that panics takes our thread with it.
        let prune = Prune::new(|path, _| panic!("asked of {path:?}"));
        let reader = Reader::start(Arc::new(Root::new(temp.path())), prune, Perch::default());
        runtime.block_on(async {
            assert_eq!(reader.lines.outbox.next().await, Some(Notice::Armed));
            fs::create_dir(temp.path().join("d")).expect("mkdir");
            let rest = tokio::time::timeout(REST, reader.lines.outbox.next()).await;
            assert_eq!(rest.expect("an end in time"), None);
        });
    }
}
