//! The conditions of requests: ETags and times, judged against the object as it is.

use std::time::SystemTime;

use http::HeaderMap;
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::object::Object;

/// `If-Match` and `If-None-Match` of a write or a delete.
#[derive(Default)]
pub(super) struct Conditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) size: Option<i64>,
    pub(super) modified: Option<Timestamp>,
}

impl Conditions {
    /// Of a CopyObject's target, which s3s does not parse.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let get = |name| ETagCondition::parse_http_header(headers.get(name)?.as_bytes()).ok();
        Self { if_match: get("if-match"), if_none_match: get("if-none-match"), ..Self::default() }
    }

    /// May this write happen over `current`?
    ///
    /// # Errors
    /// 412; 404 for an `If-Match` on nothing; 501 for an `If-None-Match` that is not `*`, as on AWS.
    pub(super) fn check_write(&self, current: Option<&Object>) -> S3Result<()> {
        match &self.if_none_match {
            Some(ETagCondition::ETag(_)) => {
                return Err(s3_error!(NotImplemented, "If-None-Match takes only * here."));
            }
            Some(ETagCondition::Any) if current.is_some() => return Err(failed()),
            _ => {}
        }
        match (&self.if_match, current) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(s3_error!(NoSuchKey)),
            (Some(wanted), Some(object)) if holds(wanted, object) => Ok(()),
            _ => Err(failed()),
        }
    }

    /// May this delete happen? A delete of nothing succeeds, unless `If-Match: *` asks for something.
    pub(super) fn check_delete(&self, current: Option<&Object>) -> S3Result<()> {
        let Some(object) = current else {
            return if self.if_match.as_ref().is_some_and(ETagCondition::is_any) {
                Err(failed())
            } else {
                Ok(())
            };
        };
        let holds = self.if_match.as_ref().is_none_or(|wanted| holds(wanted, object))
            && self.size.is_none_or(|size| u64::try_from(size) == Ok(object.body.len()))
            && self.modified.as_ref().is_none_or(|time| *time == Timestamp::from(object.modified));
        if holds { Ok(()) } else { Err(failed()) }
    }
}

/// The conditions of a read, or of a copy's source.
pub(super) struct ReadConditions<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

impl ReadConditions<'_> {
    /// # Errors
    /// 304 or 412 as RFC 9110 says. A copy has no 304: turn it with [`ReadConditions::check_source`].
    pub(super) fn check(&self, object: &Object) -> S3Result<()> {
        let after = |time: &Timestamp| Timestamp::from(object.modified) > *time;
        match self.if_match {
            Some(wanted) if !holds(wanted, object) => return Err(failed()),
            None if self.if_unmodified_since.is_some_and(after) => return Err(failed()),
            _ => {}
        }
        match self.if_none_match {
            Some(unwanted) if holds(unwanted, object) => Err(s3_error!(NotModified)),
            None if self.if_modified_since.is_some_and(|time| !after(time)) => Err(s3_error!(NotModified)),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// 412.
    pub(super) fn check_source(&self, object: &Object) -> S3Result<()> {
        self.check(object).map_err(|_| failed())
    }
}

fn holds(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == object.etag,
    }
}

fn failed() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// Now, in the whole seconds that S3 keeps.
pub(super) fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}
