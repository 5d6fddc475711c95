//! What was said of an object when it was written, and comes back with it. There may be millions of objects: what
//! most of them lack takes one pointer each.

use s3s::dto::{
    CopyObjectInput, CreateMultipartUploadInput, Metadata, PutObjectInput, ServerSideEncryption,
    StorageClass, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::guard::{Guard, UNGUARDED};

/// The most metadata of one object, in bytes of names and values.
const MOST_METADATA: usize = 2048;

#[derive(Clone, Default)]
pub(super) struct Attributes {
    pub(super) content_type: Option<String>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) website_redirect_location: Option<Box<str>>,
    metadata: Packed,
    headers: Option<Box<Headers>>,
    encryption: Option<Box<Encryption>>,
    guard: Option<Box<Guard>>,
}

/// The headers few objects have.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Headers {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) expires: Option<Timestamp>,
}

/// The encryption that was asked for.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Encryption {
    pub(super) server_side_encryption: Option<ServerSideEncryption>,
    pub(super) ssekms_key_id: Option<String>,
    pub(super) bucket_key_enabled: Option<bool>,
    pub(super) sse_customer_algorithm: Option<String>,
    pub(super) sse_customer_key_md5: Option<String>,
}

static NO_HEADERS: Headers = Headers {
    cache_control: None,
    content_disposition: None,
    content_encoding: None,
    content_language: None,
    expires: None,
};

static NO_ENCRYPTION: Encryption = Encryption {
    server_side_encryption: None,
    ssekms_key_id: None,
    bucket_key_enabled: None,
    sse_customer_algorithm: None,
    sse_customer_key_md5: None,
};

macro_rules! attributes_from {
    ($($input:ty),*) => {$(
        impl From<&mut $input> for Attributes {
            fn from(input: &mut $input) -> Self {
                let headers = Headers {
                    cache_control: input.cache_control.take(),
                    content_disposition: input.content_disposition.take(),
                    content_encoding: input.content_encoding.take().and_then(without_chunking),
                    content_language: input.content_language.take(),
                    expires: input.expires.take(),
                };
                let encryption = Encryption {
                    server_side_encryption: input.server_side_encryption.take(),
                    ssekms_key_id: input.ssekms_key_id.take(),
                    bucket_key_enabled: input.bucket_key_enabled.take(),
                    sse_customer_algorithm: input.sse_customer_algorithm.take(),
                    sse_customer_key_md5: input.sse_customer_key_md5.take(),
                };
                let guard = Guard {
                    acl: input.acl.take(),
                    legal_hold: input.object_lock_legal_hold_status.take(),
                    mode: input.object_lock_mode.take(),
                    until: input.object_lock_retain_until_date.take(),
                };
                Self {
                    content_type: input.content_type.take(),
                    storage_class: input.storage_class.take(),
                    website_redirect_location: input.website_redirect_location.take().map(String::into_boxed_str),
                    metadata: Packed::new(input.metadata.take().unwrap_or_default()),
                    headers: (headers != NO_HEADERS).then(|| Box::new(headers)),
                    encryption: (encryption != NO_ENCRYPTION).then(|| Box::new(encryption)),
                    guard: (guard != UNGUARDED).then(|| Box::new(guard)),
                }
            }
        }
    )*};
}
attributes_from!(PutObjectInput, CopyObjectInput, CreateMultipartUploadInput);

/// `aws-chunked` is how the body travelled, not what it is.
fn without_chunking(encoding: String) -> Option<String> {
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && *coding != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

impl Attributes {
    /// # Errors
    /// 400 for over 2 KiB of metadata, or half a retention.
    pub(super) fn check(&self) -> S3Result<()> {
        self.guard().check()?;
        let size: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MOST_METADATA { Err(s3_error!(MetadataTooLarge)) } else { Ok(()) }
    }

    /// What a copy of an object with these carries: class, redirect, encryption, ACL and lock are only those `asked`
    /// for.
    pub(super) fn copied(&self, asked: Self) -> Self {
        Self {
            content_type: self.content_type.clone(),
            metadata: self.metadata.clone(),
            headers: self.headers.clone(),
            ..asked
        }
    }

    pub(super) fn metadata(&self) -> Option<Metadata> {
        let metadata: Metadata =
            self.metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (!metadata.is_empty()).then_some(metadata)
    }

    pub(super) fn headers(&self) -> &Headers {
        self.headers.as_deref().unwrap_or(&NO_HEADERS)
    }

    pub(super) fn encryption(&self) -> &Encryption {
        self.encryption.as_deref().unwrap_or(&NO_ENCRYPTION)
    }

    pub(super) fn guard(&self) -> &Guard {
        self.guard.as_deref().unwrap_or(&UNGUARDED)
    }

    /// Under SSE-KMS and SSE-C an ETag is no MD5.
    pub(super) fn opaque_etag(&self) -> bool {
        let encryption = self.encryption();
        encryption.sse_customer_key_md5.is_some()
            || encryption
                .server_side_encryption
                .as_ref()
                .is_some_and(|sse| sse.as_str().starts_with("aws:kms"))
    }

    /// The class as answers have it: none for STANDARD.
    pub(super) fn shown_class(&self) -> Option<StorageClass> {
        self.storage_class.clone().filter(|class| class.as_str() != StorageClass::STANDARD)
    }

    /// The class as listings have it.
    pub(super) fn class_name(&self) -> &str {
        self.storage_class.as_ref().map_or(StorageClass::STANDARD, StorageClass::as_str)
    }

    /// Are the bytes out of reach?
    pub(super) fn archived(&self) -> bool {
        matches!(self.class_name(), StorageClass::GLACIER | StorageClass::DEEP_ARCHIVE)
    }
}

/// Metadata in one piece: names and values, each ended by a NUL, which no header can hold.
#[derive(Clone, Default)]
struct Packed(Box<str>);

impl Packed {
    fn new(metadata: Metadata) -> Self {
        let mut text =
            String::with_capacity(metadata.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
        for (name, value) in metadata {
            for part in [&name, &value] {
                text.push_str(part);
                text.push('\0');
            }
        }
        Self(text.into_boxed_str())
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.0.split_terminator('\0');
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back() {
        let pairs =
            [("a", "1"), ("b", ""), ("c", "x y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let metadata = Metadata::from(pairs);
        let packed = Packed::new(metadata.clone());
        assert_eq!(Attributes { metadata: packed, ..Attributes::default() }.metadata(), Some(metadata));
        assert_eq!(Attributes::default().metadata(), None);
    }

    #[test]
    fn chunking_is_no_content_encoding() {
        assert_eq!(without_chunking("aws-chunked".to_owned()), None);
        assert_eq!(without_chunking("gzip, aws-chunked".to_owned()).as_deref(), Some("gzip"));
    }
}
