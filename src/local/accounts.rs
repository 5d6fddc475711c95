//! What the users and groups of this machine are called, by passwd(5) and group(5): read when it is first asked for, and again
//! when they change. Names that only a directory service knows (LDAP, sssd) are none here.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For so long what was read is not looked at again.
const FRESH: Duration = Duration::from_secs(10);
/// A longer name is none: it would not fit into metadata (useradd(8) gives none).
const LONGEST: usize = 32;

/// Users and groups. What is asked is at hand, but for two files of some KiB now and then.
#[derive(Debug)]
pub struct Accounts {
    users: Table,
    groups: Table,
}

impl Accounts {
    /// Those of this machine.
    pub fn of_machine() -> Self {
        Self::at(Path::new("/etc"))
    }

    /// Those whose files lie in this directory.
    fn at(etc: &Path) -> Self {
        Self { users: Table::new(etc.join("passwd")), groups: Table::new(etc.join("group")) }
    }

    /// `user:group`, with nothing for what has no name; `None` if neither has.
    pub fn names(&self, (uid, gid): (u32, u32)) -> Option<Arc<str>> {
        match (self.users.name(uid), self.groups.name(gid)) {
            (None, None) => None,
            (user, group) => {
                Some(format!("{}:{}", user.unwrap_or_default(), group.unwrap_or_default()).into())
            }
        }
    }

    /// Who is called so here, as [`names`](Self::names) has it; and the numbers of `had` for what is not known here: with the
    /// names that are not.
    pub fn numbers<'a>(&self, names: &'a str, (uid, gid): (u32, u32)) -> ((u32, u32), Vec<&'a str>) {
        let (user, group) = names.split_once(':').unwrap_or((names, ""));
        let mut unknown = vec![];
        let mut number = |table: &Table, name: &'a str, had| match table.id(name) {
            _ if name.is_empty() => had,
            Some(id) => id,
            None => {
                unknown.push(name);
                had
            }
        };
        ((number(&self.users, user, uid), number(&self.groups, group, gid)), unknown)
    }
}

/// One file.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    read: Mutex<Read>,
}

/// What was read of it.
#[derive(Debug, Default)]
struct Read {
    looked: Option<Instant>,
    /// Inode, size, time of change.
    print: Option<(u64, u64, i64, i64)>,
    names: HashMap<u32, String>,
    ids: HashMap<String, u32>,
}

impl Table {
    fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    fn name(&self, id: u32) -> Option<String> {
        self.with(|read| read.names.get(&id).cloned())
    }

    fn id(&self, name: &str) -> Option<u32> {
        self.with(|read| read.ids.get(name).copied())
    }

    fn with<T>(&self, ask: impl Fn(&Read) -> Option<T>) -> Option<T> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.looked.is_none_or(|at| at.elapsed() >= FRESH) {
            read.looked = Some(Instant::now());
            read.again(&self.path);
        }
        ask(&read)
    }
}

impl Read {
    /// Reads it if it has changed. While there is none, what was read holds.
    fn again(&mut self, path: &Path) {
        let print = fs::metadata(path).ok().map(|m| (m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
        if print.is_none() || print == self.print {
            return;
        }
        let Ok(text) = fs::read(path) else { return };
        (self.print, self.names, self.ids) = (print, HashMap::new(), HashMap::new());
        for (name, id) in String::from_utf8_lossy(&text).lines().filter_map(account) {
            // as getpwuid(3) has it: of two the first
            self.names.entry(id).or_insert_with(|| name.to_owned());
            self.ids.entry(name.to_owned()).or_insert(id);
        }
    }
}

/// `name:password:id:…`, as both files have it.
fn account(line: &str) -> Option<(&str, u32)> {
    let mut fields = line.split(':');
    let (name, id) = (fields.next()?, fields.nth(1)?);
    let plain = (1..=LONGEST).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
    // a comment, or what NIS is asked for
    (plain && !name.starts_with(['#', '+', '-'])).then_some(())?;
    Some((name, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_files_are_read_and_others_are_not() {
        for (line, want) in [
            ("root:x:0:0:root:/root:/bin/bash", Some(("root", 0))),
            ("adm:x:4:syslog,me", Some(("adm", 4))),
            ("nobody:*:4294967294:", Some(("nobody", u32::MAX - 1))),
            ("corp\\me$:x:7:", Some(("corp\\me$", 7))),
            ("+", None),
            ("+@admins:x:0:", None),
            ("-me:x:7:", None),
            ("#me:x:7:", None),
            ("", None),
            (":x:7:", None),
            ("me:x", None),
            ("me:x:seven:", None),
            ("me:x:-1:", None),
            ("m\u{e9}:x:7:", None),
            ("m e:x:7:", None),
            ("abcdefghijklmnopqrstuvwxyz0123456:x:7:", None),
        ] {
            assert_eq!(account(line), want, "{line}");
        }
    }

    #[test]
    fn who_is_known_has_a_name_and_who_is_called_so_a_number() {
        let etc = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(etc.path().join(name), text).expect("written");
        let all = Accounts::at(etc.path());
        assert_eq!(all.names((0, 0)), None, "there are no files");
        write("passwd", "root:x:0:0::/:\ntoor:x:0:0::/:\nwww:x:33:33::/:\n");
        write("group", "root:x:0:\nstaff:x:50:me\n");
        let all = Accounts::at(etc.path());
        for (owner, want) in
            [((0, 50), Some("root:staff")), ((33, 33), Some("www:")), ((7, 0), Some(":root")), ((7, 7), None)]
        {
            assert_eq!(all.names(owner).as_deref(), want, "{owner:?}");
        }
        for (names, want, unknown) in [
            ("www:staff", (33, 50), &[][..]),
            ("toor:", (0, 8), &[]),
            (":root", (7, 0), &[]),
            ("www", (33, 8), &[]),
            ("", (7, 8), &[]),
            ("else:staff", (7, 50), &["else"]),
            ("else:www", (7, 8), &["else", "www"]),
        ] {
            assert_eq!(all.numbers(names, (7, 8)), (want, unknown.to_vec()), "{names}");
        }
        // what changes is read again, and what is gone for a moment (passwd(5) is replaced) is what it was
        write("passwd", "root:x:0:0::/:\nwww-data:x:33:33::/:\n");
        assert_eq!(all.names((33, 50)).as_deref(), Some("www:staff"), "not so soon");
        let later = || all.users.read.lock().expect("nobody has it").looked = None;
        later();
        assert_eq!(all.names((33, 50)).as_deref(), Some("www-data:staff"));
        fs::remove_file(etc.path().join("passwd")).expect("removed");
        later();
        assert_eq!(all.names((33, 50)).as_deref(), Some("www-data:staff"));
    }
}
