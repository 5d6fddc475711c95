//! The bytes of objects: small ones in memory, large ones in a file that goes when its last owner goes.
//!
//! A [`Body`] is a rope of segments, so that completing a multipart upload or copying an object moves no byte.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream;
use s3s::dto::StreamingBlob;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Bodies up to this many bytes stay in memory even when large ones go to files.
const SMALL: usize = 64 << 10;
/// How much is gathered before a write to a file, and read from one at a time.
const CHUNK: usize = 1 << 20;
/// The most memory reserved on the word of a Content-Length alone.
const RESERVE: u64 = 64 << 20;

/// Where bodies are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bodies {
    /// All in memory.
    Memory,
    /// Those over 64 KiB as files in this directory, which must exist; each is removed with its object.
    Directory(PathBuf),
}

/// Makes bodies, and names their files.
pub(super) struct Shelf {
    bodies: Bodies,
    /// Sets its files apart from those an earlier process left.
    mark: u64,
    serial: AtomicU64,
}

impl Shelf {
    pub(super) fn new(bodies: Bodies) -> Self {
        Self { bodies, mark: fastrand::u64(..), serial: AtomicU64::new(0) }
    }

    /// Starts a body of about `expected` bytes.
    pub(super) fn sink(&self, expected: Option<u64>) -> Sink<'_> {
        let room = match &self.bodies {
            Bodies::Memory => expected.unwrap_or(0).min(RESERVE) as usize,
            Bodies::Directory(_) => expected.unwrap_or(0).min(CHUNK as u64) as usize,
        };
        Sink { shelf: self, pending: Vec::with_capacity(room), file: None, len: 0 }
    }

    async fn create(&self) -> io::Result<Option<(File, Arc<Owned>)>> {
        let Bodies::Directory(directory) = &self.bodies else { return Ok(None) };
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{:016x}-{serial}.body", self.mark));
        let file = File::options().write(true).create_new(true).open(&path).await?;
        Ok(Some((file, Arc::new(Owned { path }))))
    }
}

/// A body being received. Dropped before [`Sink::finish`], it leaves nothing behind.
pub(super) struct Sink<'a> {
    shelf: &'a Shelf,
    pending: Vec<u8>,
    file: Option<(File, Arc<Owned>)>,
    len: u64,
}

impl Sink<'_> {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK && self.shelf.bodies != Bodies::Memory {
            self.spill().await?;
        }
        Ok(())
    }

    /// Bytes received so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) async fn finish(mut self) -> io::Result<Body> {
        if self.file.is_some() || (self.pending.len() > SMALL && self.shelf.bodies != Bodies::Memory) {
            self.spill().await?;
        }
        let source = match self.file {
            Some((mut file, owned)) => {
                file.flush().await?;
                Source::File(owned)
            }
            None => Source::Memory(Bytes::from(self.pending)),
        };
        Ok(Body { segments: [Segment { source, start: 0, len: self.len }].into(), len: self.len })
    }

    async fn spill(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = self.shelf.create().await?;
        }
        if let Some((file, _)) = &mut self.file {
            file.write_all(&self.pending).await?;
            self.pending.clear();
        }
        Ok(())
    }
}

/// The bytes of one object or part. Cloning shares them.
#[derive(Clone)]
pub(super) struct Body {
    segments: Arc<[Segment]>,
    len: u64,
}

#[derive(Clone)]
struct Segment {
    source: Source,
    start: u64,
    len: u64,
}

#[derive(Clone)]
enum Source {
    Memory(Bytes),
    File(Arc<Owned>),
}

/// A file that is removed when nothing refers to it any more.
struct Owned {
    path: PathBuf,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // The whole directory may be gone already, together with the demo that made it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Body {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// One body of many, in order.
    pub(super) fn concat<'a>(bodies: impl Iterator<Item = &'a Body>) -> Self {
        let segments: Arc<[Segment]> = bodies.flat_map(|body| body.segments.iter().cloned()).collect();
        let len = segments.iter().map(|segment| segment.len).sum();
        Self { segments, len }
    }

    /// The bytes of `range`, which must lie within the body.
    pub(super) fn slice(&self, range: Range<u64>) -> Self {
        let mut segments = Vec::new();
        let mut at = 0;
        for segment in self.segments.iter() {
            let from = range.start.clamp(at, at + segment.len);
            let to = range.end.clamp(at, at + segment.len);
            if from < to {
                let start = segment.start + (from - at);
                segments.push(Segment { source: segment.source.clone(), start, len: to - from });
            }
            at += segment.len;
        }
        Self { segments: segments.into(), len: range.end - range.start }
    }

    pub(super) fn stream(&self) -> StreamingBlob {
        if let [Segment { source: Source::Memory(bytes), start, len }] = &*self.segments {
            let (start, len) = (*start as usize, *len as usize);
            return StreamingBlob::from(s3s::Body::from(bytes.slice(start..start + len)));
        }
        let reader = Reader { segments: self.segments.iter().cloned().collect(), open: None };
        StreamingBlob::wrap(stream::try_unfold(reader, |mut reader| async move {
            Ok::<_, io::Error>(reader.next().await?.map(|bytes| (bytes, reader)))
        }))
    }
}

struct Reader {
    segments: VecDeque<Segment>,
    open: Option<File>,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some(segment) = self.segments.front_mut() else { return Ok(None) };
            if segment.len == 0 {
                self.segments.pop_front();
                self.open = None;
                continue;
            }
            let wanted = segment.len.min(CHUNK as u64) as usize;
            let bytes = match &segment.source {
                Source::Memory(bytes) => bytes.slice(segment.start as usize..segment.start as usize + wanted),
                Source::File(owned) => {
                    let file = match &mut self.open {
                        Some(file) => file,
                        none => {
                            let mut file = File::open(&owned.path).await?;
                            file.seek(SeekFrom::Start(segment.start)).await?;
                            none.insert(file)
                        }
                    };
                    let mut buffer = vec![0; wanted];
                    file.read_exact(&mut buffer).await?;
                    Bytes::from(buffer)
                }
            };
            segment.start += wanted as u64;
            segment.len -= wanted as u64;
            return Ok(Some(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn body(shelf: &Shelf, bytes: &[u8]) -> Body {
        let mut sink = shelf.sink(Some(bytes.len() as u64));
        for piece in bytes.chunks(100_000) {
            sink.write(piece).await.unwrap();
        }
        sink.finish().await.unwrap()
    }

    async fn read(body: &Body) -> Vec<u8> {
        body.stream().try_collect::<Vec<_>>().await.unwrap().concat()
    }

    fn files(directory: &tempfile::TempDir) -> usize {
        directory.path().read_dir().unwrap().count()
    }

    #[tokio::test]
    async fn large_bodies_are_files_that_go_with_their_last_owner() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Bodies::Directory(directory.path().into()));
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let small = body(&shelf, &bytes[..SMALL]).await;
        assert_eq!(files(&directory), 0, "a small body stays in memory");
        let large = body(&shelf, &bytes).await;
        assert_eq!(files(&directory), 1);
        let both = Body::concat([&small, &large].into_iter());
        drop(large);
        assert_eq!(read(&both).await, [&bytes[..SMALL], &bytes[..]].concat());
        let cut = both.slice(60_000..70_000);
        drop(both);
        assert_eq!(read(&cut).await, [&bytes[60_000..SMALL], &bytes[..70_000 - SMALL]].concat());
        drop(cut);
        assert_eq!(files(&directory), 0);
    }

    #[tokio::test]
    async fn an_unfinished_body_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Bodies::Directory(directory.path().into()));
        let mut sink = shelf.sink(None);
        sink.write(&vec![1; 2 * CHUNK]).await.unwrap();
        assert_eq!(files(&directory), 1);
        drop(sink);
        assert_eq!(files(&directory), 0);
    }
}
