//! Spans of time as people write them: `10s`, `1h`, `1h 30m`.

use super::problem::{Complaint, Shown};
use std::{ops::RangeInclusive, time::Duration};

/// Reads a span of time and holds it to `range`.
pub(super) fn parse(key: &str, text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, Complaint> {
    let number = text.trim().parse::<u64>().is_ok();
    // humantime reads `5M` as five months; whoever wrote it meant minutes.
    let month = text.split(|c: char| c.is_ascii_digit() || c.is_whitespace()).any(|unit| unit == "M");
    let remedy = match text.trim() {
        _ if month => "write `m` for minutes, or `30d` for a month".to_owned(),
        bare if number => format!("give it a unit: {key} = \"{bare}s\""),
        _ => format!("write a number with a unit: {key} = \"10s\", \"1h\" or \"1h 30m\""),
    };
    let unreadable = || Complaint::new(format!("`{key} = {}` is not a span of time", Shown(text)), remedy);
    if number || month {
        return Err(unreadable());
    }
    let span = humantime::parse_duration(text).map_err(|_| unreadable())?;
    if range.contains(&span) {
        return Ok(span);
    }
    let (least, most) =
        (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
    Err(Complaint::new(
        format!("`{key} = {}` is out of range", Shown(text)),
        format!("write a span from {least} to {most}"),
    ))
}

/// The same, of what is no key's: at most a hundred years. `None` if it cannot be read.
pub fn span(text: &str) -> Option<Duration> {
    const MOST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
    parse("", text.trim(), &(Duration::ZERO..=MOST)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let all = Duration::ZERO..=Duration::from_secs(86400 * 40);
        for (text, want) in [
            ("10s", Ok(10)),
            ("1h", Ok(3600)),
            ("1h 30m", Ok(5400)),
            ("24h", Ok(86400)),
            ("2 min", Ok(120)),
            ("0s", Ok(0)),
            ("41d", Err("from 0s to 1month")),
            ("10", Err("quiet = \"10s\"")),
            ("0", Err("quiet = \"0s\"")),
            ("5M", Err("`m` for minutes")),
            ("1h 5M", Err("`m` for minutes")),
            ("soon", Err("\"1h 30m\"")),
            ("", Err("\"1h 30m\"")),
            ("-1s", Err("\"1h 30m\"")),
        ] {
            match (parse("quiet", text, &all), want) {
                (Ok(span), want) => assert_eq!(Ok(span.as_secs()), want, "{text}"),
                (Err(c), Err(says)) => assert!(c.remedy.contains(says), "{text}: {c:?}"),
                (Err(c), Ok(_)) => panic!("{text}: {c:?}"),
            }
        }
    }
}
