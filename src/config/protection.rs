//! How the store is to guard objects: encryption at rest, and Object Lock.

use super::{
    problem::{Complaint, Shown},
    raw::{Reader, Table},
    schema::{RETENTION, SSE},
};
use crate::model::{Encryption, Retention};
use toml::de::DeValue;

/// Days of a retention: up to a hundred years.
const DAYS: std::ops::RangeInclusive<u64> = 1..=36_500;

/// `sse`.
pub(super) fn encryption(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<Encryption> {
    const KEY: &str = "sse";
    let given = table.get(KEY)?;
    let complaint = match given.value {
        DeValue::String(text) => match text.as_ref() {
            "s3" => return Some(Encryption::Store),
            "kms" => return Some(Encryption::Kms { key: None, bucket_key: None }),
            "bucket" => return Some(Encryption::Bucket),
            other => Complaint::new(
                format!("`{KEY} = {}` is not a way to encrypt", Shown(other)),
                "write \"s3\", \"kms\", { kms = \"key-id-or-arn\" }, or \"bucket\" for the bucket's own",
            ),
        },
        DeValue::Table(_) => {
            let inner = table.table(KEY, &SSE, reader)?;
            let key = inner.text("kms", reader);
            let key = inner.required("kms", key, reader);
            let key = key.and_then(|key| Some((reader.check(key.at, kms_key(key.value))?, key.value)));
            let bucket_key = inner.boolean("bucket_key", reader);
            return key.map(|((), key)| Encryption::Kms { key: Some(key.to_owned()), bucket_key });
        }
        other => table.mistyped(KEY, "a text or a table", other),
    };
    reader.complain(given.at, complaint);
    None
}

fn kms_key(text: &str) -> Result<(), Complaint> {
    if (1..=2048).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'!'..=b'~')) {
        return Ok(());
    }
    let remedy = "write its id, its ARN, or alias/… ; sse = \"kms\" takes the key that KMS keeps for S3";
    Err(Complaint::new(format!("`kms = {}` is not a key of KMS", Shown(text)), remedy))
}

/// `retention`.
pub(super) fn retention(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<Retention> {
    const KEY: &str = "retention";
    let given = table.get(KEY)?;
    match given.value {
        DeValue::String(text) if text == "bucket" => return Some(Retention::Bucket),
        DeValue::Table(_) => {}
        other => {
            reader.complain(given.at, table.mistyped(KEY, "a table or \"bucket\"", other));
            return None;
        }
    }
    let inner = table.table(KEY, &RETENTION, reader)?;
    let mode = inner.text("mode", reader);
    let mode = inner.required("mode", mode, reader);
    let days = inner.number("days", DAYS, reader);
    let days = inner.required("days", days, reader).and_then(|days| u32::try_from(days).ok());
    let kind = mode.as_ref().and_then(|mode| match &*mode.value.to_ascii_lowercase() {
        "governance" => Some(Retention::Governance as fn(u32) -> Retention),
        "compliance" => Some(Retention::Compliance as fn(u32) -> Retention),
        _ => {
            let message = format!("`mode = {}` is not a mode of Object Lock", Shown(mode.value));
            let remedy =
                "write mode = \"governance\", or \"compliance\", which nobody can end before its time";
            reader.complain(mode.at, Complaint::new(message, remedy));
            None
        }
    });
    Some(kind?(days?))
}
