//! The server's outside: connections, who may ask, and the faults that need the connection itself.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::StreamingBlob;
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse, S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::checksum::Claim;
use super::fault::{Faults, Flight, Kind};
use super::tally::Tally;

/// How far the time of a signature may be from the server's.
const MOST_SKEW: SignedDuration = SignedDuration::from_mins(15);

/// How long to wait when no further connection can be accepted, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Everything a connection needs.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) service: S3Service,
    pub(super) faults: Faults,
    /// No new request is taken; those under way end.
    pub(super) closing: CancellationToken,
    /// Everything ends at once.
    pub(super) killed: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Wire {
    /// Accepts until closing.
    pub(super) async fn accept(self, listener: TcpListener) {
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(self.tasks.spawn(self.clone().serve(stream))),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        // Small answers must not wait for more. A socket that refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.answer(request));
        let connection =
            http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // A connection that breaks is its client's concern.
        tokio::select! {
            biased;
            () = self.killed.cancelled() => {}
            _ = connection.as_mut() => {}
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    () = self.killed.cancelled() => {}
                    _ = connection => {}
                }
            }
        }
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let mut request = request.map(Body::from);
        if !self.faults.armed() {
            return self.service.call(request).await;
        }
        let flight = Flight::default();
        request.extensions_mut().insert(flight.clone());
        // A client that hangs up must not take the effect with it: faults are about just that.
        let (service, killed) = (self.service.clone(), self.killed.clone());
        let call = self.tasks.spawn(async move {
            tokio::select! {
                () = killed.cancelled() => Err(HttpError::new("the server was killed".into())),
                response = service.call(request) => response,
            }
        });
        let response = call.await.map_err(|error| HttpError::new(error.into()))??;
        reshape(response, flight.kinds()).await
    }
}

/// Turns an answer into the one a fault calls for. An error makes hyper close the connection.
async fn reshape(mut response: HttpResponse, kinds: &[Kind]) -> Result<HttpResponse, HttpError> {
    for kind in kinds {
        match kind {
            Kind::Drop | Kind::LostReply => {
                return Err(HttpError::new("the reply is lost by request".into()));
            }
            Kind::Unavailable => {
                let mut response = HttpResponse::new(Body::empty());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Ok(response);
            }
            Kind::ErrorIn200 => {
                return Ok(page(
                    "application/xml",
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code><Message>We \
                     encountered an internal error. Please try again.</Message></Error>",
                ));
            }
            Kind::Html200 => {
                return Ok(page(
                    "text/html",
                    "<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>",
                ));
            }
            Kind::CutShort => return cut_short(response).await,
            Kind::Clock(ahead) => {
                let date =
                    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&clock(*ahead));
                if let Some(date) = date.ok().and_then(|date| HeaderValue::from_str(&date).ok()) {
                    response.headers_mut().insert(header::DATE, date);
                }
            }
            _ => {}
        }
    }
    Ok(response)
}

fn page(kind: &'static str, text: &'static str) -> HttpResponse {
    let mut response = HttpResponse::new(Body::from(Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Half of the body: with a Content-Length from the object the connection breaks, else it seems whole.
async fn cut_short(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = response.into_parts();
    let whole = BodyExt::collect(body).await.map_err(HttpError::new)?.to_bytes();
    let half = whole.slice(..whole.len() / 2);
    if !parts.headers.contains_key(header::CONTENT_LENGTH) {
        return Ok(HttpResponse::from_parts(parts, Body::from(half)));
    }
    let broken = stream::iter([Ok(half), Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
    // The half goes out before the break is noticed.
    let paced = broken.then(|item| async {
        tokio::task::yield_now().await;
        item
    });
    Ok(HttpResponse::from_parts(parts, Body::from(StreamingBlob::wrap(paced))))
}

/// Lets signed requests in, counts them, and lets the faults meet them.
pub(super) struct Gate {
    pub(super) faults: Faults,
    pub(super) tally: std::sync::Arc<Tally>,
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        self.tally.count(context.s3_op().name());
        let Some(flight) = context.extensions_mut().get::<Flight>().cloned() else {
            return check_time(context, 0);
        };
        flight.set(self.faults.meet(context.s3_op().name(), context.s3_path().get_object_key()));
        let ahead = flight.kinds().iter().find_map(|kind| match kind {
            Kind::Clock(ahead) => Some(*ahead),
            _ => None,
        });
        check_time(context, ahead.unwrap_or(0))?;
        for kind in flight.kinds() {
            match kind {
                Kind::Latency(time) => tokio::time::sleep(*time).await,
                Kind::SlowDown => return Err(s3_error!(SlowDown, "Please reduce your request rate.")),
                Kind::InternalError => return Err(s3_error!(InternalError)),
                Kind::AccessDenied => return Err(s3_error!(AccessDenied, "Access Denied")),
                Kind::NotImplemented => return Err(s3_error!(NotImplemented)),
                Kind::Moved(region) => return Err(moved(region)),
                Kind::RejectChecksums if Claim::present(context.headers()) => {
                    return Err(s3_error!(
                        NotImplemented,
                        "A header you provided implies functionality not implemented"
                    ));
                }
                // The wire makes the answer; the operation must not happen.
                Kind::Drop | Kind::ErrorIn200 | Kind::Html200 => return Err(s3_error!(InternalError)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The server's time, if its clock is this many seconds ahead.
fn clock(ahead: i64) -> Timestamp {
    Timestamp::now().saturating_add(SignedDuration::from_secs(ahead)).unwrap_or(Timestamp::MAX)
}

/// Holds the time of a signature in a header against the server's, as s3s does not know of a wrong clock. A
/// presigned URL is left to s3s.
fn check_time(context: &S3AccessContext<'_>, ahead: i64) -> S3Result<()> {
    let Some(date) = context.headers().get("x-amz-date") else { return Ok(()) };
    let date = date.to_str().ok().and_then(|date| DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok());
    let signed = date.and_then(|date| TimeZone::UTC.to_timestamp(date).ok());
    let signed = signed.ok_or_else(|| s3_error!(AccessDenied, "x-amz-date is no date"))?;
    if clock(ahead).duration_since(signed).abs() > MOST_SKEW {
        return Err(s3_error!(
            RequestTimeTooSkewed,
            "The difference between the request time and the current time is too large."
        ));
    }
    Ok(())
}

fn moved(region: &str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::PermanentRedirect, "The bucket is in another region.");
    if let Ok(region) = HeaderValue::from_str(region) {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-amz-bucket-region", region);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        error.set_headers(headers);
    }
    error.set_status_code(StatusCode::MOVED_PERMANENTLY);
    error
}
