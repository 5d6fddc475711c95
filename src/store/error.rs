//! From a failed request to a [`Fault`]: what it means, why, and what to do about it.

use crate::model::{Class, Fault, Key};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::error::Error;

/// What helps where there is no room left.
const FULL: &str = "the store is full: make room, or raise the quota";

/// What helps where nobody answers.
const UNREACHED: &str = "no answer: check `endpoint_url`, DNS, TLS and the network";

/// True if the store has no room left.
pub(super) fn is_full(fault: &Fault) -> bool {
    fault.remedy.as_deref() == Some(FULL)
}

/// What an answer means and, where one is known, what the operator can do.
///
/// `operation` as S3 names it; `status` of HTTP (0: none came); `code` and `message` of the error body,
/// which answers to HEAD do not have.
pub(super) fn classify(
    operation: &str,
    status: u16,
    code: Option<&str>,
    message: &str,
) -> (Class, Option<String>) {
    use Class::{Changed, Denied, Fatal, Missing, Permanent, Throttled, Transient};
    let plain = |class| (class, None);
    let with = |class, remedy: &str| (class, Some(remedy.to_owned()));
    let copying = matches!(operation, "CopyObject" | "UploadPartCopy");
    match (code.unwrap_or_default(), status) {
        ("PreconditionFailed" | "ConditionalRequestConflict", _) | (_, 412) => plain(Changed),
        (
            "SlowDown"
            | "SlowDownRead"
            | "SlowDownWrite"
            | "ServiceUnavailable"
            | "TooManyRequests"
            | "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded",
            _,
        )
        | (_, 429 | 503) => plain(Throttled),
        ("RequestTimeTooSkewed", _) => with(Fatal, "set this machine's clock (`timedatectl status`)"),
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken", _) => {
            with(Fatal, "the session has ended: renew the credentials (`aws sso login`, a new token)")
        }
        ("InvalidAccessKeyId", _) => {
            with(Fatal, "the store does not know this access key: check access_key_id and endpoint_url")
        }
        ("SignatureDoesNotMatch", _) => {
            with(Fatal, "the secret key is not that of the access key, or a proxy alters requests")
        }
        ("NoSuchBucket", _) => with(Fatal, "create the bucket, or correct `bucket` and `endpoint_url`"),
        ("InvalidBucketName", _) => with(Fatal, "correct `bucket`"),
        ("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException", _)
        | (_, 301 | 302 | 308) => with(Fatal, "set `region` (and `endpoint_url`) to where the bucket is"),
        ("TemporaryRedirect", _) | (_, 307) => plain(Transient),
        ("AllAccessDisabled" | "AccountProblem" | "NotSignedUp" | "UserSuspended", _) => {
            with(Fatal, "the account cannot use the store: ask its provider")
        }
        ("QuotaExceeded" | "StorageQuotaExceeded" | "XMinioStorageFull" | "TooManyObjects", _) | (_, 507) => {
            with(Fatal, FULL)
        }
        (code, _) if code.starts_with("KMS.") => with(
            Fatal,
            "the KMS key (of `sse`, else the bucket's) cannot be used: enable it, and allow kms:GenerateDataKey and \
             kms:Decrypt",
        ),
        ("ObjectLocked" | "InvalidRetentionPeriod", _) => locked(),
        ("InvalidRequest", _) if lacks_lock(message) => with(
            Permanent,
            "the bucket has no Object Lock: turn it on, or take `retention` and `legal_hold` out",
        ),
        ("AccessDenied" | "InvalidRequest", _) if is_locked(message) => locked(),
        ("InvalidRequest", 400) if message.contains("Server Side Encryption") => {
            with(Permanent, "it is encrypted with a customer's key (SSE-C): nobody without it can compare it")
        }
        ("InvalidObjectState" | "ObjectNotInActiveTierError", _) => {
            with(Permanent, "the object is archived: restore it first (`aws s3api restore-object`)")
        }
        ("InvalidStorageClass", _) => with(Permanent, "the store has no such class: correct `storage_class`"),
        ("AccessControlListNotSupported", _) => {
            with(Permanent, "the bucket takes no ACLs (object ownership is enforced): take `acl` out")
        }
        ("InvalidTag", _) => with(Permanent, "the store does not take these tags: correct `tags`"),
        ("KeyTooLongError", _) => with(Permanent, "shorten the path"),
        ("EntityTooLarge" | "MetadataTooLarge" | "EntityTooSmall", _) => plain(Permanent),
        (
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody"
            | "RequestTimeout"
            | "OperationAborted"
            | "InternalError",
            _,
        ) => plain(Transient),
        ("AccessDenied" | "Forbidden" | "AllAccessDenied" | "UnauthorizedAccess", _) | (_, 401 | 403) => {
            // a policy may deny some keys only; without a listing nothing goes
            let class = if status == 401 || operation == "ListObjectsV2" { Fatal } else { Denied };
            (class, Some(permission(operation)))
        }
        // a lost reply to Complete: the object may well be there
        ("NoSuchUpload", _) if matches!(operation, "AbortMultipartUpload" | "ListParts") => plain(Missing),
        ("NoSuchUpload", _) => plain(Transient),
        ("InvalidPart" | "InvalidPartOrder", _) => plain(Transient),
        // `If-Match` on an object that is gone, or the source of a copy that is
        ("NotFound", _) if copying => plain(Changed),
        ("NoSuchKey", _) if copying || matches!(operation, "PutObject" | "CompleteMultipartUpload") => {
            plain(Changed)
        }
        (_, 404)
            if !matches!(operation, "HeadObject" | "GetObject" | "DeleteObject" | "AbortMultipartUpload") =>
        {
            with(Transient, "check `endpoint_url` and `bucket`: S3 does not answer like this")
        }
        ("NoSuchKey" | "NotFound", _) | (_, 404 | 410) => plain(Missing),
        ("NotImplemented", _) | (_, 501) if copying => plain(Permanent),
        ("NotImplemented", _) | (_, 501) => with(Fatal, "the store lacks what this request needs"),
        ("", 0) => with(Transient, UNREACHED),
        (_, 0 | 200..=299 | 408 | 409 | 425 | 500..=599) => plain(Transient),
        // also how HEAD answers for one object under a key of its own (SSE-C): not a reason to stop all
        ("", 400) if operation == "HeadObject" => with(
            Transient,
            "an expired session, a wrong `region`, or an object encrypted with SSE-C answer like this",
        ),
        ("", 400) => {
            with(Fatal, "an expired session, a wrong `region` or a wrong `endpoint_url` answer like this")
        }
        _ if operation.starts_with("List") => plain(Fatal),
        _ => plain(Permanent),
    }
}

fn is_locked(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("object lock") || message.contains("worm protected")
}

/// A bucket for which Object Lock was never turned on.
fn lacks_lock(message: &str) -> bool {
    message.to_ascii_lowercase().replace(' ', "").contains("missingobjectlock")
}

fn locked() -> (Class, Option<String>) {
    (Class::Permanent, Some("Object Lock retains it: it stays until its retention ends".to_owned()))
}

/// Which permission is missing when `operation` is forbidden.
fn permission(operation: &str) -> String {
    let needed = match operation {
        "ListObjectsV2" => "s3:ListBucket on the bucket (and where requesters pay, set `requester_pays`)",
        "ListMultipartUploads" => "s3:ListBucketMultipartUploads on the bucket",
        "ListParts" => "s3:ListMultipartUploadParts on the objects",
        "HeadObject" => {
            return "a store answers 403 for an absent key too: allow s3:ListBucket on the bucket and \
                    s3:GetObject on its objects, then check credentials and clock"
                .to_owned();
        }
        "GetObject" => "s3:GetObject on the objects",
        "DeleteObject" | "DeleteObjects" => "s3:DeleteObject and s3:GetObject on the objects",
        "AbortMultipartUpload" => "s3:AbortMultipartUpload on the objects",
        "GetObjectTagging" => "s3:GetObjectTagging on the objects",
        "PutObjectTagging" => "s3:PutObjectTagging on the objects",
        "GetBucketVersioning" => "s3:GetBucketVersioning on the bucket",
        "ListObjectVersions" => "s3:ListBucketVersions on the bucket",
        "ListBuckets" => "s3:ListAllMyBuckets",
        "CopyObject" | "UploadPartCopy" => {
            "s3:GetObject, s3:GetObjectTagging, s3:PutObject and s3:PutObjectTagging on the objects"
        }
        "PutObject" | "CreateMultipartUpload" => {
            "s3:PutObject on the objects (with `tags` s3:PutObjectTagging too, with `retention` \
             s3:PutObjectRetention, with `legal_hold` s3:PutObjectLegalHold, with `acl` s3:PutObjectAcl; under \
             SSE-KMS kms:GenerateDataKey and kms:Decrypt on the key)"
        }
        _ => "s3:PutObject on the objects",
    };
    format!("allow {needed}")
}

/// The fault of `operation` on the full key `key` (empty: the bucket).
pub(super) fn fault<E>(operation: &str, key: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let what = what(operation, key);
    match error {
        SdkError::ServiceError(answer) => {
            let (raw, meta) = (answer.raw(), answer.err().meta());
            let status = raw.status().as_u16();
            let message = meta.message().unwrap_or_default();
            // HEAD has no body, and then the SDK makes up a code from the status
            let code = meta.code().filter(|_| operation != "HeadObject");
            let (class, remedy) = classify(operation, status, code, message);
            let header = |name| raw.headers().get(name);
            let mut cause = match (meta.code(), message) {
                (Some(code), "") => code.to_owned(),
                (Some(code), message) => format!("{code}: {message}"),
                (None, "") if (200..300).contains(&status) => {
                    let why = chain(answer.err()).replace(" This is likely a bug in the SDK.", "");
                    format!("not an S3 answer: {why}")
                }
                (None, message) => message.to_owned(),
            };
            cause.push_str(&format!(" (HTTP {status}"));
            if let Some(id) = header("x-amz-request-id") {
                cause.push_str(&format!(", request {id}"));
            }
            cause.push(')');
            let mut fault = Fault::new(class, what, printable(cause.trim_start()));
            fault.remedy = match header("x-amz-bucket-region") {
                Some(region) if remedy.is_some() && matches!(status, 301 | 302 | 307 | 308 | 400) => {
                    Some(format!("the bucket is in {region}: set `region = \"{}\"`", printable(region)))
                }
                _ => remedy,
            };
            fault
        }
        other => unanswered(what, other),
    }
}

/// No usable answer: the network, TLS, a time-out, credentials, a request that could not be made.
fn unanswered<E>(what: String, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: Error + 'static,
{
    // the body could not be read: that is no fault of the store's
    if let Some(unread) = find::<Fault>(error) {
        return unread.clone();
    }
    let cause = printable(&chain(error));
    if let Some(refused) = find::<CredentialsError>(error) {
        let class = match refused {
            CredentialsError::ProviderTimedOut(_) => Class::Transient,
            _ => Class::Fatal,
        };
        return Fault::new(class, what, format!("no credentials: {cause}"))
            .remedy("give access_key_id and secret_access_key, a profile or a credentials_file, or a role");
    }
    if cause.contains("invalid peer certificate") || cause.contains("InvalidCertificate") {
        return Fault::new(Class::Fatal, what, cause).remedy(
            "set `ca_bundle` to the certificate of the authority that signed the store's; if that is a public one, \
             install the package ca-certificates",
        );
    }
    match error {
        SdkError::ConstructionFailure(_) => Fault::new(Class::Permanent, what, cause),
        SdkError::TimeoutError(_) => {
            Fault::new(Class::Transient, what, format!("no answer in time: {cause}"))
        }
        SdkError::DispatchFailure(_) => Fault::new(Class::Transient, what, cause).remedy(UNREACHED),
        _ => Fault::new(Class::Transient, what, cause),
    }
}

/// An answer of 2xx that lacks what S3 always gives: a proxy's page, most likely.
pub(super) fn no_s3(operation: &str, key: &str, lacks: &str) -> Fault {
    Fault::new(Class::Transient, what(operation, key), format!("not an S3 answer: it has no {lacks}"))
        .remedy("if it persists, check what stands between here and `endpoint_url`")
}

/// `PutObject web/a.txt`, control characters escaped.
pub(super) fn what(operation: &str, key: &str) -> String {
    format!("{operation} {}", Key::raw(key)).trim_end().to_owned()
}

/// A server's text with its control characters escaped.
fn printable(text: &str) -> String {
    Key::raw(text).to_string()
}

/// The messages from `error` down to its root; each once, for some repeat their source.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::*;
    use aws_sdk_s3::operation::get_object::GetObjectError;
    use aws_smithy_runtime_api::client::result::ConnectorError;

    #[test]
    fn who_is_not_reached_is_told_with_what_to_check() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let refused = ConnectorError::io(refused.into());
        let error: SdkError<GetObjectError, HttpResponse> = SdkError::dispatch_failure(refused);
        let fault = fault("GetObject", "a", &error);
        assert_eq!(fault.class, Transient);
        assert!(fault.remedy.is_some_and(|remedy| remedy.contains("`endpoint_url`")));
    }

    #[test]
    fn c54_every_answer_has_its_class_and_remedy() {
        // operation, status, code, message, class, a word of the remedy ("" if there is none)
        #[rustfmt::skip]
        let table: &[(&str, u16, &str, &str, Class, &str)] = &[
            ("PutObject", 412, "PreconditionFailed", "", Changed, ""),
            ("PutObject", 409, "ConditionalRequestConflict", "", Changed, ""),
            ("PutObject", 404, "NoSuchKey", "", Changed, ""),
            ("HeadObject", 412, "", "", Changed, ""),
            ("PutObject", 503, "SlowDown", "", Throttled, ""),
            ("HeadObject", 503, "", "", Throttled, ""),
            ("PutObject", 429, "TooManyRequests", "", Throttled, ""),
            ("CompleteMultipartUpload", 200, "SlowDown", "", Throttled, ""),
            ("CompleteMultipartUpload", 200, "InternalError", "", Transient, ""),
            ("CompleteMultipartUpload", 200, "", "", Transient, ""),
            ("CompleteMultipartUpload", 404, "NoSuchUpload", "", Transient, ""),
            ("UploadPart", 404, "NoSuchUpload", "", Transient, ""),
            ("AbortMultipartUpload", 404, "NoSuchUpload", "", Missing, ""),
            ("PutObject", 500, "InternalError", "", Transient, ""),
            ("PutObject", 502, "", "", Transient, ""),
            ("PutObject", 504, "", "", Transient, ""),
            ("PutObject", 400, "RequestTimeout", "", Transient, ""),
            ("PutObject", 400, "BadDigest", "", Transient, ""),
            ("PutObject", 409, "OperationAborted", "", Transient, ""),
            ("PutObject", 307, "TemporaryRedirect", "", Transient, ""),
            ("PutObject", 403, "RequestTimeTooSkewed", "", Fatal, "clock"),
            ("PutObject", 400, "ExpiredToken", "", Fatal, "renew"),
            ("PutObject", 403, "InvalidAccessKeyId", "", Fatal, "access key"),
            ("PutObject", 403, "SignatureDoesNotMatch", "", Fatal, "secret"),
            ("ListObjectsV2", 404, "NoSuchBucket", "", Fatal, "bucket"),
            ("ListObjectsV2", 301, "PermanentRedirect", "", Fatal, "region"),
            ("HeadObject", 301, "", "", Fatal, "region"),
            ("HeadObject", 400, "", "", Transient, "SSE-C"),
            ("PutObject", 400, "", "", Fatal, "region"),
            ("PutObject", 400, "AuthorizationHeaderMalformed", "", Fatal, "region"),
            ("ListObjectsV2", 403, "AccessDenied", "", Fatal, "s3:ListBucket"),
            ("HeadObject", 403, "", "", Denied, "s3:ListBucket"),
            ("PutObject", 403, "AccessDenied", "", Denied, "s3:PutObject"),
            ("UploadPart", 403, "AccessDenied", "", Denied, "s3:PutObject"),
            ("DeleteObject", 403, "AccessDenied", "", Denied, "s3:DeleteObject"),
            ("DeleteObjects", 403, "AccessDenied", "", Denied, "s3:DeleteObject"),
            ("DeleteObjects", 404, "NoSuchBucket", "", Fatal, "bucket"),
            ("DeleteObject", 200, "AccessDenied", "protected by object lock", Permanent, "Lock"),
            ("DeleteObject", 200, "NoSuchKey", "", Missing, ""),
            ("DeleteObject", 200, "PreconditionFailed", "", Changed, ""),
            ("DeleteObject", 200, "SlowDown", "", Throttled, ""),
            ("DeleteObject", 200, "InternalError", "", Transient, ""),
            ("DeleteObject", 200, "Odd", "", Transient, ""),
            ("GetObject", 403, "AccessDenied", "", Denied, "s3:GetObject"),
            ("CopyObject", 403, "AccessDenied", "", Denied, "s3:GetObject"),
            ("ListMultipartUploads", 403, "AccessDenied", "", Denied, "s3:ListBucketMultipartUploads"),
            ("AbortMultipartUpload", 403, "AccessDenied", "", Denied, "s3:AbortMultipartUpload"),
            ("DeleteObject", 403, "AccessDenied", "Access Denied because object protected by object lock.", Permanent, "Lock"),
            ("PutObject", 400, "InvalidRequest", "Object is WORM protected and cannot be overwritten", Permanent, "Lock"),
            ("GetObject", 400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.", Permanent, "SSE-C"),
            ("PutObject", 400, "InvalidRequest", "Bucket is missing Object Lock Configuration", Permanent, "turn it on"),
            ("CopyObject", 400, "InvalidRequest", "Bucket is missing ObjectLockConfiguration", Permanent, "turn it on"),
            ("PutObject", 400, "InvalidStorageClass", "", Permanent, "storage_class"),
            ("PutObject", 400, "AccessControlListNotSupported", "", Permanent, "acl"),
            ("CreateMultipartUpload", 400, "InvalidTag", "", Permanent, "tags"),
            ("CreateMultipartUpload", 403, "AccessDenied", "", Denied, "s3:PutObjectRetention"),
            ("CopyObject", 403, "ObjectNotInActiveTierError", "", Permanent, "archived"),
            ("CopyObject", 403, "InvalidObjectState", "", Permanent, "archived"),
            ("PutObject", 400, "KeyTooLongError", "", Permanent, "shorten"),
            ("PutObject", 400, "EntityTooLarge", "", Permanent, ""),
            ("PutObject", 400, "InvalidArgument", "", Permanent, ""),
            ("ListObjectsV2", 400, "InvalidArgument", "", Fatal, ""),
            ("CopyObject", 501, "NotImplemented", "", Permanent, ""),
            ("PutObject", 501, "NotImplemented", "", Fatal, "lacks"),
            ("PutObject", 400, "KMS.DisabledException", "", Fatal, "KMS"),
            ("PutObject", 507, "", "", Fatal, "full"),
            ("CopyObject", 404, "NoSuchKey", "", Changed, ""),
            ("UploadPartCopy", 404, "NoSuchKey", "", Changed, ""),
            ("UploadPartCopy", 404, "NotFound", "", Changed, ""),
            ("UploadPartCopy", 404, "NoSuchUpload", "", Transient, ""),
            ("UploadPartCopy", 412, "PreconditionFailed", "", Changed, ""),
            ("UploadPartCopy", 200, "InternalError", "", Transient, ""),
            ("UploadPartCopy", 400, "InvalidRequest", "", Permanent, ""),
            ("UploadPartCopy", 403, "AccessDenied", "", Denied, "s3:GetObject"),
            ("UploadPartCopy", 501, "NotImplemented", "", Permanent, ""),
            ("GetObjectTagging", 403, "AccessDenied", "", Denied, "s3:GetObjectTagging"),
            ("PutObject", 404, "", "", Transient, "endpoint_url"),
            ("ListObjectsV2", 404, "NotFound", "", Transient, "endpoint_url"),
            ("DeleteObject", 404, "NoSuchKey", "", Missing, ""),
            ("GetObject", 404, "NoSuchKey", "", Missing, ""),
            ("HeadObject", 404, "", "", Missing, ""),
            ("PutObject", 0, "", "", Transient, "endpoint_url"),
        ];
        for (operation, status, code, message, class, word) in table {
            let code = Some(*code).filter(|c| !c.is_empty());
            let (found, remedy) = classify(operation, *status, code, message);
            assert_eq!(found, *class, "{operation} {status} {code:?}");
            let remedy = remedy.unwrap_or_default();
            assert!(remedy.contains(word), "{operation} {status} {code:?}: {remedy}");
            assert_eq!(remedy.is_empty(), word.is_empty(), "{operation} {status} {code:?}: {remedy}");
        }
    }
}
