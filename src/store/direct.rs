//! The short way of a small PUT. What the SDK does around a request (layers of configuration, plugins, endpoint rules,
//! retries) costs several times what the request itself does, and for small files that is most of all there is.
//! So once a PUT of the SDK's has shown where it goes, over which connections, who signs it for where, and how far the
//! store's clock is from ours, small ones are signed and sent the same way without it.
//!
//! That is only ever a first attempt: whatever is not plainly confirmed goes the SDK's way, with all its care, as one
//! of its own retries would. So does an object of which more was chosen than bytes and metadata. But a store that asks for
//! less is not asked again at once: that is the answer, and says nothing against the short way.

use super::{
    S3,
    error::{classify, what},
    memory::SMALL,
    metadata,
    payload::Payload,
    put::Tagged,
    refusal::code,
    requests::Requests,
    s3::Condition,
};
use crate::model::{ETag, Fault, Key, ObjectOptions, Spec};
use aws_credential_types::Credentials;
use aws_runtime::auth::sigv4::SCHEME_ID;
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef},
    },
    error::BoxError,
    primitives::{AggregatedBytes, ByteStream},
};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector},
    identity::{Identity, ResolveCachedIdentity},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::GetIdentityResolver,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use jiff::{civil::DateTime, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};
use tokio::time::{Instant, timeout};

const PUT: &str = "PutObject";

/// What a key looks like in a URL (S3 API reference, *Signature Calculations*: UriEncode).
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// After a first failure it is not tried for as long, then for twice as long, up to
const REST: Duration = Duration::from_secs(1);
/// this.
const LONGEST: Duration = Duration::from_secs(60);

/// Headers of a request.
type Headers = Vec<(Cow<'static, str>, String)>;

/// The way, once it is known. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Direct(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    requests: Requests,
    way: OnceLock<Way>,
    /// Seconds that the SDK added to our clock for its last PUT that went well.
    ahead: AtomicI64,
    rest: Mutex<Rest>,
}

/// What the SDK's PUT showed.
struct Way {
    components: RuntimeComponents,
    connector: SharedHttpConnector,
    bag: ConfigBag,
    /// The URL up to the key.
    base: String,
    region: String,
    service: String,
}

/// Without what it knows of credentials.
impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, region, service, .. } = self;
        write!(f, "Way({base} {region} {service})")
    }
}

/// Failures in a row, and until when it is not tried again.
#[derive(Debug, Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
}

impl Rest {
    /// It failed. What fails while it rests was sent before, and is the same failure.
    fn begin(&mut self, now: Instant) {
        if self.until.is_none_or(|until| until <= now) {
            self.until = Some(now + (REST * (1 << self.failures.min(6))).min(LONGEST));
            self.failures += 1;
        }
    }
}

/// How it went.
enum Answer {
    /// The object is there, and this is its tag.
    Done(Tagged),
    /// Its condition does not hold, maybe because this very request was sent before.
    Refused,
    /// The store says no: it asks for less, or it does not allow this. To ask again at once would change nothing.
    No(Fault),
    /// Anything else.
    Failed,
}

impl Direct {
    /// Not known yet. What it sends is counted.
    pub(super) fn new(requests: Requests) -> Self {
        let (way, ahead, rest) = (OnceLock::new(), AtomicI64::new(0), Mutex::default());
        Self(Arc::new(Shared { requests, way, ahead, rest }))
    }

    /// What is to look at a PUT of `full` that the SDK sends.
    pub(super) fn learn(&self, full: &str, connect_timeout: Duration) -> Learn {
        let (shared, full) = (Arc::downgrade(&self.0), full.to_owned());
        Learn { shared, full, connect_timeout, ahead: AtomicI64::new(0) }
    }

    /// Sends the object; `None` leaves it to the SDK, which finds out what is the matter.
    pub(super) async fn put(
        &self,
        store: &S3,
        full: &str,
        payload: &Payload,
        spec: &Spec,
        condition: &Condition,
    ) -> Option<Result<Tagged, Fault>> {
        let (way, bytes) = (self.0.way.get()?, payload.small()?);
        let plain = || store.chosen(full).is_none_or(|chosen| *chosen == ObjectOptions::default());
        let rests = || self.rest().until.is_some_and(|until| Instant::now() < until);
        let counted = store.options().max_attempts < 2;
        if store.options().requester_pays || counted || !plain() || rests() {
            return None;
        }
        let (headers, ahead) = (headers(full, payload, spec, condition), self.0.ahead.load(Relaxed));
        // signed after: a signature holds for a quarter of an hour
        store.options().throttle.for_request().wait(bytes.len() as u64).await;
        let request = way.request(full, (payload, bytes), headers, ahead).await?;
        self.0.requests.count(PUT);
        let mut status = None;
        let answer = async {
            match way.connector.call(request).await {
                Ok(answer) => {
                    status = Some(answer.status().as_u16());
                    read(full, answer).await
                }
                Err(_) => Answer::Failed,
            }
        };
        let answer = timeout(payload.patience(store.options()), answer).await.unwrap_or(Answer::Failed);
        self.0.requests.answered(PUT, status);
        let mut rest = self.rest();
        match answer {
            Answer::Done(tagged) => {
                *rest = Rest::default();
                Some(Ok(tagged))
            }
            Answer::No(fault) => Some(Err(fault)),
            Answer::Refused => {
                self.0.requests.again();
                None
            }
            Answer::Failed => {
                self.0.requests.again();
                rest.begin(Instant::now());
                None
            }
        }
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that the SDK would say of the object.
fn headers(full: &str, payload: &Payload, spec: &Spec, (if_none_match, if_match): &Condition) -> Headers {
    let mut headers: Headers = metadata::outgoing(spec, Some(payload.sha256), None)
        .into_iter()
        .map(|(name, value)| (format!("x-amz-meta-{name}").into(), value))
        .collect();
    headers.push(("content-length".into(), spec.size.to_string()));
    headers.push(("content-type".into(), metadata::content_type(full).to_owned()));
    let (name, proof) = payload.proof.header();
    headers.push((name.into(), proof));
    headers.extend(if_none_match.clone().map(|tags| ("if-none-match".into(), tags)));
    headers.extend(if_match.clone().map(|tag| ("if-match".into(), tag)));
    headers
}

async fn read(full: &str, answer: HttpResponse) -> Answer {
    let header = |name: &str| answer.headers().get(name);
    match answer.status().as_u16() {
        200 => match header("etag").map(ETag::new).filter(|tag| !tag.is_empty()) {
            // no S3 says more, and what is left of a body would keep the connection busy
            Some(etag) if header("content-length") == Some("0") => {
                let encrypted = |name: &str| header(&format!("x-amz-server-side-encryption{name}"));
                Answer::Done(Tagged::new(etag, encrypted(""), encrypted("-customer-algorithm")))
            }
            _ => Answer::Failed,
        },
        412 => Answer::Refused,
        status @ (403 | 429 | 503) => refused(full, status, answer).await,
        _ => Answer::Failed,
    }
}

/// An answer that says no. Its body is read so that the connection stays.
async fn refused(full: &str, status: u16, answer: HttpResponse) -> Answer {
    let header = |name| answer.headers().get(name);
    let short = header("content-length").and_then(|n| n.parse().ok()).is_some_and(|n: u64| n <= SMALL);
    let id = header("x-amz-request-id").map(|id| format!(", request {id}")).unwrap_or_default();
    let body = if short { ByteStream::new(answer.into_body()).collect().await.ok() } else { None };
    let body = body.map(AggregatedBytes::into_bytes).unwrap_or_default();
    let code = code(&body);
    // other codes of 403 speak of the clock, or of credentials: the SDK may mend that
    if status == 403 && code != Some("AccessDenied") {
        return Answer::Failed;
    }
    let (class, remedy) = classify(PUT, status, code, &String::from_utf8_lossy(&body));
    let cause = format!("{} (HTTP {status}{id})", code.unwrap_or("it asks for less"));
    Answer::No(Fault { remedy, ..Fault::new(class, what(PUT, full), Key::raw(cause)) })
}

impl Way {
    async fn request(
        &self,
        full: &str,
        (payload, bytes): (&Payload, &Bytes),
        headers: Headers,
        ahead: i64,
    ) -> Option<HttpRequest> {
        let resolver = self.components.identity_resolver(SCHEME_ID)?;
        let cache = self.components.identity_cache();
        // the SDK's own cache: refreshed when the SDK would
        let identity = cache.resolve_cached_identity(resolver, &self.components, &self.bag).await.ok()?;
        let mut request = HttpRequest::new(SdkBody::from(bytes.clone()));
        request.set_method("PUT").ok()?;
        request.set_uri(format!("{}{}", self.base, utf8_percent_encode(full, KEY))).ok()?;
        for (name, value) in headers {
            request.headers_mut().insert(name, value);
        }
        self.sign(&mut request, &identity, payload, ahead)?;
        Some(request)
    }

    fn sign(
        &self,
        request: &mut HttpRequest,
        identity: &Identity,
        payload: &Payload,
        ahead: i64,
    ) -> Option<()> {
        identity.data::<Credentials>()?;
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let (now, apart) = (self.components.time_source()?.now(), Duration::from_secs(ahead.unsigned_abs()));
        let time = if ahead < 0 { now.checked_sub(apart) } else { now.checked_add(apart) }?;
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name(&self.service)
            .time(time)
            .settings(settings)
            .build()
            .ok()?;
        let body = SignableBody::Precomputed(hex::encode(payload.sha256));
        let signable = SignableRequest::new("PUT", request.uri(), request.headers().iter(), body).ok()?;
        let (signed, _) = sign(signable, &params.into()).ok()?.into_parts();
        for (name, value) in signed.headers() {
            request.headers_mut().insert(name.to_owned(), value.to_owned());
        }
        Some(())
    }
}

/// Learns the way from a request as it goes out, and the time from one that went well. The way holds what sends it, and
/// so this, too: it must not hold the way.
#[derive(Debug)]
pub(super) struct Learn {
    shared: Weak<Shared>,
    full: String,
    connect_timeout: Duration,
    /// Seconds that were added to our clock for the attempt that goes out.
    ahead: AtomicI64,
}

impl Learn {
    /// The way that `request` goes; `None` if it is signed otherwise than by SigV4 with the credentials as they are
    /// (S3 Express: by a session; access points of several regions: by SigV4a), or not at all.
    fn way(&self, request: &HttpRequest, components: &RuntimeComponents) -> Option<Way> {
        let (url, _) = request.uri().split_once('?').unwrap_or((request.uri(), ""));
        let base = url.strip_suffix(&utf8_percent_encode(&self.full, KEY).to_string())?.to_owned();
        let headers = request.headers();
        if headers.get("x-amz-s3session-token").is_some() {
            return None;
        }
        let scope = headers.get("authorization")?.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
        // access key/date/region/service/aws4_request, and the key may hold what it likes
        let mut scope = scope.split_once(',')?.0.rsplit('/').skip(1);
        let (service, region) = (scope.next()?.to_owned(), scope.next()?.to_owned());
        let settings = HttpConnectorSettings::builder().connect_timeout(self.connect_timeout).build();
        let connector = components.http_client()?.http_connector(&settings, components);
        Some(Way { components: components.clone(), connector, bag: ConfigBag::base(), base, region, service })
    }
}

/// Seconds from our clock to the time that the request is signed for.
fn ahead(request: &HttpRequest, components: &RuntimeComponents) -> Option<i64> {
    let signed = DateTime::strptime("%Y%m%dT%H%M%SZ", request.headers().get("x-amz-date")?).ok()?;
    let signed = signed.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    let now = components.time_source()?.now().duration_since(UNIX_EPOCH).ok()?;
    Some(signed - i64::try_from(now.as_secs()).ok()?)
}

impl Intercept for Learn {
    fn name(&self) -> &'static str {
        "Learn"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        self.ahead.store(ahead(context.request(), components).unwrap_or_default(), Relaxed);
        if shared.way.get().is_none()
            && let Some(way) = self.way(context.request(), components)
        {
            // another PUT may have shown it
            let _ = shared.way.set(way);
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(shared) = self.shared.upgrade().filter(|_| context.output_or_error().is_ok()) {
            shared.ahead.store(self.ahead.load(Relaxed), Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_longer_each_time_and_once_for_all_that_fail_together() {
        let (mut rest, mut now, mut lengths) = (Rest::default(), Instant::now(), vec![]);
        for _ in 0..8 {
            (0..16).for_each(|_| rest.begin(now));
            let until = rest.until.expect("it rests");
            lengths.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
