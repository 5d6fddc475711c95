//! The fake of `Store`: honest, or with the faults and limits of stores that were seen.

use super::{
    parts::{ANOTHERS, Open, Weather},
    world::{Fake, World},
};
use bytes::Bytes;
use md5::Md5;
use s3mirrord::{
    model::{
        Attributes, Begun, Capabilities, Checksum, Class, Condemned, Digest, ETag, Fault, Head, Key,
        KeyRange, MAX_KEY_BYTES, Only, Part, RemoteMeta, Source, Spec, Stamp, Upload,
    },
    store::{Answers, BATCH, Depth, Page, Start, Store},
};
use sha2::Sha256;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Objects of a page.
const PAGE: usize = 7;

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub body: Vec<u8>,
    pub etag: ETag,
    pub own: Option<String>,
    pub sha256: Option<[u8; 32]>,
    pub part_size: Option<u64>,
    pub mtime: Option<Stamp>,
    pub attributes: Option<Attributes>,
    /// By the server's clock, which does not jump.
    pub modified: Stamp,
    /// What the server computed.
    pub checksum: Option<Checksum>,
}

impl Object {
    fn listed(&self) -> RemoteMeta {
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
    pub random_etags: bool,
    /// It keeps checksums, and tells them.
    pub checksums: bool,
    /// HEAD tells that the ETags are no digests.
    pub encrypted: bool,
    pub unsorted: bool,
    pub down: bool,
    /// Nothing is allowed.
    pub refuses: bool,
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
    /// A request lands whose sender gave up on it.
    pub late: bool,
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
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            weather: Weather::default(),
            can: Capabilities {
                conditional_put: true,
                conditional_delete: true,
                conditional_batch: Some(true),
                verifies_sha256: true,
                verifies_crc64: true,
                verifies_md5: true,
                etag_is_md5: true,
            },
            random_etags: false,
            checksums: true,
            encrypted: false,
            unsorted: false,
            down: false,
            refuses: false,
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
            late: false,
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
    fn etag(&mut self, body: &[u8], parts: bool) -> ETag {
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

    fn holds(&self, key: &Key, only: &Only, able: bool) -> Result<(), Fault> {
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

    /// An object becomes visible: I3 and I4 are checked here.
    fn shelve(&mut self, key: &Key, body: Vec<u8>, parts: bool, spec: Option<&Spec>) -> RemoteMeta {
        let etag = self.etag(&body, parts);
        if let Some(path) = key.path() {
            let past = self.disk.past.get(&path).cloned();
            if !past.as_ref().is_some_and(|past| past.contains(&body)) {
                self.broke(format!("I3: {key} became something its file never was"));
            }
            if self.shelf.foreign.get(key).is_some_and(|f| self.shelf.objects.get(key) == Some(f))
                && past.is_none()
            {
                self.broke(format!("I4: {key} is foreign, has no file, and was replaced"));
            }
            if self.another_root() && !self.shelf.late && self.shelf.objects.contains_key(key) {
                self.broke(format!("I2: {key} was replaced under another root"));
            }
            self.replaces(key, &body);
        } else if !key.is_reserved() {
            self.broke(format!("I4: {key} was written, though no file can have it"));
        }
        match self.shelf.late && self.shelf.objects.get(key).is_some_and(|o| o.etag == etag) {
            true => self.shelf.put_back.insert(key.clone()),
            false => self.shelf.put_back.remove(key),
        };
        let composite = || body.chunks(self.shelf.part as usize).flat_map(sha256).collect::<Vec<u8>>();
        let checksum = match parts {
            true => Checksum::Sha256OfParts(sha256(&composite())),
            false => Checksum::Sha256(sha256(&body)),
        };
        let modified = Stamp { sec: 1_700_000_000 + self.now().as_secs() as i64, nsec: 0 };
        let object = Object {
            modified,
            checksum: self.shelf.checksums.then_some(checksum),
            etag: etag.clone(),
            own: spec.map(|s| s.own.clone()),
            sha256: spec.and_then(|s| s.sha256).or((!parts && spec.is_some()).then(|| sha256(&body))),
            part_size: spec.and_then(|s| s.part_size).or(parts.then_some(self.shelf.part)),
            mtime: spec.map(|s| s.mtime),
            attributes: spec.map(|s| s.attributes),
            body,
        };
        // nobody is told of what lands late
        if !self.shelf.late {
            self.shelf.confirmed.remove(key);
        }
        self.shelf.tags.insert((key.clone(), etag.clone()));
        self.log(format_args!("bucket: {key} is {etag:?} with {:?}", object.attributes.map(|a| a.mode)));
        let size = object.body.len() as u64;
        self.shelf.objects.insert(key.clone(), object);
        RemoteMeta { size, etag, modified: None }
    }

    /// Another tool writes an object, at this time by the server's clock.
    pub fn plant(&mut self, key: &str, sec: i64) -> Object {
        let object = Object {
            body: key.as_bytes().to_vec(),
            etag: ETag::new(&format!("foreign {key}")),
            own: None,
            sha256: None,
            part_size: None,
            mtime: None,
            attributes: None,
            modified: Stamp { sec, nsec: 0 },
            checksum: None,
        };
        self.shelf.objects.insert(Key::raw(key), object.clone());
        object
    }

    /// An object is about to be replaced by one with these bytes, if there is one: is it in the trash?
    fn replaces(&mut self, key: &Key, body: &[u8]) {
        let stray = !self.shelf.can.conditional_put && (self.shelf.late || self.shelf.strays.contains(key));
        let old = self.shelf.objects.get(key).map(|o| o.body.clone()).filter(|old| old != body);
        if let Some(old) = old.filter(|_| self.shelf.trash.is_some() && !stray)
            && !self.is_trashed(key, &old)
        {
            self.broke(format!("trash: {key} was replaced, and what it was is not there"));
        }
        match self.shelf.late && !self.shelf.can.conditional_put {
            true => self.shelf.strays.insert(key.clone()),
            false => self.shelf.strays.remove(key),
        };
    }

    /// True if the trash holds these bytes as those of `key`.
    pub fn is_trashed(&self, key: &Key, body: &[u8]) -> bool {
        let is =
            |(at, of): (&Key, &Key)| of == key && self.shelf.objects.get(at).is_some_and(|o| o.body == body);
        self.shelf.trashed.iter().any(is)
    }

    /// An object arrives in the trash.
    fn trash(&mut self, of: &Key, to: &Key, said: Option<&Key>, object: Object) {
        let name = to.trash_name().and_then(|name| name.split_once('/')).map(|(_, rest)| rest);
        let plain = name.is_some_and(|rest| rest.len() > 25 && rest[..rest.len() - 25] == *of.as_str());
        if to.trashed_at().is_none() || !plain && said != Some(of) {
            self.broke(format!("trash: {to} does not say that it was {of}, or when"));
        }
        if self.shelf.objects.get(to).is_some_and(|there| there.body != object.body) {
            self.broke(format!("trash: {to} was overwritten"));
        }
        *self.faults.entry("kept in the trash").or_default() += 1;
        self.log(format_args!("bucket: {of} is kept as {to}"));
        if !self.shelf.keeps_nothing {
            self.shelf.trashed.insert(to.clone(), of.clone());
            self.shelf.objects.insert(to.clone(), object);
        }
    }

    /// An object goes from the trash: only one of ours, and old by the store's clock.
    fn untrash(&mut self, key: &Key, gone: &Object) {
        let age = 1_700_000_000 + self.now().as_secs() as i64 - gone.modified.sec;
        let keep = self.shelf.trash.map_or(i64::MAX, |keep| keep.as_secs() as i64);
        if key.trashed_at().is_none() || age < keep {
            self.broke(format!("I4: {key} went from the trash, {age} s old"));
        }
    }

    /// An object goes: I2 and I4 are checked here.
    fn unshelve(&mut self, key: &Key) {
        let (now, grace) = (self.now(), self.shelf.grace);
        let Some(gone) = self.shelf.objects.remove(key) else { return };
        self.log(format_args!("bucket: {key} is gone"));
        if key.trash_name().is_some() {
            return self.untrash(key, &gone);
        }
        let Some(path) = key.path() else {
            if !key.is_reserved() {
                self.broke(format!("I4: {key} was deleted, though no file can have it"));
            }
            return;
        };
        if self.shelf.foreign.get(key) == Some(&gone)
            && !self.disk.past.get(&path).is_some_and(|p| p.contains(&gone.body))
        {
            self.broke(format!("I4: {key} is foreign and was deleted"));
        }
        // a request that takes effect long after its sender gave up was right when it was sent
        if self.shelf.late {
            return;
        }
        let just = Duration::from_millis(300);
        let there = self.disk.files.contains_key(&path) || self.disk.links.contains(&path);
        if there && self.disk.appeared.get(&path).is_some_and(|at| now - *at > just) {
            self.broke(format!("I2: {key} was deleted, but its file is there"));
        }
        match self.disk.found_absent.get(&path).map(|at| now - *at) {
            Some(ago) if ago >= grace => {}
            ago => self.broke(format!("I2: {key} was deleted, first found absent {ago:?} ago")),
        }
        if self.another_root() {
            self.broke(format!("I2: {key} was deleted under another root"));
        }
        let moved = self.book.condemned.values().any(|row| row.key == *key && row.moved);
        let elsewhere = || self.shelf.objects.values().any(|o| o.body == gone.body);
        if self.shelf.trash.is_some() && !self.is_trashed(key, &gone.body) && !(moved && elsewhere()) {
            self.broke(format!("trash: {key} was deleted, and what it was is not there"));
        }
    }

    /// Deletes an object that has this tag.
    fn remove_object(&mut self, key: &Key, etag: &ETag) -> Result<(), Fault> {
        match self.shelf.objects.get(key) {
            Some(o) if o.etag != *etag => return Err(Fault::new(Class::Changed, "delete", "412")),
            Some(_) => {
                self.spend(key);
                self.unshelve(key);
            }
            None => {}
        }
        Ok(())
    }

    /// True if a policy denies what is about this key.
    fn denies(&mut self, key: &Key) -> bool {
        let denied = under(&self.shelf.denied, key);
        if denied {
            *self.faults.entry("a key denied").or_default() += 1;
        }
        denied
    }

    /// What goes wrong with one key of a batch of deletes.
    fn oddity(&mut self, key: &Key) -> Option<Oddity> {
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

    /// I2 is checked here, before an object goes: what the budget's window holds already, what is gone and not yet
    /// written down, and this one.
    fn spend(&mut self, key: &Key) {
        let Some((most, window)) = self.shelf.budget.filter(|_| !self.shelf.late) else { return };
        let costs = |row: &&Condemned| !row.approved && !row.moved;
        let rows = self.book.condemned.values().filter(costs);
        let (this, others): (Vec<_>, Vec<_>) = rows.partition(|row| row.key == *key);
        let unwritten = others.iter().filter(|row| !self.shelf.objects.contains_key(&row.key)).count() as u64;
        let since = self.wall + self.now().as_secs() as i64 - window;
        let (done, _) = self.book.window(since.div_euclid(60));
        if !this.is_empty() && done + unwritten + 1 > most {
            self.broke(format!("I2: {key} was deleted after {done} and {unwritten} others, of {most}"));
        }
    }
}

/// One operation on one key, until it is dropped: I7 is checked here.
struct Flight {
    world: Fake,
    key: Key,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.world.with(|w| w.shelf.in_flight.remove(&self.key));
    }
}

impl Fake {
    fn takes_off(&self, key: &Key) -> Flight {
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
            self.with(|w| *w.faults.entry("store down").or_default() += 1);
            return Err(Fault::new(Class::Transient, name, "connection refused"));
        }
        if self.with(|w| w.shelf.refuses) {
            self.with(|w| *w.faults.entry("credentials refused").or_default() += 1);
            let class = if name == "ListObjectsV2" { Class::Fatal } else { Class::Denied };
            return Err(Fault::new(class, name, "AccessDenied"));
        }
        self.fault("503", one_in, Class::Throttled)
    }

    /// As [`Fake::request`], if the key is not denied.
    pub async fn request_of(&self, name: &'static str, key: &Key, one_in: u64) -> Result<(), Fault> {
        self.request(name, one_in).await?;
        let looks = matches!(name, "HeadObject" | "GetObject");
        self.with(|w| match w.denies(key) || looks && under(&w.shelf.unread, key) {
            true => Err(Fault::new(Class::Denied, name, "AccessDenied: explicit deny")),
            false => Ok(()),
        })
    }

    pub async fn reply(&self, one_in: u64) -> Result<(), Fault> {
        self.lag(10).await;
        match self.with(|w| w.shelf.deaf) {
            true => Err(Fault::new(Class::Transient, "wait for the reply", "connection reset")),
            false => self.fault("reply lost after the effect", one_in, Class::Transient),
        }
    }
}

impl Store for Fake {
    type Staged = Staged;

    fn place(&self) -> String {
        "fake".into()
    }

    fn know(&self, _: Capabilities) {}

    fn part_size(&self, size: u64) -> Option<u64> {
        self.with(|w| (size > w.shelf.single).then_some(w.shelf.part))
    }

    fn terms(&self, key: &Key, spec: &Spec) -> [u8; 32] {
        let (part, words) = self.with(|w| (w.shelf.part, w.shelf.weather.words));
        sha256(format!("{key} {spec:?} {part} {words}").as_bytes())
    }

    async fn list(&self, prefix: &Key, depth: Depth, start: Start) -> Result<Page, Fault> {
        let (after, token) = match start {
            Start::First => (None, None),
            Start::After(key) => (Some(key), None),
            Start::Token(token) => (None, Some(token)),
        };
        // what is listed is what was there when the request came in, though the answer takes its time
        let seen = self.with(|w| {
            let under = |k: &&Key| {
                k.as_str().starts_with(prefix.as_str())
                    && token.as_ref().is_none_or(|t| k.as_str() > t.as_str())
                    && after.as_ref().is_none_or(|after| *k > after)
            };
            let mut page = Page::default();
            let mut last: Option<Key> = None;
            // the trash is not below the prefix
            let here = |k: &&Key| k.trash_name().is_some() == prefix.trash_name().is_some();
            for key in w.shelf.objects.keys().filter(here).filter(under) {
                let rest = &key.as_str()[prefix.as_str().len()..];
                let sub = rest.find('/').filter(|_| depth == Depth::Children);
                let sub = sub.map(|at| Key::raw(&key.as_str()[..prefix.as_str().len() + at + 1]));
                if sub.is_some() && page.directories.last() == sub.as_ref() {
                    last = Some(key.clone());
                    continue;
                }
                if page.objects.len() + page.directories.len() == PAGE {
                    page.next = last.map(|k| k.as_str().to_owned());
                    break;
                }
                last = Some(key.clone());
                match sub {
                    // a directory that the page before ended in is not named again
                    Some(sub) if token.as_ref().is_some_and(|t| t.starts_with(sub.as_str())) => {}
                    Some(sub) => page.directories.push(sub),
                    None => {
                        let o = &w.shelf.objects[key];
                        let meta = o.listed();
                        page.objects.push((key.clone(), meta));
                    }
                }
            }
            if w.strikes("listing omits a key", 25) && !page.objects.is_empty() {
                let n = w.rng.usize(0..page.objects.len());
                page.objects.remove(n);
            }
            if w.shelf.unsorted && page.objects.len() > 1 {
                page.objects.reverse();
                *w.faults.entry("unsorted listing").or_default() += 1;
            }
            page
        });
        self.request("ListObjectsV2", 20).await?;
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.list_takes))).await;
        self.fault("listing truncated without a token", 60, Class::Transient)?;
        Ok(seen)
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, Fault> {
        self.request_of("HeadObject", key, 20).await?;
        if self.with(|w| w.shelf.oddities.get(key) == Some(&Oddity::Sealed)) {
            return Err(Fault::new(Class::Permanent, "HeadObject", "400"));
        }
        Ok(self.with(|w| {
            w.shelf.objects.get(key).map(|o| Head {
                meta: o.listed(),
                own: o.own.clone(),
                sha256: o.sha256,
                part_size: o.part_size,
                checksum: o.checksum,
                opaque: w.shelf.encrypted,
                mtime: o.mtime,
                attributes: o.attributes,
            })
        }))
    }

    async fn stage<F: Source>(
        &self,
        key: &Key,
        file: &Arc<F>,
        spec: &Spec,
    ) -> Result<(Staged, Digest), Fault> {
        if key.as_str().len() > MAX_KEY_BYTES {
            return Err(Fault::new(Class::Permanent, format!("put {key}"), "its key is too long"));
        }
        let mut body = vec![];
        while (body.len() as u64) < spec.size {
            let bytes = file.read_at(body.len() as u64, spec.size as usize - body.len()).await?;
            if bytes.is_empty() {
                return Err(Fault::new(Class::Changed, "read", "it is shorter now"));
            }
            body.extend_from_slice(&bytes);
        }
        file.sent(spec.size);
        let digest = Digest { sha256: sha256(&body), part_size: None };
        Ok((Staged::Small { key: key.clone(), body, spec: spec.clone() }, digest))
    }

    async fn create(&self, key: &Key, spec: &Spec) -> Result<Upload, Fault> {
        let id = self.begin_upload(key, spec).await?;
        Ok(Upload { key: key.clone(), id, initiated: None })
    }

    async fn fill<F: Source>(
        &self,
        begun: Begun,
        file: &Arc<F>,
        spec: &Spec,
    ) -> Result<(Staged, Digest), Fault> {
        self.fill_upload(begun, &**file, spec).await
    }

    async fn commit(&self, staged: Staged, only: Only) -> Result<RemoteMeta, Fault> {
        if self.with(|w| w.shelf.lies) {
            let body = match staged {
                Staged::Small { body, .. } => body,
                Staged::Parts { id, parts, .. } => self.with(|w| w.complete_upload(&id, &parts))?.0,
            };
            let etag = self.with(|w| w.etag(&body, false));
            return Ok(RemoteMeta { size: body.len() as u64, etag, modified: None });
        }
        let (Staged::Small { key, .. } | Staged::Parts { key, .. }) = &staged;
        let _flight = self.takes_off(key);
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.write_takes))).await;
        let able = self.with(|w| w.shelf.can.conditional_put);
        let remote = match staged {
            Staged::Small { key, body, spec } => {
                self.request_of("PutObject", &key, 20).await?;
                let late = self.strikes("a put lands late", 30);
                let world = self.clone();
                let land = move || {
                    world.with(|w| {
                        w.holds(&key, &only, able)?;
                        Ok::<_, Fault>(w.shelve(&key, body, false, Some(&spec)))
                    })
                };
                if late {
                    // case 74: the client gave up, the request did not
                    let me = self.clone();
                    tokio::spawn(async move {
                        me.lag(5000).await;
                        me.with(|w| w.shelf.late = true);
                        let _refused = land();
                        me.with(|w| w.shelf.late = false);
                    });
                    return Err(Fault::new(Class::Transient, "PutObject", "timeout"));
                }
                land()?
            }
            Staged::Parts { key, id, parts } => {
                self.request_of("CompleteMultipartUpload", &key, 20).await?;
                self.fault("an error inside a 200", 25, Class::Transient)?;
                self.with(|w| {
                    let (body, spec) = w.complete_upload(&id, &parts)?;
                    w.holds(&key, &only, able)?;
                    Ok(w.shelve(&key, body, true, Some(&spec)))
                })?
            }
        };
        self.reply(12).await?;
        Ok(remote)
    }

    async fn copy(
        &self,
        from: (&Key, &ETag),
        to: &Key,
        spec: &Spec,
        only: Only,
    ) -> Result<RemoteMeta, Fault> {
        let _flight = self.takes_off(to);
        self.request_of("CopyObject", to, 20).await?;
        let remote = self.with(|w| {
            let source = w.source(from)?;
            if source.body.len() as u64 > w.shelf.one_copy {
                return Err(Fault::new(Class::Permanent, "copy", "too large for one request"));
            }
            let able = w.shelf.can.conditional_put;
            w.holds(to, &only, able)?;
            Ok::<_, Fault>(w.shelve(to, source.body, false, Some(spec)))
        })?;
        self.reply(12).await?;
        Ok(remote)
    }

    fn copy_part_size(&self, spec: &Spec) -> Option<u64> {
        self.with(|w| (spec.size > w.shelf.one_copy).then_some(w.shelf.part))
    }

    async fn create_copy(&self, from: (&Key, &ETag), to: &Key, spec: &Spec) -> Result<Upload, Fault> {
        let id = self.begin_copy(from, to, spec).await?;
        Ok(Upload { key: to.clone(), id, initiated: None })
    }

    async fn fill_copy(&self, upload: Upload, from: (&Key, &ETag), spec: &Spec) -> Result<Staged, Fault> {
        self.copy_parts(upload, from, spec).await
    }

    async fn keep(&self, from: (&Key, &ETag), to: &Key, said: Option<&Key>) -> Result<(), Fault> {
        let _flight = self.takes_off(to);
        self.request_of("HeadObject", from.0, 20).await?;
        let source = self.with(|w| w.source(from))?;
        self.request_of("CopyObject", from.0, 20).await?;
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.write_takes))).await;
        if let Some(Oddity::Uncopied(class)) = self.with(|w| w.shelf.oddities.get(from.0).copied()) {
            return Err(Fault::new(class, "CopyObject", "injected"));
        }
        let parts = source.body.len() as u64 > self.with(|w| w.shelf.one_copy);
        if parts {
            self.keep_in_parts(from, to, &source).await?;
        }
        self.with(|w| {
            let Object { body, .. } = w.source(from)?;
            let etag = w.etag(&body, parts);
            let modified = Stamp { sec: 1_700_000_000 + w.now().as_secs() as i64, nsec: 0 };
            w.trash(from.0, to, said, Object { body, etag, modified, ..source });
            Ok::<_, Fault>(())
        })?;
        self.reply(12).await
    }

    fn clock(&self) -> Option<i64> {
        Some(self.with(|w| 1_700_000_000 + w.now().as_secs() as i64))
    }

    async fn keeps_versions(&self) -> Result<bool, Fault> {
        self.request("GetBucketVersioning", 20).await?;
        Ok(false)
    }

    async fn delete(&self, key: &Key, etag: &ETag) -> Result<(), Fault> {
        let _flight = self.takes_off(key);
        self.request_of("DeleteObject", key, 12).await?;
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.write_takes))).await;
        match self.with(|w| w.shelf.oddities.get(key).copied()) {
            Some(Oddity::Poison) => {
                return Err(Fault::new(Class::Transient, "DeleteObject", "InternalError"));
            }
            Some(Oddity::Fails(class)) => return Err(Fault::new(class, "DeleteObject", "as in a batch")),
            _ => {}
        }
        self.with(|w| w.remove_object(key, etag))?;
        self.reply(12).await?;
        self.with(|w| w.shelf.confirmed.insert(key.clone()));
        Ok(())
    }

    fn batches(&self, key: &Key) -> bool {
        self.with(|w| w.shelf.can.conditional_batch == Some(true)) && !key.as_str().contains(char::is_control)
    }

    async fn delete_together(&self, objects: &[(Key, ETag)]) -> Answers {
        assert!(objects.len() <= BATCH && objects.iter().all(|(key, _)| self.batches(key)), "{objects:?}");
        let _flights: Vec<_> = objects.iter().map(|(key, _)| self.takes_off(key)).collect();
        let failed =
            |fault: Fault| objects.iter().map(|(key, _)| (key.clone(), Err(fault.clone()))).collect();
        if let Err(fault) = self.request("DeleteObjects", 12).await {
            return failed(fault);
        }
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.write_takes))).await;
        if self.strikes("a batch of deletes lands late", 12) {
            let (me, objects) = (self.clone(), objects.to_vec());
            tokio::spawn(async move {
                for (key, etag) in objects {
                    me.lag(1000).await;
                    me.with(|w| w.shelf.late = true);
                    let _refused = me.with(|w| w.remove_object(&key, &etag));
                    me.with(|w| w.shelf.late = false);
                }
            });
            return failed(Fault::new(Class::Transient, "DeleteObjects", "timeout"));
        }
        let poison = |key: &Key| self.with(|w| w.shelf.oddities.get(key) == Some(&Oddity::Poison));
        if objects.iter().any(|(key, _)| poison(key)) {
            return failed(Fault::new(Class::Transient, "DeleteObjects", "InternalError"));
        }
        let mut answers = Answers::new();
        for (key, etag) in objects {
            // one after the other
            self.lag(2).await;
            self.with(|w| match w.oddity(key) {
                _ if w.denies(key) => {
                    drop(answers.insert(key.clone(), Err(Fault::new(Class::Denied, "delete", "in a batch"))));
                }
                Some(Oddity::Fails(class)) => {
                    drop(answers.insert(key.clone(), Err(Fault::new(class, "delete", "in a batch"))));
                }
                Some(Oddity::Forgotten | Oddity::Poison | Oddity::Sealed) => {}
                Some(Oddity::Uncopied(_)) => drop(answers.insert(key.clone(), w.remove_object(key, etag))),
                Some(Oddity::Untold) => drop(w.remove_object(key, etag)),
                None => drop(answers.insert(key.clone(), w.remove_object(key, etag))),
            });
        }
        if let Err(fault) = self.reply(12).await {
            self.with(|w| *w.faults.entry("the answer to a batch of deletes lost").or_default() += 1);
            return failed(fault);
        }
        self.with(|w| {
            let done = answers.iter().filter(|(_, said)| said.is_ok()).map(|(key, _)| key.clone());
            w.shelf.confirmed.extend(done);
            // of another object, that was not to be deleted
            if w.strikes("an answer names what was not asked for", 15)
                && let Some(other) =
                    w.shelf.objects.keys().find(|key| !objects.iter().any(|(o, _)| o == *key))
            {
                answers.insert(other.clone(), Ok(()));
            }
        });
        answers
    }

    async fn read(&self, key: &Key) -> Result<Option<(Bytes, RemoteMeta)>, Fault> {
        self.request_of("GetObject", key, 20).await?;
        Ok(self.with(|w| w.shelf.objects.get(key).map(|o| (Bytes::from(o.body.clone()), o.listed()))))
    }

    async fn write(&self, key: &Key, body: Bytes, only: Only) -> Result<RemoteMeta, Fault> {
        self.request_of("PutObject", key, 20).await?;
        if self.with(|w| w.shelf.oddities.get(key) == Some(&Oddity::Poison)) {
            return Err(Fault::new(Class::Transient, "PutObject", "InternalError"));
        }
        let remote = self.with(|w| {
            let able = w.shelf.can.conditional_put;
            w.holds(key, &only, able)?;
            Ok::<_, Fault>(w.shelve(key, body.to_vec(), false, None))
        })?;
        self.reply(12).await?;
        match self.with(|w| w.shelf.oddities.get(key).copied()) {
            Some(Oddity::Untold) => Err(Fault::new(Class::Transient, "PutObject", "no answer")),
            _ => Ok(remote),
        }
    }

    async fn probe(&self, near: &Key) -> Result<Capabilities, Fault> {
        self.request_of("PutObject", near, 20).await?;
        if let Some(Oddity::Fails(class)) = self.with(|w| w.shelf.oddities.get(near).copied()) {
            return Err(Fault::new(class, "PutObject", "injected"));
        }
        Ok(self.with(|w| w.shelf.can))
    }

    async fn uploads(&self, range: &KeyRange) -> Result<Vec<Upload>, Fault> {
        self.request("ListMultipartUploads", 20).await?;
        Ok(self.with(|w| {
            let hit = w.shelf.uploads.iter().filter(|(_, open)| range.contains(&open.key));
            hit.map(|(id, open)| Upload { key: open.key.clone(), id: id.clone(), initiated: Some(open.at) })
                .collect()
        }))
    }

    async fn parts(&self, upload: &Upload) -> Result<Option<Vec<Part>>, Fault> {
        self.list_parts(upload).await
    }

    async fn abort(&self, upload: &Upload) -> Result<(), Fault> {
        self.request_of("AbortMultipartUpload", &upload.key, 20).await?;
        self.with(|w| {
            // a clock that leapt a year makes any upload one that was begun since
            if upload.id == ANOTHERS && !w.faults.contains_key("wall clock jumped") {
                w.broke("I4: another's upload was ended");
            }
            w.shelf.uploads.remove(&upload.id);
        });
        Ok(())
    }
}

fn under(prefixes: &BTreeSet<&'static str>, key: &Key) -> bool {
    prefixes.iter().any(|prefix| key.as_str().starts_with(prefix))
}
