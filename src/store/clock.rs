//! The store's clock, as its answers tell it: ours may be wrong. And when it answered last.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering::Relaxed},
};
use tokio::time::Instant;

/// Notes the `Date` of each answer, and when it came. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<Last>);

#[derive(Debug, Default)]
struct Last {
    date: AtomicI64,
    came: Mutex<Option<Instant>>,
}

impl Clock {
    /// Seconds since 1970 by the last answer; `None` if none told.
    pub(super) fn last(&self) -> Option<i64> {
        Some(self.0.date.load(Relaxed)).filter(|sec| *sec > 0)
    }

    /// When the last answer came, whatever it said.
    pub(super) fn came(&self) -> Option<Instant> {
        *self.0.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        self.0.date.store(date.map_or(0, |date| date.secs()), Relaxed);
        *self.0.came.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}
