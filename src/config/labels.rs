//! Names and values that go with an object: tags and user metadata.

use super::{
    problem::{Complaint, Shown},
    raw::{Given, Reader, Table},
};

/// User metadata that is ours; all that begins with `s3mirrord-` is, too.
const OURS: [&str; 5] = ["mtime", "mode", "uid", "gid", "rdev"];

/// Bytes of names and values: S3 takes 2,048 in all, and ours need up to 300.
const MOST_METADATA: usize = 1536;
/// The same where extended attributes are kept as well.
pub(super) const MOST_BESIDE_XATTRS: usize = 448;

/// The most tags of an object, and characters of a name and a value (S3 user guide, *Object tagging*).
const MOST_TAGS: (usize, usize, usize) = (10, 128, 256);

/// `tags`.
pub(super) fn tags(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let (most, name_most, value_most) = MOST_TAGS;
    let at = table.get("tags")?.at;
    let pairs = table.pairs("tags", reader)?;
    if pairs.len() > most {
        let message = format!("{} tags are too many", pairs.len());
        reader.complain(at, Complaint::new(message, format!("S3 takes {most} for an object")));
    }
    for (name, value) in &pairs {
        let plain = |text: &str| {
            text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c)) && text.trim() == text
        };
        let fits = |text: &str, least, most| plain(text) && (least..=most).contains(&text.chars().count());
        if !fits(name.value, 1, name_most) || !fits(value.value, 0, value_most) {
            let message = format!("the tag {} = {} cannot be one", Shown(name.value), Shown(value.value));
            let remedy = format!(
                "write 1 to {name_most} characters = at most {value_most}, of letters, digits, blanks and + - = . _ : / @"
            );
            reader.complain(name.at, Complaint::new(message, remedy));
        } else if name.value.to_ascii_lowercase().starts_with("aws:") {
            let message = format!("the tag {} is Amazon's own", Shown(name.value));
            reader.complain(name.at, Complaint::new(message, "give it a name that does not begin with aws:"));
        }
    }
    Some(owned(&pairs))
}

/// `metadata`.
pub(super) fn metadata(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let at = table.get("metadata")?.at;
    let pairs = table.pairs("metadata", reader)?;
    for (name, value) in &pairs {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let shown = Shown(name.value);
        let complaint = if OURS.contains(&name.value) || name.value.starts_with("s3mirrord-") {
            Complaint::new(
                format!("the metadata {shown} is written for every file"),
                "take it out, or give it another name",
            )
        } else if name.value.is_empty() || !name.value.bytes().all(plain) {
            Complaint::new(format!("{shown} cannot name metadata"), "write it with a-z 0-9 - _ .")
        } else if value.value.is_empty() || value.value.chars().any(char::is_control) {
            Complaint::new(
                format!("the metadata {shown} = {} cannot be sent", Shown(value.value)),
                "write at least one character, and no control characters",
            )
        } else {
            continue;
        };
        reader.complain(name.at, complaint);
    }
    let size: usize = pairs.iter().map(|(name, value)| name.value.len() + sent(value.value)).sum();
    if size > MOST_METADATA {
        let message = format!("the metadata takes {size} bytes");
        let remedy =
            format!("write at most {MOST_METADATA} bytes of names and values: S3 takes 2 KiB with ours");
        reader.complain(at, Complaint::new(message, remedy));
    }
    Some(owned(&pairs))
}

/// Bytes that these names and values take.
pub(super) fn taken(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + sent(value)).sum()
}

/// Bytes of a value on the wire: what is not plain ASCII, or looks like what is not, goes in Base64.
fn sent(value: &str) -> usize {
    let plain =
        value.bytes().all(|b| matches!(b, b' '..=b'~')) && value.trim() == value && !value.starts_with("=?");
    if plain { value.len() } else { 12 + value.len().div_ceil(3) * 4 }
}

fn owned(pairs: &[(Given<&str>, Given<&str>)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.value.to_owned(), value.value.to_owned())).collect()
}
