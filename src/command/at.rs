//! A time on the command line: RFC 3339, or a span ago.

use super::Failure;
use crate::{config, restore::When};
use jiff::Timestamp;

/// Reads it; `now` in seconds since 1970.
pub(super) fn read(text: &str, now: i64) -> Result<When, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "--at {text:?}: {why}; write it as 2026-11-29T12:00:00Z, 2026-11-29T13:00:00+01:00, \"2h ago\" or \"3d ago\""
        ))
    };
    if let Some(span) = text.trim().strip_suffix("ago") {
        let span = config::span(span).ok_or_else(|| wrong("it is not a span of time"))?;
        return Ok(When::Ago(span));
    }
    let at: Timestamp = text.trim().parse().map_err(|_| wrong("it is not a time with its zone"))?;
    if at.as_second() > now {
        return Err(wrong("it is yet to come"));
    }
    Ok(When::At(at.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_read_as_people_write_them() {
        const AT: i64 = 1_795_953_013;
        let ago = |secs| Some(When::Ago(Duration::from_secs(secs)));
        for (text, want) in [
            ("2026-11-29T11:50:13Z", Some(When::At(AT))),
            ("2026-11-29T12:50:13+01:00", Some(When::At(AT))),
            ("2026-11-29T11:50:13.999Z", Some(When::At(AT))),
            (" 2026-11-29 11:50:13Z ", Some(When::At(AT))),
            ("2h ago", ago(7200)),
            ("3d ago", ago(3 * 86_400)),
            ("1h 30m ago", ago(5400)),
            ("90s ago", ago(90)),
            ("2026-11-29T11:50:14Z", None),
            ("2026-11-29T11:50:13", None),
            ("2026-11-29", None),
            ("2h", None),
            ("2 ago", None),
            ("5M ago", None),
            ("ago", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(read(text, AT).ok(), want, "{text}");
        }
    }
}
