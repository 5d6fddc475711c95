//! Which entries are mirrored beside regular files.

use crate::model::Keep;

/// The kinds that are. By default none: only regular files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Symbolic links: each is shown as a file whose name ends in [`LINK`](crate::model::LINK) and whose content is what
    /// the link leads to. Where a file has that name already, the file is what is shown.
    pub links: bool,
    /// Directories, each as a key that ends in `/`, without content.
    pub directories: bool,
    /// FIFOs and devices, each as a file without content. Sockets never are.
    pub nodes: bool,
    /// What is kept of each beside its content.
    pub keep: Keep,
    /// With the names of owners beside their numbers, where these are kept.
    pub owner_names: bool,
}
