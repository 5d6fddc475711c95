//! What can go wrong, classed where it is born.

use std::fmt;

/// What a fault means for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// May pass by itself: network, 5xx, EINTR, a lock.
    Transient,
    /// The store asks for less (503 SlowDown, 429).
    Throttled,
    /// The object or the file is not what the caller expected (412, changed while read).
    Changed,
    /// It is not there (404, ENOENT).
    Missing,
    /// This file or object alone cannot be dealt with as it is.
    Permanent,
    /// The store does not let it be done (403): to this object, or to none; its answer is the same.
    Denied,
    /// Nothing of this mirror can be dealt with: credentials, bucket, root, ledger.
    Fatal,
    /// Another instance holds the mirror.
    Owned,
}

impl Class {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Permanent => "permanent",
            Self::Denied => "denied",
            Self::Fatal => "fatal",
            Self::Owned => "owned",
        }
    }
}

/// An error with its class, what was tried, why it failed and, where one is known, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it means.
    pub class: Class,
    /// What was tried, and on what: `PutObject web/a.txt`.
    pub what: String,
    /// Why it failed, request id included where there is one.
    pub cause: String,
    /// What the operator can do.
    pub remedy: Option<String>,
}

impl Fault {
    /// A fault without a remedy.
    pub fn new(class: Class, what: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { class, what: what.into(), cause: cause.to_string(), remedy: None }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, of something without which nothing of the mirror can be dealt with.
    #[must_use]
    pub fn of_all(mut self) -> Self {
        if self.class == Class::Denied {
            self.class = Class::Fatal;
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_denied_for_all_is_the_mirrors_own_fault() {
        for (class, want) in [
            (Class::Denied, Class::Fatal),
            (Class::Transient, Class::Transient),
            (Class::Permanent, Class::Permanent),
            (Class::Owned, Class::Owned),
        ] {
            assert_eq!(Fault::new(class, "list", "x").of_all().class, want, "{class:?}");
        }
    }

    #[test]
    fn a_fault_reads_as_one_line() {
        let fault = Fault::new(Class::Denied, "GET a", "AccessDenied");
        assert_eq!(fault.to_string(), "GET a: AccessDenied");
        assert_eq!(fault.remedy("allow it").to_string(), "GET a: AccessDenied; allow it");
    }
}
