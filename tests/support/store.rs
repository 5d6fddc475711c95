//! The fake of `Store`: honest, or with the faults and limits of stores that were seen.

use super::{
    bucket::{Oddity, Staged, sha256},
    parts::ANOTHERS,
    world::Fake,
};
use bytes::Bytes;
use s3mirrord::{
    model::{
        Begun, Capabilities, Class, Digest, ETag, Fault, Head, Key, KeyRange, MAX_KEY_BYTES, Only, Part,
        RemoteMeta, Source, Spec, Trashed, Upload,
    },
    store::{Answers, BATCH, Depth, Page, Start, Store},
};
use std::{sync::Arc, time::Duration};

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
        // what is listed is what was there when the request came in, though the answer takes its time
        let seen = self.with(|w| w.page(prefix, depth, &start));
        self.request("ListObjectsV2", 20).await?;
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.list_takes))).await;
        self.fault("listing truncated without a token", 60, Class::Transient)?;
        self.fault("listing repeats its token", 60, Class::Transient)?;
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
                mode: o.attributes.map(|a| a.mode),
                owner: o.attributes.map(|a| (a.uid, a.gid)),
                names: None,
                extra: o.extra.clone(),
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
        if self.with(|w| w.shelf.oddities.get(key) == Some(&Oddity::Panics)) {
            panic!("a bug, injected");
        }
        let _flight = self.takes_off(key);
        tokio::time::sleep(Duration::from_millis(self.with(|w| w.shelf.write_takes))).await;
        let able = self.with(|w| w.shelf.can.conditional_put);
        let remote = match staged {
            Staged::Small { key, body, spec } => {
                self.request_of("PutObject", &key, 20).await?;
                let late = self.with(|w| std::mem::take(&mut w.shelf.next_lands_late))
                    || self.strikes("a put lands late", 30);
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
                let remote = land()?;
                self.reply("PutObject", 12).await?;
                remote
            }
            Staged::Parts { key, id, parts } => {
                self.request_of("CompleteMultipartUpload", &key, 20).await?;
                self.fault("an error inside a 200", 25, Class::Transient)?;
                let remote = self.with(|w| {
                    let (body, spec) = w.complete_upload(&id, &parts)?;
                    w.holds(&key, &only, able)?;
                    Ok(w.shelve(&key, body, true, Some(&spec)))
                })?;
                self.reply("CompleteMultipartUpload", 12).await?;
                remote
            }
        };
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
        self.fault("an error inside a 200", 25, Class::Transient)?;
        let remote = self.with(|w| {
            let source = w.source(from)?;
            if source.body.len() as u64 > w.shelf.one_copy {
                return Err(Fault::new(Class::Permanent, "copy", "too large for one request"));
            }
            let able = w.shelf.can.conditional_put;
            w.holds(to, &only, able)?;
            Ok::<_, Fault>(w.shelve(to, source.body, false, Some(spec)))
        })?;
        self.reply("CopyObject", 12).await?;
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

    async fn keep(&self, from: (&Key, &ETag), to: &Trashed) -> Result<(), Fault> {
        let _flight = self.takes_off(&to.key);
        self.keep_object(from, &to.key, to.said.as_ref()).await
    }

    fn clock(&self) -> Option<i64> {
        Some(self.with(|w| w.server_time().sec))
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
        match self.with(|w| w.shelf.can.conditional_delete) {
            true => self.with(|w| w.remove_object(key, Some(etag)))?,
            // by the rules of the real one: a HEAD, and then a DELETE of whatever is there
            false => {
                let have = self.with(|w| w.shelf.objects.get(key).map(|o| o.etag.clone()));
                if have.is_some_and(|have| have != *etag) {
                    return Err(Fault::new(Class::Changed, "delete", "its tag is another"));
                }
                self.request_of("DeleteObject", key, 12).await?;
                self.with(|w| w.count("no conditions on DELETE"));
                self.with(|w| w.remove_object(key, None))?;
            }
        }
        self.reply("DeleteObject", 12).await?;
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
                    let _refused = me.with(|w| w.remove_object(&key, Some(&etag)));
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
                Some(Oddity::Forgotten | Oddity::Poison | Oddity::Sealed | Oddity::Panics) => {}
                Some(Oddity::Untold) => drop(w.remove_object(key, Some(etag))),
                Some(Oddity::Uncopied(_)) | None => {
                    drop(answers.insert(key.clone(), w.remove_object(key, Some(etag))))
                }
            });
        }
        if let Err(fault) = self.reply("DeleteObjects", 12).await {
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

    async fn digest(&self, key: &Key, etag: &ETag, part_size: Option<u64>) -> Result<[u8; 32], Fault> {
        self.request_of("GetObject", key, 20).await?;
        let body = self.with(|w| w.shelf.objects.get(key).map(|o| (o.etag.clone(), o.body.clone())));
        let missing = || Fault::new(Class::Missing, "get", "404");
        let (found, body) = body.ok_or_else(missing)?;
        if found != *etag {
            return Err(Fault::new(Class::Changed, "get", "412"));
        }
        Ok(match part_size {
            None => sha256(&body),
            Some(size) => sha256(&body.chunks(size as usize).flat_map(sha256).collect::<Vec<u8>>()),
        })
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
        self.reply("PutObject", 12).await?;
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
        Ok(self.with(|w| {
            if let (Some(root), Some(binding)) = (w.shelf.accepts.take(), &mut w.book.binding) {
                binding.root = root;
            }
            w.shelf.can
        }))
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
            // clocks that are a year apart make any upload one that was begun since
            if upload.id == ANOTHERS && !w.apart {
                w.broke("I4: another's upload was ended");
            }
            w.shelf.uploads.remove(&upload.id);
        });
        self.reply("AbortMultipartUpload", 12).await
    }
}
