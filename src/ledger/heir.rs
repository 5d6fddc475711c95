//! What root makes in a directory of somebody else's is that one's: it is the state of a service, which is to open it again.

use rustix::{
    fs::{Gid, Mode, OFlags, Stat, Uid, fchown, fstat, lstat, open},
    process::geteuid,
};
use std::{fs::File, os::fd::AsFd, path::Path};

/// Gives a directory to the owner of the one that it lies in, if root runs this and both are not root's.
pub(super) fn directory(path: &Path) {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let (true, Ok(directory)) = (geteuid().is_root(), open(path, flags, Mode::empty())) {
        give(directory, path);
    }
}

/// Gives an open file to the owner of its directory likewise. Not one that has another name, or whose name leads elsewhere: whoever
/// may write there could have root give him any file.
pub(super) fn file(file: &File, path: &Path) {
    let is_it = |is: Stat, named: Stat| {
        is.st_nlink == 1 && (is.st_dev, is.st_ino, is.st_mode) == (named.st_dev, named.st_ino, named.st_mode)
    };
    if geteuid().is_root() && fstat(file).is_ok_and(|is| lstat(path).is_ok_and(|named| is_it(is, named))) {
        give(file, path);
    }
}

/// What cannot be given is root's: whoever is to open it will say so.
fn give(of: impl AsFd, path: &Path) {
    let Some(Ok(above)) = path.parent().map(lstat) else { return };
    if above.st_uid != 0 && fstat(of.as_fd()).is_ok_and(|is| is.st_uid == 0) {
        let _ = fchown(of, Some(Uid::from_raw(above.st_uid)), Some(Gid::from_raw(above.st_gid)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{MetadataExt, chown, symlink},
    };

    #[test]
    fn what_root_makes_in_the_state_of_a_service_is_the_services() {
        if !geteuid().is_root() {
            println!("skipped: it takes root");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        for (name, owner) in [("services", 1234), ("roots", 0)] {
            fs::create_dir_all(at(name).join("www")).expect("mkdir");
            chown(at(name), Some(owner), Some(owner)).expect("chown");
            directory(&at(name).join("www"));
            let path = at(name).join("www/lock");
            let made = File::create(&path).expect("made");
            file(&made, &path);
            for path in [at(name).join("www"), path] {
                let is = fs::metadata(&path).expect("there");
                assert_eq!((is.uid(), is.gid()), (owner, owner), "{}", path.display());
            }
        }
        // what is planted there is not given away
        fs::write(at("precious"), "root's").expect("written");
        fs::hard_link(at("precious"), at("services/www/second")).expect("linked");
        fs::write(at("other"), "root's").expect("written");
        symlink(at("other"), at("services/www/link")).expect("a link");
        symlink(at("roots/www"), at("services/elsewhere")).expect("a link");
        for name in ["second", "link"] {
            let path = at("services/www").join(name);
            file(&File::open(&path).expect("opened"), &path);
        }
        directory(&at("services/elsewhere"));
        for name in ["precious", "other", "roots/www"] {
            assert_eq!(fs::metadata(at(name)).expect("there").uid(), 0, "{name}");
        }
    }
}
