//! The answering side, within the daemon.

use super::{Daemon, LONGEST_REQUEST, Question, Reply, Request, SOCKET, reachable};
use crate::{
    engine::Input,
    model::{Class, Fault, Key},
    service::{assembly::Sides, explain, posts::Posts, proposal, supervise::Post},
};
use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

/// Clients that are served at the same time; more of them wait.
const CLIENTS: usize = 16;
/// How long a client may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The rest after the system refused us a connection.
const REST: Duration = Duration::from_millis(200);

/// A listening socket; removed with the value.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // somebody may have cleaned up before us
        let _ = fs::remove_file(&self.path);
    }
}

impl Server {
    /// Listens in the state directory, for its owner alone. A socket that nobody answers at is replaced.
    ///
    /// # Errors
    /// A daemon answers there; the directory cannot be written.
    pub async fn start(state_dir: &Path, posts: Posts) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
        let (directory, _held) = reachable(state_dir)?;
        let path = directory.join(SOCKET);
        if UnixStream::connect(&path).await.is_ok() {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another daemon answers there"));
        }
        // it gets its name when nobody else can connect any more
        let new = directory.join(format!("{SOCKET}.{}", std::process::id()));
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, &path)?;
        let task = tokio::spawn(serve(listener, posts));
        Ok(Self { path: state_dir.join(SOCKET), task })
    }
}

async fn serve(listener: UnixListener, posts: Posts) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let posts = posts.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    // a client that went away, or stands still, is no loss
                    let _ = converse(stream, &posts).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be let in");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, posts: &Posts) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut stream).take(LONGEST_REQUEST as u64);
        if timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let reply = match serde_json::from_slice(&line) {
            Ok(request) if whole => answer(request, posts).await,
            Ok(_) => refuse(false, "the request is too long, or was cut short"),
            Err(error) => refuse(false, format!("the request is not understood: {error}")),
        };
        let mut out = serde_json::to_vec(&reply)?;
        out.push(b'\n');
        timeout(PATIENCE, stream.get_mut().write_all(&out)).await??;
        if !whole {
            return Ok(());
        }
    }
}

fn refuse(changed: bool, error: impl ToString) -> Reply {
    Reply::Refused { changed, error: error.to_string() }
}

async fn answer(request: Request, of: &Posts) -> Reply {
    let posts = of.all();
    let find = |name: &str| posts.iter().find(|post| post.mirror.name == name);
    let done = match request {
        Request::Status => Ok(Reply::Status(Daemon::of(of).await)),
        Request::Question { mirror }
        | Request::Approve { mirror, .. }
        | Request::AcceptRoot { mirror, .. }
        | Request::Explain { mirror, .. }
            if find(&mirror).is_none() =>
        {
            let names: Vec<_> = posts.iter().map(|post| &*post.mirror.name).collect();
            let name = mirror.escape_debug();
            return refuse(
                true,
                format!("the daemon has no mirror {name}; its mirrors are {}", names.join(", ")),
            );
        }
        Request::Question { mirror } => ask(find(&mirror)).await,
        Request::Explain { mirror, key } => explain(find(&mirror), &key).await,
        Request::Approve { mirror, plan } => approve(find(&mirror), &plan).await,
        Request::AcceptRoot { mirror, shown } => accept(find(&mirror), &shown).await,
    };
    done.unwrap_or_else(|fault| refuse(fault.class == Class::Changed, fault))
}

fn open(post: Option<&Arc<Post>>) -> Result<(&Arc<Post>, Sides), Fault> {
    let not_open = || Fault::new(Class::Fatal, "ask the mirror", "it is not open");
    let post = post.ok_or_else(not_open)?;
    let sides = post.sides().ok_or_else(|| post.trouble().unwrap_or_else(not_open))?;
    Ok((post, sides))
}

async fn ask(post: Option<&Arc<Post>>) -> Result<Reply, Fault> {
    let (_, (tree, _, ledger)) = open(post)?;
    // a root that is gone is no other root
    let root = proposal::other_root(&tree, &ledger).await.unwrap_or_default();
    Ok(Reply::Question(Question { plans: proposal::plans(&ledger).await?, root }))
}

async fn explain(post: Option<&Arc<Post>>, key: &str) -> Result<Reply, Fault> {
    let (post, (tree, store, ledger)) = open(post)?;
    let known = explain::Known { tree: &tree, store: &store, ledger: Some(&ledger), mirror: &post.mirror };
    let key = Key::raw(key);
    let mut explanation = known.explain(&key).await?;
    // a link, or a directory, has a key of its own
    let keys = key.path().map(|path| [Key::of(&path), Key::of_link(&path), Key::directory(&path)]);
    let status = post.report.status();
    if let Some(fault) = keys.iter().flatten().find_map(|key| status.failing.get(key)) {
        explanation.notes.insert(0, format!("it fails: {fault}"));
    }
    Ok(Reply::Explanation(Box::new(explanation)))
}

async fn approve(post: Option<&Arc<Post>>, plan: &str) -> Result<Reply, Fault> {
    let (post, (_, _, ledger)) = open(post)?;
    proposal::approve(&ledger, plan).await?;
    tracing::info!(mirror = post.mirror.name, plan, "an operator approved this plan");
    // an engine that does not listen reads the ledger when it begins anew
    post.tell(Input::Approved);
    Ok(Reply::Done)
}

async fn accept(post: Option<&Arc<Post>>, shown: &proposal::Identity) -> Result<Reply, Fault> {
    let (post, (tree, _, ledger)) = open(post)?;
    proposal::accept_root(&tree, &ledger, shown).await?;
    tracing::warn!(mirror = post.mirror.name, root = %shown, "an operator accepted another root");
    post.tell(Input::Reopen);
    Ok(Reply::Done)
}
