//! One bucket: its keys and their versions, its uploads in progress, and its few settings.
//!
//! Everything that must be atomic happens in one short critical section here: a condition is judged and the
//! object swapped under the same lock. What was displaced is dropped outside it, as that may remove a file.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use s3s::dto::BucketLifecycleConfiguration;
use s3s::{S3Result, s3_error};

use super::condition::{Conditions, now};
use super::multipart::Upload;
use super::object::Object;

/// A version's number; 0 is the version called `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionId(u64);

impl VersionId {
    pub(super) fn text(self) -> String {
        if self.0 == 0 { "null".to_owned() } else { format!("v{:015x}", self.0) }
    }

    fn parse(text: &str) -> S3Result<Self> {
        let number = match text {
            "null" => Some(0),
            _ => text.strip_prefix('v').and_then(|digits| u64::from_str_radix(digits, 16).ok()),
        };
        number.map(Self).ok_or_else(|| s3_error!(InvalidArgument, "Invalid version id specified"))
    }
}

/// An object at one time, or a delete marker.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) id: VersionId,
    pub(super) modified: SystemTime,
    /// None: a delete marker.
    pub(super) object: Option<Arc<Object>>,
}

/// All versions of one key; never empty.
pub(super) struct Versions {
    latest: Version,
    /// Oldest first.
    older: Vec<Version>,
}

impl Versions {
    /// The object that a plain GET sees.
    pub(super) fn current(&self) -> Option<&Arc<Object>> {
        self.latest.object.as_ref()
    }

    /// Newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Version> {
        std::iter::once(&self.latest).chain(self.older.iter().rev())
    }
}

pub(super) type Keys = BTreeMap<String, Versions>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Versioning {
    #[default]
    Off,
    Enabled,
    Suspended,
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) keys: Keys,
    /// By key and upload id.
    pub(super) uploads: BTreeMap<(String, String), Upload>,
    pub(super) versioning: Versioning,
    pub(super) lifecycle: Option<BucketLifecycleConfiguration>,
    last_version: u64,
}

pub(super) struct Bucket {
    pub(super) created: SystemTime,
    contents: RwLock<Contents>,
}

/// What a delete did.
pub(super) struct Deleted {
    pub(super) version: Option<String>,
    pub(super) marker: bool,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self { created: now(), contents: RwLock::default() }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object, or that version of it, and the version id to answer with.
    ///
    /// # Errors
    /// 404; 405 for a version that is a delete marker.
    pub(super) fn get(&self, key: &str, version: Option<&str>) -> S3Result<(Arc<Object>, Option<String>)> {
        let contents = self.read();
        let versions = contents.keys.get(key);
        let found = match (versions, version) {
            (None, None) => return Err(s3_error!(NoSuchKey)),
            (None, Some(version)) => {
                VersionId::parse(version)?;
                return Err(s3_error!(NoSuchVersion));
            }
            (Some(versions), None) => &versions.latest,
            (Some(versions), Some(version)) => {
                let id = VersionId::parse(version)?;
                versions.iter().find(|version| version.id == id).ok_or_else(|| s3_error!(NoSuchVersion))?
            }
        };
        match &found.object {
            Some(object) => Ok((object.clone(), contents.shown(found.id))),
            None if version.is_some() => Err(s3_error!(MethodNotAllowed)),
            None => Err(s3_error!(NoSuchKey)),
        }
    }

    /// Stores the object if the conditions hold; the version id to answer with.
    pub(super) fn put(&self, key: &str, object: Object, conditions: &Conditions) -> S3Result<Option<String>> {
        let mut contents = self.write();
        conditions.check_write(contents.current(key))?;
        let (version, displaced) = contents.place(key, Some(object));
        drop(contents);
        drop(displaced);
        Ok(version)
    }

    /// Deletes the object (with versioning: marks it deleted), or one version for good.
    pub(super) fn delete(
        &self,
        key: &str,
        version: Option<&str>,
        conditions: &Conditions,
    ) -> S3Result<Deleted> {
        let mut contents = self.write();
        let id = version.map(VersionId::parse).transpose()?;
        let judged = match id {
            None => contents.current(key),
            Some(id) => contents.version(key, id).and_then(|version| version.object.as_deref()),
        };
        conditions.check_delete(judged)?;
        let (deleted, displaced) = match id {
            Some(id) => {
                let gone = contents.remove(key, id);
                let marker = gone.as_ref().is_some_and(|version| version.object.is_none());
                (Deleted { version: Some(id.text()), marker }, gone)
            }
            None if contents.versioning == Versioning::Off => {
                (Deleted { version: None, marker: false }, contents.remove(key, VersionId(0)))
            }
            None => {
                let (version, displaced) = contents.place(key, None);
                (Deleted { version, marker: true }, displaced)
            }
        };
        drop(contents);
        drop(displaced);
        Ok(deleted)
    }

    /// Replaces the tags; the version id to answer with.
    pub(super) fn retag(
        &self,
        key: &str,
        version: Option<&str>,
        tags: super::object::Tags,
    ) -> S3Result<Option<String>> {
        let (object, shown) = self.get(key, version)?;
        let mut contents = self.write();
        let versions = contents.keys.get_mut(key).ok_or_else(|| s3_error!(NoSuchKey))?;
        let same =
            |version: &&mut Version| version.object.as_ref().is_some_and(|held| Arc::ptr_eq(held, &object));
        let held = std::iter::once(&mut versions.latest).chain(&mut versions.older).find(same);
        // Gone since: as if the tags had come before the write that took it away.
        if let Some(version) = held {
            version.object = Some(Arc::new(Object { tags, ..(*object).clone() }));
        }
        Ok(shown)
    }
}

impl Contents {
    pub(super) fn current(&self, key: &str) -> Option<&Object> {
        self.keys.get(key)?.current().map(|object| &**object)
    }

    pub(super) fn age(&mut self, by: Duration) {
        for versions in self.keys.values_mut() {
            for version in std::iter::once(&mut versions.latest).chain(&mut versions.older) {
                version.modified -= by;
                if let Some(object) = &mut version.object {
                    Arc::make_mut(object).modified = version.modified;
                }
            }
        }
    }

    fn version(&self, key: &str, id: VersionId) -> Option<&Version> {
        self.keys.get(key)?.iter().find(|version| version.id == id)
    }

    /// A version id as answers carry it: not at all where versioning was never on.
    fn shown(&self, id: VersionId) -> Option<String> {
        (self.versioning != Versioning::Off).then(|| id.text())
    }

    /// Makes the object (none: a delete marker) the latest; the version id to answer with, and what must go.
    pub(super) fn place(&mut self, key: &str, object: Option<Object>) -> (Option<String>, Option<Version>) {
        let id = if self.versioning == Versioning::Enabled {
            self.last_version += 1;
            VersionId(self.last_version)
        } else {
            VersionId(0)
        };
        let modified = object.as_ref().map_or_else(now, |object| object.modified);
        let version = Version { id, modified, object: object.map(Arc::new) };
        let displaced = match self.keys.get_mut(key) {
            None => {
                self.keys.insert(key.to_owned(), Versions { latest: version, older: Vec::new() });
                None
            }
            Some(versions) => {
                let previous = std::mem::replace(&mut versions.latest, version);
                if previous.id == id {
                    Some(previous)
                } else {
                    versions.older.push(previous);
                    let last = versions.older.len() - 1;
                    // Only the null version comes twice.
                    let twin = versions.older[..last].iter().position(|version| version.id == id);
                    twin.map(|index| versions.older.remove(index))
                }
            }
        };
        (self.shown(id), displaced)
    }

    /// Takes one version away; the one before it becomes the latest.
    fn remove(&mut self, key: &str, id: VersionId) -> Option<Version> {
        let versions = self.keys.get_mut(key)?;
        if versions.latest.id != id {
            let index = versions.older.iter().position(|version| version.id == id)?;
            return Some(versions.older.remove(index));
        }
        match versions.older.pop() {
            Some(before) => Some(std::mem::replace(&mut versions.latest, before)),
            None => self.keys.remove(key).map(|versions| versions.latest),
        }
    }
}
