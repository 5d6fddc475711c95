//! The bucket: what it holds, what it is like, and how a request comes there. `law` checks what comes and goes, `listing`
//! tells what is there, `store` is the trait.

use super::{
    parts::{Open, Weather},
    world::{EPOCH, Fake, World},
};
use md5::Md5;
use s3mirrord::model::{
    Attributes, Capabilities, Checksum, Class, ETag, Extra, Fault, Key, Only, RemoteMeta, RootId, Spec, Stamp,
};
use sha2::Sha256;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// No listing is older than this.
pub const LONGEST: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub body: Vec<u8>,
    pub etag: ETag,
    pub own: Option<String>,
    pub sha256: Option<[u8; 32]>,
    pub part_size: Option<u64>,
    pub mtime: Option<Stamp>,
    pub attributes: Option<Attributes>,
    pub extra: Extra,
    /// By the server's clock, which does not jump.
    pub modified: Stamp,
    /// What the server computed.
    pub checksum: Option<Checksum>,
}

impl Object {
    pub fn listed(&self) -> RemoteMeta {
        RemoteMeta { size: self.body.len() as u64, etag: self.etag.clone(), modified: Some(self.modified) }
    }
}

#[derive(Clone, Debug)]
pub struct Shelf {
    pub objects: BTreeMap<Key, Object>,
    /// Uploads in parts, by id.
    pub uploads: BTreeMap<String, Open>,
    pub weather: Weather,
    pub can: Capabilities,
    /// An operator accepts this root while it is asked what it honours.
    pub accepts: Option<RootId>,
    /// Seconds that its clock is ahead.
    pub skew: i64,
    /// It asks for less, until then.
    pub storm: Duration,
    /// Credentials have expired.
    pub expired: bool,
    /// What was listed of a key until then.
    pub history: VecDeque<(Duration, Key, Option<RemoteMeta>)>,
    /// What we wrote last.
    pub former: BTreeMap<Key, Object>,
    /// When each object came.
    pub arrived: BTreeMap<Key, Duration>,
    /// Keys whose object another tool took away.
    pub taken: BTreeSet<Key>,
    pub random_etags: bool,
    /// It keeps checksums, and tells them.
    pub checksums: bool,
    /// HEAD tells that the ETags are no digests.
    pub encrypted: bool,
    pub unsorted: bool,
    pub down: bool,
    /// Nothing is allowed.
    pub refuses: bool,
    /// It answers 500 to HEAD of keys that begin so.
    pub mute: BTreeSet<&'static str>,
    /// The store answers 500 to whatever is written to keys that begin so.
    pub broken: BTreeSet<&'static str>,
    /// What a policy denies: everything about keys that begin so.
    pub denied: BTreeSet<&'static str>,
    /// And of these, that they are looked at.
    pub unread: BTreeSet<&'static str>,
    /// How long a listing takes to come back, in milliseconds.
    pub list_takes: u64,
    /// How long an upload and a delete take until they have their effect, in milliseconds.
    pub write_takes: u64,
    /// What is asked for is done, and nobody is told.
    pub deaf: bool,
    pub requests: BTreeMap<&'static str, u64>,
    pub serial: u64,
    /// Every tag that each key ever had: what a proof may say.
    pub tags: BTreeSet<(Key, ETag)>,
    /// Keys that another tool wrote, and with what.
    pub foreign: BTreeMap<Key, Object>,
    /// Sabotage: `commit` answers before anything is stored, and stores nothing.
    pub lies: bool,
    pub grace: Duration,
    /// Deletes that are allowed, in how many seconds.
    pub budget: Option<(u64, i64)>,
    /// And of replacements.
    pub overwrite_budget: Option<(u64, i64)>,
    /// When objects were replaced by another content, by the wall clock.
    pub replaced: BTreeMap<Key, i64>,
    /// How many others were, when each was counted.
    pub admitted: BTreeMap<Key, u64>,
    /// A request lands whose sender gave up on it.
    pub late: bool,
    /// The next PutObject is given up by its client, and lands later.
    pub next_lands_late: bool,
    /// Keys whose metadata such a request changed, and nothing else: no listing shows that.
    pub put_back: BTreeSet<Key>,
    /// How long what is in the trash is to stay, if there is one.
    pub trash: Option<Duration>,
    /// What was copied there, and of which key it is.
    pub trashed: BTreeMap<Key, Key>,
    /// Sabotage: what is to go there is told to be there, and is not.
    pub keeps_nothing: bool,
    /// Keys that a request landed on whose sender gave up on it, on a store without conditions.
    pub strays: BTreeSet<Key>,
    /// Keys whose delete was confirmed, and which were not written since.
    pub confirmed: BTreeSet<Key>,
    /// What answers to batches of deletes, and to writes of records, say of these keys.
    pub oddities: BTreeMap<Key, Oddity>,
    /// Keys that a write or a delete is on its way for.
    pub in_flight: BTreeSet<Key>,
    /// Larger objects are copied in parts.
    pub one_copy: u64,
    /// Larger files go up in parts,
    pub single: u64,
    /// of this size.
    pub part: u64,
}

/// What becomes of a key in a batch of deletes, or of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Oddity {
    /// It is told to have failed, so; alone as well. A probe beside it fails, too.
    Fails(Class),
    /// Nothing is done and nothing told.
    Forgotten,
    /// It is deleted or written, and nothing told.
    Untold,
    /// It is sealed with a key of the customer's: it is listed, and HEAD tells nothing.
    Sealed,
    /// A copy of it fails, so.
    Uncopied(Class),
    /// The whole request fails for it, and a delete or a write of it alone as well.
    Poison,
    /// Who uploads it comes upon a bug of ours.
    Panics,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            weather: Weather::default(),
            accepts: None,
            can: Capabilities {
                conditional_put: true,
                conditional_delete: true,
                conditional_batch: Some(true),
                verifies_sha256: true,
                verifies_crc64: true,
                verifies_md5: true,
                etag_is_md5: true,
            },
            skew: 0,
            storm: Duration::ZERO,
            expired: false,
            history: VecDeque::new(),
            former: BTreeMap::new(),
            arrived: BTreeMap::new(),
            taken: BTreeSet::new(),
            random_etags: false,
            checksums: true,
            encrypted: false,
            unsorted: false,
            down: false,
            refuses: false,
            mute: BTreeSet::new(),
            broken: BTreeSet::new(),
            denied: BTreeSet::new(),
            unread: BTreeSet::new(),
            list_takes: 0,
            write_takes: 0,
            deaf: false,
            requests: BTreeMap::new(),
            serial: 0,
            tags: BTreeSet::new(),
            foreign: BTreeMap::new(),
            lies: false,
            grace: Duration::ZERO,
            budget: None,
            overwrite_budget: None,
            replaced: BTreeMap::new(),
            admitted: BTreeMap::new(),
            late: false,
            next_lands_late: false,
            put_back: BTreeSet::new(),
            trash: None,
            trashed: BTreeMap::new(),
            keeps_nothing: false,
            strays: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            oddities: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            one_copy: 40,
            single: 32,
            part: 16,
        }
    }
}

pub enum Staged {
    Small { key: Key, body: Vec<u8>, spec: Spec },
    Parts { key: Key, id: String, parts: Vec<(u32, ETag)> },
}

pub fn md5(body: &[u8]) -> Vec<u8> {
    use md5::Digest as _;
    Md5::digest(body).to_vec()
}

pub fn sha256(body: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    Sha256::digest(body).into()
}

impl World {
    pub fn etag(&mut self, body: &[u8], parts: bool) -> ETag {
        if self.shelf.random_etags {
            self.shelf.serial += 1;
            // it looks like an MD5, or like that of parts
            let random = format!("{:032x}", u128::from(self.shelf.serial) << 64 | 0xabc);
            let chunks = body.len().div_ceil(self.shelf.part as usize);
            return ETag::new(&if parts { format!("{random}-{chunks}") } else { random });
        }
        if parts {
            let chunks = body.chunks(self.shelf.part as usize);
            let (n, all) = (chunks.len(), chunks.flat_map(md5).collect::<Vec<u8>>());
            return ETag::new(&format!("{}-{n}", hex::encode(md5(&all))));
        }
        ETag::new(&hex::encode(md5(body)))
    }

    /// By the server's clock.
    pub fn server_time(&self) -> Stamp {
        Stamp { sec: EPOCH + self.shelf.skew + self.now().as_secs() as i64, nsec: 0 }
    }

    /// An object comes, goes or changes: what was listed of it is known for a while.
    pub fn put_object(&mut self, key: &Key, object: Option<Object>) -> Option<Object> {
        let now = self.now();
        let had = match object {
            Some(object) => {
                self.shelf.arrived.insert(key.clone(), now);
                self.shelf.tags.insert((key.clone(), object.etag.clone()));
                self.shelf.objects.insert(key.clone(), object)
            }
            None => self.shelf.objects.remove(key),
        };
        let history = &mut self.shelf.history;
        history.push_back((now, key.clone(), had.as_ref().map(Object::listed)));
        while history.front().is_some_and(|(at, ..)| now - *at > LONGEST) {
            history.pop_front();
        }
        had
    }

    pub fn holds(&self, key: &Key, only: &Only, able: bool) -> Result<(), Fault> {
        let have = self.shelf.objects.get(key).map(|o| &o.etag);
        let fine = match only {
            _ if !able => true,
            Only::Always => true,
            Only::New => have.is_none(),
            Only::Match(etag) => have == Some(etag),
        };
        if fine { Ok(()) } else { Err(Fault::new(Class::Changed, "write", "412")) }
    }

    /// The object that a copy is of.
    pub fn source(&self, (from, etag): (&Key, &ETag)) -> Result<Object, Fault> {
        let source = self.shelf.objects.get(from).filter(|o| o.etag == *etag).cloned();
        source.ok_or_else(|| Fault::new(Class::Changed, "copy", "412"))
    }

    /// True if a policy denies what is about this key.
    pub fn denies(&mut self, key: &Key) -> bool {
        let denied = under(&self.shelf.denied, key);
        if denied {
            self.count("a key denied");
        }
        denied
    }

    /// What goes wrong with one key of a batch of deletes.
    pub fn oddity(&mut self, key: &Key) -> Option<Oddity> {
        if let Some(oddity) = self.shelf.oddities.get(key) {
            return Some(*oddity);
        }
        if self.strikes("a delete of a batch fails", 15) {
            let class = [Class::Throttled, Class::Transient, Class::Permanent][self.rng.usize(0..3)];
            return Some(Oddity::Fails(class));
        }
        let left_out = self.strikes("an answer leaves out a delete", 15);
        left_out.then(|| if self.rng.bool() { Oddity::Forgotten } else { Oddity::Untold })
    }
}

/// One operation on one key, until it is dropped: I7 is checked here.
pub struct Flight {
    world: Fake,
    key: Key,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.world.with(|w| w.shelf.in_flight.remove(&self.key));
    }
}

impl Fake {
    pub fn takes_off(&self, key: &Key) -> Flight {
        self.with(|w| {
            if !w.shelf.in_flight.insert(key.clone()) {
                w.broke(format!("I7: two operations on {key} at once"));
            }
        });
        Flight { world: self.clone(), key: key.clone() }
    }

    pub async fn request(&self, name: &'static str, one_in: u64) -> Result<(), Fault> {
        self.with(|w| *w.shelf.requests.entry(name).or_default() += 1);
        self.lag(20).await;
        if self.with(|w| w.shelf.down) {
            self.with(|w| w.count("store down"));
            return Err(Fault::new(Class::Transient, name, "connection refused"));
        }
        if self.with(|w| w.shelf.refuses) {
            self.with(|w| w.count("credentials refused"));
            let class = if name == "ListObjectsV2" { Class::Fatal } else { Class::Denied };
            return Err(Fault::new(class, name, "AccessDenied"));
        }
        if self.with(|w| w.shelf.expired) {
            self.with(|w| w.count("credentials expired"));
            return Err(Fault::new(Class::Fatal, name, "ExpiredToken"));
        }
        if self.with(|w| w.now() < w.shelf.storm && w.rng.u8(0..10) < 8) {
            self.with(|w| w.count("a storm of SlowDown"));
            return Err(Fault::new(Class::Throttled, name, "503 SlowDown"));
        }
        self.fault("429", one_in, Class::Throttled)?;
        self.fault("503", one_in, Class::Throttled)
    }

    /// As [`Fake::request`], if the key is not denied.
    pub async fn request_of(&self, name: &'static str, key: &Key, one_in: u64) -> Result<(), Fault> {
        self.request(name, one_in).await?;
        let looks = matches!(name, "HeadObject" | "GetObject");
        if self.with(|w| under(if looks { &w.shelf.mute } else { &w.shelf.broken }, key)) {
            return Err(Fault::new(Class::Transient, name, "InternalError"));
        }
        self.with(|w| match w.denies(key) || looks && under(&w.shelf.unread, key) {
            true => Err(Fault::new(Class::Denied, name, "AccessDenied: explicit deny")),
            false => Ok(()),
        })
    }

    /// The answer to what was done: it may get lost.
    pub async fn reply(&self, name: &'static str, one_in: u64) -> Result<(), Fault> {
        self.lag(10).await;
        match self.with(|w| w.shelf.deaf) {
            true => Err(Fault::new(Class::Transient, "wait for the reply", "connection reset")),
            false => self.fault(untold(name), one_in, Class::Transient),
        }
    }
}

/// The name of the fault that this was done and not told.
fn untold(name: &str) -> &'static str {
    match name {
        "PutObject" => "PutObject untold",
        "CopyObject" => "CopyObject untold",
        "CompleteMultipartUpload" => "CompleteMultipartUpload untold",
        "CreateMultipartUpload" => "CreateMultipartUpload untold",
        "AbortMultipartUpload" => "AbortMultipartUpload untold",
        "UploadPart" => "UploadPart untold",
        "UploadPartCopy" => "UploadPartCopy untold",
        "DeleteObject" => "DeleteObject untold",
        "DeleteObjects" => "DeleteObjects untold",
        other => panic!("{other} writes nothing"),
    }
}

pub fn under(prefixes: &BTreeSet<&'static str>, key: &Key) -> bool {
    prefixes.iter().any(|prefix| key.as_str().starts_with(prefix))
}
