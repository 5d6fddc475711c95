//! Limits of bandwidth as people write them: `2MiB/s`, `08:00-18:00 = 2MiB/s`, `Mon-Fri 08:00-18:00 = off`.

use super::{
    bytes,
    problem::{Complaint, Shown},
    raw::{Reader, Table},
};
use crate::model::{Rates, Span};
use toml::de::DeValue;

const KEY: &str = "bandwidth";
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Reads one text or a list of them; what is wrong is noted.
pub(super) fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<Rates> {
    let given = table.get(KEY)?;
    let texts = match given.value {
        DeValue::Array(_) => table.texts(KEY, reader)?,
        _ => vec![table.text(KEY, reader)?],
    };
    let spans = texts.into_iter().map(|text| reader.check(text.at, span(text.value)));
    let spans = spans.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?;
    // what never limits is no limit
    let rates = Rates::new(spans);
    Some(if rates.is_none() { Rates::default() } else { rates })
}

fn span(text: &str) -> Result<Span, Complaint> {
    let Some((when, rate)) = text.split_once('=') else {
        return Ok(Span::always(self::rate(text)?));
    };
    let wrong = || {
        let remedy = "write times as in \"08:00-18:00 = 2MiB/s\" or \"Mon-Fri 08:00-18:00 = 2MiB/s\"";
        Complaint::new(format!("`{KEY} = {}` is not a time and a rate", Shown(text)), remedy)
    };
    let rate = self::rate(rate)?;
    let words: Vec<_> = when.split_whitespace().collect();
    let (days, times) = match words[..] {
        [times] if times.contains(':') => (Some([true; 7]), Some(times)),
        [days] => (self::days(days), None),
        [days, times] => (self::days(days), Some(times)),
        _ => return Err(wrong()),
    };
    let (from, to) = times.map_or(Some((0, 24 * 60)), self::times).ok_or_else(wrong)?;
    Ok(Span { days: days.ok_or_else(wrong)?, from, to, rate })
}

/// `None` is no limit.
fn rate(text: &str) -> Result<Option<u64>, Complaint> {
    let text = text.trim();
    if text == "off" {
        return Ok(None);
    }
    let remedy = "write a number of bytes a second: \"2MiB/s\", or \"off\"";
    let wrong = || Complaint::new(format!("`{KEY} = {}` is not a rate", Shown(text)), remedy);
    let amount = text.strip_suffix("/s").ok_or_else(wrong)?;
    bytes::parse(KEY, amount, &(16 << 10..=1 << 40)).map(Some)
}

/// `Mon`, `Mon-Fri`, `Sat-Sun`, `Fri-Mon`.
fn days(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let length = (last + 7 - first) % 7;
    let mut days = [false; 7];
    (first..=first + length).for_each(|day| days[day % 7] = true);
    Some(days)
}

/// `08:00-18:00`, in minutes.
fn times(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    Some((minute(from)?, minute(to)?))
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = 60 * hours + minutes;
    (minutes < 60 && minute <= 24 * 60).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        let all = [true; 7];
        let week = [true, true, true, true, true, false, false];
        let long = [true, false, false, false, true, true, true];
        const MIB: u64 = 1 << 20;
        for (text, days, from, to, rate) in [
            ("2MiB/s", all, 0, 1440, Some(2 * MIB)),
            ("off", all, 0, 1440, None),
            ("08:00-18:00 = 2MiB/s", all, 480, 1080, Some(2 * MIB)),
            ("22:30-06:00=off", all, 1350, 360, None),
            ("Mon-Fri 08:00-24:00 = 100 kB/s", week, 480, 1440, Some(100_000)),
            ("fri-mon = 1MiB/s", long, 0, 1440, Some(MIB)),
        ] {
            let want = Span { days, from, to, rate };
            assert_eq!(span(text).map_err(|c| c.message), Ok(want), "{text}");
        }
        for (text, says) in [
            ("2MiB", "2MiB/s"),
            ("2/s", "64MiB"),
            ("1KiB/s", "from 16.0 KiB"),
            ("8:00-18:00 = 2MiB/s", "08:00-18:00"),
            ("08:00-25:00 = 2MiB/s", "08:00-18:00"),
            ("08:60-09:00 = 2MiB/s", "08:00-18:00"),
            ("Mo 08:00-18:00 = 2MiB/s", "Mon-Fri"),
            ("Mon 08:00-18:00 x = 2MiB/s", "Mon-Fri"),
            (" = 2MiB/s", "Mon-Fri"),
            ("08:00-18:00 = fast", "2MiB/s"),
        ] {
            let told = span(text).expect_err(text);
            assert!(told.remedy.contains(says), "{text}: {told:?}");
        }
    }
}
