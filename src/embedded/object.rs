//! One object: its bytes, its ETag, and what was said of it when it was written.

use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{ETag, GetObjectOutput, HeadObjectOutput, Range};
use s3s::{S3Result, s3_error};

use super::attributes::Attributes;
use super::body::Body;
use super::checksum::{Sum, put_sum};
use super::percent;

/// Tags, in the order given.
pub(super) type Tags = Vec<(String, String)>;

/// An object, or one version of it.
#[derive(Clone)]
pub(super) struct Object {
    /// Without quotes.
    pub(super) etag: String,
    pub(super) body: Body,
    /// In whole seconds.
    pub(super) modified: SystemTime,
    pub(super) attributes: Arc<Attributes>,
    pub(super) sum: Option<Sum>,
    /// The sizes of the parts it was made of, if by a multipart upload.
    pub(super) parts: Option<Box<[u64]>>,
    pub(super) tags: Tags,
}

impl Object {
    pub(super) fn tag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    /// # Errors
    /// 403 `InvalidObjectState` if the bytes are archived, 400 without the object's SSE-C key.
    pub(super) fn check_readable(&self, key_md5: Option<&str>) -> S3Result<()> {
        if self.attributes.archived() {
            return Err(s3_error!(
                InvalidObjectState,
                "The operation is not valid for the object's storage class"
            ));
        }
        self.check_key(key_md5)
    }

    /// # Errors
    /// 400 without the object's SSE-C key.
    pub(super) fn check_key(&self, key_md5: Option<&str>) -> S3Result<()> {
        if self.attributes.encryption().sse_customer_key_md5.as_deref() != key_md5 {
            return Err(s3_error!(
                InvalidRequest,
                "The object was stored using a form of Server Side Encryption. The correct parameters must be \
                 provided to retrieve the object."
            ));
        }
        Ok(())
    }

    /// The part of the body that `range` or `part` asks for, and the Content-Range to say so.
    ///
    /// # Errors
    /// 416.
    pub(super) fn extent(
        &self,
        range: Option<Range>,
        part: Option<i32>,
    ) -> S3Result<(std::ops::Range<u64>, Option<String>)> {
        let len = self.body.len();
        let extent = match (range, part) {
            (Some(_), Some(_)) => {
                return Err(s3_error!(InvalidRequest, "Cannot specify both Range and partNumber"));
            }
            (None, None) => return Ok((0..len, None)),
            (Some(range), None) => range.check(len).map_err(|_| s3_error!(InvalidRange))?,
            (None, Some(part)) => {
                let whole = [len];
                let parts = self.parts.as_deref().unwrap_or(&whole);
                let index = usize::try_from(part).ok().and_then(|part| part.checked_sub(1));
                let index =
                    index.filter(|index| *index < parts.len()).ok_or_else(|| s3_error!(InvalidRange))?;
                let start: u64 = parts[..index].iter().sum();
                start..start + parts[index]
            }
        };
        let shown = (!extent.is_empty()).then(|| format!("bytes {}-{}/{len}", extent.start, extent.end - 1));
        Ok((extent, shown))
    }

    /// The answer to a GET of `extent`, without its body.
    pub(super) fn get_output(&self, extent: &std::ops::Range<u64>, with_sum: bool) -> GetObjectOutput {
        let attributes = &*self.attributes;
        let (headers, encryption, guard) =
            (attributes.headers(), attributes.encryption(), attributes.guard());
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            bucket_key_enabled: encryption.bucket_key_enabled,
            cache_control: headers.cache_control.clone(),
            content_disposition: headers.content_disposition.clone(),
            content_encoding: headers.content_encoding.clone(),
            content_language: headers.content_language.clone(),
            content_length: i64::try_from(extent.end - extent.start).ok(),
            content_type: Some(
                attributes.content_type.clone().unwrap_or_else(|| "binary/octet-stream".to_owned()),
            ),
            e_tag: Some(self.tag()),
            expires: headers.expires.clone(),
            last_modified: Some(self.modified.into()),
            metadata: attributes.metadata(),
            object_lock_legal_hold_status: guard.legal_hold.clone(),
            object_lock_mode: guard.mode.clone(),
            object_lock_retain_until_date: guard.until.clone(),
            server_side_encryption: encryption.server_side_encryption.clone(),
            sse_customer_algorithm: encryption.sse_customer_algorithm.clone(),
            sse_customer_key_md5: encryption.sse_customer_key_md5.clone(),
            ssekms_key_id: encryption.ssekms_key_id.clone(),
            storage_class: attributes.shown_class(),
            tag_count: i32::try_from(self.tags.len()).ok().filter(|count| *count > 0),
            website_redirect_location: attributes.website_redirect_location.as_deref().map(str::to_owned),
            ..GetObjectOutput::default()
        };
        // A checksum is of the whole: of a range there is none.
        let whole = extent.end - extent.start == self.body.len();
        if let Some(sum) = self.sum.as_ref().filter(|_| with_sum && whole) {
            put_sum!(output, Some(sum));
            output.checksum_type = Some(sum.kind());
        }
        output
    }
}

/// The answer to a HEAD: that to a GET, less the body.
pub(super) fn head_output(get: GetObjectOutput) -> HeadObjectOutput {
    HeadObjectOutput {
        accept_ranges: get.accept_ranges,
        bucket_key_enabled: get.bucket_key_enabled,
        cache_control: get.cache_control,
        checksum_crc32: get.checksum_crc32,
        checksum_crc32c: get.checksum_crc32c,
        checksum_crc64nvme: get.checksum_crc64nvme,
        checksum_sha1: get.checksum_sha1,
        checksum_sha256: get.checksum_sha256,
        checksum_type: get.checksum_type,
        content_disposition: get.content_disposition,
        content_encoding: get.content_encoding,
        content_language: get.content_language,
        content_length: get.content_length,
        content_range: get.content_range,
        content_type: get.content_type,
        e_tag: get.e_tag,
        expires: get.expires,
        last_modified: get.last_modified,
        metadata: get.metadata,
        object_lock_legal_hold_status: get.object_lock_legal_hold_status,
        object_lock_mode: get.object_lock_mode,
        object_lock_retain_until_date: get.object_lock_retain_until_date,
        parts_count: get.parts_count,
        server_side_encryption: get.server_side_encryption,
        sse_customer_algorithm: get.sse_customer_algorithm,
        sse_customer_key_md5: get.sse_customer_key_md5,
        ssekms_key_id: get.ssekms_key_id,
        storage_class: get.storage_class,
        version_id: get.version_id,
        website_redirect_location: get.website_redirect_location,
        ..HeadObjectOutput::default()
    }
}

/// Parses `x-amz-tagging`.
///
/// # Errors
/// 400 `InvalidTag`: broken escapes, over 10 tags, or one twice.
pub(super) fn parse_tags(header: Option<&str>) -> S3Result<Tags> {
    let decode = |text: &str| percent::decode(text).ok_or_else(|| s3_error!(InvalidTag));
    let mut tags = Tags::new();
    for pair in header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        tags.push((decode(name)?, decode(value)?));
    }
    check_tags(tags)
}

pub(super) fn check_tags(tags: Tags) -> S3Result<Tags> {
    let twice =
        tags.iter().enumerate().any(|(i, (name, _))| tags[..i].iter().any(|(earlier, _)| earlier == name));
    if tags.len() > 10
        || twice
        || tags.iter().any(|(name, value)| name.is_empty() || name.len() > 512 || value.len() > 1024)
    {
        return Err(s3_error!(InvalidTag));
    }
    Ok(tags)
}
