//! The live part as server-sent events, <https://html.spec.whatwg.org/multipage/server-sent-events.html>: what there is at
//! once, then at most one event a second, and only when something changed.

use super::Page;
use bytes::Bytes;
use futures::{Stream, stream};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

/// What the answer is, as HTTP says it.
pub(in crate::service) const KIND: &str = "text/event-stream; charset=utf-8";
/// Those who are told at the same time.
const STREAMS: usize = 16;
/// How often it is looked whether something changed.
const TICK: Duration = Duration::from_secs(1);
/// When nothing changed for so long, that is told: whoever hears nothing for longer knows that nobody is there.
const BEAT: Duration = Duration::from_secs(15);
/// How it is told. An event and no comment, as a script does not hear comments.
const ALIVE: &str = "event: beat\ndata:\n\n";

/// Who tells what changes, to so many at a time.
pub(in crate::service) struct Events {
    page: Arc<Page>,
    room: Arc<Semaphore>,
}

/// Where one of those who are told is.
struct Place {
    page: Arc<Page>,
    /// What was told last.
    told: Bytes,
    at: Instant,
    until: Instant,
    _room: OwnedSemaphorePermit,
}

impl Events {
    pub(in crate::service) fn new(page: Arc<Page>) -> Self {
        Self { page, room: Arc::new(Semaphore::new(STREAMS)) }
    }

    /// Tells until then; `None` if too many are told already. Whoever takes none of it makes nothing pile up: the next event is
    /// made when the last one was taken.
    pub(in crate::service) fn until(
        &self,
        until: Instant,
    ) -> Option<impl Stream<Item = Bytes> + Send + use<>> {
        let room = self.room.clone().try_acquire_owned().ok()?;
        let begin =
            Place { page: self.page.clone(), told: Bytes::new(), at: Instant::now(), until, _room: room };
        Some(stream::unfold(begin, |mut place| async move {
            let event = place.next().await?;
            Some((event, place))
        }))
    }
}

impl Place {
    async fn next(&mut self) -> Option<Bytes> {
        let silent = Instant::now() + BEAT;
        loop {
            if self.at >= self.until {
                return None;
            }
            sleep_until(self.at).await;
            self.at = Instant::now() + TICK;
            let live = self.page.drawn().await.live;
            if live != self.told {
                self.told = live.clone();
                return Some(event(&live).into());
            }
            if Instant::now() >= silent {
                return Some(Bytes::from_static(ALIVE.as_bytes()));
            }
        }
    }
}

/// An event whose data is this. Markup of ours has no line of its own, and if it had it could not end the event.
fn event(live: &[u8]) -> Vec<u8> {
    let mut event = b"retry: 2000\n".to_vec();
    for line in live.split(|b| matches!(b, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_ends_its_event() {
        assert_eq!(event(b"<p>a</p>"), b"retry: 2000\ndata: <p>a</p>\n\n");
        assert_eq!(event(b"a\n\nevent: x\rb"), b"retry: 2000\ndata: a\ndata: \ndata: event: x\ndata: b\n\n");
    }
}
