//! The HTTP server: a few pages, for a few clients, that only read.

use super::{
    facts::Gatherer,
    health::{self, Verdict},
    host::Names,
    text,
};
use crate::service::{
    page::{EVENTS, Events, POLICY, Page},
    posts::Posts,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};

/// Clients that are served at the same time, those who follow the page included, who are half as many at the most; more of
/// them wait.
const CLIENTS: usize = 32;
/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one connection lives that follows the page,
const LIFE: Duration = Duration::from_secs(300);
/// and any other, answer included: whoever takes none is not to keep others waiting.
const SHORT: Duration = Duration::from_secs(20);
/// A stream ends so long before its connection does: whoever follows it comes again.
const LAST: Duration = Duration::from_secs(10);
/// The rest after the system refused us a connection.
const REST: Duration = Duration::from_millis(200);

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PATHS: &str = "/, /metrics, /healthz, /readyz\n";
/// What browsers say of who asks (Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may have it within a page of theirs.
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A listening server; it ends with the value, and so do those whom it serves.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
    _stop: DropGuard,
}

/// What is asked for an answer.
struct Desk {
    posts: Posts,
    names: Names,
    gatherer: Gatherer,
    page: Arc<Page>,
    events: Events,
}

/// How a request came.
#[derive(Clone, Copy)]
struct Road<'a> {
    /// To which of our addresses.
    at: IpAddr,
    /// Its connection lives until then,
    until: Instant,
    /// if it is told to follow the page.
    follows: &'a AtomicBool,
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
        let page = Arc::new(Page::new(posts.clone()));
        let (names, events) = (Names::new(address), Events::new(page.clone()));
        let desk = Arc::new(Desk { posts, names, gatherer, page, events });
        let stop = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(accept(listener, desk, stop.clone())));
        Ok(Self { address: bound, _task: task, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (desk, stop) = (desk.clone(), stop.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    // a client that went away, or stands still, is no loss
                    let begun = Instant::now();
                    let (until, follows) = (begun + LIFE, AtomicBool::new(false));
                    let too_long = async {
                        sleep_until(begun + SHORT).await;
                        if follows.load(Relaxed) {
                            sleep_until(until).await;
                        }
                    };
                    tokio::select! {
                        _ = serve(stream, &desk, until, &follows) => {}
                        () = too_long => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be let in");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    desk: &Desk,
    until: Instant,
    follows: &AtomicBool,
) -> Result<(), hyper::Error> {
    let Ok(at) = stream.local_addr().map(|address| address.ip()) else { return Ok(()) };
    let service = service_fn(move |request: Request<Incoming>| async move {
        let (head, _) = request.into_parts();
        Ok::<_, Infallible>(desk.answer(&head, Road { at, until, follows }).await)
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    connection.serve_connection(TokioIo::new(stream), service).await
}

impl Desk {
    async fn answer(&self, request: &Parts, road: Road<'_>) -> Response<Body> {
        let mut hosts =
            request.headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let host = hosts.next().filter(|host| self.names.has(host, road.at) && hosts.next().is_none());
        let named = request.uri.authority().is_none_or(|named| self.names.has(named.as_str(), road.at));
        if host.is_none() || !named {
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
            "/metrics" => page(StatusCode::OK, text::TYPE, self.gatherer.scrape(&self.posts).await),
            "/healthz" => told(health::alive(&posts)),
            "/readyz" => told(health::ready(&posts)),
            "/" => page(StatusCode::OK, HTML, self.page.whole().await),
            "/events" => self.events(request, road),
            _ => page(StatusCode::NOT_FOUND, PLAIN, PATHS),
        }
    }

    /// What changes, to our own page: another site's cannot read it, but could take its room.
    fn events(&self, request: &Parts, road: Road<'_>) -> Response<Body> {
        let site = request.headers.get(SITE).map_or(&b""[..], HeaderValue::as_bytes);
        if matches!(site, b"cross-site" | b"same-site") {
            return page(StatusCode::FORBIDDEN, PLAIN, "this is for the page at / alone\n");
        }
        if request.method == Method::HEAD {
            return page(StatusCode::OK, EVENTS, "");
        }
        let Some(events) = self.events.until(road.until - LAST) else {
            let mut full =
                page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "too many follow it already; ask for / again\n");
            full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            return full;
        };
        road.follows.store(true, Relaxed);
        let mut followed = headed(StatusCode::OK, EVENTS, streamed(events));
        followed.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        followed
    }
}

fn told(verdict: Verdict) -> Response<Body> {
    match verdict {
        Ok(()) => page(StatusCode::OK, PLAIN, "ok\n"),
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why),
    }
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    headed(status, kind, Full::new(text.into()).boxed_unsync())
}

fn streamed(events: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    StreamBody::new(events.map(|event| Ok(Frame::data(event)))).boxed_unsync()
}

/// With what every answer says: it is nobody's to keep, to guess at, to frame or to run.
fn headed(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CORP, HeaderValue::from_static("same-origin"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY.as_str()));
    answer
}
