//! Extended attributes, ACLs among them: of an open file, and for one.

use super::{target::fault, walk::c_name};
use crate::model::{Class, Fault, RelPath, Xattrs};
use rustix::{
    fd::BorrowedFd,
    fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr},
    io::{self, Errno, retry_on_intr},
};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// No list of names and no value is longer (xattr(7)).
const LONGEST: usize = 64 << 10;

/// Those that are kept. Where there are none, or they may not be read, there are none.
pub(super) fn read(file: BorrowedFd<'_>) -> io::Result<Xattrs> {
    let mut names = vec![0; LONGEST];
    let len = match retry_on_intr(|| flistxattr(file, &mut names[..])) {
        Err(Errno::OPNOTSUPP | Errno::ACCESS | Errno::PERM) => 0,
        len => len?,
    };
    let (mut all, mut value) = (vec![], vec![]);
    for name in names[..len].split(|byte| *byte == 0).filter(|name| Xattrs::keeps(name)) {
        value.resize(LONGEST, 0);
        match retry_on_intr(|| fgetxattr(file, c_name(name), &mut value[..])) {
            Ok(len) => all.push((name.to_vec(), value[..len].to_vec())),
            // gone since, which the file's time of change shows
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::ACCESS | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(Xattrs(all))
}

/// The ACL that says who may, and the one that what is made in a directory gets.
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// Takes away the ACLs that it has of the directory that it was made in.
pub(super) fn bare(file: BorrowedFd<'_>, path: &RelPath) -> Result<(), Fault> {
    // to remove what is not there is a write for some file systems
    let has = |name: &&[u8]| retry_on_intr(|| fgetxattr(file, c_name(name), &mut [0; 0][..])).is_ok();
    for name in ACLS.into_iter().filter(has) {
        match retry_on_intr(|| fremovexattr(file, c_name(name))) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(fault(format!("take from {path} the ACL of its directory"), errno)),
        }
    }
    Ok(())
}

/// Gives them to a file. What its file system does not take is told, once.
pub(super) fn give(
    file: BorrowedFd<'_>,
    path: &RelPath,
    Xattrs(all): &Xattrs,
    told: &AtomicBool,
) -> Result<(), Fault> {
    for (name, value) in all {
        match retry_on_intr(|| fsetxattr(file, c_name(name), value, XattrFlags::empty())) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP) if told.swap(true, Relaxed) => {}
            Err(Errno::OPNOTSUPP) => tracing::warn!(
                %path,
                name = %name.escape_ascii(),
                "the file system takes no such extended attribute; of others that it does not take nothing is told"
            ),
            Err(errno) => {
                let what = format!("give {path} its extended attribute {}", name.escape_ascii());
                let refused = fault(what, errno);
                // what is too large for one may be none for the others (ENOSPC)
                let of_one = errno == Errno::NOSPC;
                return Err(if of_one { Fault { class: Class::Permanent, ..refused } } else { refused });
            }
        }
    }
    Ok(())
}
