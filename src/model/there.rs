//! What stands where a file is to be restored.

use super::{Node, Stamp};

/// An entry of the directory that a restore writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Last modification.
        mtime: Stamp,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// Last modification, of itself.
        mtime: Stamp,
    },
    /// A FIFO or device.
    Node(Node),
    /// A socket.
    Other,
}

/// How the name of a file begins that is not whole yet,
pub const DRAFT: &str = ".s3mirrord-";
/// and how it ends.
pub const DRAFT_END: &str = ".part";

/// True for the name of a file that a restore has not finished: it is no file of anybody's.
pub fn is_draft(name: &[u8]) -> bool {
    let inner = name.strip_prefix(DRAFT.as_bytes()).and_then(|rest| rest.strip_suffix(DRAFT_END.as_bytes()));
    inner.is_some_and(|inner| inner.len() == 24 && inner.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::is_draft;

    #[test]
    fn only_names_of_that_form_are_drafts() {
        for (name, want) in [
            (".s3mirrord-0123456789abcdef01234567.part", true),
            (".s3mirrord-0123456789abcdef0123456.part", false),
            (".s3mirrord-0123456789abcdef0123456g.part", false),
            ("x.s3mirrord-0123456789abcdef01234567.part", false),
            (".s3mirrord-0123456789abcdef01234567.part2", false),
            (".s3mirrord-.part", false),
            ("", false),
        ] {
            assert_eq!(is_draft(name.as_bytes()), want, "{name}");
        }
    }
}
