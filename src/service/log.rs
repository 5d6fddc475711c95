//! What happens to a mirror as log lines: what is said of many files is told for some and counted for the rest, and what
//! goes on is told once.

use super::fold::Fold;
use crate::{
    engine::{Deed, Ending, Event, Sink},
    model::{Class, Fault},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// What was told.
#[derive(Default)]
struct Told {
    /// The last trouble.
    trouble: Option<Fault>,
    failures: Fold,
}

impl Told {
    /// True if the same trouble was told the last time; from now on this was.
    fn repeats(&mut self, fault: &Fault) -> bool {
        self.trouble.replace(fault.clone()).as_ref() == Some(fault)
    }
}

/// The events of `mirror` as log lines.
pub(super) fn of(mirror: &str) -> Sink {
    let (mirror, told) = (mirror.to_owned(), Mutex::new(Told::default()));
    Arc::new(move |_, event| {
        let told = &mut *told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_over = matches!(event, Event::Settled | Event::Trouble(_));
        for rest in told.failures.rest(now, is_over) {
            tracing::error!("{rest}");
        }
        tell(&mirror, event, told, now);
    })
}

fn tell(mirror: &str, event: &Event, told: &mut Told, now: Instant) {
    match event {
        Event::Action { key, deed, ending, why, bytes, .. } => match ending {
            Ending::Done | Ending::Planned => {
                tracing::info!(key = %key, bytes, why, "{}", format!("{deed:?}").to_lowercase());
            }
            Ending::Held if *deed == Deed::Delete => tracing::debug!(key = %key, "its delete is held"),
            Ending::Held => tracing::debug!(key = %key, "it is held, and its object stays as it was"),
            Ending::Busy => tracing::warn!(key = %key, "it keeps changing while it is read"),
            Ending::Failed(fault) if told.failures.takes(fault, now) => {
                tracing::error!(key = %key, "{fault}")
            }
            Ending::Failed(fault) => tracing::debug!(key = %key, "{fault}"),
        },
        Event::Opened => {
            told.trouble = None;
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
        Event::Trouble(fault) if told.repeats(fault) => {}
        Event::Trouble(fault) if fault.class <= Class::Throttled => tracing::warn!("{fault}; trying again"),
        Event::Trouble(fault) => tracing::error!("{fault}; trying again"),
        Event::Degraded(fault) => tracing::warn!("{fault}"),
        Event::Restored => tracing::info!("changes are seen as they happen again"),
    }
}
