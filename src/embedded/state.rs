//! All the server holds: its buckets, and the shelf their bodies are on. It outlives the server that serves it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use s3s::{S3Result, s3_error};

use super::body::Shelf;
use super::bucket::Bucket;

pub(super) struct State {
    pub(super) shelf: Shelf,
    /// The least size of a multipart part that is not the last, in bytes.
    pub(super) minimum_part: u64,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
}

impl State {
    pub(super) fn new(shelf: Shelf, minimum_part: u64) -> Self {
        Self { shelf, minimum_part, buckets: RwLock::default() }
    }

    /// # Errors
    /// 404.
    pub(super) fn bucket(&self, name: &str) -> S3Result<Arc<Bucket>> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(name).cloned().ok_or_else(|| s3_error!(NoSuchBucket))
    }

    /// Makes a bucket; false if it was there.
    pub(super) fn create(&self, name: &str) -> bool {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if buckets.contains_key(name) {
            return false;
        }
        buckets.insert(name.to_owned(), Arc::new(Bucket::new()));
        true
    }

    /// # Errors
    /// 404; 409 if anything is in it.
    pub(super) fn delete(&self, name: &str) -> S3Result<()> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(name).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let empty = bucket.read().keys.is_empty();
        if !empty {
            return Err(s3_error!(BucketNotEmpty));
        }
        buckets.remove(name);
        Ok(())
    }

    /// In order of their names.
    pub(super) fn buckets(&self) -> Vec<(String, Arc<Bucket>)> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.iter().map(|(name, bucket)| (name.clone(), bucket.clone())).collect()
    }
}
