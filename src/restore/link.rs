//! The link of an object whose name says that it may be one; its metadata tells.

use super::{
    Ending,
    bring::{Bringer, Memory, is_no_draft, settled, wanted},
};
use crate::{
    model::{Class, Fault, Key, Kind, RemoteMeta},
    plan::{Landing, landing_of_link},
    store::Spot,
};

/// What a link leads to has at most as many bytes (PATH_MAX).
const LONGEST: u64 = 4096;

impl Bringer<'_> {
    /// Brings the link of an object, if that is one.
    pub(super) async fn link(
        &self,
        key: &Key,
        spot: &Spot,
        meta: &RemoteMeta,
    ) -> Result<Option<Ending>, Fault> {
        let Some(path) = key.link().filter(|_| meta.size <= LONGEST) else { return Ok(None) };
        let fetch = self.store.fetch(spot, &meta.etag, None).await?;
        let head = fetch.head.clone();
        if head.mode.is_none_or(|mode| Kind::of(mode) != Kind::Link) {
            return Ok(None);
        }
        is_no_draft(key, &path)?;
        let to = Memory(fetch.rest().await?);
        // a file may be on its way to the same name
        let _turn = self.turn(&path).await;
        let (there, had) = (self.target.look(&path).await?, self.target.read_link(&path).await?);
        let alike = had.as_deref() == Some(&*to.0);
        match landing_of_link(&wanted(&head), there, alike, self.options.replace) {
            Landing::Fetch if self.options.dry_run => return Ok(Some(Ending::Planned(meta.size))),
            Landing::Fetch => {}
            other => {
                if !self.options.dry_run {
                    self.target.clear(&path).await?;
                }
                return settled(&path, other).map(Some);
            }
        }
        let proven = self.prove(spot, &head, &to).await?.is_some();
        if to.0.is_empty() || to.0.contains(&0) {
            return Err(Fault::new(Class::Permanent, format!("restore {path}"), "no link can lead there"));
        }
        self.target.link(&path, &to.0, self.finish(&head)?, there).await?;
        self.live.arrived(meta.size);
        Ok(Some(Ending::Restored { bytes: meta.size, proven }))
    }
}
