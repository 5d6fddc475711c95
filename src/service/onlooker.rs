//! A mirror for whoever only looks: nothing is claimed, bound or written, and somebody may be keeping it up meanwhile.

use super::assembly::{self, Commons};
use crate::{
    config::Mirror,
    engine::{self, Owner},
    ledger::{Database, Ledger, OpenError},
    local::Tree,
    model::{Binding, Capabilities, Class, Fault, MirrorId, RootId, Sameness},
    store::{S3, Store, patiently},
    verify::Sides,
};

/// What was found of a mirror.
pub struct Onlooker {
    /// Disk, bucket and, if nobody holds it, the ledger.
    pub sides: Sides,
    /// Whose objects are ours; `None`: the mirror never wrote any.
    pub mirror: Option<MirrorId>,
    /// What the store honours, or what most do where nobody has found out.
    pub can: Capabilities,
    /// Another process holds the mirror.
    pub beside: bool,
}

/// Opens what can be opened.
///
/// # Errors
/// `Fatal`: no root, or another one than that which was accepted; no credentials, no bucket.
pub async fn open(commons: &Commons, mirror: &Mirror) -> Result<Onlooker, Fault> {
    let tree = assembly::directory(mirror)?;
    let (root, _) = tree.root().await?;
    tree.bind(&root);
    let store = assembly::store(commons, mirror).await?;
    let (ledger, beside) = match assembly::ledger(&commons.state_dir, mirror, true).await {
        Ok(ledger) => (of_here(ledger, &store).await?, false),
        Err(OpenError::Held(held)) => {
            tracing::debug!(%held, "going without the ledger");
            (None, true)
        }
        Err(OpenError::Fault(fault)) => {
            tracing::warn!("going without the ledger: {fault}");
            (None, false)
        }
    };
    let owner = patiently(|| engine::owner(&store)).await?;
    let (ledger, binding) = ledger.unzip();
    prove(&root, binding.as_ref(), owner.as_ref())?;
    let usual = Capabilities {
        verifies_sha256: true,
        etag_is_md5: owner.as_ref().is_none_or(|owner| owner.tag_is_md5),
        ..Capabilities::default()
    };
    let bound = binding.as_ref().map(|binding| binding.mirror);
    Ok(Onlooker {
        sides: Sides { tree, prune: assembly::prune(mirror), store, ledger },
        mirror: owner.map(|owner| owner.mirror).or(bound),
        can: binding.and_then(|binding| binding.capabilities).unwrap_or(usual),
        beside,
    })
}

/// The ledger, if it is bound to this place.
async fn of_here(ledger: Database, store: &S3) -> Result<Option<(Database, Binding)>, Fault> {
    let binding = ledger.binding().await?;
    Ok(binding.filter(|binding| binding.place == store.place()).map(|binding| (ledger, binding)))
}

/// Where another directory is in the root's place, all that was mirrored would be told as gone.
fn prove(root: &RootId, binding: Option<&Binding>, owner: Option<&Owner>) -> Result<(), Fault> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match (binding, owner) {
        (Some(binding), _) if root.compare(&binding.root) == Sameness::Changed => {
            let cause = "it is another directory than the one that was mirrored";
            Err(Fault::new(Class::Fatal, "prove the root", cause)
                .remedy("bring the true root back, or accept this one with `s3mirrord approve`"))
        }
        // the record is written now and then: the daemon may know better
        (None, Some(owner)) if owner.host == host && root.compare(&owner.root) == Sameness::Changed => {
            tracing::warn!("the root is another directory than the one that the owner record names");
            Ok(())
        }
        _ => Ok(()),
    }
}
