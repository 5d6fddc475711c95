//! The trash: copies of objects before they are deleted or replaced, with all that the objects have. Nothing that is
//! chosen for objects of the mirror is chosen for them: an ACL and a retention stay behind, as with every copy.

use super::{
    S3,
    copy::{self, COPY},
    error::fault,
    head, metadata,
    origin::{Origin, keep},
    part, splice,
};
use crate::model::{Attributes, ETag, Fault, Key, Only, Spec, Stamp};
use aws_sdk_s3::types::BucketVersioningStatus;

/// Copies the object `from` to a key of the trash.
pub(super) async fn keep(store: &S3, from: (&Key, &ETag), to: &Key, said: Option<&Key>) -> Result<(), Fault> {
    let full = store.full(COPY, to)?;
    let origin = Origin::find(store, COPY, from, &full).await?;
    let all = metadata::trashed(origin.head.metadata().cloned(), said);
    if origin.size <= store.options().one_copy() {
        let request = copy::begun(store, &origin, from.1, &full, all);
        let request = keep!(request, &origin, origin.full());
        return copy::send(store, (from, &origin), (to, &full), request).await.map(drop);
    }
    // in the parts that it has, as its metadata says
    let spec = Spec {
        size: origin.size,
        mtime: Stamp::default(),
        attributes: Attributes { mode: 0, uid: 0, gid: 0 },
        own: String::new(),
        sha256: None,
        part_size: head::shown("HeadObject", &full, &origin.head)?.part_size,
    };
    let upload = splice::open(store, &origin, (to, &full), all, None).await?;
    let parts = splice::fill(store, upload, from, &spec).await?;
    part::complete(store, parts, Only::Always).await.map(drop)
}

/// True if the bucket keeps versions.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>
pub(super) async fn versions(store: &S3) -> Result<bool, Fault> {
    let request = store.client().get_bucket_versioning().bucket(store.bucket());
    let answer = store.send(0, || request.clone().send()).await;
    let answer = answer.map_err(|e| fault("GetBucketVersioning", "", &e))?;
    Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
}
