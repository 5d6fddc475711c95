//! Of log lines that say the same of many files some are told, and the rest is counted.

use crate::model::Fault;
use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

/// Lines of one kind that are told in a span.
const SOME: u32 = 10;
/// How long a span is.
const SPAN: Duration = Duration::from_secs(60);
/// Kinds that are kept apart at a time; of others each line is told.
const KINDS: usize = 100;

/// What was told lately, by kind.
#[derive(Debug, Default)]
pub(super) struct Fold {
    kinds: HashMap<String, Span>,
}

#[derive(Debug)]
struct Span {
    since: Instant,
    told: u32,
    rest: Rest,
}

/// Lines that were not told: `… and 4211 more like this within 60 s: PutObject: 403 AccessDenied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// How many.
    pub(super) more: u64,
    /// What one of them said, without the name of its file.
    pub(super) like: String,
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "… and {} more like this within {} s: {}", self.more, SPAN.as_secs(), self.like)
    }
}

/// What makes two faults of different files the same: what was tried, and what helps. The cause has what differs.
fn kind(fault: &Fault) -> String {
    format!("{} {:?} {}", operation(fault), fault.class, fault.remedy.as_deref().unwrap_or_default())
}

fn operation(fault: &Fault) -> &str {
    fault.what.split(' ').next().unwrap_or_default()
}

impl Fold {
    /// True if this is to be told; else it counts.
    pub(super) fn takes(&mut self, fault: &Fault, now: Instant) -> bool {
        let kind = kind(fault);
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            return true;
        }
        let like = || format!("{}: {}", operation(fault), fault.cause);
        let span = self.kinds.entry(kind).or_insert_with(|| Span {
            since: now,
            told: 0,
            rest: Rest { more: 0, like: like() },
        });
        if span.told < SOME {
            span.told += 1;
            return true;
        }
        span.rest.more += 1;
        false
    }

    /// What was not told, of spans that are over, and with `all` of any.
    pub(super) fn rest(&mut self, now: Instant, all: bool) -> Vec<Rest> {
        let over = |span: &Span| all || now.saturating_duration_since(span.since) >= SPAN;
        let over = self.kinds.extract_if(|_, span| over(span));
        let mut rest: Vec<_> = over.map(|(_, span)| span.rest).filter(|rest| rest.more > 0).collect();
        rest.sort_by(|a, b| a.like.cmp(&b.like));
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Class;

    fn denied(name: &str) -> Fault {
        let cause = format!("403 AccessDenied (request {name})");
        Fault::new(Class::Denied, format!("PutObject {name}"), cause)
            .remedy("allow s3:PutObject on the objects")
    }

    #[test]
    fn what_is_said_of_many_files_is_told_of_some_and_counted_of_the_rest() {
        let (mut fold, begun) = (Fold::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let told = (0..4221).filter(|n| fold.takes(&denied(&n.to_string()), at(n / 100))).count();
        assert_eq!(told, 10);
        let other = Fault::new(Class::Permanent, "read x", "Input/output error");
        assert!(fold.takes(&other, at(42)), "another kind counts for itself");
        assert_eq!(fold.rest(at(59), false), [], "the span is not over");
        let rest = fold.rest(at(60), false);
        assert_eq!(rest.len(), 1);
        assert_eq!(
            rest[0].to_string(),
            "… and 4211 more like this within 60 s: PutObject: 403 AccessDenied (request 0)"
        );
        assert!(fold.takes(&denied("again"), at(61)), "a new span begins");
        assert_eq!(fold.rest(at(62), true), [], "nothing was left untold");
        let told = (0..20).filter(|_| fold.takes(&other, at(63))).count();
        assert_eq!((told, fold.rest(at(63), true)[0].more), (10, 10));
    }

    #[test]
    fn kinds_without_end_are_not_kept() {
        let (mut fold, now) = (Fold::default(), Instant::now());
        for n in 0..10_000 {
            assert!(fold.takes(&Fault::new(Class::Permanent, format!("do{n} x"), "no"), now));
        }
        assert_eq!(fold.kinds.len(), KINDS);
    }
}
