//! The HTTP server: a few pages, for a few clients, that only read.

use super::{
    facts::Gatherer,
    health::{self, Verdict},
    host::Names,
    text,
};
use crate::service::posts::Posts;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// Clients that are served at the same time; more of them wait.
const CLIENTS: usize = 16;
/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one connection lives.
const LIFE: Duration = Duration::from_secs(300);
/// The rest after the system refused us a connection.
const REST: Duration = Duration::from_millis(200);

const PLAIN: &str = "text/plain; charset=utf-8";
const PATHS: &str = "/metrics, /healthz, /readyz\n";

/// A listening server; it ends with the value.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// What is asked for an answer.
struct Desk {
    posts: Posts,
    names: Names,
    gatherer: Gatherer,
}

impl Server {
    /// Listens at `address`, an address or a name with a port, and tells of these mirrors.
    ///
    /// # Errors
    /// The name leads nowhere; the address is taken, or not ours.
    pub async fn start(address: &str, state_dir: &Path, posts: Posts) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        let gatherer = Gatherer::new(state_dir.to_owned());
        let desk = Arc::new(Desk { posts, names: Names::new(address), gatherer });
        let task = AbortOnDropHandle::new(tokio::spawn(accept(listener, desk)));
        Ok(Self { address: bound, _task: task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    // a client that went away, or stands still, is no loss
                    let _ = timeout(LIFE, serve(stream, &desk)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be let in");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, desk: &Desk) -> Result<(), hyper::Error> {
    let Ok(at) = stream.local_addr().map(|address| address.ip()) else { return Ok(()) };
    let service = service_fn(move |request: Request<Incoming>| async move {
        let (head, _) = request.into_parts();
        Ok::<_, Infallible>(desk.answer(&head, at).await)
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    connection.serve_connection(TokioIo::new(stream), service).await
}

impl Desk {
    async fn answer(&self, request: &Parts, at: IpAddr) -> Response<Full<Bytes>> {
        let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| self.names.has(host, at)) {
            let why = "this is not the host that was asked for; name it in `metrics` of the configuration\n";
            return page(StatusCode::MISDIRECTED_REQUEST, PLAIN, why);
        }
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "this only tells\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let posts = self.posts.all();
        match request.uri.path() {
            "/metrics" => page(StatusCode::OK, text::TYPE, self.gatherer.scrape(&posts).await),
            "/healthz" => told(health::alive(&posts)),
            "/readyz" => told(health::ready(&posts)),
            "/" => page(StatusCode::OK, PLAIN, PATHS),
            _ => page(StatusCode::NOT_FOUND, PLAIN, PATHS),
        }
    }
}

fn told(verdict: Verdict) -> Response<Full<Bytes>> {
    match verdict {
        Ok(()) => page(StatusCode::OK, PLAIN, "ok\n"),
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why),
    }
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(text.into()));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    page
}
