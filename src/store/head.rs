//! HEAD: what an object is. It fails without saying why, and asks for checksums where that is not refused.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>

use super::{
    S3, Spot,
    error::fault,
    metadata, page,
    s3::{size, tag},
};
use crate::model::{Class, Fault, Head, Key, RemoteMeta};
use aws_sdk_s3::{operation::head_object::HeadObjectOutput, types::ChecksumMode};

/// What the object is, with the store's checksum if it tells it; `None` for a 404.
pub(super) async fn head(store: &S3, key: &Key, version: Option<&str>) -> Result<Option<Head>, Fault> {
    let full = store.full("HeadObject", key)?;
    let Some(head) = store.look_closely(&full, version).await? else { return Ok(None) };
    shown("HeadObject", &full, &head).map(Some)
}

/// What an answer to this operation shows.
pub(super) fn shown(operation: &str, full: &str, head: &HeadObjectOutput) -> Result<Head, Fault> {
    let meta = RemoteMeta {
        size: size(operation, full, head.content_length())?,
        etag: tag(operation, full, head.e_tag())?,
        modified: head.last_modified().map(page::stamp),
    };
    Ok(metadata::incoming(meta, head))
}

impl S3 {
    /// What is there, or that version of it; `None` for a 404.
    ///
    /// # Errors
    /// Everything else, as [`Store::head`](super::Store::head).
    pub async fn head_of(&self, spot: &Spot) -> Result<Option<Head>, Fault> {
        head(self, &spot.key, spot.version.as_deref()).await
    }

    /// HEAD as the SDK gives it; `None` for a 404.
    pub(super) async fn look(&self, full: &str) -> Result<Option<HeadObjectOutput>, Fault> {
        self.ask_for(full, None, None).await.map_err(|(_, fault)| fault)
    }

    /// HEAD, checksums included where they may be told. They are told only to those who may decrypt what is
    /// encrypted under SSE-KMS, and not every store knows the question.
    async fn look_closely(
        &self,
        full: &str,
        version: Option<&str>,
    ) -> Result<Option<HeadObjectOutput>, Fault> {
        let mode = self.asks_for_checksums().then_some(ChecksumMode::Enabled);
        let asked = mode.is_some();
        match self.ask_for(full, version, mode).await {
            Err((400, fault)) => match self.why_not(full, version).await {
                Some(why) => Err(why),
                None if asked => self.look_without(full, version, fault).await,
                None => Err(fault),
            },
            Err((401..=403 | 405 | 501, fault)) if asked => self.look_without(full, version, fault).await,
            answer => answer.map_err(|(_, fault)| fault),
        }
    }

    /// HEAD without checksums; if that goes well, they are not asked for again.
    async fn look_without(
        &self,
        full: &str,
        version: Option<&str>,
        refused: Fault,
    ) -> Result<Option<HeadObjectOutput>, Fault> {
        let answer = self.ask_for(full, version, None).await.map_err(|(_, fault)| fault);
        if answer.is_ok() {
            self.asks_for_no_checksums();
            tracing::info!(%refused, "HEAD goes without checksums from now on (SSE-KMS: allow kms:Decrypt)");
        }
        answer
    }

    /// A HEAD that fails does not say why; a GET does. `None` if it is answered as it should be.
    async fn why_not(&self, full: &str, version: Option<&str>) -> Option<Fault> {
        let get = self.client().get_object().bucket(self.bucket()).key(full).range("bytes=0-0");
        let get = get.set_version_id(version.map(str::to_owned));
        let refused = self.send(0, || get.clone().send()).await.err()?;
        // an empty object has no first byte
        let empty = refused.raw_response().is_some_and(|answer| answer.status().as_u16() == 416);
        (!empty).then(|| fault("GetObject", full, &refused))
    }

    /// HEAD; with a fault, the status of HTTP (0: none came).
    async fn ask_for(
        &self,
        full: &str,
        version: Option<&str>,
        mode: Option<ChecksumMode>,
    ) -> Result<Option<HeadObjectOutput>, (u16, Fault)> {
        let head = self.client().head_object().bucket(self.bucket()).key(full).set_checksum_mode(mode);
        let head = head.set_version_id(version.map(str::to_owned));
        let error = match self.send(0, || head.clone().send()).await {
            Ok(head) => return Ok(Some(head)),
            Err(error) => error,
        };
        let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
        match fault("HeadObject", full, &error) {
            gone if gone.class == Class::Missing => Ok(None),
            other => Err((status, other)),
        }
    }
}
