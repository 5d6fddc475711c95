//! The file system's UUID, asked of the kernel: the one room that calls an ioctl, and so the one with `unsafe`.
#![allow(unsafe_code)]

use rustix::{
    fd::BorrowedFd,
    io,
    ioctl::{self, Getter, Opcode, opcode},
};

/// `struct fsuuid2` of `include/uapi/linux/fs.h`.
#[repr(C)]
struct FsUuid2 {
    len: u8,
    uuid: [u8; 16],
}

/// `FS_IOC_GETFSUUID`, `_IOR(0x15, 0, struct fsuuid2)`: since Linux 6.9.
const GET_UUID: Opcode = opcode::read::<FsUuid2>(0x15, 0);

/// The UUID in hexadecimal digits; `None` if the file system has none, or the kernel does not tell.
pub(super) fn uuid(fd: BorrowedFd<'_>) -> Option<String> {
    let answer: io::Result<FsUuid2> = {
        // SAFETY: the opcode is the kernel's, and encodes the size of `FsUuid2`, which has the layout
        // of `struct fsuuid2` (17 bytes, no padding). Any bytes are a valid `FsUuid2`, and the kernel
        // copies out the whole struct whenever it reports success. `fd` is open for the whole call.
        unsafe { ioctl::ioctl(fd, Getter::<GET_UUID, FsUuid2>::new()) }
    };
    let FsUuid2 { len, uuid } = answer.ok()?;
    let uuid = uuid.get(..usize::from(len))?;
    uuid.iter().any(|byte| *byte != 0).then(|| hex::encode(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;

    #[test]
    fn the_opcode_is_the_kernels() {
        assert_eq!(GET_UUID as u64, 0x8011_1500);
    }

    #[test]
    fn it_is_the_same_twice_and_none_where_there_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let fd = std::fs::File::open(dir.path()).expect("open");
        assert_eq!(uuid(fd.as_fd()), uuid(fd.as_fd()));
        if let Some(uuid) = uuid(fd.as_fd()) {
            assert_eq!(uuid.len(), 32, "{uuid}");
        }
        let proc = std::fs::File::open("/proc").expect("open");
        assert_eq!(uuid(proc.as_fd()), None, "/proc has no UUID");
    }
}
