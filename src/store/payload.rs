//! A body, hashed once: the same SHA-256 is its signed payload hash, our record of it and, where the store verifies
//! that, its checksum header. Where it verifies something else, that is computed in the same read.
//!
//! Left to itself the SDK would hash the body again to sign it. And it would hand the body to the
//! connection in one piece, so that its stall protection could not tell a slow uplink from a dead one.
//!
//! What is too large for memory is read twice, to be hashed and to be sent. If it is not the same then, the store
//! refuses it: the digest is signed.

use super::{
    Options, Throttle,
    check::{Check, Proof, Sums},
    extent::Extent,
    throttle::Progress,
};
use crate::model::Fault;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_sdk_s3::{
    config::{
        Builder, ConfigBag, Intercept, RuntimeComponents, http::HttpResponse,
        interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::{BoxError, SdkError},
    primitives::{ByteStream, SdkBody},
};
use aws_sigv4::http_request::SignableBody;
use aws_smithy_types::timeout::{TimeoutConfig, TimeoutConfigBuilder};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::{Digest, Md5};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The slowest a body may go, in bytes a second: the memory budget's 64 MiB over a 2 Mb/s uplink take five
/// minutes, and eight bodies of 8 MiB in flight at once are given nine.
const SLOWEST: u64 = 16 << 10;

/// Bytes given to the connection at a time.
const PIECE: usize = super::memory::SMALL as usize;

/// Bytes to send and their digest. Every attempt sends the same bytes.
#[derive(Clone)]
pub(super) struct Payload {
    content: Content,
    /// SHA-256 of the bytes.
    pub(super) sha256: [u8; 32],
    /// What the request says of them.
    pub(super) proof: Proof,
    progress: Progress,
}

#[derive(Clone)]
enum Content {
    Memory(Bytes),
    File(Extent),
}

impl Payload {
    /// Hashes `bytes`.
    pub(super) fn new(bytes: Bytes, check: Check) -> Self {
        let mut sums = Sums::new(check);
        sums.update(&bytes);
        let (sha256, proof) = sums.finish();
        Self { content: Content::Memory(bytes), sha256, proof, progress: Progress::default() }
    }

    /// Reads and hashes what is to be read again when it is sent.
    ///
    /// # Errors
    /// Those of reading it.
    pub(super) async fn streamed(extent: Extent, check: Check) -> Result<Self, Fault> {
        let (sha256, proof) = extent.fold(Sums::new(check), Sums::update).await?.finish();
        Ok(Self { content: Content::File(extent), sha256, proof, progress: Progress::default() })
    }

    /// The same bytes, with Content-MD5.
    ///
    /// # Errors
    /// Those of reading them again.
    pub(super) async fn with_md5(&self) -> Result<Self, Fault> {
        Ok(Self { proof: Proof::Md5(self.md5().await?), ..self.clone() })
    }

    /// The same bytes, and what goes with `other` said of them.
    pub(super) fn claiming(&self, other: &Self) -> Self {
        Self { proof: other.proof, ..self.clone() }
    }

    /// Hashes `bytes` on another thread, unless they are few: parts of 8 MiB would hold up what runs here. As
    /// many do so as the memory budget lets be in flight.
    pub(super) async fn of(bytes: Bytes, check: Check) -> Self {
        if bytes.len() <= PIECE {
            return Self::new(bytes, check);
        }
        let held = bytes.clone();
        let hashed = tokio::task::spawn_blocking(move || Self::new(held, check)).await;
        // the runtime is ending: nothing waits for this one any more
        hashed.unwrap_or_else(|_| Self::new(bytes, check))
    }

    /// How many bytes.
    pub(super) fn len(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(extent) => extent.len(),
        }
    }

    /// MD5 of the bytes, computed on another thread.
    ///
    /// # Errors
    /// Those of reading them again, if they are not in memory.
    pub(super) async fn md5(&self) -> Result<[u8; 16], Fault> {
        if let Proof::Md5(md5) = self.proof {
            return Ok(md5);
        }
        match &self.content {
            Content::Memory(bytes) => {
                let bytes = bytes.clone();
                let digest = move || Md5::digest(&bytes).into();
                // the runtime is ending: nothing waits for this one any more
                Ok(tokio::task::spawn_blocking(digest).await.unwrap_or_default())
            }
            Content::File(extent) => {
                Ok(extent.fold(Md5::new(), |md5, bytes| md5.update(bytes)).await?.finalize().into())
            }
        }
    }

    /// The body, for as many attempts as it takes.
    pub(super) fn body(&self, throttle: &Throttle) -> ByteStream {
        let (content, throttle, progress) = (self.content.clone(), throttle.clone(), self.progress.clone());
        ByteStream::new(SdkBody::retryable(move || match &content {
            Content::Memory(bytes) => throttle.pace(Pieces(bytes.clone()), &progress),
            Content::File(extent) => throttle.pace(extent.body(PIECE), &progress),
        }))
    }

    /// The bytes, if they are few enough to go to the connection in one piece.
    pub(super) fn small(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Memory(bytes) if bytes.len() <= PIECE => Some(bytes),
            _ => None,
        }
    }

    /// Hands the digest to the signer.
    pub(super) fn signed(&self) -> Signed {
        Signed(hex::encode(self.sha256))
    }

    /// Time enough for a slow uplink. What is held back is [watched](Self::watched) instead.
    pub(super) fn unhurried(&self, options: &Options, throttle: &Throttle) -> Builder {
        match throttle.is_none() {
            true => attempt_timeout(options, self.patience(options)),
            false => timeouts(options, TimeoutConfig::builder().disable_operation_attempt_timeout()),
        }
    }

    /// How long an attempt may take that is not held back.
    pub(super) fn patience(&self, options: &Options) -> Duration {
        options.patience + Duration::from_secs(self.len() / SLOWEST)
    }

    /// What comes of the request that sends it; if it is held back, an end of its own when nothing moves any more.
    pub(super) async fn watched<T, E>(
        &self,
        options: &Options,
        throttle: Throttle,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, SdkError<E, HttpResponse>> {
        if throttle.is_none() {
            return request.await;
        }
        let patience = self.patience(options);
        match self.progress.watch(patience, request).await {
            Some(answer) => answer,
            None => Err(SdkError::timeout_error(format!("nothing moved for {patience:?}"))),
        }
    }
}

/// A setting for one request that may take its time.
pub(super) fn attempt_timeout(options: &Options, timeout: Duration) -> Builder {
    timeouts(options, TimeoutConfig::builder().operation_attempt_timeout(timeout))
}

fn timeouts(options: &Options, timeouts: TimeoutConfigBuilder) -> Builder {
    let timeouts = timeouts.disable_operation_timeout().connect_timeout(options.connect_timeout);
    Builder::new().timeout_config(timeouts.build())
}

/// Signs with a digest that is known already.
#[derive(Debug)]
pub(super) struct Signed(String);

impl Intercept for Signed {
    fn name(&self) -> &'static str {
        "Signed"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut config = bag
            .load::<SigV4OperationSigningConfig>()
            .cloned()
            .ok_or("the request is not signed with SigV4: its payload hash cannot be set")?;
        config.signing_options.payload_override = Some(SignableBody::Precomputed(self.0.clone()));
        bag.interceptor_state().store_put(config);
        Ok(())
    }
}

/// Bytes in pieces.
struct Pieces(Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.0.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
