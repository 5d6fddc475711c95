//! `doctor`: what stands in the way of a mirror, found by trying before it does harm.
//!
//! `disk` looks at the root, the watches and the state directory, `bucket` tries each request that a mirror will make on keys
//! of our own, and removes them, `policy` writes down what has to be allowed for just this configuration.

mod bucket;
mod disk;
mod policy;

pub use policy::policy;

use super::assembly::Commons;
use crate::{config::Config, model::Fault};

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and is worth knowing.
    Note,
    /// It stands in the way.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of which mirror; `None`: of the host.
    pub mirror: Option<String>,
    /// How it was found.
    pub verdict: Verdict,
    /// What was looked at: `root`, `s3:PutObject`.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: Option<&'static str>,
    /// What to do.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(verdict: Verdict, check: &'static str, found: impl Into<String>) -> Self {
        Self { mirror: None, verdict, check, found: found.into(), why: None, remedy: None }
    }

    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Good, check, found)
    }

    fn note(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Note, check, found)
    }

    fn wrong(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Wrong, check, found)
    }

    /// What a fault tells.
    fn of(check: &'static str, fault: &Fault) -> Self {
        let found = Self::wrong(check, format!("{}: {}", fault.what, fault.cause));
        Self { remedy: fault.remedy.clone(), ..found }
    }

    fn why(self, why: &'static str) -> Self {
        Self { why: Some(why), ..self }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// It does not stand in the way after all.
    fn only_noted(self) -> Self {
        Self { verdict: self.verdict.min(Verdict::Note), ..self }
    }

    /// True if the store did not let something be done that has a name in its policies.
    pub fn is_denied(&self) -> bool {
        self.verdict == Verdict::Wrong && self.check.starts_with("s3:")
    }
}

/// Looks at everything, mirror by mirror, and tells each finding as it is made.
pub async fn examine(config: &Config, mut tell: impl FnMut(Finding)) {
    let commons = Commons::new(config);
    let mut directories = 0;
    for mirror in &config.mirrors {
        let mut told = |finding: Finding| tell(Finding { mirror: Some(mirror.name.clone()), ..finding });
        let seen = disk::root(mirror, &mut told).await;
        directories += seen.map_or(0, |seen| seen.directories);
        disk::ledger(&commons, mirror, &mut told).await;
        bucket::examine(&commons, mirror, seen, &mut told).await;
    }
    disk::host(&config.state_dir, config.mirrors.len(), directories).into_iter().for_each(tell);
}
