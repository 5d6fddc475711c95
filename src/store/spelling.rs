//! How times and texts are spelled in metadata: times as rclone spells them, texts as headers carry them.

use crate::model::Stamp;
use base64::{Engine, prelude::BASE64_STANDARD};

/// Seconds with nine digits of fraction; before 1970 with the sign in front of the whole, as rclone.
pub(super) fn time_text(time: Stamp) -> String {
    let nanos = i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// Reads [`time_text`], with any number of digits.
pub(super) fn time_of(text: &str) -> Option<Stamp> {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos = i128::from(whole.parse::<i64>().ok()?) * 1_000_000_000 + fraction.parse::<i128>().ok()?;
    let nanos = if negative { -nanos } else { nanos };
    Some(Stamp {
        sec: nanos.div_euclid(1_000_000_000).try_into().ok()?,
        nsec: nanos.rem_euclid(1_000_000_000).try_into().ok()?,
    })
}

/// A header value: as it is if it is printable ASCII, else as an RFC 2047 word, which is how S3 gives
/// such values back.
pub(super) fn header_text(text: &str) -> String {
    let plain = text.bytes().all(|b| matches!(b, b' '..=b'~'))
        && !text.starts_with("=?")
        && text.trim_matches(' ') == text;
    if plain { text.to_owned() } else { format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(text)) }
}

/// Reads [`header_text`] and what S3 makes of it: words of either encoding, one or several.
pub(super) fn plain_text(value: &str) -> String {
    let words: Option<Vec<Vec<u8>>> = value.split_ascii_whitespace().map(word).collect();
    match words.map(|w| String::from_utf8(w.concat())) {
        Some(Ok(text)) if !value.is_empty() => text,
        _ => value.to_owned(),
    }
}

/// The bytes of one RFC 2047 word of UTF-8.
fn word(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut fields = inner.splitn(3, '?');
    let (charset, encoding, data) = (fields.next()?, fields.next()?, fields.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    match encoding {
        "B" | "b" => BASE64_STANDARD.decode(data).ok(),
        "Q" | "q" => {
            let mut out = Vec::with_capacity(data.len());
            let mut rest = data.as_bytes();
            while let Some((first, tail)) = rest.split_first() {
                rest = tail;
                match first {
                    b'_' => out.push(b' '),
                    b'=' => {
                        let (code, tail) = rest.split_at_checked(2)?;
                        out.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
                        rest = tail;
                    }
                    byte => out.push(*byte),
                }
            }
            Some(out)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(sec: i64, nsec: u32) -> Stamp {
        Stamp { sec, nsec }
    }

    #[test]
    fn times_are_spelled_as_rclone_spells_them() {
        for (time, text) in [
            (at(1_700_000_000, 123_456_789), "1700000000.123456789"),
            (at(0, 0), "0.000000000"),
            (at(-1, 500_000_000), "-0.500000000"),
            (at(-2, 500_000_000), "-1.500000000"),
            (at(-1, 0), "-1.000000000"),
        ] {
            assert_eq!(time_text(time), text);
            assert_eq!(time_of(text), Some(time));
        }
        for (text, want) in [
            ("1700000000", Some(at(1_700_000_000, 0))),
            ("1.5", Some(at(1, 500_000_000))),
            ("1.1234567899", Some(at(1, 123_456_789))),
            ("", None),
            (".5", None),
            ("1e3", None),
            ("+1", None),
            ("--1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time_of(text), want, "{text}");
        }
    }

    #[test]
    fn words_of_either_encoding_are_read() {
        for (value, want) in [
            ("plain", "plain"),
            ("two words", "two words"),
            ("", ""),
            ("=?UTF-8?Q?caf=C3=A9_x?=", "café x"),
            ("=?utf-8?b?Y2Fmw6k=?=", "café"),
            ("=?UTF-8?B?w6k=?= =?UTF-8?Q?=C3=A9?=", "éé"),
            ("=?UTF-8?Q?=C3?=", "=?UTF-8?Q?=C3?="),
            ("=?latin1?Q?x?=", "=?latin1?Q?x?="),
        ] {
            assert_eq!(plain_text(value), want, "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_time_and_every_text_comes_back(sec in any::<i32>(), nsec in 0..1_000_000_000u32, text in "\\PC*") {
            prop_assert_eq!(time_of(&time_text(at(sec.into(), nsec))), Some(at(sec.into(), nsec)));
            prop_assert_eq!(plain_text(&header_text(&text)), text);
        }
    }
}
