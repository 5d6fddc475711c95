//! What an unfinished upload holds already: told part by part, and held against the bytes that are to go there.

use super::{
    S3,
    error::{fault, no_s3, what},
    page::following,
    payload::Payload,
    s3::{size, tag},
};
use crate::model::{Begun, Class, Fault, Part, Upload};
use aws_sdk_s3::types;
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::BTreeMap;

const LIST: &str = "ListParts";

/// All parts of an upload; `None` if there is no such upload (any more).
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html>
pub(super) async fn parts(store: &S3, upload: &Upload) -> Result<Option<Vec<Part>>, Fault> {
    let full = store.full(LIST, &upload.key)?;
    let (mut all, mut marker): (Vec<Part>, Option<String>) = (Vec::new(), None);
    loop {
        let request = store.client().list_parts().bucket(store.bucket()).key(&full).upload_id(&upload.id);
        let request = request.set_part_number_marker(marker.clone());
        let answer = match store.send(0, || request.clone().send()).await {
            Ok(answer) => answer,
            Err(error) => match fault(LIST, &full, &error) {
                gone if gone.class == Class::Missing => return Ok(None),
                other => return Err(other),
            },
        };
        for found in answer.parts() {
            let part = part(&full, found)?;
            if all.last().is_some_and(|last| last.number >= part.number) {
                let cause = format!("part {} does not come after the one before", part.number);
                return Err(Fault::new(Class::Transient, what(LIST, &full), cause));
            }
            all.push(part);
        }
        let found = answer.next_part_number_marker().filter(|m| !m.is_empty()).map(str::to_owned);
        match following(LIST, &full, answer.is_truncated(), marker.as_ref(), found)? {
            Some(next) => marker = Some(next),
            None => return Ok(Some(all)),
        }
    }
}

fn part(full: &str, part: &types::Part) -> Result<Part, Fault> {
    let number = part.part_number().and_then(|number| number.try_into().ok());
    let digest = |text: &str| BASE64_STANDARD.decode(text).ok()?.try_into().ok();
    Ok(Part {
        number: number.ok_or_else(|| no_s3(LIST, full, "PartNumber"))?,
        size: size(LIST, full, part.size())?,
        etag: tag(LIST, full, part.e_tag())?,
        sha256: part.checksum_sha256().and_then(digest),
    })
}

/// The parts that need not be sent again, if they hold what is to be sent.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<u32, Part>);

impl Kept {
    pub(super) fn of(begun: Begun) -> Self {
        Self(begun.parts.into_iter().map(|part| (part.number, part)).collect())
    }

    /// The part of this number, if it holds these bytes for certain: by the checksum that the store verified when it
    /// took them, or else by their MD5, where tags are that.
    ///
    /// # Errors
    /// Those of reading them.
    pub(super) async fn same(
        &mut self,
        store: &S3,
        number: u32,
        payload: &Payload,
    ) -> Result<Option<Part>, Fault> {
        let Some(part) = self.0.remove(&number).filter(|part| part.size == payload.len()) else {
            return Ok(None);
        };
        let same = match part.sha256.filter(|_| store.can().verifies_sha256) {
            Some(sha256) => sha256 == payload.sha256,
            None if store.can().etag_is_md5 => part.etag.as_md5() == Some((payload.md5().await?, None)),
            None => false,
        };
        Ok(same.then_some(part))
    }
}
