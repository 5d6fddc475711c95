//! Where a daemon tells machines how it is.

use super::{
    problem::{Complaint, Shown},
    raw::{Reader, Table},
};

/// Reads `metrics`: an address or a name, and a port.
pub(super) fn read(top: &Table<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let given = top.text("metrics", reader)?;
    reader.check(given.at, address(given.value))
}

fn address(text: &str) -> Result<String, Complaint> {
    let name = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        !name.is_empty() && name.bytes().all(plain)
    };
    let bracketed = |name: &str| {
        let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0);
    if text.rsplit_once(':').is_some_and(|(host, number)| (name(host) || bracketed(host)) && port(number)) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("`metrics = {}` is no address with a port", Shown(text)),
        "write metrics = \"127.0.0.1:9633\", for this host alone, or another of its addresses, or its name",
    ))
}
