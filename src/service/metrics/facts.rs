//! What is known at the moment of a scrape.

use super::{
    table::{Read, TABLE},
    text::{Samples, head},
};
use crate::{
    engine::Status,
    ledger::{LEDGER_FILE, Ledger},
    local,
    model::{Fault, Tally},
    service::{
        cost::{Cost, Usage},
        drill::Drilled,
        posts::Posts,
        supervise::Post,
    },
    store::Outcomes,
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::task::spawn_blocking;

/// How long a ledger may take to tell its sums.
const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel lists all watches to have them counted: not more often than this,
const CENSUS: Duration = Duration::from_secs(5);
/// and for one in so many parts of the time at the most.
const SHARE: u32 = 1000;

/// Of the process.
pub(super) struct Process {
    pub(super) begun: f64,
    pub(super) mirrors: u64,
    /// The configuration that was read last was not taken.
    pub(super) refused: bool,
    pub(super) watches: Option<u64>,
    pub(super) watches_limit: Option<u64>,
}

/// Of a mirror.
pub(super) struct Mirror {
    pub(super) status: Status,
    pub(super) trouble: Option<Fault>,
    pub(super) tally: Option<Tally>,
    /// Bytes given to the store.
    pub(super) sent: u64,
    pub(super) answers: Outcomes,
    pub(super) retries: Option<u64>,
    pub(super) cost: Option<Cost>,
    pub(super) drill: Option<Drilled>,
    /// Bytes of its file.
    pub(super) ledger: Option<u64>,
}

/// What was counted.
#[derive(Clone, Copy)]
struct Census {
    /// It holds until then.
    until: Instant,
    watches: Option<u64>,
}

/// Whoever gathers them. Clones share what was counted.
#[derive(Clone)]
pub(super) struct Gatherer {
    state_dir: PathBuf,
    begun: f64,
    census: Arc<Mutex<Option<Census>>>,
}

impl Gatherer {
    pub(super) fn new(state_dir: PathBuf) -> Self {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { state_dir, begun, census: Arc::default() }
    }

    /// All that there is to tell, as Prometheus reads it.
    pub(super) async fn scrape(&self, posts: &Posts) -> String {
        let refused = posts.refused().is_some();
        let posts = posts.all();
        let process = Process {
            begun: self.begun,
            mirrors: posts.len() as u64,
            refused,
            watches: self.watches().await,
            watches_limit: local::watch_limit(),
        };
        let mut mirrors = vec![];
        for post in posts.iter() {
            mirrors.push((post.mirror.name.as_str(), self.mirror(post).await));
        }
        let mut text = String::new();
        for metric in TABLE {
            head(metric, &mut text);
            match metric.read {
                Read::Once(read) => read(&process, &mut Samples::new(metric, None, &mut text)),
                Read::Each(read) => mirrors.iter().for_each(|(name, facts)| {
                    read(facts, &mut Samples::new(metric, Some(name), &mut text));
                }),
            }
        }
        text
    }

    async fn mirror(&self, post: &Post) -> Mirror {
        let (status, trouble) = (post.report.status(), post.trouble());
        let (mut tally, mut sent) = (None, None);
        if let Some((_, store, ledger)) = post.sides() {
            // one that hangs keeps nobody from hearing the rest
            tally = tokio::time::timeout(PATIENCE, ledger.tally()).await.ok().and_then(Result::ok);
            sent = Some((store.requests(), store.outcomes(), store.retries()));
        }
        let cost = sent.as_ref().filter(|_| status.compared > 0).map(|(requests, ..)| {
            let (compared, interval, stored) = (status.compared, post.mirror.relist, status.stored);
            Cost::estimate(&post.mirror.prices, Usage { requests, compared, interval, stored })
        });
        let (answers, retries) =
            sent.map_or((Outcomes::new(), None), |(_, answers, retries)| (answers, Some(retries)));
        let file = self.state_dir.join(&post.mirror.name).join(LEDGER_FILE);
        let ledger = tokio::fs::metadata(file).await.ok().map(|found| found.len());
        let (sent, drill) = (post.report.progress().bytes, post.drilled.last());
        Mirror { status, trouble, tally, sent, answers, retries, cost, drill, ledger }
    }

    async fn watches(&self) -> Option<u64> {
        let known = *self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        if let Some(census) = known.filter(|census| census.until > begun) {
            return census.watches;
        }
        let watches = spawn_blocking(local::watches_held).await.ok().and_then(Result::ok);
        let until = begun + CENSUS.max(begun.elapsed() * SHARE);
        *self.census.lock().unwrap_or_else(PoisonError::into_inner) = Some(Census { until, watches });
        watches
    }
}
