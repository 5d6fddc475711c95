//! The way to a server: it counts what comes back along it, and may be closed, or spoil something.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

#[derive(Debug)]
struct State {
    came: AtomicU64,
    /// So much comes, and then nothing.
    most: AtomicU64,
    /// Of the byte that comes as this one a bit is flipped.
    spoilt: AtomicU64,
}

/// A running relay on loopback; ended when dropped.
#[derive(Debug)]
pub struct Road {
    port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Road {
    /// An open one.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let never = || AtomicU64::new(u64::MAX);
        let state = Arc::new(State { came: AtomicU64::new(0), most: never(), spoilt: never() });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (mut asked, mut asks) = client.into_split();
                    let (mut answers, mut answered) = server.into_split();
                    // whoever hangs up ends both ways
                    tokio::select! {
                        _ = copy(&mut asked, &mut answered) => {}
                        _ = state.bring(&mut answers, &mut asks) => {}
                    }
                });
            }
        });
        Self { port, state, task }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Bytes that came since it was opened.
    pub fn came(&self) -> u64 {
        self.state.came.load(SeqCst)
    }

    /// From now on so much comes back, and then nothing more.
    pub fn open_for(&self, bytes: u64) {
        self.state.came.store(0, SeqCst);
        self.state.most.store(bytes, SeqCst);
    }

    /// From now on a bit of this byte is flipped, counted from here.
    pub fn spoil(&self, byte: u64) {
        self.state.came.store(0, SeqCst);
        self.state.spoilt.store(byte, SeqCst);
    }
}

impl State {
    async fn bring(
        &self,
        answers: &mut (impl AsyncReadExt + Unpin),
        asks: &mut (impl AsyncWriteExt + Unpin),
    ) -> std::io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let len = answers.read(&mut bytes).await?;
            if len == 0 {
                return Ok(());
            }
            let from = self.came.fetch_add(len as u64, SeqCst);
            if from + len as u64 > self.most.load(SeqCst) {
                self.came.fetch_sub(len as u64, SeqCst);
                return std::future::pending().await;
            }
            let spoilt = self.spoilt.load(SeqCst).checked_sub(from).filter(|at| *at < len as u64);
            if let Some(at) = spoilt {
                bytes[usize::try_from(at).unwrap()] ^= 1;
            }
            asks.write_all(&bytes[..len]).await?;
        }
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.task.abort();
    }
}
