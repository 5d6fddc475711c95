//! Versions: what a bucket that keeps them holds of each key, page by page. A page that cannot be followed or believed is
//! an error, as in every listing: what it omits would look as if it had never been.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>

use super::{
    S3,
    error::{fault, what},
    page::{Keys, following, stamp},
};
use crate::model::{Class, Fault, Key, RemoteMeta, Version};
use aws_sdk_s3::{
    primitives::DateTime,
    types::{BucketVersioningStatus, DeleteMarkerEntry, EncodingType, ObjectVersion},
};

const LIST: &str = "ListObjectVersions";

/// One page of versions, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Keys below the mirror's prefix; of each the newest version first, but for delete markers, which come after its
    /// objects.
    pub versions: Vec<(Key, Version)>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Marker>,
}

/// Where a page ended: after this key, or after this version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(String, Option<String>);

/// What the bucket says of versions; `None`: it never kept any.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>
pub(super) async fn status(store: &S3) -> Result<Option<BucketVersioningStatus>, Fault> {
    let request = store.client().get_bucket_versioning().bucket(store.bucket());
    let answer = store.send(0, || request.clone().send()).await;
    Ok(answer.map_err(|e| fault("GetBucketVersioning", "", &e))?.status().cloned())
}

impl S3 {
    /// True if the bucket keeps versions, or once did.
    ///
    /// # Errors
    /// As for any request; it may be denied.
    pub async fn ever_kept_versions(&self) -> Result<bool, Fault> {
        Ok(status(self).await?.is_some())
    }

    /// One page of all versions of the keys that begin with `prefix`, at most 1,000.
    ///
    /// # Errors
    /// Also when the answer is truncated without a way on, or goes in a circle.
    pub async fn versions(&self, prefix: &Key, after: Option<Marker>) -> Result<Versions, Fault> {
        let full = self.below(prefix);
        let (key, id) = after.clone().map(|Marker(key, id)| (key, id)).unzip();
        let request = self
            .client()
            .list_object_versions()
            .bucket(self.bucket())
            .encoding_type(EncodingType::Url)
            .max_keys(1000)
            .set_prefix(Some(full.clone()).filter(|p| !p.is_empty()))
            .set_key_marker(key)
            .set_version_id_marker(id.flatten());
        let answer = self.send(0, || request.clone().send()).await.map_err(|e| fault(LIST, &full, &e))?;
        let keys = Keys::new(LIST, self.home(prefix), answer.encoding_type());
        let objects = answer.versions().iter().map(|version| object(&keys, version));
        let mut versions = objects.collect::<Result<Vec<_>, _>>()?;
        let markers = answer.delete_markers().iter().map(|entry| marker(&keys, entry));
        versions.extend(markers.collect::<Result<Vec<_>, _>>()?);
        // they come apart, each in order
        versions.sort_by(|(a, _), (b, _)| a.cmp(b));
        let found = match answer.next_key_marker().filter(|m| !m.is_empty()) {
            Some(key) => {
                let id = answer.next_version_id_marker().filter(|m| !m.is_empty()).map(str::to_owned);
                Some(Marker(keys.full(Some(key))?, id))
            }
            None => None,
        };
        let next = following(LIST, &full, answer.is_truncated(), after.as_ref(), found)?;
        if next.is_some() && versions.is_empty() {
            let cause = "it shows nothing, and is to go on";
            return Err(Fault::new(Class::Transient, what(LIST, &full), cause));
        }
        Ok(Versions { versions, next })
    }
}

fn object(keys: &Keys<'_>, version: &ObjectVersion) -> Result<(Key, Version), Fault> {
    let size = version.size().and_then(|size| size.try_into().ok());
    let (key, meta) = keys.listed(version.key(), size, version.e_tag(), version.last_modified())?;
    let shown = (version.version_id(), version.is_latest(), version.last_modified());
    Ok((key, told(keys, shown, Some(meta))?))
}

fn marker(keys: &Keys<'_>, entry: &DeleteMarkerEntry) -> Result<(Key, Version), Fault> {
    let key = entry.key().ok_or_else(|| keys.lacks("Key"))?;
    let shown = (entry.version_id(), entry.is_latest(), entry.last_modified());
    Ok((keys.below(Some(key))?, told(keys, shown, None)?))
}

fn told(
    keys: &Keys<'_>,
    (id, latest, modified): (Option<&str>, Option<bool>, Option<&DateTime>),
    object: Option<RemoteMeta>,
) -> Result<Version, Fault> {
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| keys.lacks("VersionId"))?;
    let modified = modified.map(stamp).ok_or_else(|| keys.lacks("LastModified"))?;
    Ok(Version { id: id.into(), latest: latest == Some(true), modified, object })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TRASH;

    #[test]
    fn a_version_that_lacks_something_is_none() {
        let keys = Keys::new(LIST, ("p/", ""), None);
        let at = DateTime::from_secs(7);
        let whole = || ObjectVersion::builder().key("p/a").size(1).e_tag("\"x\"").version_id("v");
        let (key, shown) = object(&keys, &whole().is_latest(true).last_modified(at).build()).unwrap();
        assert_eq!((key.as_str(), &*shown.id, shown.latest, shown.modified.sec), ("a", "v", true, 7));
        assert_eq!(shown.object.map(|meta| meta.size), Some(1));
        assert!(object(&keys, &whole().build()).is_err(), "no time");
        let nameless = ObjectVersion::builder().key("p/a").size(1).e_tag("\"x\"").last_modified(at);
        assert!(object(&keys, &nameless.clone().build()).is_err(), "no id");
        assert!(object(&keys, &nameless.version_id("").build()).is_err(), "an empty one");
        let gone = || DeleteMarkerEntry::builder().version_id("v").last_modified(at);
        let (_, shown) = marker(&keys, &gone().key("p/a").build()).unwrap();
        assert_eq!((shown.latest, shown.object), (false, None));
        assert!(marker(&keys, &gone().build()).is_err(), "no key");
        assert!(marker(&keys, &gone().key("q/a").build()).is_err(), "not asked for");
        let trash = Keys::new(LIST, ("t/", TRASH), None);
        let (key, _) = marker(&trash, &gone().key("t/x").build()).unwrap();
        assert_eq!(key.trash_name(), Some("x"));
    }
}
