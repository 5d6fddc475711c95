//! Uploads in parts as the fake keeps them, across every crash, until they are objects.

use super::{
    bucket::{Object, Staged, md5, sha256},
    world::{Fake, World},
};
use s3mirrord::model::{
    Attributes, Begun, Class, Digest, ETag, Fault, Key, Part, Source, Spec, Stamp, Upload,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// An upload that is open.
#[derive(Clone, Debug)]
pub struct Open {
    pub key: Key,
    pub at: Stamp,
    /// What was said of the object when it was created.
    pub spec: Spec,
    pub parts: BTreeMap<u32, Held>,
}

/// A part that arrived.
#[derive(Clone, Debug)]
pub struct Held {
    pub body: Vec<u8>,
    pub etag: ETag,
}

/// How uploads in parts go.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// How long a part takes, in milliseconds.
    pub part_takes: u64,
    /// So many parts arrive, and then none.
    pub parts_left: Option<u32>,
    /// Parts are not listed for us.
    pub parts_refused: bool,
    /// Asking for parts fails.
    pub parts_untold: bool,
    /// No object ever comes of this upload.
    pub spoilt: Option<String>,
    /// Said of every object that goes up in parts, as by a configuration.
    pub words: &'static str,
}

impl World {
    /// Somebody creates an upload; `at` by the server's clock.
    pub fn create_upload(&mut self, key: &Key, spec: &Spec, at: Stamp) -> String {
        self.shelf.serial += 1;
        let id = format!("upload {}", self.shelf.serial);
        let open = Open { key: key.clone(), at, spec: spec.clone(), parts: BTreeMap::new() };
        self.shelf.uploads.insert(id.clone(), open);
        self.log(format_args!("bucket: {id} of {key} is open"));
        id
    }

    /// A part arrives, or other bytes come to be in its place.
    pub fn put_part(&mut self, id: &str, number: u32, body: Vec<u8>) -> Result<ETag, Fault> {
        let etag = match self.shelf.random_etags {
            true => {
                self.shelf.serial += 1;
                ETag::new(&format!("{:032x}", u128::from(self.shelf.serial) << 64 | 0xdef))
            }
            false => ETag::new(&hex::encode(md5(&body))),
        };
        self.log(format_args!("bucket: part {number} of {id} is {etag:?}"));
        let Some(open) = self.shelf.uploads.get_mut(id) else {
            return Err(Fault::new(Class::Transient, "UploadPart", "NoSuchUpload"));
        };
        open.parts.insert(number, Held { body, etag: etag.clone() });
        Ok(etag)
    }

    /// The object of an upload, if it holds the parts named; it is gone then.
    pub fn complete_upload(&mut self, id: &str, named: &[(u32, ETag)]) -> Result<(Vec<u8>, Spec), Fault> {
        let fault = |cause| Fault::new(Class::Transient, "complete", cause);
        let Some(open) = self.shelf.uploads.get(id) else { return Err(fault("NoSuchUpload")) };
        if self.shelf.weather.spoilt.as_deref() == Some(id) {
            return Err(fault("InternalError"));
        }
        let mut body = vec![];
        for (number, etag) in named {
            let part = open.parts.get(number).filter(|part| part.etag == *etag);
            body.extend_from_slice(&part.ok_or_else(|| fault("InvalidPart"))?.body);
        }
        let spec = open.spec.clone();
        self.shelf.uploads.remove(id);
        Ok((body, spec))
    }

    /// Time and bad luck come over what is open.
    pub fn spoil_uploads(&mut self) {
        let ids: Vec<String> = self.shelf.uploads.keys().filter(|id| *id != ANOTHERS).cloned().collect();
        for id in ids {
            if self.strikes("an upload expires", 6) {
                self.shelf.uploads.remove(&id);
                continue;
            }
            let held = self.shelf.uploads[&id].parts.clone();
            for (number, Held { mut body, .. }) in held {
                if self.strikes("a part is damaged", 4) {
                    match self.rng.bool() {
                        true => body[0] ^= 1,
                        false => drop(body.pop()),
                    }
                    self.put_part(&id, number, body).expect("it is open");
                }
            }
        }
    }
}

/// The id of an upload that is not ours.
pub const ANOTHERS: &str = "another's";

impl Fake {
    pub async fn begin_upload(&self, key: &Key, spec: &Spec) -> Result<String, Fault> {
        self.request_of("CreateMultipartUpload", key, 20).await?;
        let id = self.with(|w| {
            let at = w.server_time();
            w.create_upload(key, spec, at)
        });
        self.reply("CreateMultipartUpload", 20).await?;
        Ok(id)
    }

    pub async fn begin_copy(&self, from: (&Key, &ETag), to: &Key, spec: &Spec) -> Result<String, Fault> {
        self.request("HeadObject", 20).await?;
        self.with(|w| w.source(from).map(|_| ()))?;
        self.begin_upload(to, spec).await
    }

    /// Copies all parts; whatever goes wrong, the upload is ended.
    pub async fn copy_parts(
        &self,
        upload: Upload,
        from: (&Key, &ETag),
        spec: &Spec,
    ) -> Result<Staged, Fault> {
        let Upload { key, id, .. } = upload;
        match self.copy_each(&id, from, spec).await {
            Ok(parts) => {
                self.with(|w| w.stormy.then(|| *w.faults.entry("a copy in parts").or_default() += 1));
                Ok(Staged::Parts { key, id, parts })
            }
            Err(fault) => {
                // as well as that goes
                if self.request("AbortMultipartUpload", 20).await.is_ok() {
                    self.with(|w| w.shelf.uploads.remove(&id));
                }
                Err(fault)
            }
        }
    }

    /// Copies to the trash by parts; whatever goes wrong, the upload may be left open.
    pub async fn keep_in_parts(&self, from: (&Key, &ETag), to: &Key, source: &Object) -> Result<(), Fault> {
        let spec = Spec {
            size: source.body.len() as u64,
            mtime: Stamp::default(),
            attributes: Attributes { mode: 0, uid: 0, gid: 0 },
            names: None,
            keep: Default::default(),
            extra: Default::default(),
            own: String::new(),
            sha256: None,
            part_size: source.part_size,
        };
        let id = self.begin_upload(to, &spec).await?;
        let parts = self.copy_each(&id, from, &spec).await?;
        self.request("CompleteMultipartUpload", 20).await?;
        let (body, _) = self.with(|w| w.complete_upload(&id, &parts))?;
        assert_eq!(body, source.body);
        self.with(|w| *w.faults.entry("kept in the trash by parts").or_default() += 1);
        Ok(())
    }

    async fn copy_each(&self, id: &str, from: (&Key, &ETag), spec: &Spec) -> Result<Vec<(u32, ETag)>, Fault> {
        let part_size = self.with(|w| w.shelf.part);
        let mut parts = vec![];
        for (at, number) in (0..spec.size).step_by(part_size as usize).zip(1..) {
            let range = at as usize..(at + part_size).min(spec.size) as usize;
            parts.push((number, self.copy_part(id, number, from, range).await?));
        }
        // by the rules of the real one
        let told = self.with(|w| {
            let open = w.shelf.uploads.get(id).filter(|_| w.shelf.checksums)?;
            Some(sha256(&open.parts.values().flat_map(|part| sha256(&part.body)).collect::<Vec<u8>>()))
        });
        let want = spec.sha256.filter(|_| spec.part_size == Some(part_size));
        match told.zip(want).is_none_or(|(told, want)| told == want) {
            true => Ok(parts),
            false => Err(Fault::new(Class::Permanent, "copy", "it holds other bytes")),
        }
    }

    async fn copy_part(
        &self,
        id: &str,
        number: u32,
        from: (&Key, &ETag),
        range: std::ops::Range<usize>,
    ) -> Result<ETag, Fault> {
        self.request("UploadPartCopy", 20).await?;
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.weather.part_takes))).await;
        let etag = self.with(|w| {
            let body = w.source(from)?.body;
            let body = body.get(range).ok_or_else(|| Fault::new(Class::Permanent, "copy", "416"))?;
            w.put_part(id, number, body.to_vec())
        })?;
        self.reply("UploadPartCopy", 12).await?;
        Ok(etag)
    }

    /// Sends what the upload lacks; it stays open after what may pass, and after what is the mirror's.
    pub async fn fill_upload<F: Source>(
        &self,
        begun: Begun,
        file: &F,
        spec: &Spec,
    ) -> Result<(Staged, Digest), Fault> {
        let Upload { key, id, .. } = begun.upload;
        match self.send_parts(&id, begun.parts, file, spec.size).await {
            Ok((parts, digest)) => Ok((Staged::Parts { key, id, parts }, digest)),
            Err(fault) => {
                if matches!(fault.class, Class::Changed | Class::Missing | Class::Permanent) {
                    self.with(|w| w.shelf.uploads.remove(&id));
                }
                Err(fault)
            }
        }
    }

    async fn send_parts<F: Source>(
        &self,
        id: &str,
        kept: Vec<Part>,
        file: &F,
        size: u64,
    ) -> Result<(Vec<(u32, ETag)>, Digest), Fault> {
        let part_size = self.with(|w| w.shelf.part);
        let (mut parts, mut digests) = (vec![], vec![]);
        for (at, number) in (0..size).step_by(part_size as usize).zip(1..) {
            let body = read(file, at, part_size.min(size - at)).await?;
            digests.extend(sha256(&body));
            let kept = kept.iter().find(|part| part.number == number);
            let etag = match kept.filter(|part| self.with(|w| w.is_same(part, &body))) {
                Some(part) => part.etag.clone(),
                None => {
                    file.sent(body.len() as u64);
                    self.send_part(id, number, body).await?
                }
            };
            parts.push((number, etag));
        }
        Ok((parts, Digest { sha256: sha256(&digests), part_size: Some(part_size) }))
    }

    async fn send_part(&self, id: &str, number: u32, body: Vec<u8>) -> Result<ETag, Fault> {
        self.request("UploadPart", 20).await?;
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.weather.part_takes))).await;
        let etag = self.with(|w| {
            if w.shelf.weather.parts_left == Some(0) {
                return Err(Fault::new(Class::Transient, "UploadPart", "connection reset"));
            }
            w.shelf.weather.parts_left = w.shelf.weather.parts_left.map(|left| left - 1);
            w.put_part(id, number, body)
        })?;
        self.reply("UploadPart", 40).await?;
        Ok(etag)
    }

    pub async fn list_parts(&self, upload: &Upload) -> Result<Option<Vec<Part>>, Fault> {
        self.request("ListParts", 20).await?;
        if self.with(|w| w.shelf.weather.parts_refused) {
            self.with(|w| *w.faults.entry("parts are not listed").or_default() += 1);
            return Err(Fault::new(Class::Denied, "ListParts", "AccessDenied"));
        }
        if self.with(|w| w.shelf.weather.parts_untold) {
            return Err(Fault::new(Class::Transient, "ListParts", "InternalError"));
        }
        Ok(self.with(|w| {
            let open = w.shelf.uploads.get(&upload.id)?;
            let part = |(number, held): (&u32, &Held)| Part {
                number: *number,
                size: held.body.len() as u64,
                etag: held.etag.clone(),
                sha256: w.shelf.checksums.then(|| sha256(&held.body)),
            };
            Some(open.parts.iter().map(part).collect())
        }))
    }

    /// The ids of what is open, but for [`ANOTHERS`].
    pub fn open_uploads(&self) -> BTreeSet<String> {
        self.with(|w| w.shelf.uploads.keys().filter(|id| *id != ANOTHERS).cloned().collect())
    }
}

impl World {
    /// By the rules of the real one.
    fn is_same(&mut self, part: &Part, body: &[u8]) -> bool {
        let same = part.size == body.len() as u64
            && match part.sha256.filter(|_| self.shelf.can.verifies_sha256) {
                Some(digest) => digest == sha256(body),
                None => self.shelf.can.etag_is_md5 && part.etag.to_string() == hex::encode(md5(body)),
            };
        if same && self.stormy {
            *self.faults.entry("a part is not sent again").or_default() += 1;
        }
        same
    }
}

async fn read<F: Source>(file: &F, at: u64, len: u64) -> Result<Vec<u8>, Fault> {
    let mut body = vec![];
    while (body.len() as u64) < len {
        let bytes = file.read_at(at + body.len() as u64, len as usize - body.len()).await?;
        if bytes.is_empty() {
            return Err(Fault::new(Class::Changed, "read", "it is shorter now"));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}
