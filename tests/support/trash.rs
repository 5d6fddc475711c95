//! The trash, as the law sees it: what is deleted or replaced is there before, and what is there goes only when it is old.

use super::{
    bucket::{Object, Oddity},
    law::JUST,
    world::{Fake, World},
};
use s3mirrord::model::{ETag, Extra, Fault, Key, Stamp};
use std::time::Duration;

impl World {
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
            extra: Extra::default(),
            modified: Stamp { sec, nsec: 0 },
            checksum: None,
        };
        self.put_object(&Key::raw(key), Some(object.clone()));
        object
    }

    /// An object is about to be replaced by one with these bytes, if there is one: is it in the trash?
    pub fn replaces(&mut self, key: &Key, body: &[u8]) {
        let late = self.shelf.late && !self.shelf.can.conditional_put;
        let stray = !self.shelf.can.conditional_put && (self.shelf.late || self.shelf.strays.contains(key));
        let old = self.shelf.objects.get(key).map(|o| o.body.clone()).filter(|old| old != body);
        // between the look and the PUT of a store without conditions
        let just = |at: &Duration| self.now() - *at <= JUST;
        let unseen = !self.shelf.can.conditional_put && self.shelf.arrived.get(key).is_some_and(just);
        if let Some(old) = old.filter(|_| self.shelf.trash.is_some() && !stray && !unseen)
            && !self.is_trashed(key, &old)
        {
            self.broke(format!("trash: {key} was replaced, and what it was is not there"));
        }
        match late {
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
        self.count("kept in the trash");
        self.log(format_args!("bucket: {of} is kept as {to}"));
        if !self.shelf.keeps_nothing {
            self.shelf.trashed.insert(to.clone(), of.clone());
            self.put_object(to, Some(object));
        }
    }

    /// An object goes from the trash: only one of ours, and old by the store's clock.
    pub fn untrash(&mut self, key: &Key, gone: &Object) {
        let age = self.server_time().sec - gone.modified.sec;
        let keep = self.shelf.trash.map_or(i64::MAX, |keep| keep.as_secs() as i64);
        if key.trashed_at().is_none() || age < keep {
            self.broke(format!("I4: {key} went from the trash, {age} s old"));
        }
    }

    /// An object of this key was deleted: what it was is in the trash.
    pub fn went(&mut self, key: &Key, gone: &Object) {
        if self.shelf.trash.is_some() && !self.is_trashed(key, &gone.body) {
            self.broke(format!("trash: {key} was deleted, and what it was is not there"));
        }
    }
}

impl Fake {
    /// Copies an object to the trash.
    pub async fn keep_object(&self, from: (&Key, &ETag), to: &Key, said: Option<&Key>) -> Result<(), Fault> {
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
            let (etag, modified) = (w.etag(&body, parts), w.server_time());
            w.trash(from.0, to, said, Object { body, etag, modified, ..source });
            Ok::<_, Fault>(())
        })?;
        self.reply("CopyObject", 12).await
    }
}
