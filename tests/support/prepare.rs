//! Both roads of an upload in one, up to the commit.

use s3mirrord::{
    model::{Begun, Digest, Fault, Key, Source, Spec},
    store::Store,
};
use std::sync::Arc;

/// A store for tests that do not care which road a file takes.
pub(crate) trait Prepare: Store {
    /// Stages a file, in parts if it is large.
    async fn prepare<F: Source>(
        &self,
        key: &Key,
        file: &Arc<F>,
        spec: &Spec,
    ) -> Result<(Self::Staged, Digest), Fault> {
        if self.part_size(spec.size).is_none() {
            return self.stage(key, file, spec).await;
        }
        let upload = self.create(key, spec).await?;
        self.fill(Begun { upload, parts: vec![] }, file, spec).await
    }
}

impl<S: Store> Prepare for S {}
