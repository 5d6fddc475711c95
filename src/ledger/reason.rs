//! Why a ledger had to be begun anew, in words for an operator.

use super::meta;
use std::{fmt, path::PathBuf};

/// Why a ledger is a new one. Where the old one is now, if it was set aside: nothing is ever deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was none.
    Missing,
    /// It could not be read.
    Corrupt {
        /// Why.
        cause: String,
        /// Where it is now.
        aside: Option<PathBuf>,
    },
    /// A newer version of this program wrote it.
    Newer {
        /// Its schema.
        schema: u32,
        /// Where it is now.
        aside: Option<PathBuf>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aside = match self {
            Self::Missing => return f.write_str("there was no ledger"),
            Self::Corrupt { cause, aside } => {
                write!(f, "the ledger could not be read ({cause})")?;
                aside
            }
            Self::Newer { schema, aside } => {
                write!(f, "a newer version wrote the ledger (schema {schema}, known is {})", meta::SCHEMA)?;
                aside
            }
        };
        match aside {
            Some(path) => write!(f, "; it was kept as {}", path.display()),
            None => Ok(()),
        }
    }
}
