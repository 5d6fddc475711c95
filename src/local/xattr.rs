//! Extended attributes, ACLs among them: of an open file, and for one.

use super::{target::fault, walk::c_name};
use crate::model::{Class, Fault, RelPath, Xattrs};
use rustix::{
    fd::BorrowedFd,
    fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr},
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
