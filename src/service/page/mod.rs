//! The status page: one HTML document, complete as it comes, that follows what happens where scripts run.
//!
//! It shows the report that `status` prints, and nothing else. Names of files and texts of stores reach it through
//! [`Html::text`](html::Html::text) alone, and its policy lets nothing run but its own script. It is drawn when somebody
//! asks, at most once a second however many do.

mod card;
mod figures;
mod frame;
mod html;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use frame::POLICY;
pub(super) use stream::{Events, KIND as EVENTS};

use super::{control::Daemon, posts::Posts};
use bytes::Bytes;
use jiff::Timestamp;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What was drawn is shown for so long.
const FRESH: Duration = Duration::from_millis(900);

/// Who draws it.
pub(super) struct Page {
    posts: Posts,
    drawn: Mutex<Option<Drawn>>,
}

/// How things were, drawn. Clones share it.
#[derive(Clone)]
pub(super) struct Drawn {
    at: Instant,
    time: Timestamp,
    title: String,
    /// The part of the page that changes.
    live: Bytes,
}

impl Page {
    pub(super) fn new(posts: Posts) -> Self {
        Self { posts, drawn: Mutex::default() }
    }

    /// All of it.
    pub(super) async fn whole(&self) -> Bytes {
        let drawn = self.drawn().await;
        frame::around(&drawn).into()
    }

    /// How things are, or were less than a second ago.
    async fn drawn(&self) -> Drawn {
        // those who come meanwhile wait for the same
        let mut last = self.drawn.lock().await;
        if let Some(drawn) = last.as_ref().filter(|drawn| drawn.at.elapsed() < FRESH) {
            return drawn.clone();
        }
        // whoever holds a mirror's post keeps it from closing: let go before anything is sent
        let daemon = Daemon::of(&self.posts).await;
        let drawn = Drawn {
            at: Instant::now(),
            time: Timestamp::now(),
            title: frame::title(&daemon),
            live: frame::live(&daemon).into(),
        };
        *last = Some(drawn.clone());
        drawn
    }
}
