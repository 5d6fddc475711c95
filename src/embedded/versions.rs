//! ListObjectVersions: pages over keys whose versions may spread over pages.

use s3s::S3Result;
use s3s::dto::{
    DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass,
};

use super::bucket::Bucket;
use super::fault::Kind;
use super::listing::{Query, Shown, most, owner, walk};

/// ListObjectVersions.
pub(super) fn list(
    bucket: &Bucket,
    input: ListObjectVersionsInput,
    kinds: &[Kind],
) -> S3Result<ListObjectVersionsOutput> {
    let shown = Shown::new(input.encoding_type.as_ref(), kinds)?;
    let most = most(input.max_keys)?;
    let room = most as usize;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let after = input.key_marker.as_deref().filter(|marker| !marker.is_empty());
    let after_version = input.version_id_marker.as_deref().filter(|marker| !marker.is_empty());
    let mut entries = Vec::new();
    let contents = bucket.read();
    // A page may have ended within a key: its remaining versions come first.
    if let (Some(key), Some(version)) = (after, after_version)
        && let Some((key, versions)) = contents.keys.get_key_value(key)
    {
        let rest = versions.iter().skip_while(|held| held.id.text() != version).skip(1);
        entries.extend(rest.map(|version| (key.as_str(), version, false)));
    }
    let mut prefixes: Vec<&str> = Vec::new();
    let mut more = entries.len() > room;
    let query = Query { prefix, delimiter, after, most: room.saturating_sub(entries.len()) };
    let mut next_key = None;
    if !more {
        let last = walk(
            &contents.keys,
            &query,
            |key, versions| {
                let before = entries.len();
                entries.extend(versions.iter().enumerate().map(|(at, version)| (key, version, at == 0)));
                entries.len() - before
            },
            |common| prefixes.push(common),
            |_| true,
        );
        more = last.is_some() && room > 0;
        // Where the remaining versions of one key filled the page, it goes on after that key.
        next_key = last.filter(|last| !last.is_empty()).or(entries.last().map(|(key, ..)| *key));
    }
    // The last key may have had more versions than there was room for.
    let room = room.saturating_sub(prefixes.len());
    if entries.len() > room {
        entries.truncate(room);
        more = true;
        next_key = entries.last().map(|(key, ..)| *key);
    }
    let next_version = entries.last().filter(|(key, ..)| more && Some(*key) == next_key);
    let mut output = ListObjectVersionsOutput {
        common_prefixes: shown.prefixes(&prefixes),
        delimiter: delimiter.map(|text| shown.text(text)),
        encoding_type: shown.echo(),
        is_truncated: Some(more),
        max_keys: Some(most),
        prefix: Some(shown.text(prefix)),
        next_key_marker: next_key.map(|key| shown.text(key)),
        next_version_id_marker: next_version.map(|(_, version, _)| version.id.text()),
        key_marker: Some(shown.text(after.unwrap_or_default())),
        version_id_marker: Some(after_version.unwrap_or_default().to_owned()),
        name: Some(input.bucket.clone()),
        ..ListObjectVersionsOutput::default()
    };
    for (key, version, latest) in entries {
        let (key, id) = (Some(shown.text(key)), Some(version.id.text()));
        let last_modified = Some(version.modified.into());
        match &version.object {
            Some(object) => output.versions.get_or_insert_default().push(ObjectVersion {
                e_tag: Some(object.tag()),
                is_latest: Some(latest),
                key,
                last_modified,
                owner: Some(owner()),
                size: i64::try_from(object.body.len()).ok(),
                storage_class: Some(ObjectVersionStorageClass::from(
                    object.attributes.class_name().to_owned(),
                )),
                version_id: id,
                ..ObjectVersion::default()
            }),
            None => output.delete_markers.get_or_insert_default().push(DeleteMarkerEntry {
                is_latest: Some(latest),
                key,
                last_modified,
                owner: Some(owner()),
                version_id: id,
            }),
        }
    }
    Ok(output)
}
