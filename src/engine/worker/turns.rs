//! Whose turn it is: how many jobs have a file open, and how many ask the store, at the same time.
//!
//! How many of them the store is asked at a time it decides itself. What takes long leaves room for what does not: jobs of
//! large files have a quarter of the turns at most. And a file that
//! somebody has just changed does not wait behind all those of a look at everything: there are turns for such alone.
//!
//! While the store as a whole does not answer nobody asks it, and then one job after the other, until one had an answer.

use crate::{
    model::Job,
    queue::{Mono, Pace},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, sleep_until},
};

/// Files of more bytes take long to compare and to send.
const LARGE: u64 = 8 << 20;
/// Files that are open for each job that asks the store: the next ones are read meanwhile, many at a time.
const OPEN: usize = 2;
/// One in as many turns may be of a large file.
const SLOW: usize = 4;
/// For one in as many turns there is one more, for swift jobs.
const SWIFT: usize = 4;

/// The turns of a session.
pub(in crate::engine) struct Turns {
    /// Jobs whose file is open; those of small files hold what was read of them.
    open: Lane,
    /// Jobs that ask the store.
    store: Lane,
    /// Of all, the jobs of large files.
    large: Semaphore,
    pace: watch::Sender<Pace>,
    /// When its time began.
    begun: Instant,
}

struct Lane {
    all: Semaphore,
    swift: Semaphore,
}

/// A turn, until it is dropped.
pub(super) struct Turn<'a> {
    _permits: [Option<SemaphorePermit<'a>>; 2],
}

impl Turns {
    /// For so many jobs that ask the store at the same time.
    pub(in crate::engine) fn new(workers: usize) -> Self {
        Self {
            open: Lane::new(workers * OPEN),
            store: Lane::new(workers),
            large: Semaphore::new((workers / SLOW).max(1)),
            pace: watch::Sender::default(),
            begun: Instant::now(),
        }
    }

    /// To open the job's file. `None`: there are no more turns.
    pub(super) async fn open(&self, job: &Job, swift: bool) -> Option<Turn<'_>> {
        let large = is_large(job);
        let slow = if large { Some(self.large.acquire().await.ok()?) } else { None };
        Some(Turn { _permits: [slow, Some(self.open.turn(swift && !large).await?)] })
    }

    /// To ask the store. `None`: there are no more turns.
    pub(super) async fn store(&self, job: &Job, swift: bool) -> Option<Turn<'_>> {
        let turn = self.store.turn(swift && !is_large(job)).await?;
        self.admitted().await?;
        Some(Turn { _permits: [Some(turn), None] })
    }

    /// Waits until the store may be asked. `None`: there are no more turns.
    async fn admitted(&self) -> Option<()> {
        let Err(mut at) = self.admit() else { return Some(()) };
        let mut pace = self.pace.subscribe();
        loop {
            tokio::select! {
                () = sleep_until(self.begun + at) => {}
                _ = pace.changed() => {}
            }
            if self.are_over() {
                return None;
            }
            match self.admit() {
                Ok(()) => return Some(()),
                Err(later) => at = later,
            }
        }
    }

    fn admit(&self) -> Result<(), Mono> {
        let (now, mut admitted) = (self.begun.elapsed(), Ok(()));
        self.pace.send_if_modified(|pace| {
            admitted = pace.admit(now);
            // nobody's wait becomes shorter by it
            false
        });
        admitted
    }

    /// The store answered.
    pub(in crate::engine) fn answered(&self) {
        let now = self.begun.elapsed();
        self.pace.send_if_modified(|pace| {
            let waited = pace.admit(now).is_err();
            pace.success();
            waited
        });
    }

    /// It did not, or asked for less; `jitter` is 0.0 ..= 1.0. True if it is time to find out whether it is the store.
    pub(in crate::engine) fn failed(&self, jitter: f64) -> bool {
        let now = self.begun.elapsed();
        self.pace.send_if_modified(|pace| {
            pace.failure(now, jitter);
            false
        });
        self.pace.borrow().doubts()
    }

    /// True if the store did not answer for so long that a pass is given up.
    pub(in crate::engine) fn are_hopeless(&self) -> bool {
        self.pace.borrow().is_hopeless()
    }

    /// Until when nothing new is to be begun, while that is so.
    pub(in crate::engine) fn paused(&self) -> Option<Instant> {
        let (now, pace) = (self.begun.elapsed(), self.pace.borrow());
        pace.paused(now).then(|| self.begun + pace.until())
    }

    /// Those who wait for a turn do not get one.
    pub(in crate::engine) fn close(&self) {
        self.large.close();
        for lane in [&self.open, &self.store] {
            lane.all.close();
            lane.swift.close();
        }
        self.pace.send_modify(|_| {});
    }

    /// True if there are no more turns.
    pub(in crate::engine) fn are_over(&self) -> bool {
        self.store.all.is_closed()
    }
}

impl Lane {
    fn new(turns: usize) -> Self {
        let swift = (turns / SWIFT).max(1);
        Self { all: Semaphore::new(turns), swift: Semaphore::new(swift) }
    }

    async fn turn(&self, swift: bool) -> Option<SemaphorePermit<'_>> {
        if !swift {
            return self.all.acquire().await.ok();
        }
        tokio::select! { biased;
            turn = self.swift.acquire() => turn.ok(),
            turn = self.all.acquire() => turn.ok(),
        }
    }
}

fn is_large(job: &Job) -> bool {
    job.expect.is_some_and(|meta| meta.print.size > LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Fingerprint, Key, LocalMeta, Only, Op, Stamp};
    use futures::FutureExt;

    fn job(size: u64) -> Job {
        let print = Fingerprint { size, mtime: Stamp::default(), ctime: Stamp::default(), inode: 1 };
        let attributes = Attributes { mode: 0, uid: 0, gid: 0 };
        let expect = Some(LocalMeta { print, attributes });
        Job { key: Key::raw("k"), op: Op::Put(Only::New), expect, former: None, why: "new", asked: 0 }
    }

    #[test]
    fn what_takes_long_and_what_is_many_leave_turns_for_others() {
        let (turns, small, large) = (Turns::new(8), job(1), job(LARGE + 1));
        let now = |swift: bool, job: &Job| turns.store(job, swift).now_or_never();
        let opened = |swift: bool, job: &Job| turns.open(job, swift).now_or_never();
        let slow: Vec<_> = (0..2).map(|_| opened(true, &large).expect("a turn")).collect();
        assert!(opened(false, &large).is_none(), "a quarter of them");
        let many: Vec<_> = (0..14).map(|_| opened(false, &small).expect("a turn")).collect();
        assert!(opened(false, &small).is_none());
        let swift: Vec<_> = (0..4).map(|_| opened(true, &small).expect("a turn")).collect();
        assert!(opened(true, &small).is_none());
        drop(many);
        assert!(opened(true, &small).is_some() && opened(false, &small).is_some());
        let asking: Vec<_> = (0..8).map(|_| now(false, &small).expect("a turn")).collect();
        assert!(now(false, &small).is_none() && now(true, &large).is_none());
        assert!(now(true, &small).is_some());
        turns.close();
        assert!(turns.are_over());
        drop((slow, swift, asking));
        assert!(matches!(now(true, &small), Some(None)) && matches!(opened(false, &large), Some(None)));
    }

    #[tokio::test(start_paused = true)]
    async fn c54_while_the_store_does_not_answer_one_job_asks_for_all() {
        let (turns, small) = (std::sync::Arc::new(Turns::new(8)), job(1));
        let begin = || {
            let (turns, small) = (turns.clone(), small.clone());
            tokio::spawn(async move { turns.store(&small, false).await.is_some() })
        };
        let rest = || tokio::time::sleep(Mono::from_millis(1));
        (0..20).for_each(|_| {
            turns.failed(1.0);
        });
        let until = turns.paused().expect("a pause");
        let mut waiting: Vec<_> = (0..8).map(|_| begin()).collect();
        let came = |waiting: &[tokio::task::JoinHandle<bool>]| {
            waiting.iter().filter(|job| job.is_finished()).count()
        };
        rest().await;
        assert_eq!(came(&waiting), 0);
        sleep_until(until).await;
        rest().await;
        assert_eq!((came(&waiting), turns.paused()), (1, None));
        turns.failed(1.0);
        sleep_until(turns.paused().expect("another")).await;
        rest().await;
        assert_eq!(came(&waiting), 2);
        turns.answered();
        rest().await;
        assert_eq!(came(&waiting), 8, "all at once, and not at the end of a pause");
        (0..20).for_each(|_| {
            turns.failed(1.0);
        });
        waiting.extend((0..3).map(|_| begin()));
        rest().await;
        turns.close();
        rest().await;
        assert_eq!(came(&waiting), 11);
        assert!(!waiting.pop().expect("one").await.expect("it ended"), "no turn after the end");
    }
}
