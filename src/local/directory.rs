//! The mirrored directory on a real file system: a [`Tree`] over the other rooms. System calls that may
//! wait for a disk run on the runtime's blocking threads.

use super::{
    Accounts, Entry, Kinds, Notice, Prune, Pulse, Tree, canary::Perch, clone::Cloner, look, opener::Opener,
    read::File, root::Root, walk, watch,
};
use crate::model::{Class, Fault, Key, Local, LocalMeta, RootId, Scope, Stamp};
use futures::{Stream, stream};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

/// Batches of a walk that wait to be taken.
const AHEAD: usize = 4;

/// One mirrored directory. Needs `openat2`: Linux 5.6 or later.
#[derive(Clone)]
pub struct Directory {
    root: Arc<Root>,
    opener: Opener,
    aside: Arc<Path>,
    cloner: Arc<Cloner>,
    perch: Perch,
    /// Whoever knows what owners are called, if that is kept.
    accounts: Option<Arc<Accounts>>,
}

impl Directory {
    /// Of this path, with these kinds of entries beside regular files. Nothing is opened yet.
    ///
    /// # Errors
    /// `Fatal` if the path is relative and there is no current directory, or it is empty.
    pub fn new(path: &Path, kinds: Kinds) -> Result<Self, Fault> {
        let path = std::path::absolute(path)
            .map_err(|e| Fault::new(Class::Fatal, "resolve the root", e).remedy("give an absolute path"))?;
        let root = Arc::new(Root::new(&path).with(kinds));
        let aside: Arc<Path> = std::env::temp_dir().into();
        let cloner = Arc::new(Cloner::new(Arc::clone(&aside)));
        let (opener, perch) = (Opener::new(Arc::clone(&root)), Perch::default());
        let named = kinds.owner_names && kinds.keep.owner;
        let accounts = named.then(|| Arc::new(Accounts::of_machine()));
        Ok(Self { opener, root, aside, cloner, perch, accounts })
    }

    /// The directory where files without a name are made: for names of a walk that memory is not to hold, and for clones. By
    /// default the system's for temporary files, which may lie in memory itself.
    #[must_use]
    pub fn aside(self, directory: &Path) -> Self {
        let aside: Arc<Path> = directory.into();
        Self { cloner: Arc::new(Cloner::new(Arc::clone(&aside))), aside, ..self }
    }

    /// Proves while it watches that events come, by a file of ours that is opened each `interval` and answers within
    /// `patience`. It is made when it is first asked, and never a change of the mirror, wherever it lies.
    #[must_use]
    pub fn canary(self, file: &Path, interval: Duration, patience: Duration) -> Self {
        Self { perch: Perch { file: Some(file.to_owned()), interval, patience, ..self.perch }, ..self }
    }

    /// Tells when its watcher last showed that it lives.
    pub fn pulse(&self) -> Pulse {
        self.perch.pulse.clone()
    }
}

/// Runs on a blocking thread, in the caller's span: what is logged there names the mirror.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = tracing::Span::current();
    spawn_blocking(move || span.in_scope(work))
}

/// Runs what may wait for a disk.
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match aside(work).await {
        Ok(result) => result,
        Err(ended) => Err(Fault::new(Class::Transient, what, ended)),
    }
}

impl Tree for Directory {
    type File = File;

    async fn root(&self) -> Result<(RootId, Duration), Fault> {
        let root = Arc::clone(&self.root);
        blocking("identify the root", move || {
            let found = root.identify()?;
            Ok((found.id, found.filesystem.step))
        })
        .await
    }

    fn bind(&self, root: &RootId) {
        self.root.bind(root);
    }

    fn ticked(&self, time: Stamp) -> bool {
        self.root.ticked(time)
    }

    fn walk(
        &self,
        scope: &Scope,
        prune: Prune,
    ) -> impl Stream<Item = Result<Vec<Entry>, Fault>> + Send + use<> {
        stream::unfold(Walk::New(self.clone(), scope.clone(), prune), Walk::next)
    }

    async fn look(&self, keys: Vec<Key>) -> Result<Vec<Local>, Fault> {
        let root = Arc::clone(&self.root);
        blocking("look at files", move || Ok(look::look(&root.open()?, &keys))).await
    }

    async fn open(&self, key: &Key) -> Result<File, Fault> {
        self.opener.open(key).await
    }

    async fn snapshot(&self, file: &File) -> Option<(File, LocalMeta)> {
        let (cloner, file) = (Arc::clone(&self.cloner), file.handle());
        aside(move || cloner.freeze(&file)).await.ok().flatten()
    }

    fn names(&self, owner: (u32, u32)) -> Option<Arc<str>> {
        self.accounts.as_ref()?.names(owner)
    }

    fn watch(&self, prune: Prune) -> impl Stream<Item = Notice> + Send + use<> {
        watch::watch(Arc::clone(&self.root), prune, self.perch.clone())
    }
}

/// A walk, as a stream: a blocking task reads ahead by [`AHEAD`] batches, and stops when the stream is dropped.
enum Walk {
    New(Directory, Scope, Prune),
    Going(mpsc::Receiver<Vec<Entry>>, JoinHandle<Result<(), Fault>>),
    Ended,
}

impl Walk {
    async fn next(self) -> Option<(Result<Vec<Entry>, Fault>, Self)> {
        let (mut batches, task) = match self {
            Self::New(Directory { root, aside: runs, .. }, scope, prune) => {
                let (send, batches) = mpsc::channel(AHEAD);
                let task = aside(move || {
                    let mut give = |batch| send.blocking_send(batch).is_ok();
                    walk::walk(&root.open()?, &scope, &prune, &runs, &mut give)
                });
                (batches, task)
            }
            Self::Going(batches, task) => (batches, task),
            Self::Ended => return None,
        };
        if let Some(batch) = batches.recv().await {
            return Some((Ok(batch), Self::Going(batches, task)));
        }
        // Only a walk that came to its end proves that what it did not show is not there.
        match task.await {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some((Err(fault), Self::Ended)),
            Err(ended) => Some((Err(Fault::new(Class::Transient, "walk", ended)), Self::Ended)),
        }
    }
}
