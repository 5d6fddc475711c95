//! What the operator chose for objects, and how a request asks the store for it.

use super::{check::Check, spelling::header_text};
use crate::model::{Encryption, Key, ObjectOptions, RelPath, Retention};
use aws_sdk_s3::{
    operation::{
        copy_object::builders::CopyObjectFluentBuilder,
        create_multipart_upload::builders::CreateMultipartUploadFluentBuilder,
        put_object::builders::PutObjectFluentBuilder,
    },
    primitives::DateTime,
    types::{ObjectLockLegalHoldStatus, ObjectLockMode, ServerSideEncryption, TaggingDirective},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The options of the object of a file, by its path below the root.
type Rule = dyn Fn(&RelPath) -> Arc<ObjectOptions> + Send + Sync;

/// Which options objects get. By default none, at no cost. Cheap to clone.
#[derive(Clone, Default)]
pub struct Objects(Option<Arc<Chosen>>);

struct Chosen {
    all: Arc<ObjectOptions>,
    own: Arc<ObjectOptions>,
    rule: Option<Box<Rule>>,
}

impl Objects {
    /// The same for all.
    pub fn alike(all: ObjectOptions) -> Self {
        if all == ObjectOptions::default() { Self::default() } else { Self::chosen(all, None) }
    }

    /// By a rule. `all` is what it gives where nothing is said of a path.
    pub fn by(
        all: ObjectOptions,
        rule: impl Fn(&RelPath) -> Arc<ObjectOptions> + Send + Sync + 'static,
    ) -> Self {
        Self::chosen(all, Some(Box::new(rule)))
    }

    fn chosen(all: ObjectOptions, rule: Option<Box<Rule>>) -> Self {
        // what a policy of the bucket may demand; no more, as these must be readable and deletable at any time, and
        // the owner record, which names this host, is not for the public
        let own = ObjectOptions {
            encryption: all.encryption.clone(),
            acl: all.acl.clone().filter(|acl| acl.starts_with("bucket-owner-")),
            ..ObjectOptions::default()
        };
        Self(Some(Arc::new(Chosen { all: Arc::new(all), own: Arc::new(own), rule })))
    }

    /// For the object of a file.
    pub(super) fn of(&self, key: &str) -> Option<Arc<ObjectOptions>> {
        let chosen = self.0.as_deref()?;
        let Some(rule) = &chosen.rule else { return Some(chosen.all.clone()) };
        Some(Key::raw(key).place().map_or_else(|| chosen.all.clone(), |path| rule(&path)))
    }

    /// For an object of our own: the owner record, and what a probe writes.
    pub(super) fn own(&self) -> Option<Arc<ObjectOptions>> {
        Some(self.0.as_deref()?.own.clone())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            None => f.write_str("Objects(none)"),
            Some(chosen) => {
                f.debug_tuple("Objects").field(&chosen.all).field(&chosen.rule.is_some()).finish()
            }
        }
    }
}

/// Asks for what was chosen; what was not stays as the request has it.
macro_rules! ask {
    ($request:expr, $options:expr) => {{
        let (mut request, options) = ($request, $options);
        if let Some(class) = &options.storage_class {
            request = request.storage_class(class.as_str().into());
        }
        if let Some(encryption) = &options.encryption {
            let (sse, key, bucket_key) = encrypted(encryption);
            request = request.set_server_side_encryption(sse).set_ssekms_key_id(key);
            request = request.set_bucket_key_enabled(bucket_key);
        }
        if let Some(tags) = &options.tags {
            request = request.set_tagging(tagging(tags));
        }
        if let Some(acl) = &options.acl {
            request = request.acl(acl.as_str().into());
        }
        for (name, value) in options.metadata.iter().flatten() {
            request = request.metadata(name, header_text(value));
        }
        if let Some(kind) = options.content_type.as_ref().filter(|kind| !kind.is_empty()) {
            request = request.content_type(kind);
        }
        if let Some(text) = &options.cache_control {
            request = request.set_cache_control(some(text));
        }
        if let Some(text) = &options.content_disposition {
            request = request.set_content_disposition(some(text));
        }
        if let Some(text) = &options.content_encoding {
            request = request.set_content_encoding(some(text));
        }
        if let Some(text) = &options.content_language {
            request = request.set_content_language(some(text));
        }
        if let Some((mode, until)) = options.retention.and_then(|kept| retained(kept, SystemTime::now())) {
            request = request.object_lock_mode(mode).object_lock_retain_until_date(until);
        }
        if options.legal_hold == Some(true) {
            request = request.object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
        }
        request
    }};
}

/// For a PUT.
pub(super) fn put(
    request: PutObjectFluentBuilder,
    options: Option<Arc<ObjectOptions>>,
    check: Check,
) -> PutObjectFluentBuilder {
    let Some(options) = options else { return request };
    let request = ask!(request, &options);
    let locks = options.legal_hold == Some(true)
        || matches!(options.retention, Some(Retention::Governance(_) | Retention::Compliance(_)));
    // S3 takes a lock only with a checksum of the body. That is there; some stores ask for its name, too
    if locks { request.set_checksum_algorithm(check.algorithm()) } else { request }
}

/// For an upload in parts.
pub(super) fn create(
    request: CreateMultipartUploadFluentBuilder,
    options: Option<Arc<ObjectOptions>>,
) -> CreateMultipartUploadFluentBuilder {
    let Some(options) = options else { return request };
    ask!(request, options)
}

/// For a copy, which says already what its source has.
pub(super) fn copy(
    request: CopyObjectFluentBuilder,
    options: Option<Arc<ObjectOptions>>,
) -> CopyObjectFluentBuilder {
    let Some(options) = options else { return request };
    let request = ask!(request, &options);
    if options.tags.is_some() { request.tagging_directive(TaggingDirective::Replace) } else { request }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The headers `x-amz-server-side-encryption`, `…-aws-kms-key-id` and `…-bucket-key-enabled`.
fn encrypted(encryption: &Encryption) -> (Option<ServerSideEncryption>, Option<String>, Option<bool>) {
    match encryption {
        Encryption::Bucket => (None, None, None),
        Encryption::Store => (Some(ServerSideEncryption::Aes256), None, None),
        Encryption::Kms { key, bucket_key } => (Some(ServerSideEncryption::AwsKms), key.clone(), *bucket_key),
    }
}

/// The header `x-amz-tagging`: as the query of a URL.
pub(super) fn tagging(tags: &[(String, String)]) -> Option<String> {
    let text = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs: Vec<_> = tags.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

/// The headers `x-amz-object-lock-mode` and `…-retain-until-date` of what is written at `now`.
fn retained(retention: Retention, now: SystemTime) -> Option<(ObjectLockMode, DateTime)> {
    let (mode, days) = match retention {
        Retention::Bucket => return None,
        Retention::Governance(days) => (ObjectLockMode::Governance, days),
        Retention::Compliance(days) => (ObjectLockMode::Compliance, days),
    };
    Some((mode, DateTime::from(now + Duration::from_secs(u64::from(days) * 24 * 3600))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_as_a_query() {
        let tags = |tags: &[(&str, &str)]| {
            tagging(&tags.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(
            tags(&[("team", "web"), ("a b", "c&=é+")]).as_deref(),
            Some("team=web&a%20b=c%26%3D%C3%A9%2B")
        );
        assert_eq!(tags(&[]), None);
    }

    #[test]
    fn retention_counts_from_the_write() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let until = DateTime::from_secs(1_700_000_000 + 2 * 86_400);
        assert_eq!(retained(Retention::Governance(2), now), Some((ObjectLockMode::Governance, until)));
        assert_eq!(retained(Retention::Compliance(2), now), Some((ObjectLockMode::Compliance, until)));
        assert_eq!(retained(Retention::Bucket, now), None);
    }

    #[test]
    fn our_own_objects_are_never_archived_retained_or_tagged() {
        assert_eq!(Objects::default().own(), None);
        assert_eq!(Objects::alike(ObjectOptions::default()).of("a"), None, "nothing is chosen: no cost");
        let encryption = Some(Encryption::Kms { key: Some("k".into()), bucket_key: Some(true) });
        let all = ObjectOptions {
            storage_class: Some("GLACIER".into()),
            encryption: encryption.clone(),
            tags: Some(vec![("a".into(), "b".into())]),
            acl: Some("bucket-owner-full-control".into()),
            metadata: Some(vec![("a".into(), "b".into())]),
            cache_control: Some("no-cache".into()),
            retention: Some(Retention::Compliance(1)),
            legal_hold: Some(true),
            ..ObjectOptions::default()
        };
        let objects = Objects::alike(all.clone());
        assert_eq!(objects.of("a").as_deref(), Some(&all));
        let own = objects.own().expect("chosen");
        let want = ObjectOptions { encryption, acl: all.acl.clone(), ..ObjectOptions::default() };
        assert_eq!(*own, want);
        let public = ObjectOptions { acl: Some("public-read".into()), ..ObjectOptions::default() };
        assert_eq!(*Objects::alike(public).own().expect("chosen"), ObjectOptions::default());
    }

    #[test]
    fn rules_are_asked_by_the_path_of_the_file() {
        let named = |path: &RelPath| {
            let name = String::from_utf8_lossy(path.as_bytes()).into_owned();
            Arc::new(ObjectOptions { acl: Some(name), ..ObjectOptions::default() })
        };
        let objects = Objects::by(ObjectOptions::default(), named);
        let acl = |key| objects.of(key).expect("chosen").acl.clone();
        assert_eq!(acl("a/\u{ff0e}").as_deref(), None, "no file has such a key");
        assert_eq!(acl("a/b").as_deref(), Some("a/b"));
        assert_eq!(acl("a/\u{201B}FF").as_deref(), Some("a/\u{fffd}"), "the name, not its spelling");
    }
}
