//! How a process ends: the exit codes that scripts rely on, and which of several counts.

use crate::{
    engine::{End, Status},
    model::Class,
};
use std::process::ExitCode;

/// What a process has to say in the end; the greater goes before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything is in sync.
    #[default]
    InSync,
    /// Some files failed, kept changing, or could not be read; `verify`: there are differences.
    Some,
    /// Deletes, or replacements, are held until an operator approves them.
    Held,
    /// Another instance holds the mirror.
    Another,
    /// Store, credentials or root; `status`: there is no daemon.
    Fatal,
    /// The command line or the configuration is wrong.
    Usage,
}

impl Exit {
    /// 0 to 5.
    pub fn code(self) -> u8 {
        match self {
            Self::InSync => 0,
            Self::Some => 1,
            Self::Usage => 2,
            Self::Fatal => 3,
            Self::Held => 4,
            Self::Another => 5,
        }
    }

    /// What a pass over one mirror comes to.
    pub fn of_pass(end: &End, status: &Status) -> Self {
        let sums = &status.sums;
        match end {
            End::Failed(fault) if fault.class == Class::Owned => Self::Another,
            End::Failed(_) => Self::Fatal,
            // the root was found to be another one: only what the bucket lacked was uploaded
            End::Done if status.trouble.as_ref().is_some_and(|t| t.class == Class::Fatal) => Self::Fatal,
            End::Done if status.held.is_some() || sums.held > 0 => Self::Held,
            End::Done if status.overwrites_held.is_some() || sums.overwrites_held > 0 => Self::Held,
            End::Done if sums.failed + sums.busy + status.unreadable.count() > 0 => Self::Some,
            End::Done => Self::InSync,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fault;

    #[test]
    fn of_several_the_first_of_2_3_5_4_1_counts() {
        let order = [Exit::Usage, Exit::Fatal, Exit::Another, Exit::Held, Exit::Some, Exit::InSync];
        assert_eq!(order.map(Exit::code), [2, 3, 5, 4, 1, 0]);
        assert!(order.is_sorted_by(|a, b| a > b));
        assert_eq!([Exit::Held, Exit::Some, Exit::Fatal].into_iter().max(), Some(Exit::Fatal));
    }

    #[test]
    fn a_pass_is_judged_by_its_worst() {
        let fault = |class| Fault::new(class, "x", "y");
        let mut status = Status::default();
        assert_eq!(Exit::of_pass(&End::Done, &status), Exit::InSync);
        status.sums.busy = 1;
        assert_eq!(Exit::of_pass(&End::Done, &status), Exit::Some);
        status.sums.held = 1;
        assert_eq!(Exit::of_pass(&End::Done, &status), Exit::Held);
        status.trouble = Some(fault(Class::Transient));
        assert_eq!(Exit::of_pass(&End::Done, &status), Exit::Held);
        status.trouble = Some(fault(Class::Fatal));
        assert_eq!(Exit::of_pass(&End::Done, &status), Exit::Fatal);
        assert_eq!(Exit::of_pass(&End::Failed(fault(Class::Owned)), &status), Exit::Another);
        assert_eq!(Exit::of_pass(&End::Failed(fault(Class::Transient)), &status), Exit::Fatal);
    }
}
