//! One key: what the two sides hold of it is held against each other, until it rests.
//!
//! A file is opened before its object is asked for and looked at again afterwards. If it is another one by then nothing
//! can be said, and it is compared anew, after a pause.

use super::{Ending, Live, Options, Sides, pairs::Pair};
use crate::{
    local::{CHUNK, File, Hashes, Hashing, Tree},
    model::{Class, Fault, Head, Key, Local, LocalMeta, Record, RemoteMeta, Source},
    plan::{Difference, Evidence, Facts, Glance, drift, evidence, glance, misnamed, unequal},
    store::{Fetch, Spot, Store, TRIES, listed, patiently},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::sleep;

/// The pauses, in milliseconds, before a key that does not rest is compared anew.
const PAUSES: [u64; 4] = [200, 400, 1000, 2000];
/// Seconds in which whoever keeps the mirror up may not have come to a change yet.
const RECENT: i64 = 10;

pub(super) struct Comparer<'a> {
    sides: &'a Sides,
    options: &'a Options,
    live: &'a Live,
    hashing: Hashing,
}

/// What one comparison came to.
enum Found {
    It(Ending),
    /// It changed meanwhile.
    Moved,
}

use Found::{It, Moved};

/// What is known of an object besides a listing.
enum Told {
    Head(Box<Head>),
    /// It is there, and cannot be looked at.
    Veiled(Fault),
    Gone,
}

fn is(difference: Difference, why: impl ToString) -> Found {
    It(Ending::Is(difference, why.to_string()))
}

impl<'a> Comparer<'a> {
    pub(super) fn new(sides: &'a Sides, options: &'a Options, live: &'a Live) -> Self {
        Self { sides, options, live, hashing: Hashing::default() }
    }

    /// Compares until it rests, or has changed too often.
    ///
    /// # Errors
    /// What concerns not this key alone.
    pub(super) async fn compare(&self, mut pair: Pair) -> Result<Ending, Fault> {
        for pause in PAUSES {
            match self.look(&pair).await? {
                It(ending) if !self.may_pass(&ending, &pair.local) => return Ok(ending),
                It(_) | Moved => {}
            }
            sleep(Duration::from_millis(pause)).await;
            pair = self.again(pair).await?;
        }
        Ok(match self.look(&pair).await? {
            It(ending) => ending,
            Moved => Ending::Is(Difference::Busy, "it changed whenever it was compared".to_owned()),
        })
    }

    /// True for what whoever keeps the mirror up is about to set right.
    fn may_pass(&self, ending: &Ending, local: &Local) -> bool {
        let Local::Present(meta) = local else { return false };
        let age = (self.options.wall)() - meta.print.ctime.sec;
        self.options.beside && matches!(ending, Ending::Is(..)) && (0..RECENT).contains(&age)
    }

    /// Both sides as they are now.
    async fn again(&self, pair: Pair) -> Result<Pair, Fault> {
        let local = self.now(&pair.key).await?;
        let remote = match self.head(&pair.key).await? {
            Told::Head(head) => Some(head.meta),
            Told::Veiled(_) => pair.remote,
            Told::Gone => None,
        };
        Ok(Pair { local, remote, ..pair })
    }

    /// What the disk shows now.
    async fn now(&self, key: &Key) -> Result<Local, Fault> {
        Ok(self.sides.tree.look(vec![key.clone()]).await?.pop().unwrap_or(Local::Unknown))
    }

    async fn head(&self, key: &Key) -> Result<Told, Fault> {
        match patiently(|| self.sides.store.head(key)).await {
            Ok(Some(head)) => Ok(Told::Head(Box::new(head))),
            Ok(None) => Ok(Told::Gone),
            Err(fault) if matches!(fault.class, Class::Permanent | Class::Denied) => Ok(Told::Veiled(fault)),
            Err(fault) => Err(fault),
        }
    }

    async fn open(&self, key: &Key) -> Result<File, Fault> {
        patiently(|| self.sides.tree.open(key)).await
    }

    async fn look(&self, pair: &Pair) -> Result<Found, Fault> {
        // a proof is of what was sent, and not of what came of it since
        let record = pair.record.as_ref().filter(|_| !self.options.deep);
        let glance = glance(&pair.local, pair.remote.as_ref(), record, self.options.keep);
        Ok(match (glance, &pair.local) {
            (Glance::Nothing, _) => It(Ending::Gone),
            (Glance::LeftOut, _) => It(Ending::LeftOut),
            (Glance::Equal, _) => It(Ending::Equal),
            (Glance::NoMarker, _) => {
                is(Difference::Foreign, "an object with content is no directory's marker, and stays")
            }
            (Glance::Unreadable, _) => is(Difference::Unreadable, "it cannot be looked at"),
            (Glance::Whose, _) => self.whose(pair).await?,
            (Glance::Metadata, Local::Present(meta)) => self.metadata(&pair.key, meta).await?,
            (_, Local::Present(_)) => match self.open(&pair.key).await {
                Ok(file) => self.with(pair, &file, record).await?,
                Err(fault) if matches!(fault.class, Class::Missing | Class::Changed) => Moved,
                Err(fault) if fault.class == Class::Fatal => return Err(fault),
                Err(fault) => is(Difference::Unreadable, fault),
            },
            _ => Moved,
        })
    }

    /// There is no file.
    async fn whose(&self, pair: &Pair) -> Result<Found, Fault> {
        // one look at a name is enough, where that is what it shows: to prove it takes a look at all of the directory
        let opened = match pair.key.place() {
            Some(_) => self.open(&pair.key).await.map(drop),
            None => {
                Err(Fault::new(Class::Missing, format!("open {}", pair.key), "no file can have this name"))
            }
        };
        // a link that is not mirrored any more is not opened either
        if !matches!(&opened, Err(fault) if fault.class == Class::Missing) || pair.key.link().is_some() {
            match self.now(&pair.key).await? {
                Local::Absent(_) => {}
                Local::Skipped(_) => return Ok(It(Ending::LeftOut)),
                Local::Present(_) | Local::Unknown => return Ok(Moved),
            }
        }
        Ok(match self.head(&pair.key).await? {
            Told::Gone => Moved,
            Told::Head(head) if self.is_ours(&pair.key, &head) || proves(pair, &head) => {
                is(Difference::Extra, "its file is gone")
            }
            Told::Head(_) => is(Difference::Foreign, "something else wrote it"),
            Told::Veiled(fault) if fault.class == Class::Denied => is(Difference::Unproven, fault),
            // what tells nothing of itself was not written by us
            Told::Veiled(fault) => is(Difference::Foreign, fault),
        })
    }

    fn is_ours(&self, key: &Key, head: &Head) -> bool {
        let own = self.options.mirror.map(|mirror| mirror.own(&self.options.prefix, key));
        own.is_some() && head.own == own
    }

    /// The contents are proven.
    async fn metadata(&self, key: &Key, meta: &LocalMeta) -> Result<Found, Fault> {
        Ok(match self.head(key).await? {
            Told::Gone => Moved,
            Told::Veiled(fault) => is(Difference::Unproven, fault),
            Told::Head(head) => match self.attributes(key, meta, None, &head).await {
                It(Ending::Is(..)) if !self.is_still(key, meta).await? => Moved,
                found => found,
            },
        })
    }

    async fn is_still(&self, key: &Key, meta: &LocalMeta) -> Result<bool, Fault> {
        Ok(self.now(key).await? == Local::Present(*meta))
    }

    async fn attributes(&self, key: &Key, meta: &LocalMeta, file: Option<&File>, head: &Head) -> Found {
        if let Some(why) = misnamed(key, meta, head) {
            return is(Difference::Drift, why);
        }
        let other = match file {
            Some(file) => match file.extra().await {
                Ok(extra) if extra.device != head.extra.device => Some("another device there"),
                Ok(extra) if self.options.keep.is_beside() && extra != head.extra => {
                    Some("other extended attributes there")
                }
                _ => None,
            },
            None => None,
        };
        let other = other.map(str::to_owned);
        match drift(meta, head, self.options.keep)
            .into_iter()
            .chain(other)
            .reduce(|all, why| format!("{all}; {why}"))
        {
            // what another tool wrote stays as it is until the file changes
            _ if !self.is_ours(key, head) => It(Ending::Adopted),
            Some(why) => is(Difference::Drift, why),
            None => It(Ending::Equal),
        }
    }

    /// Compares the open file with its object.
    async fn with(&self, pair: &Pair, file: &File, record: Option<&Record>) -> Result<Found, Fault> {
        let Ok(before) = file.stat().await else { return Ok(Moved) };
        let size = before.print.size;
        let fits = |remote: &&RemoteMeta| remote.size == size;
        let found = match pair.remote.as_ref().filter(fits).filter(|_| self.options.deep) {
            Some(remote) => self.bytes(pair, &before, file, remote).await,
            None => self.shown(pair, &before, file, record).await,
        };
        let found = found?;
        match file.stat().await {
            Ok(after) if after == before => Ok(found),
            _ => Ok(Moved),
        }
    }

    /// Compares with what HEAD tells.
    async fn shown(
        &self,
        pair: &Pair,
        meta: &LocalMeta,
        file: &File,
        record: Option<&Record>,
    ) -> Result<Found, Fault> {
        let head = match (self.head(&pair.key).await?, &pair.remote) {
            (Told::Head(head), _) => head,
            (Told::Gone, None) => return Ok(is(Difference::Missing, "it has no object")),
            (Told::Gone, Some(_)) => return self.lost(pair).await,
            (Told::Veiled(fault), None) => return Ok(is(Difference::Missing, fault)),
            (Told::Veiled(fault), Some(_)) => return Ok(is(Difference::Unproven, fault)),
        };
        if head.meta.size != meta.print.size {
            let why = format!("{} bytes here, {} there", meta.print.size, head.meta.size);
            return Ok(is(Difference::Different, why));
        }
        if self.options.deep {
            return self.bytes(pair, meta, file, &head.meta).await;
        }
        match self.hash(meta, file, &head, record).await {
            None => Ok(self.attributes(&pair.key, meta, Some(file), &head).await),
            Some((difference, why)) => Ok(is(difference, why)),
        }
    }

    /// HEAD knows nothing of an object that was listed: it is gone since, or nobody can have it.
    async fn lost(&self, pair: &Pair) -> Result<Found, Fault> {
        Ok(match listed(&self.sides.store, &pair.key).await?.is_some() {
            true => is(Difference::Missing, "its object is listed, and cannot be had"),
            false => is(Difference::Missing, "it has no object"),
        })
    }

    /// Climbs the ladder; what it comes to if that does not show them equal.
    async fn hash(
        &self,
        meta: &LocalMeta,
        file: &File,
        head: &Head,
        record: Option<&Record>,
    ) -> Option<(Difference, String)> {
        let (print, remote, can) = (&meta.print, &head.meta, self.options.can);
        let own = self.sides.store.part_size(print.size);
        let (mut hashes, mut refuted) = (Hashes::new(&self.hashing, print.size, own), vec![]);
        let etag = remote.etag.to_string();
        self.live.read(print.size);
        loop {
            let facts =
                Facts { print, record, remote, own, refuted: &refuted, head: Some(head), can: Some(can) };
            let rung = evidence(&facts);
            let equal = match &rung {
                Evidence::Differs => {
                    let difference = unequal(&refuted, head, can);
                    let why = match difference {
                        Difference::Different => "its tag is that of another content",
                        _ => "nothing that the store tells shows its content: --deep fetches it",
                    };
                    return Some((difference, why.to_owned()));
                }
                Evidence::Proven(_) | Evidence::Head | Evidence::Capabilities => return None,
                Evidence::Digest(digest) => hashes.is(file, digest).await,
                Evidence::Crc64Nvme(crc) => hashes.is_crc64(file, *crc).await,
                Evidence::Md5 => hashes.is_md5(file, &etag).await,
                Evidence::Md5OfParts(sizes) => hashes.is_md5_of_parts(file, &etag, sizes).await,
            };
            match (equal, rung) {
                (Ok(true), _) => return None,
                (Ok(false), rung @ (Evidence::Md5 | Evidence::Md5OfParts(_))) => refuted.push(rung),
                (Ok(false), _) => {
                    return Some((Difference::Different, "its digest is that of another content".to_owned()));
                }
                (Err(fault), _) => return Some((Difference::Unreadable, fault.to_string())),
            }
        }
    }

    /// Fetches the object, and compares each byte of it with the file's.
    async fn bytes(
        &self,
        pair: &Pair,
        meta: &LocalMeta,
        file: &File,
        remote: &RemoteMeta,
    ) -> Result<Found, Fault> {
        let (key, store) = (&pair.key, &self.sides.store);
        let spot = Spot::from(key.clone());
        let (mut at, mut head, mut tries) = (0, None, 0);
        while head.is_none() || at < remote.size {
            // what breaks off goes on where it was
            let part = (at > 0).then_some(at..remote.size);
            let mut fetch = match patiently(|| store.fetch(&spot, &remote.etag, part.clone())).await {
                Ok(fetch) => fetch,
                Err(fault) => {
                    return match fault.class {
                        Class::Changed | Class::Missing => Ok(Moved),
                        Class::Permanent | Class::Denied => Ok(is(Difference::Unproven, fault)),
                        _ => Err(fault),
                    };
                }
            };
            if head.get_or_insert_with(|| fetch.head.clone()).meta.size != remote.size {
                return Ok(Moved);
            }
            let before = at;
            match self.hold(&mut fetch, file, &mut at).await {
                Held::Same => continue,
                Held::Other => {
                    return Ok(is(Difference::Different, format!("other bytes from byte {at} on")));
                }
                Held::Unread(fault) => return Ok(is(Difference::Unreadable, fault)),
                Held::Broken(fault) if tries >= TRIES => return Err(fault),
                Held::Broken(_) => tries = if at > before { 0 } else { tries + 1 },
            }
        }
        Ok(match head {
            Some(head) => self.attributes(key, meta, Some(file), &head).await,
            None => Moved,
        })
    }

    /// Holds what comes against the file, from `at` on; up to there they are the same.
    async fn hold(&self, fetch: &mut Fetch, file: &File, at: &mut u64) -> Held {
        let mut here = Bytes::new();
        loop {
            let came = match fetch.next().await {
                Ok(Some(came)) => came,
                Ok(None) => return Held::Same,
                Err(fault) => return Held::Broken(fault),
            };
            self.live.arrived(came.len() as u64);
            let mut there = &came[..];
            while !there.is_empty() {
                if here.is_empty() {
                    here = match file.read_at(*at, CHUNK).await {
                        Ok(here) => here,
                        Err(fault) => return Held::Unread(fault),
                    };
                    self.live.read(here.len() as u64);
                }
                let len = there.len().min(here.len());
                let same = here.iter().zip(there).take_while(|(here, there)| here == there).count();
                *at += same as u64;
                if same < len || len == 0 {
                    return Held::Other;
                }
                (here, there) = (here.slice(len..), &there[len..]);
            }
            tokio::task::consume_budget().await;
        }
    }
}

/// How bytes that came compare with those of the file.
enum Held {
    Same,
    Other,
    /// The file could not be read.
    Unread(Fault),
    /// No more came.
    Broken(Fault),
}

/// True if the ledger has this object for ours.
fn proves(pair: &Pair, head: &Head) -> bool {
    pair.record.as_ref().is_some_and(|record| record.etag == head.meta.etag)
}
