//! The trash: copies of objects before they are deleted or replaced, with all that the objects have. Nothing that is
//! chosen for objects of the mirror is chosen for them: an ACL and a retention stay behind, as with every copy.

use super::{
    S3,
    copy::{self, COPY},
    head, metadata,
    origin::{Origin, keep},
    part, splice,
};
use crate::model::{Attributes, ETag, Extra, Fault, Keep, Key, Only, RemoteMeta, Spec, Stamp, Trashed, Went};

/// What an object tells of its past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it is.
    pub meta: RemoteMeta,
    /// Of one in the trash: the key that it had, if its name does not say it.
    pub key: Option<Key>,
    /// When its bytes were put where they are or, of one in the trash, where they were: by the store's clock, in seconds
    /// since 1970.
    pub written: Option<i64>,
    /// Of one in the trash: why it went.
    pub went: Option<Went>,
}

impl S3 {
    /// Asks an object of the mirror or of the trash; `None` if it is gone.
    ///
    /// # Errors
    /// As for any request.
    pub async fn told(&self, key: &Key) -> Result<Option<Told>, Fault> {
        let full = self.full("HeadObject", key)?;
        let Some(head) = self.look(&full).await? else { return Ok(None) };
        let meta = head::shown("HeadObject", &full, &head)?.meta;
        let past = metadata::past(&head);
        let written = match key.trash_name() {
            Some(_) => past.trashed.map(|(written, _)| written),
            None => past.since.or(meta.modified.map(|at| at.sec)),
        };
        Ok(Some(Told { meta, key: past.key, written, went: past.trashed.map(|(_, went)| went) }))
    }
}

/// Copies the object `from` to a key of the trash.
pub(super) async fn keep(store: &S3, from: (&Key, &ETag), trashed: &Trashed) -> Result<(), Fault> {
    let to = &trashed.key;
    let full = store.full(COPY, to)?;
    let origin = Origin::find(store, COPY, from, &full).await?;
    let all = metadata::trashed(&origin.head, trashed);
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
        names: None,
        keep: Keep::default(),
        extra: Extra::default(),
        own: String::new(),
        sha256: None,
        part_size: head::shown("HeadObject", &full, &origin.head)?.part_size,
    };
    let upload = splice::open(store, &origin, (to, &full), all, None).await?;
    let parts = splice::fill(store, upload, from, &spec).await?;
    part::complete(store, parts, Only::Always).await.map(drop)
}
