//! What is told: every action as it ends, and the sums.

use super::{
    live::{Live, Progress, Stored},
    unreadable::Unreadable,
};
use crate::model::{Class, Did, Fault, Key, Stamp, Why};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Failing keys that are told by name; more are only counted.
const NAMED: usize = 1000;

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Content was sent.
    Put,
    /// The server copied it.
    Copy,
    /// Only metadata was rewritten.
    Metadata,
    /// The object was deleted.
    Delete,
}

impl Deed {
    /// In a word, as scripts read it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Copy => "copy",
            Self::Metadata => "metadata",
            Self::Delete => "delete",
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Confirmed by the store, and recorded.
    Done,
    /// Would be done.
    Planned,
    /// A delete, or a replacement, that waits for an operator.
    Held,
    /// It did not work; it is tried again unless this is the end of `once`.
    Failed(Fault),
    /// The file changed while it was read, again and again.
    Busy,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something was done, or tried, to a key.
    Action {
        /// Which key.
        key: Key,
        /// What.
        deed: Deed,
        /// For a copy: the old key.
        from: Option<Key>,
        /// Why.
        why: Why,
        /// How it ended.
        ending: Ending,
        /// Bytes sent.
        bytes: u64,
    },
    /// A session began: the root and the prefix are open.
    Opened,
    /// Everything seen so far is in sync (or held).
    Settled,
    /// Deletes are held, and why.
    Held(String),
    /// Deletes are held no longer.
    Released,
    /// Replacements are held, and why.
    OverwritesHeld(String),
    /// They are held no longer.
    OverwritesReleased,
    /// Something of the mirror as a whole does not work; it is tried again.
    Trouble(Fault),
    /// Changes are not seen as they happen.
    Degraded(Fault),
    /// They are again.
    Restored,
}

/// The sums of one engine's life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Files found in sync without doing anything.
    pub unchanged: u64,
    /// Files whose content was sent.
    pub uploaded: u64,
    /// Files copied on the server.
    pub copied: u64,
    /// Files of which only metadata was rewritten.
    pub metadata: u64,
    /// Objects deleted.
    pub deleted: u64,
    /// Objects whose delete is held.
    pub held: u64,
    /// Objects that are not replaced until an operator has looked.
    pub overwrites_held: u64,
    /// Objects in the prefix that are not ours and have no file.
    pub foreign: u64,
    /// Files that could not be stored, and objects that could not be deleted: those that fail now.
    pub failed: u64,
    /// Links, FIFOs, sockets, devices and mount points.
    pub skipped: u64,
    /// Files that changed each time they were read, and were not stored since.
    pub busy: u64,
    /// Objects that were there already, with the same content.
    pub adopted: u64,
    /// Bytes sent of files that arrived, without what an upload that went on had sent before.
    pub bytes: u64,
    /// Bytes of files read, to compare or to send.
    pub bytes_read: u64,
}

/// How far the scrub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// So many objects, and markers of directories, were proven again,
    pub done: u64,
    /// so many had their turn and could not be,
    pub skipped: u64,
    /// of so many,
    pub of: u64,
    /// since this wall time, which may be to come.
    pub since: Stamp,
    /// When all had been, the last time.
    pub whole: Option<Stamp>,
}

/// What is known of a mirror at this moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The sums.
    pub sums: Sums,
    /// Notes waiting.
    pub pending: usize,
    /// Jobs in flight.
    pub in_flight: usize,
    /// Everything seen so far is in sync (or held, or failing).
    pub settled: bool,
    /// Why deletes are held.
    pub held: Option<String>,
    /// Why replacements are held.
    pub overwrites_held: Option<String>,
    /// What does not work, of the mirror as a whole.
    pub trouble: Option<Fault>,
    /// Why changes are not seen as they happen.
    pub degraded: Option<Fault>,
    /// Files that fail now, by key; a bounded sample.
    pub failing: BTreeMap<Key, Fault>,
    /// Places that cannot be read now.
    pub unreadable: Unreadable,
    /// What the bucket is to hold, by the last look at everything that was completed; `None` until there was
    /// one.
    pub stored: Option<Stored>,
    /// Comparisons with the bucket that were completed.
    pub compared: u64,
    /// For how long something has been known that is not proven in the bucket; `None`: all is in sync. Before the first
    /// comparison with the bucket, since it last was.
    pub unsynced: Option<Duration>,
    /// When the last look at everything ended, and
    pub looked_at: Option<i64>,
    /// the last comparison of everything with the bucket: wall time, seconds since 1970.
    pub compared_at: Option<i64>,
    /// Errors that were told, by class.
    pub faults: BTreeMap<Class, u64>,
    /// How far the scrub is.
    pub scrub: Option<Coverage>,
    /// Objects that it found damaged or missing, and put back.
    pub healed: u64,
}

/// Where events go.
pub type Sink = Arc<dyn Fn(Duration, &Event) + Send + Sync>;

/// Tells and counts. Clones share the sums.
#[derive(Clone)]
pub struct Report {
    status: Arc<Mutex<Status>>,
    live: Arc<Live>,
    sink: Sink,
}

impl Report {
    /// Events go to `sink`, with the time since the engine's start.
    pub fn new(sink: Sink) -> Self {
        Self { status: Arc::default(), live: Arc::default(), sink }
    }

    /// A copy of what is known now.
    pub fn status(&self) -> Status {
        let (mut status, live) = (self.lock().clone(), &self.live);
        let sums = &mut status.sums;
        (sums.unchanged, sums.foreign) = (live.unchanged.get(), live.foreign.get());
        (sums.skipped, sums.bytes_read) = (live.skipped.get(), live.bytes_read.get());
        (status.pending, status.in_flight) = live.pending();
        (status.stored, status.compared) = (live.stored(), live.compared.get());
        status.unsynced = live.unsynced();
        (status.looked_at, status.compared_at) = live.looked();
        status
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let sent = self.lock().sums.uploaded;
        self.live.progress(sent)
    }

    /// What is counted for every file.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Status) -> R) -> R {
        change(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, now: Duration, event: &Event) {
        if let Event::Action { key, ending: Ending::Done | Ending::Planned | Ending::Held, .. } = event
            && key.is_directory()
        {
            return self.with(|status| status.fails_no_longer(key));
        }
        self.with(|status| note(status, event));
        (self.sink)(now, event);
    }

    /// A job ended well.
    pub(super) fn did(&self, now: Duration, key: &Key, did: &Did, why: Why, dry_run: bool) {
        self.with(|status| status.fails_no_longer(key));
        // the markers of directories are made and go with what is in them: only those that fail are told of
        if key.is_directory() {
            tracing::debug!(%key, why, "the directory is marked");
            return;
        }
        let (deed, from, bytes) = match did {
            Did::Put { bytes } => (Deed::Put, None, *bytes),
            Did::Copied(from) => (Deed::Copy, Some(from.clone()), 0),
            Did::Metadata => (Deed::Metadata, None, 0),
            Did::Adopted => return self.with(|s| s.sums.adopted += 1),
            Did::Learnt => return self.live.unchanged.add(u64::from(why != ABSENT)),
            Did::Foreign => return self.live.foreign.add(1),
            Did::Scrubbed { .. } => return,
        };
        let ending = if dry_run { Ending::Planned } else { Ending::Done };
        self.tell(now, &Event::Action { key: key.clone(), deed, from, why, ending, bytes });
    }
}

/// The reason of jobs that ask whose an object without a file is.
pub(super) const ABSENT: Why = "is the object ours?";

impl Status {
    /// The file fails now, so: it counts once, however often it is tried.
    fn fails(&mut self, key: &Key, fault: Fault) {
        self.fails_no_longer(key);
        *self.sums.of(&fault) += 1;
        if self.failing.len() < NAMED {
            self.failing.insert(key.clone(), fault);
        }
    }

    /// The file was dealt with, or is gone.
    pub(super) fn fails_no_longer(&mut self, key: &Key) {
        if let Some(fault) = self.failing.remove(key) {
            *self.sums.of(&fault) -= 1;
        }
    }
}

impl Sums {
    /// Where a file that fails so is counted.
    fn of(&mut self, fault: &Fault) -> &mut u64 {
        if fault.class == Class::Changed { &mut self.busy } else { &mut self.failed }
    }
}

fn note(status: &mut Status, event: &Event) {
    if let Event::Action { ending: Ending::Failed(fault), .. } | Event::Trouble(fault) = event {
        *status.faults.entry(fault.class).or_default() += 1;
    }
    match event {
        Event::Action { key, deed, ending, bytes, .. } => match ending {
            Ending::Done | Ending::Planned => {
                status.fails_no_longer(key);
                let sums = &mut status.sums;
                sums.bytes += bytes;
                match deed {
                    Deed::Put => sums.uploaded += 1,
                    Deed::Copy => sums.copied += 1,
                    Deed::Metadata => sums.metadata += 1,
                    Deed::Delete => sums.deleted += 1,
                }
            }
            Ending::Held if *deed == Deed::Delete => status.sums.held += 1,
            Ending::Held => status.sums.overwrites_held += 1,
            Ending::Busy => {
                status.fails(key, Fault::new(Class::Changed, "read it", "it changed each time it was read"));
            }
            Ending::Failed(fault) => status.fails(key, fault.clone()),
        },
        Event::Opened => status.trouble = None,
        Event::Settled => status.settled = true,
        Event::Held(why) => status.held = Some(why.clone()),
        Event::Released => status.held = None,
        Event::OverwritesHeld(why) => status.overwrites_held = Some(why.clone()),
        Event::OverwritesReleased => status.overwrites_held = None,
        Event::Trouble(fault) => status.trouble = Some(fault.clone()),
        Event::Degraded(fault) => status.degraded = Some(fault.clone()),
        Event::Restored => status.degraded = None,
    }
}
