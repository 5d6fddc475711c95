//! Opens files for whoever asks: at once what is at hand, the others by a thread. Those that are asked for at the same
//! time are served by one thread, one after the other. On a slow disk, where it pays to wait together, other threads
//! join in.

use super::{
    cached,
    read::{self, File},
    root::{Opened, Root},
};
use crate::model::{Class, Fault, Key};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};

/// A request that has waited for as long has a thread of its own begun.
const PATIENCE: Duration = Duration::from_millis(2);
/// And after twice the time another one, and so on; at the least as often as this.
const LONGEST: Duration = Duration::from_secs(1);
/// Threads that serve at the same time.
const MOST: usize = 64;
/// Requests in a row for which the root is opened once.
const IN_A_ROW: usize = 64;

/// Of one root.
#[derive(Clone)]
pub(super) struct Opener(Arc<Shared>);

struct Shared {
    root: Arc<Root>,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    waiting: VecDeque<Request>,
    serving: usize,
}

struct Request {
    key: Key,
    answer: oneshot::Sender<Result<File, Fault>>,
}

impl Opener {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self(Arc::new(Shared { root, desk: Mutex::default() }))
    }

    /// Opens what has this key.
    ///
    /// # Errors
    /// As [`Root::open`] and [`read::open`].
    pub(super) async fn open(&self, key: &Key) -> Result<File, Fault> {
        self.opened(key).await.map(|file| file.keeping(&self.0.root))
    }

    async fn opened(&self, key: &Key) -> Result<File, Fault> {
        if let Some(file) = key.path().and_then(|path| cached::open(&self.0.root, &path)) {
            return Ok(file);
        }
        let (answer, mut asked) = oneshot::channel();
        let idle = {
            let mut desk = self.0.desk();
            desk.waiting.push_back(Request { key: key.clone(), answer });
            desk.serving == 0
        };
        if idle {
            self.begin();
        }
        let mut patience = PATIENCE;
        loop {
            match timeout(patience, &mut asked).await {
                Ok(Ok(opened)) => return opened,
                Ok(Err(ended)) => return Err(Fault::new(Class::Transient, "open a file", ended)),
                Err(_) => self.begin(),
            }
            patience = (2 * patience).min(LONGEST);
        }
    }

    /// Has one more thread serve, if there is something to be served.
    fn begin(&self) {
        let mut desk = self.0.desk();
        if desk.waiting.is_empty() || desk.serving == MOST {
            return;
        }
        desk.serving += 1;
        // a runtime that ends drops what it is given, and with it goes back to the desk
        drop(desk);
        let serving = Serving { shared: Arc::clone(&self.0), ended: false };
        spawn_blocking(move || serving.serve());
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that serves.
struct Serving {
    shared: Arc<Shared>,
    /// It is not counted among those that serve any more.
    ended: bool,
}

impl Serving {
    fn serve(mut self) {
        while let Some(first) = self.next() {
            match self.shared.root.open() {
                Ok(root) => self.serve_below(&root, first),
                Err(fault) => reply(first, Err(fault)),
            }
        }
    }

    fn serve_below(&mut self, root: &Opened, first: Request) {
        let mut parent = None;
        let others = std::iter::from_fn(|| self.next()).take(IN_A_ROW - 1);
        for request in std::iter::once(first).chain(others) {
            let opened = read::open(root, &mut parent, &request.key);
            reply(request, opened);
        }
    }

    /// The next request. If there is none it ends, before anybody can count on it.
    fn next(&mut self) -> Option<Request> {
        if self.ended {
            return None;
        }
        let mut desk = self.shared.desk();
        let next = desk.waiting.pop_front();
        if next.is_none() {
            self.ended = true;
            desk.serving -= 1;
        }
        next
    }
}

/// Also if it panicked.
impl Drop for Serving {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.desk().serving -= 1;
        }
    }
}

fn reply(request: Request, opened: Result<File, Fault>) {
    // nobody waits for it any more
    let _ = request.answer.send(opened);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Source;
    use futures::future::join_all;
    use rustix::fs::{CWD, FileType, mknodat};
    use std::path::Path;

    fn path(text: &str) -> Key {
        Key::raw(text)
    }

    fn opener(dir: &Path) -> Opener {
        Opener::new(Arc::new(Root::new(dir)))
    }

    #[tokio::test]
    async fn each_gets_the_file_it_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let names: Vec<_> = (0..500).map(|n| format!("{}/f{n}", n % 7)).collect();
        for name in &names {
            std::fs::create_dir_all(dir.path().join(name).parent().expect("a parent")).expect("mkdir");
            std::fs::write(dir.path().join(name), name).expect("write");
        }
        let opener = opener(dir.path());
        let opener = &opener;
        let all = names.iter().map(|name| async move {
            let file = opener.open(&path(name)).await.expect("open");
            assert_eq!(file.read_at(0, 100).await.expect("read"), name.as_bytes());
            assert_eq!(
                opener.open(&path(&format!("{name}x"))).await.expect_err("none").class,
                Class::Missing
            );
        });
        join_all(all).await;
        let ended = async {
            while opener.0.desk().serving > 0 {
                tokio::time::sleep(PATIENCE).await;
            }
        };
        timeout(Duration::from_secs(20), ended).await.expect("the threads end");
    }

    #[tokio::test]
    async fn one_that_hangs_holds_up_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("f"), "here").expect("write");
        let opener = opener(dir.path());
        // a thread that has taken a request and does not come back with an answer
        opener.0.desk().serving = 1;
        let file = opener.open(&path("f")).await.expect("another thread opens it");
        assert_eq!(file.read_at(0, 4).await.expect("read"), "here");
        mknodat(CWD, dir.path().join("p"), FileType::Fifo, 0o600.into(), 0).expect("mkfifo");
        assert_eq!(opener.open(&path("p")).await.expect_err("no file").class, Class::Changed);
    }

    #[tokio::test]
    async fn a_root_that_is_gone_is_told_to_each() {
        let dir = tempfile::tempdir().expect("a directory");
        let opener = opener(&dir.path().join("gone"));
        let told =
            join_all(["a", "b", "c"].map(|name| async { opener.open(&path(name)).await.map(|_| ()) })).await;
        assert!(
            told.iter().all(|told| told.as_ref().is_err_and(|fault| fault.class == Class::Fatal)),
            "{told:?}"
        );
    }

    /// Such a runtime drops what it is given, there and then.
    #[test]
    fn a_runtime_that_has_ended_holds_up_nobody() {
        let opener = opener(Path::new("/"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let handle = runtime.handle().clone();
        drop(runtime);
        let (answer, _asked) = oneshot::channel();
        opener.0.desk().waiting.push_back(Request { key: path("f"), answer });
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _context = handle.enter();
            opener.begin();
            ended.send(opener.0.desk().serving).expect("somebody waits");
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(0));
    }
}
