//! A large object: it comes in pieces, side by side, each written and hashed as it comes, and held nowhere.

use super::{
    Ending,
    bring::{Bringer, another},
    silence::{Tries, passes},
};
use crate::{
    local::{Cut, Draft, Form, Sum, Tally, Written},
    model::{Class, ETag, Fault, Head, LocalMeta, RelPath, RemoteMeta, Source, There},
    plan::{Witness, witnesses},
    store::{Fetch, Spot},
};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use std::{
    future::pending,
    sync::{Mutex, PoisonError},
};
use tokio::{sync::watch, time::Instant};

const MIB: u64 = 1 << 20;
/// The least that is asked for in one request,
const PIECE: u64 = 16 * MIB;
/// how many requests of one object are on their way,
const PIECES: usize = 8;
/// and what each of them holds: what its connection has read, and what waits for the disk.
const HELD: u64 = 2 * MIB;
/// What is written at a time.
const BATCH: usize = 256 << 10;
/// So much has come before the disk is asked to have it.
const FLUSH: u64 = 64 * MIB;
/// More parts no object has (S3 user guide, *Multipart upload limits*),
const MOST_PARTS: u64 = 10_000;
/// and more pieces none that has no parts: there is a note of each.
const MOST_PIECES: u64 = 100_000;

/// How an object is brought.
struct Road {
    cut: Cut,
    /// What is taken as it comes, and has to come out; `None` if that needs the bytes in their order.
    taken: Option<(Form, Sum)>,
}

impl Road {
    /// The cheapest witness decides.
    fn of(head: &Head) -> Self {
        let size = head.meta.size;
        let is_sane = |part: u64| part > 0 && size.div_ceil(part) <= MOST_PARTS;
        let taken = match witnesses(head).first() {
            Some(Witness::Crc64Nvme(crc)) => Some((Form::Crc64Nvme, Sum::Crc64Nvme(*crc))),
            Some(Witness::Digest(digest)) => {
                let part = digest.part_size.filter(|part| is_sane(*part));
                part.map(|part| (Form::Sha256OfParts(part), Sum::Sha256(digest.sha256)))
            }
            Some(Witness::Md5OfParts(sizes)) => {
                let part = sizes.first().copied().filter(|part| is_sane(*part));
                part.zip(md5(&head.meta.etag)).map(|(part, md5)| (Form::Md5OfParts(part), Sum::Md5(md5)))
            }
            Some(Witness::Md5) | None => None,
        };
        let piece = match taken {
            // it begins where a part does
            Some((Form::Sha256OfParts(part) | Form::Md5OfParts(part), _)) => {
                part.saturating_mul(PIECE.div_ceil(part))
            }
            _ => PIECE.max(size.div_ceil(MOST_PIECES)),
        };
        Self { cut: Cut { etag: head.meta.etag.clone(), size, piece }, taken }
    }
}

/// That of the parts' MD5s which a tag is.
fn md5(etag: &ETag) -> Option<[u8; 16]> {
    let mut md5 = [0; 16];
    let text = etag.to_string();
    hex::decode_to_slice(text.split('-').next()?, &mut md5).ok().map(|()| md5)
}

impl Bringer<'_> {
    pub(super) async fn in_pieces(
        &self,
        key: &Spot,
        path: &RelPath,
        meta: &RemoteMeta,
        there: There,
    ) -> Result<Ending, Fault> {
        let head = self.look(key).await?;
        if head.meta.etag != meta.etag {
            return Err(another(key));
        }
        if self.twin(&head, path, there).await? {
            return Ok(Ending::Restored { bytes: head.meta.size, proven: true });
        }
        let finish = self.finish(&head)?;
        let road = Road::of(&head);
        let (mut draft, mut done) = self.target.go_on(path, &road.cut).await?;
        // nothing would show what is wrong with what was left
        if witnesses(&head).is_empty() && done.iter().any(|done| *done > 0) {
            (draft, done) = (self.target.begin_anew(path, &road.cut).await?, vec![0; done.len()]);
        }
        let mut filled = self.filled(key, &head, &road, &draft, &done).await;
        if filled.as_ref().is_err_and(|fault| fault.class == Class::Permanent)
            && done.iter().any(|done| *done > 0)
        {
            tracing::debug!(%path, "what was left of it is not what it was to be: it is fetched anew");
            draft = self.target.begin_anew(path, &road.cut).await?;
            filled = self.filled(key, &head, &road, &draft, &vec![0; done.len()]).await;
        }
        match filled {
            Ok(agreed) => {
                let proven = agreed.is_some();
                self.placed(&head, agreed, path, there, draft.place(finish, there)).await?;
                Ok(Ending::Restored { bytes: head.meta.size, proven })
            }
            // it was tried often enough; the next run goes on with it
            Err(fault) if passes(&fault) => Err(Fault { class: Class::Permanent, ..fault }),
            Err(fault) => {
                draft.drop_for_good();
                Err(fault)
            }
        }
    }

    /// Brings what is not there yet of an object. What the store tells of it and agrees, if there is something.
    async fn filled(
        &self,
        key: &Spot,
        head: &Head,
        road: &Road,
        draft: &Draft,
        done: &[u64],
    ) -> Result<Option<Witness>, Fault> {
        let front = Front::new(&road.cut, done);
        let tally = Mutex::new(Tally::default());
        let (front_of, tally_of) = (&front, &tally);
        let pieces = stream::iter(done.iter().enumerate().map(Ok::<_, Fault>))
            .map_ok(|(number, done)| async move {
                self.piece(key, road, draft, (number, *done), front_of, tally_of).await
            })
            .try_buffer_unordered(PIECES)
            .try_for_each(|()| async { Ok(()) });
        let pieces = async {
            tokio::select! {
                done = pieces => done,
                failed = flushed(draft, front.sum.subscribe()) => failed,
            }
        };
        let Some((form, want)) = road.taken else {
            let follower = Follower { written: draft.written(), there: front.end.subscribe() };
            return tokio::try_join!(pieces, self.prove(key, head, &follower)).map(|((), proven)| proven);
        };
        pieces.await?;
        let sum = tally.into_inner().unwrap_or_else(PoisonError::into_inner).finish(form);
        // what else can be compared is taken from the file
        if sum == want {
            return Ok(witnesses(head).into_iter().next());
        }
        self.prove(key, head, &draft.written()).await
    }

    /// One that breaks off goes on where it was, by itself.
    async fn piece(
        &self,
        key: &Spot,
        road: &Road,
        draft: &Draft,
        (number, done): (usize, u64),
        front: &Front,
        tally: &Mutex<Tally>,
    ) -> Result<(), Fault> {
        let _held = self.hold(HELD).await;
        let (cut, form) = (&road.cut, road.taken.map(|(form, _)| form));
        let mut piece = draft.piece(&self.hashing, cut, number, done, form).await?;
        let mut tries = Tries::new();
        while let Some(left) = piece.left() {
            let (from, begun) = (left.start, Instant::now());
            let mut fetched = self.store.fetch(key, &cut.etag, Some(left)).await;
            let fault = loop {
                let fetch = match &mut fetched {
                    Ok(fetch) => fetch,
                    Err(fault) => break Some(fault.clone()),
                };
                match batch(fetch).await {
                    Ok(next) if next.is_empty() => break None,
                    Ok(next) => {
                        self.live.arrived(next.iter().map(|bytes| bytes.len() as u64).sum());
                        piece = piece.add(&self.hashing, next).await?;
                        front.came(cut, number, piece.done());
                    }
                    Err(fault) => break Some(fault),
                }
            };
            let Some(fault) = fault else { continue };
            if piece.left().is_some_and(|left| left.start > from) {
                tries = Tries::new();
            }
            let answer = Err::<(), _>(fault);
            self.live.silence().told(begun, &answer);
            match answer {
                Err(fault) if passes(&fault) && tries.again().await => {}
                answer => return answer,
            }
        }
        piece.end(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// Has the disk write while more comes, until that fails.
async fn flushed(draft: &Draft, mut sum: watch::Receiver<u64>) -> Result<(), Fault> {
    let mut last = *sum.borrow();
    loop {
        let Ok(now) = sum.wait_for(|sum| *sum >= last + FLUSH).await.map(|sum| *sum) else {
            return pending().await;
        };
        last = now;
        draft.flush().await?;
    }
}

/// What comes next, as much as is worth writing at a time; nothing at the end.
async fn batch(fetch: &mut Fetch) -> Result<Vec<Bytes>, Fault> {
    let (mut all, mut len) = (vec![], 0);
    while len < BATCH {
        let Some(bytes) = fetch.next().await? else { break };
        len += bytes.len();
        all.push(bytes);
    }
    Ok(all)
}

/// Up to where all that is before is there.
struct Front {
    /// Bytes that are there, by piece, and the first piece that is not whole.
    pieces: Mutex<(Vec<u64>, usize)>,
    end: watch::Sender<u64>,
    /// Bytes that are there.
    sum: watch::Sender<u64>,
}

impl Front {
    fn new(cut: &Cut, done: &[u64]) -> Self {
        let (end, sum) = (watch::Sender::new(0), watch::Sender::new(done.iter().sum()));
        let front = Self { pieces: Mutex::new((done.to_vec(), 0)), end, sum };
        if let Some(first) = done.first() {
            front.came(cut, 0, *first);
        }
        front
    }

    fn came(&self, cut: &Cut, piece: usize, done: u64) {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, first) = &mut *pieces;
        let more = done.saturating_sub(std::mem::replace(&mut all[piece], done));
        let whole = |piece: usize| {
            let range = cut.range(piece);
            range.end - range.start
        };
        while *first < all.len() && all[*first] == whole(*first) {
            *first += 1;
        }
        let end = cut.range(*first).start + all.get(*first).unwrap_or(&0);
        self.end.send_replace(end);
        self.sum.send_modify(|sum| *sum += more);
    }
}

/// A draft that is read behind what comes.
struct Follower {
    written: Written,
    there: watch::Receiver<u64>,
}

impl Source for Follower {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        self.written.stat().await
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        let end = at.saturating_add(len as u64);
        // nobody tells any more if what comes has failed, and then that is told
        let _ = self.there.clone().wait_for(|there| *there >= end).await;
        self.written.read_at(at, len).await
    }
}
