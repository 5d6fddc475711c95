//! What people read of a file: its rights and its time, as `ls -l` shows them, and names that are safe to print.

use crate::model::Stamp;
use jiff::Timestamp;

/// `-rw-r--r--`, of `st_mode`.
pub fn rights(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let mut text = String::from(kind);
    for (shift, special, set) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 > 0 { 'r' } else { '-' });
        text.push(if bits & 2 > 0 { 'w' } else { '-' });
        text.push(match (bits & 1 > 0, mode & special > 0) {
            (true, true) => set,
            (false, true) => set.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// In UTC: `2026-11-29T12:00:00Z`, with a fraction if it has one; seconds since 1970 if it is beyond all calendars.
pub fn time(stamp: Stamp) -> String {
    let nanos = i32::try_from(stamp.nsec).unwrap_or_default();
    Timestamp::new(stamp.sec, nanos).map_or_else(|_| stamp.sec.to_string(), |time| time.to_string())
}

/// Control characters escaped: what others say, such as a store.
pub fn escaped(text: &str) -> String {
    let safe = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_shown_as_ls_shows_them() {
        for (mode, want) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
            (0o010_600, "prw-------"),
            (0o020_620, "crw--w----"),
            (0o060_660, "brw-rw----"),
            (0o106_755, "-rwsr-sr-x"),
            (0o101_666, "-rw-rw-rwT"),
            (0, "----------"),
        ] {
            assert_eq!(rights(mode), want, "{mode:o}");
        }
    }

    #[test]
    fn times_are_of_utc() {
        for (sec, nsec, want) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, 120_000_000, "2023-11-14T22:13:20.12Z"),
            (-1, 0, "1969-12-31T23:59:59Z"),
            (i64::MAX, 0, "9223372036854775807"),
        ] {
            assert_eq!(time(Stamp { sec, nsec }), want);
        }
    }
}
