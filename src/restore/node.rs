//! The FIFO or device of an empty object whose metadata says that it is one.

use super::{
    Ending,
    bring::{Bringer, settled},
};
use crate::{
    model::{Class, Fault, Head, Node, RelPath, There},
    plan::{Landing, landing_of_node},
};

impl Bringer<'_> {
    /// Makes it where nothing is.
    ///
    /// # Errors
    /// `Permanent` for a device that was not asked for, or may not be made; I/O errors.
    pub(super) async fn node(
        &self,
        head: &Head,
        node: Node,
        path: &RelPath,
        there: There,
    ) -> Result<Ending, Fault> {
        if !node.is_possible() {
            let cause = format!("its metadata gives a {} a number that none can have", node.word());
            return Err(Fault::new(Class::Permanent, format!("restore {path}"), cause)
                .remedy("find out who wrote it"));
        }
        match landing_of_node(node, there) {
            Landing::Fetch if node != Node::Fifo && !self.options.devices => Err(Fault::new(
                Class::Permanent,
                format!("restore {path}"),
                format!("it is a {}", node.word()),
            )
            .remedy("restore it as root with --devices, if nobody else may write to the bucket")),
            Landing::Fetch if self.options.dry_run => Ok(Ending::Planned(0)),
            Landing::Fetch => {
                self.target.make_node(path, node, self.finish(head)?).await?;
                Ok(Ending::Restored { bytes: 0, proven: true })
            }
            other => settled(path, other),
        }
    }
}
