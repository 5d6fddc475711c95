//! How many requests were sent, by operation: what a run costs. And what came of them.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{orchestrator::Metadata, retries::RequestAttempts};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts each attempt, retries too. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Counts>>);

/// Attempts that ended, by operation and HTTP status; `None`: without an answer.
pub type Outcomes = BTreeMap<(String, Option<u16>), u64>;

#[derive(Debug, Default)]
struct Counts {
    sent: BTreeMap<String, u64>,
    outcomes: Outcomes,
    retries: u64,
}

impl Requests {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts so far.
    pub(super) fn so_far(&self) -> BTreeMap<String, u64> {
        self.counts().sent.clone()
    }

    /// What came of them.
    pub(super) fn outcomes(&self) -> Outcomes {
        self.counts().outcomes.clone()
    }

    /// How many were sent once more.
    pub(super) fn retries(&self) -> u64 {
        self.counts().retries
    }

    /// Counts one.
    pub(super) fn count(&self, operation: &str) {
        let sent = &mut self.counts().sent;
        match sent.get_mut(operation) {
            Some(count) => *count += 1,
            None => drop(sent.insert(operation.to_owned(), 1)),
        }
    }

    /// It was answered with this status, or not at all.
    pub(super) fn answered(&self, operation: &str, status: Option<u16>) {
        *self.counts().outcomes.entry((operation.to_owned(), status)).or_default() += 1;
    }

    /// What was sent before is sent once more.
    pub(super) fn again(&self) {
        self.counts().retries += 1;
    }
}

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "Requests"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(operation) = bag.load::<Metadata>() {
            self.count(operation.name());
        }
        if bag.load::<RequestAttempts>().is_some_and(|attempts| attempts.attempts() > 1) {
            self.again();
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(operation) = bag.load::<Metadata>() {
            let status = context.response().map(|answer| answer.status().as_u16());
            self.answered(operation.name(), status);
        }
        Ok(())
    }
}
