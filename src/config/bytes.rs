//! Numbers of bytes as people write them: `64MiB`, `1.5 GiB`, `2 MB`.

use super::problem::{Complaint, Shown};
use bytesize::ByteSize;
use std::ops::RangeInclusive;

/// Reads a number of bytes and holds it to `range`.
pub(super) fn parse(key: &str, text: &str, range: &RangeInclusive<u64>) -> Result<u64, Complaint> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
    // what `64M` and `64` mean depends on whom one asks
    let clear = unit.len() > 1 && !text.starts_with('.');
    let size = text.parse::<ByteSize>().ok().filter(|_| clear).ok_or_else(|| {
        let message = format!("`{key} = {}` is not a number of bytes", Shown(text));
        Complaint::new(message, format!("write a number with a unit: {key} = \"64MiB\" or \"1.5GB\""))
    })?;
    if range.contains(&size.as_u64()) {
        return Ok(size.as_u64());
    }
    let [least, most] = [range.start(), range.end()].map(|bytes| ByteSize(*bytes).display().iec());
    Err(Complaint::new(
        format!("`{key} = {}` is out of range", Shown(text)),
        format!("write a number of bytes from {least} to {most}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_people_write_them() {
        for (text, want) in [
            ("64MiB", Ok(64 << 20)),
            (" 1.5 GiB ", Ok(3 << 29)),
            ("20MB", Ok(20_000_000)),
            ("16mib", Ok(16 << 20)),
            ("15MiB", Err("from 16.0 MiB to 1.0 TiB")),
            ("2TiB", Err("from 16.0 MiB to 1.0 TiB")),
            ("64", Err("\"64MiB\"")),
            ("64M", Err("\"64MiB\"")),
            ("", Err("\"64MiB\"")),
            ("MiB", Err("\"64MiB\"")),
            (".5GiB", Err("\"64MiB\"")),
            ("-64MiB", Err("\"64MiB\"")),
            ("64 MiB/s", Err("\"64MiB\"")),
            ("much", Err("\"64MiB\"")),
        ] {
            match (parse("memory_limit", text, &(16 << 20..=1 << 40)), want) {
                (Err(complaint), Err(says)) => {
                    assert!(complaint.remedy.contains(says), "{text}: {complaint:?}")
                }
                (found, want) => {
                    assert_eq!(found.map_err(|c| c.message), want.map_err(str::to_owned), "{text}")
                }
            }
        }
    }
}
