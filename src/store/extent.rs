//! Bytes of an open file that are too many to be held: read as they are sent, once for each attempt.

use super::{error::what, options::MIB, upload};
use crate::model::{Class, Fault, Source};
use bytes::Bytes;
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

/// Bytes that are read at a time, and held.
pub(super) const WINDOW: u64 = MIB;

type Read = dyn Fn(u64, u64) -> BoxFuture<'static, Result<Bytes, Fault>> + Send + Sync;

/// Where they are.
#[derive(Clone)]
pub(super) struct Extent {
    read: Arc<Read>,
    at: u64,
    len: u64,
}

impl Extent {
    /// `len` bytes of `file` from `at`, for the object of this key.
    pub(super) fn new<F: Source>(file: &Arc<F>, full: &str, at: u64, len: u64) -> Self {
        let (file, full): (_, Arc<str>) = (Arc::clone(file), full.into());
        let read = move |at, len| {
            let (file, full) = (Arc::clone(&file), Arc::clone(&full));
            async move { upload::read(&*file, &full, at, len).await }.boxed()
        };
        Self { read: Arc::new(read), at, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads them all, one window after the other.
    fn windows(&self) -> impl Stream<Item = Result<Bytes, Fault>> + Send + use<> {
        let (read, end) = (Arc::clone(&self.read), self.at + self.len);
        let starts = (self.at..end).step_by(WINDOW as usize);
        stream::iter(starts).then(move |at| read(at, WINDOW.min(end - at)))
    }

    /// What `add` makes of them all, on other threads: a digest.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn fold<D: Send + 'static>(&self, start: D, add: fn(&mut D, &[u8])) -> Result<D, Fault> {
        let ended = |error| Fault::new(Class::Transient, what("hash for", ""), error);
        let add = |mut digest: D, bytes: Bytes| async move {
            let add = move || {
                add(&mut digest, &bytes);
                digest
            };
            tokio::task::spawn_blocking(add).await.map_err(ended)
        };
        self.windows().try_fold(start, add).await
    }

    /// As a body, in pieces of at most so many bytes.
    pub(super) fn body(&self, piece: usize) -> Streamed {
        let windows = Mutex::new(self.windows().boxed());
        Streamed { windows, rest: Bytes::new(), left: self.len, piece }
    }
}

/// A body that is read as it is sent.
pub(super) struct Streamed {
    /// Never locked: it makes what can be sent between threads something that can be shared, too.
    windows: Mutex<BoxStream<'static, Result<Bytes, Fault>>>,
    rest: Bytes,
    left: u64,
    piece: usize,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.rest.is_empty() {
            let windows = self.windows.get_mut().unwrap_or_else(PoisonError::into_inner);
            match ready!(windows.poll_next_unpin(cx)) {
                Some(Ok(window)) => self.rest = window,
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                None => return Poll::Ready(None),
            }
        }
        let len = self.rest.len().min(self.piece);
        self.left -= len as u64;
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
