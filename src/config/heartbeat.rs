//! Where a mirror says that it is well, as long as it is: whoever listens there alarms when it does not.

use super::{
    Secret,
    limits::span,
    problem::Complaint,
    raw::{Reader, Table},
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The heartbeat of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// What is fetched, `http` or `https`. Whoever knows it can say that all is well.
    pub url: Secret,
    /// How often, a minute to a day.
    pub every: Duration,
    /// How old a change may be that is not in the bucket, a second to a year.
    pub within: Duration,
}

impl Heartbeat {
    /// Reads these keys of a `[[mirror]]`; what is wrong is noted.
    pub(super) fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let every = span(table, "heartbeat_every", MINUTE..=DAY, reader).unwrap_or(5 * MINUTE);
        let within = span(table, "heartbeat_within", Duration::from_secs(1)..=366 * DAY, reader);
        let given = table.text("heartbeat", reader)?;
        let url = reader.check(given.at, url(given.value))?;
        Some(Self { url, every, within: within.unwrap_or(15 * MINUTE) })
    }
}

/// What is wrong with it is told without it.
fn url(text: &str) -> Result<Secret, Complaint> {
    let parsed = text.parse::<http::Uri>().ok();
    let whole = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|at| !at.host().is_empty() && !at.as_str().contains('@'))
    });
    if whole {
        return Ok(Secret::new(text));
    }
    let remedy = "write heartbeat = \"https://…\", as whoever listens there gives it";
    Err(Complaint::new("`heartbeat` is not the URL of a page", remedy))
}
