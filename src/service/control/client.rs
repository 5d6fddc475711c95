//! The asking side.

use super::{LONGEST_REPLY, Reply, Request, SOCKET, reachable};
use crate::model::{Class, Fault};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects to the daemon of this state directory; `None` if there is none.
    ///
    /// # Errors
    /// There is one, but it does not let us in.
    pub async fn connect(state_dir: &Path) -> Result<Option<Self>, Fault> {
        let path = state_dir.join(SOCKET);
        let connected = async {
            let (directory, _held) = reachable(state_dir)?;
            UnixStream::connect(directory.join(SOCKET)).await
        };
        match connected.await {
            Ok(stream) => Ok(Some(Self { stream: BufReader::new(stream), path })),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => {
                Err(Fault::new(Class::Fatal, format!("ask the daemon at {}", path.display()), error)
                    .remedy("run this as root, or as the user of the daemon"))
            }
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The daemon does not answer in time, or in words that are not understood.
    pub async fn ask(&mut self, request: &Request) -> Result<Reply, Fault> {
        let answered = timeout(PATIENCE, self.exchange(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        answered.map_err(|error| {
            Fault::new(Class::Fatal, format!("ask the daemon at {}", self.path.display()), error)
                .remedy("is it of the same version, and alive?")
        })
    }

    async fn exchange(&mut self, request: &Request) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await?;
        let mut answer = Vec::new();
        (&mut self.stream).take(LONGEST_REPLY as u64).read_until(b'\n', &mut answer).await?;
        if !answer.ends_with(b"\n") {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}
