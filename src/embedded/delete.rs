//! DeleteObject and DeleteObjects.

use s3s::dto::{
    Delete, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error as Failed, ObjectIdentifier,
};
use s3s::{S3Request, S3Result, s3_error};

use super::bucket::Bucket;
use super::condition::Conditions;
use super::fault::{Faults, Kind, kinds, linger};
use super::state::State;

/// The most keys of one DeleteObjects.
const MOST_DELETES: usize = 1000;

/// DeleteObject.
pub(super) async fn object(
    state: &State,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<DeleteObjectOutput> {
    linger(kinds(&request.extensions)).await;
    let mut conditions = Conditions::default();
    if !kinds(&request.extensions).contains(&Kind::IgnoreConditions) {
        conditions.if_match = request.input.if_match;
        conditions.size = request.input.if_match_size;
        conditions.modified = request.input.if_match_last_modified_time;
    }
    let bucket = state.bucket(&request.input.bucket)?;
    let deleted = bucket.delete(&request.input.key, request.input.version_id.as_deref(), &conditions)?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version,
        ..DeleteObjectOutput::default()
    })
}

/// DeleteObjects: each key succeeds or fails for itself.
pub(super) async fn objects(
    state: &State,
    faults: &Faults,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<DeleteObjectsOutput> {
    let kinds = kinds(&request.extensions);
    let bucket = state.bucket(&request.input.bucket)?;
    linger(kinds).await;
    let Delete { objects, quiet } = &request.input.delete;
    if objects.is_empty() || objects.len() > MOST_DELETES {
        return Err(s3_error!(MalformedXML));
    }
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for wanted in objects {
        let meets = faults.meet("DeleteObjects", Some(&wanted.key));
        match one(&meets, &bucket, wanted, kinds) {
            Ok(_) if *quiet == Some(true) || meets.contains(&Kind::Untold) => {}
            Ok(done) => deleted.push(done),
            Err(error) => errors.push(Failed {
                code: Some(error.code().as_str().to_owned()),
                key: Some(wanted.key.clone()),
                message: Some(error.message().unwrap_or(error.code().as_str()).to_owned()),
                version_id: wanted.version_id.clone(),
            }),
        }
    }
    Ok(DeleteObjectsOutput {
        deleted: (!deleted.is_empty()).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        ..DeleteObjectsOutput::default()
    })
}

/// One key of a DeleteObjects.
fn one(
    meets: &[Kind],
    bucket: &Bucket,
    wanted: &ObjectIdentifier,
    kinds: &[Kind],
) -> S3Result<DeletedObject> {
    for kind in meets {
        match kind {
            Kind::SlowDown => return Err(s3_error!(SlowDown)),
            Kind::InternalError => return Err(s3_error!(InternalError)),
            Kind::AccessDenied => return Err(s3_error!(AccessDenied, "Access Denied")),
            _ => {}
        }
    }
    let mut conditions = Conditions::default();
    if !kinds.contains(&Kind::IgnoreConditions) {
        conditions.if_match = wanted.e_tag.clone().map(|tag| match tag.value() {
            "*" => ETagCondition::Any,
            _ => ETagCondition::ETag(tag),
        });
        conditions.size = wanted.size;
        conditions.modified = wanted.last_modified_time.clone();
    }
    let deleted = bucket.delete(&wanted.key, wanted.version_id.as_deref(), &conditions)?;
    Ok(DeletedObject {
        delete_marker: deleted.marker.then_some(true),
        delete_marker_version_id: deleted.version.filter(|_| deleted.marker),
        key: Some(wanted.key.clone()),
        version_id: wanted.version_id.clone(),
    })
}
