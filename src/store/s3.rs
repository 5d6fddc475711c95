//! [`S3`] and its small operations; the larger ones have rooms of their own.

use super::{
    Answers, Depth, Options, Page, Staged, Start, Store,
    check::Check,
    clock::Clock,
    connect, copy, delete,
    direct::Direct,
    error::{no_s3, what},
    gate::Gate,
    head,
    lanes::Lane,
    page, part, probe,
    requests::{Outcomes, Requests},
    resume, splice, trash,
    upload::{self, Road},
    versions, whole,
};
use crate::model::{
    Begun, Capabilities, Class, Digest, ETag, Fault, Head, Key, KeyRange, MAX_KEY_BYTES, ObjectOptions, Only,
    Part, RemoteMeta, Source, Spec, TRASH, Trashed, Upload,
};
#[cfg(any(test, fuzzing))]
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::{Client, types::BucketVersioningStatus};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// One prefix of one bucket of a store that speaks S3. Clones share connections and what was learnt of
/// the store.
#[derive(Clone)]
pub struct S3(Arc<Inner>);

struct Inner {
    client: Client,
    options: Options,
    endpoint: String,
    requests: Requests,
    clock: Clock,
    direct: Direct,
    gate: Gate,
    /// What the store was seen to honour.
    known: RwLock<Option<Capabilities>>,
    /// DeleteObjects was refused, or answered in part.
    one_by_one: AtomicBool,
    /// Its listings are not of the plain form.
    odd: AtomicBool,
    /// It was seen to refuse `x-amz-checksum-…`.
    plain: AtomicBool,
    /// It was told that nothing shows what the store takes.
    blind: AtomicBool,
    /// HEAD asks for checksums, until it is refused for that.
    checksums: AtomicBool,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3({})", self.place())
    }
}

impl S3 {
    /// Makes a client; nothing is sent, but credentials and region may be looked for. What it shares with others it
    /// takes in turn with them.
    ///
    /// # Errors
    /// `Fatal`: no region, half a pair of keys, a `ca_bundle` that cannot be used.
    pub async fn connect(mut options: Options) -> Result<Self, Fault> {
        let lane = Lane::new();
        options.memory = options.memory.in_lane(lane);
        options.throttle = options.throttle.in_lane(lane);
        let (requests, clock) = (Requests::default(), Clock::default());
        let (client, endpoint) = connect::client(&options, &requests, &clock).await?;
        Ok(Self::of((client, endpoint), options, requests, clock))
    }

    /// One that `http` answers.
    #[cfg(any(test, fuzzing))]
    pub(super) fn over(http: SharedHttpClient, options: Options) -> Result<Self, Fault> {
        let (requests, clock) = (Requests::default(), Clock::default());
        let client = connect::over(http, &options, &requests, &clock)?;
        Ok(Self::of(client, options, requests, clock))
    }

    fn of((client, endpoint): (Client, String), options: Options, requests: Requests, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            client,
            options,
            endpoint,
            direct: Direct::new(requests.clone()),
            gate: Gate::new(),
            requests,
            clock,
            known: RwLock::default(),
            one_by_one: AtomicBool::new(false),
            odd: AtomicBool::new(false),
            plain: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            checksums: AtomicBool::new(true),
        }))
    }

    /// Requests sent so far by operation (`PutObject`), retries included.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.0.requests.so_far()
    }

    /// Attempts that ended so far, by operation and HTTP status; `None`: without an answer.
    pub fn outcomes(&self) -> Outcomes {
        self.0.requests.outcomes()
    }

    /// Requests that were sent once more so far.
    pub fn retries(&self) -> u64 {
        self.0.requests.retries()
    }

    /// What is sent once more is counted.
    pub(super) fn retried(&self) {
        self.0.requests.again();
    }

    /// When it answered last, whatever it said; small uploads not counted.
    pub fn answered(&self) -> Option<Instant> {
        self.0.clock.came()
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) fn bucket(&self) -> &str {
        &self.0.options.bucket
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0.options.prefix
    }

    /// What the store was seen to honour; nothing until a probe.
    pub(super) fn can(&self) -> Capabilities {
        self.known().unwrap_or_default()
    }

    /// The same; `None` until a probe.
    pub(super) fn known(&self) -> Option<Capabilities> {
        *self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to go with a body.
    pub(super) fn check(&self) -> Check {
        match self.known() {
            _ if self.0.plain.load(Relaxed) => Check::Md5,
            Some(can) => Check::of(can),
            None => Check::Sha256,
        }
    }

    /// No `x-amz-checksum-…` from now on, for this reason.
    pub(super) fn takes_no_checksums(&self, refused: &Fault) {
        if !self.0.plain.swap(true, Relaxed) {
            tracing::info!(%refused, "bodies go with Content-MD5 from now on");
        }
    }

    /// Nothing shows that the store took what was sent. Told once.
    pub(super) fn is_blind(&self) {
        if !self.0.blind.swap(true, Relaxed) {
            tracing::warn!(
                "the store verifies no checksum, and its tags are no digests: a bit that flips on its way there is \
                 not noticed"
            );
        }
    }

    /// The short way of small PUTs.
    pub(super) fn direct(&self) -> &Direct {
        &self.0.direct
    }

    /// True until a listing was not of the plain form.
    pub(super) fn lists_plainly(&self) -> bool {
        !self.0.odd.load(Relaxed)
    }

    /// Remembers that listings are not of the plain form.
    pub(super) fn lists_oddly(&self) {
        self.0.odd.store(true, Relaxed);
    }

    /// Whether they are from now on.
    #[cfg(any(test, fuzzing))]
    pub(super) fn lists(&self, plainly: bool) {
        self.0.odd.store(!plainly, Relaxed);
    }

    /// What the full keys of keys like this one begin with, and what those begin with instead.
    pub(super) fn home(&self, key: &Key) -> (&str, &'static str) {
        let trash = self.options().trash.as_deref().filter(|_| key.trash_name().is_some());
        trash.map_or((self.prefix(), ""), |trash| (trash, TRASH))
    }

    /// The full key, unchecked: for listings.
    pub(super) fn below(&self, key: &Key) -> String {
        let (prefix, instead) = self.home(key);
        format!("{prefix}{}", &key.as_str()[instead.len()..])
    }

    /// What the operator chose for the object of a file.
    pub(super) fn chosen(&self, full: &str) -> Option<Arc<ObjectOptions>> {
        self.options().objects.of(full.strip_prefix(self.prefix()).unwrap_or(full))
    }

    /// The full key of one object.
    pub(super) fn full(&self, operation: &str, key: &Key) -> Result<String, Fault> {
        let full = self.below(key);
        let refuse = |cause: String| Err(Fault::new(Class::Permanent, what(operation, &full), cause));
        if full.len() > MAX_KEY_BYTES {
            let cause = format!("the key has {} bytes, S3 takes {MAX_KEY_BYTES}", full.len());
            return refuse(cause).map_err(|f: Fault| f.remedy("shorten the path"));
        }
        if full.is_empty() || full.split('/').any(|part| matches!(part, "." | "..")) {
            return refuse("such a key cannot be named in a URL".to_owned());
        }
        Ok(full)
    }

    /// True if HEAD may ask for checksums.
    pub(super) fn asks_for_checksums(&self) -> bool {
        self.0.checksums.load(Relaxed)
    }

    /// HEAD asks for none from now on.
    pub(super) fn asks_for_no_checksums(&self) {
        self.0.checksums.store(false, Relaxed);
    }

    /// True if DELETE goes with `If-Match`.
    pub(super) fn deletes_on_condition(&self) -> bool {
        self.can().conditional_delete
    }

    /// True if DeleteObjects goes with tags, and is answered as it should be.
    pub(super) fn deletes_together(&self) -> bool {
        self.can().conditional_batch == Some(true) && !self.0.one_by_one.load(Relaxed)
    }

    /// No DeleteObjects from now on, for this reason.
    pub(super) fn deletes_one_by_one(&self, why: &str) {
        if !self.0.one_by_one.swap(true, Relaxed) {
            tracing::info!(why, "deletes go one by one from now on");
        }
    }

    /// Headers `If-None-Match` and `If-Match`, where the store honours them.
    pub(super) fn condition(&self, only: &Only) -> Condition {
        if !self.can().conditional_put {
            return (None, None);
        }
        condition(only)
    }
}

/// The headers `If-None-Match` and `If-Match`.
pub(super) type Condition = (Option<String>, Option<String>);

/// As headers.
pub(super) fn condition(only: &Only) -> Condition {
    match only {
        Only::Always => (None, None),
        Only::New => (Some("*".to_owned()), None),
        Only::Match(etag) => (None, Some(etag.quoted())),
    }
}

/// The tag in an answer that must have one.
pub(super) fn tag(operation: &str, full: &str, etag: Option<&str>) -> Result<ETag, Fault> {
    etag.map(ETag::new).filter(|tag| !tag.is_empty()).ok_or_else(|| no_s3(operation, full, "ETag"))
}

/// A size in an answer that must have one.
pub(super) fn size(operation: &str, full: &str, size: Option<i64>) -> Result<u64, Fault> {
    size.and_then(|size| size.try_into().ok()).ok_or_else(|| no_s3(operation, full, "Content-Length"))
}

impl Store for S3 {
    type Staged = Staged;

    fn place(&self) -> String {
        let Options { bucket, prefix, .. } = self.options();
        format!("{} {bucket}/{prefix}", self.0.endpoint.trim_end_matches('/'))
    }

    fn know(&self, capabilities: Capabilities) {
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = Some(capabilities);
    }

    fn part_size(&self, size: u64) -> Option<u64> {
        upload::part_size(self.options(), size)
    }

    fn terms(&self, key: &Key, spec: &Spec) -> [u8; 32] {
        part::terms(self, key, spec)
    }

    async fn list(&self, prefix: &Key, depth: Depth, start: Start) -> Result<Page, Fault> {
        page::list(self, prefix, depth, start).await
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, Fault> {
        head::head(self, key, None).await
    }

    async fn stage<F: Source>(
        &self,
        key: &Key,
        file: &Arc<F>,
        spec: &Spec,
    ) -> Result<(Staged, Digest), Fault> {
        upload::stage(self, key, file, spec).await
    }

    async fn create(&self, key: &Key, spec: &Spec) -> Result<Upload, Fault> {
        part::create(self, key, spec).await
    }

    async fn fill<F: Source>(
        &self,
        begun: Begun,
        file: &Arc<F>,
        spec: &Spec,
    ) -> Result<(Staged, Digest), Fault> {
        let (parts, digest) = part::fill(self, begun, file, spec).await?;
        Ok((Staged(Road::Parts(parts)), digest))
    }

    async fn commit(&self, staged: Staged, only: Only) -> Result<RemoteMeta, Fault> {
        upload::commit(self, staged, only).await
    }

    async fn copy(
        &self,
        from: (&Key, &ETag),
        to: &Key,
        spec: &Spec,
        only: Only,
    ) -> Result<RemoteMeta, Fault> {
        copy::copy(self, from, to, spec, only).await
    }

    fn copy_part_size(&self, spec: &Spec) -> Option<u64> {
        splice::part_size(self.options(), spec)
    }

    async fn create_copy(&self, from: (&Key, &ETag), to: &Key, spec: &Spec) -> Result<Upload, Fault> {
        splice::create(self, from, to, spec).await
    }

    async fn fill_copy(&self, upload: Upload, from: (&Key, &ETag), spec: &Spec) -> Result<Staged, Fault> {
        Ok(Staged(Road::Parts(splice::fill(self, upload, from, spec).await?)))
    }

    async fn keep(&self, from: (&Key, &ETag), to: &Trashed) -> Result<(), Fault> {
        trash::keep(self, from, to).await
    }

    fn clock(&self) -> Option<i64> {
        self.0.clock.last()
    }

    async fn keeps_versions(&self) -> Result<bool, Fault> {
        Ok(versions::status(self).await? == Some(BucketVersioningStatus::Enabled))
    }

    async fn delete(&self, key: &Key, etag: &ETag) -> Result<(), Fault> {
        delete::one(self, key, etag).await
    }

    fn batches(&self, key: &Key) -> bool {
        self.deletes_together() && delete::is_plain(&self.below(key))
    }

    async fn delete_together(&self, objects: &[(Key, ETag)]) -> Answers {
        delete::together(self, objects).await
    }

    async fn read(&self, key: &Key) -> Result<Option<(Bytes, RemoteMeta)>, Fault> {
        whole::read(self, key).await
    }

    async fn digest(&self, key: &Key, etag: &ETag, part_size: Option<u64>) -> Result<[u8; 32], Fault> {
        self.digest_of(key, etag, part_size).await
    }

    async fn write(&self, key: &Key, body: Bytes, only: Only) -> Result<RemoteMeta, Fault> {
        whole::write(self, key, body, only).await
    }

    async fn probe(&self, near: &Key) -> Result<Capabilities, Fault> {
        probe::probe(self, near).await
    }

    async fn uploads(&self, range: &KeyRange) -> Result<Vec<Upload>, Fault> {
        page::uploads(self, range).await
    }

    async fn parts(&self, upload: &Upload) -> Result<Option<Vec<Part>>, Fault> {
        resume::parts(self, upload).await
    }

    async fn abort(&self, upload: &Upload) -> Result<(), Fault> {
        upload::abort(self, &self.full("AbortMultipartUpload", &upload.key)?, &upload.id).await
    }
}
