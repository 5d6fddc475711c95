//! One object: fetched, proven, and given its place.

use super::{
    Ending, Live, Options,
    directories::Directory,
    named::Scope,
    silence::{Tries, passes},
    source::{self, Found},
    turns::{Turn, Turns},
    twin::Twins,
};
use crate::{
    local::{Accounts, Finish, Hashes, Hashing, Target},
    model::{
        Attributes, Class, Fault, Fingerprint, Head, Key, LocalMeta, RelPath, RemoteMeta, Source, Stamp,
        There, Xattrs, is_draft,
    },
    plan::{Landing, Replace, Wanted, Witness, landing, witnesses},
    store::{Depth, S3, Spot, Start, Store},
};
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

const MIB: u64 = 1 << 20;
/// What is fetched in one piece, and held until it is proven. What is larger comes in [pieces](super::pieces).
const WHOLE: u64 = 4 * MIB;
/// How often another object may be there, for one key.
const CHANGES: u32 = 4;
/// Unknown names that are counted.
const UNKNOWN: usize = 10_000;

pub(super) struct Bringer<'a> {
    pub(super) store: &'a S3,
    pub(super) target: &'a Target,
    pub(super) options: &'a Options,
    pub(super) live: &'a Live,
    pub(super) hashing: Hashing,
    /// What may be held, by the MiB.
    memory: Semaphore,
    /// All of it.
    room: u32,
    /// Files that were one under several names.
    pub(super) twins: Twins,
    /// Who has which name here, if owners go by that.
    accounts: Option<Accounts>,
    /// Names that nobody has here.
    unknown: Mutex<BTreeSet<String>>,
    /// Names that something is being brought to.
    turns: Turns,
}

impl<'a> Bringer<'a> {
    pub(super) fn new(store: &'a S3, target: &'a Target, options: &'a Options, live: &'a Live) -> Self {
        // enough for one of them, whatever is allowed
        let room = u32::try_from((options.memory / MIB).max(WHOLE / MIB)).unwrap_or(u32::MAX);
        let memory = Semaphore::new(room as usize);
        Self {
            store,
            target,
            options,
            live,
            hashing: Hashing::default(),
            memory,
            room,
            twins: Twins::default(),
            accounts: options.owner_names.then(Accounts::of_machine),
            unknown: Mutex::default(),
            turns: Turns::default(),
        }
    }

    /// Brings the file of one object; `None` for what is no file's: our own records, and directories. A marker tells its
    /// `directory` what it is to get.
    ///
    /// # Errors
    /// Whatever keeps it from being restored.
    pub(super) async fn bring(
        &self,
        key: &Key,
        found: Found,
        directory: Option<&Directory>,
    ) -> Result<Option<Ending>, Fault> {
        if key.is_reserved() || key.as_str().is_empty() {
            return Ok(None);
        }
        if key.is_directory_marker() && found.meta.size > 0 {
            let cause = "a directory's marker has content: no file can have that name";
            return Err(Fault::new(Class::Permanent, format!("restore {key}"), cause)
                .remedy("fetch it with another tool, to a name of your choice"));
        }
        if key.is_directory_marker() {
            return self.directory(key, &found.spot, directory).await.map(|()| None);
        }
        let Some(path) = key.path() else {
            return Err(Fault::new(Class::Permanent, format!("restore {key}"), "no file can have this name")
                .remedy("fetch it with another tool, to a name of your choice"));
        };
        is_no_draft(key, &path)?;
        let _turn = self.turn(&path).await;
        self.bring_file(key, &path, found).await
    }

    /// Waits until nothing else is being brought to this name. Who has the turn of a link's object waits for that of the
    /// link, whose name is shorter: so they never wait for each other.
    pub(super) async fn turn(&self, path: &RelPath) -> Turn<'_> {
        self.turns.take(path).await
    }

    async fn bring_file(
        &self,
        key: &Key,
        path: &RelPath,
        Found { spot, mut meta, fixed }: Found,
    ) -> Result<Option<Ending>, Fault> {
        let (mut tries, mut changes) = (Tries::new(), 0);
        loop {
            let begun = Instant::now();
            let landed = self.land(key, &spot, path, &meta).await;
            self.live.silence().told(begun, &landed);
            let fault = match landed {
                Ok(ending) => return Ok(Some(ending)),
                Err(fault) => fault,
            };
            match fault.class {
                Class::Changed | Class::Missing if fixed => {
                    let cause = "what it was is not where it was listed any more";
                    let fault = Fault::new(Class::Permanent, format!("restore {key}"), cause);
                    return Err(fault.remedy("run it again"));
                }
                _ if passes(&fault) && tries.again().await => {}
                // another object is there since it was listed
                Class::Changed | Class::Missing if changes < CHANGES => match self.store.head(key).await? {
                    Some(head) => (meta, changes) = (head.meta, changes + 1),
                    None if self.is_listed(key).await? => {
                        let cause = "it is listed, and cannot be had";
                        return Err(Fault::new(Class::Permanent, format!("restore {key}"), cause).remedy(
                            "the store may have lost it: ask its operator, or restore an older version",
                        ));
                    }
                    None => return Ok(None),
                },
                _ => return Err(fault),
            }
        }
    }

    /// True if it is not simply gone since.
    async fn is_listed(&self, key: &Key) -> Result<bool, Fault> {
        let page = self.live.silence().patiently(|| self.store.list(key, Depth::All, Start::First)).await?;
        Ok(page.objects.iter().any(|(listed, _)| listed == key))
    }

    async fn directory(&self, key: &Key, spot: &Spot, directory: Option<&Directory>) -> Result<(), Fault> {
        let Some(path) = key.marked().filter(|_| !self.options.dry_run) else { return Ok(()) };
        self.target.make_directory(&path).await?;
        let Some(directory) = directory else { return Ok(()) };
        directory.gets(self.finish_by(spot).await?);
        Ok(())
    }

    /// What a directory without a marker among what is restored is to get. One above what is named, or matches, has a marker
    /// that is not among it: what that says.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(super) async fn finish_above(&self, path: &RelPath, scope: &Scope) -> Result<Finish, Fault> {
        if scope.has_marker_of(path) {
            return Ok(Finish::default());
        }
        let marker = source::marker(self.store, self.live, path, self.options.past.as_ref()).await?;
        let Some(spot) = marker else { return Ok(Finish::default()) };
        self.finish_by(&spot).await
    }

    /// What the marker says of its directory; nothing, if it is not there.
    async fn finish_by(&self, marker: &Spot) -> Result<Finish, Fault> {
        match self.live.silence().patiently(|| self.store.head_of(marker)).await? {
            // when it was marked says nothing of it
            Some(head) if head.meta.size == 0 => Ok(Finish { mtime: head.mtime, ..self.finish(&head)? }),
            _ => Ok(Finish::default()),
        }
    }

    async fn land(&self, key: &Key, spot: &Spot, path: &RelPath, meta: &RemoteMeta) -> Result<Ending, Fault> {
        if let Some(ending) = self.link(key, spot, meta).await? {
            return Ok(ending);
        }
        let there = self.target.look(path).await?;
        let head = match there {
            // whatever its time, it is another
            There::File { size, .. } if size != meta.size && self.options.replace == Replace::Never => None,
            There::File { .. } | There::Node(_) => Some(self.look(spot).await?),
            // what a run would make of it is to be told
            There::Nothing if self.options.dry_run && meta.size == 0 => Some(self.look(spot).await?),
            There::Nothing | There::Directory | There::Link { .. } | There::Other => None,
        };
        if let Some((head, node)) = head.as_ref().and_then(|head| Some((head, head.node()?))) {
            return self.node(head, node, path, there).await;
        }
        let listed = Wanted { size: meta.size, mtime: None, written: None };
        let landing = landing(&head.as_ref().map_or(listed, wanted), there, self.options.replace);
        match landing {
            Landing::Fetch if self.options.dry_run => Ok(Ending::Planned(meta.size)),
            Landing::Fetch if meta.size <= WHOLE => self.whole(spot, path, meta, there).await,
            Landing::Fetch => self.in_pieces(spot, path, meta, there).await,
            Landing::Same | Landing::Stays if self.options.dry_run => settled(path, landing),
            Landing::Same | Landing::Stays => {
                self.target.clear(path).await?;
                settled(path, landing)
            }
            Landing::Blocked(_) => settled(path, landing),
        }
    }

    pub(super) async fn look(&self, key: &Spot) -> Result<Head, Fault> {
        let gone = || Fault::new(Class::Missing, format!("restore {key}"), "it is gone");
        self.store.head_of(key).await?.ok_or_else(gone)
    }

    async fn whole(
        &self,
        key: &Spot,
        path: &RelPath,
        meta: &RemoteMeta,
        there: There,
    ) -> Result<Ending, Fault> {
        let _held = self.hold(meta.size).await;
        let fetch = self.store.fetch(key, &meta.etag, None).await?;
        let head = fetch.head.clone();
        if head.meta.size != meta.size {
            return Err(another(key));
        }
        if let Some(node) = head.node() {
            return self.node(&head, node, path, there).await;
        }
        if self.twin(&head, path, there).await? {
            return Ok(Ending::Restored { bytes: head.meta.size, proven: true });
        }
        let file = Memory(fetch.rest().await?);
        let bytes = file.0.len() as u64;
        self.live.arrived(bytes);
        let agreed = match self.prove(key, &head, &file).await {
            Ok(Some(agreed)) => Some(agreed),
            // HEAD tells the store's checksum as well
            unproven => {
                let closer = self.look(key).await?;
                if closer.meta.etag != meta.etag {
                    return Err(another(key));
                }
                if closer.checksum.is_some() { self.prove(key, &closer, &file).await? } else { unproven? }
            }
        };
        let put = self.target.put(path, file.0, self.finish(&head)?, there);
        let proven = agreed.is_some();
        self.placed(&head, agreed, path, there, put).await?;
        Ok(Ending::Restored { bytes, proven })
    }

    /// Waits until so many bytes may be held.
    pub(super) async fn hold(&self, bytes: u64) -> SemaphorePermit<'_> {
        let share = u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX).clamp(1, self.room);
        self.memory.acquire_many(share).await.expect("it is never closed")
    }

    /// What the store tells of the object and agrees with what came of it; `None` if it tells nothing.
    ///
    /// # Errors
    /// `Permanent` if all disagree.
    pub(super) async fn prove<F: Source>(
        &self,
        key: &Spot,
        head: &Head,
        file: &F,
    ) -> Result<Option<Witness>, Fault> {
        let all = witnesses(head);
        if all.is_empty() {
            return Ok(None);
        }
        let mut hashes = Hashes::new(&self.hashing, head.meta.size, head.part_size);
        let etag = head.meta.etag.to_string();
        for witness in all {
            let agrees = match &witness {
                Witness::Digest(digest) => hashes.is(file, digest).await?,
                Witness::Crc64Nvme(crc) => hashes.is_crc64(file, *crc).await?,
                Witness::Md5 => hashes.is_md5(file, &etag).await?,
                Witness::Md5OfParts(sizes) => hashes.is_md5_of_parts(file, &etag, sizes).await?,
            };
            if agrees {
                return Ok(Some(witness));
            }
        }
        let cause =
            "its bytes are not those that were stored: neither a digest, a checksum nor the tag agrees";
        Err(Fault::new(Class::Permanent, format!("restore {key}"), cause)
            .remedy("restore an older version of it, or have it uploaded again"))
    }

    /// Who is to have it.
    fn owner(&self, had: (u32, u32), names: Option<&str>) -> (u32, u32) {
        let (Some(accounts), Some(names)) = (&self.accounts, names) else { return had };
        let (owner, unknown) = accounts.numbers(names, had);
        let mut all = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let room = UNKNOWN.saturating_sub(all.len());
        all.extend(unknown.into_iter().take(room).map(str::to_owned));
        owner
    }

    /// Tells which names nobody has here.
    pub(super) fn tell_unknown(&self) {
        let all = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.is_empty() {
            let some: Vec<_> = all.iter().take(5).map(|name| name.escape_debug().to_string()).collect();
            tracing::warn!(
                "{} names of owners are not known here ({}{}): what is theirs was given to the numbers that they had",
                all.len(),
                some.join(", "),
                if all.len() > some.len() { ", …" } else { "" }
            );
        }
    }

    pub(super) fn finish(&self, head: &Head) -> Result<Finish, Fault> {
        let Options { owner, special, .. } = *self.options;
        let owner = head.owner.filter(|_| owner).map(|owner| self.owner(owner, head.names.as_deref()));
        // which to chown(2) is to leave it as it is
        if owner.is_some_and(|(uid, gid)| uid == u32::MAX || gid == u32::MAX) {
            return Err(Fault::new(Class::Permanent, "give it its owner", "its metadata names nobody")
                .remedy("restore it without --owner"));
        }
        let xattrs = head.extra.xattrs.as_deref().map(|text| {
            Xattrs::unpack(text).unwrap_or_else(|| {
                tracing::warn!(etag = %head.meta.etag, "an object's extended attributes cannot be read: its file gets none");
                Xattrs::default()
            })
        });
        let xattrs = xattrs.unwrap_or_default();
        Ok(Finish { mode: head.mode, special, owner, mtime: wanted(head).time(), xattrs })
    }
}

/// Nothing that is restored has the name of a draft.
///
/// # Errors
/// It would have.
pub(super) fn is_no_draft(key: &Key, path: &RelPath) -> Result<(), Fault> {
    if !is_draft(path.name()) {
        return Ok(());
    }
    let cause = "it has the name of a file that is not whole yet";
    Err(Fault::new(Class::Permanent, format!("restore {key}"), cause)
        .remedy("fetch it with another tool, to a name of your choice"))
}

/// What becomes of an object that is not fetched.
pub(super) fn settled(path: &RelPath, landing: Landing) -> Result<Ending, Fault> {
    match landing {
        Landing::Fetch | Landing::Same => Ok(Ending::Same),
        Landing::Stays => Ok(Ending::Stays),
        Landing::Blocked(why) => Err(Fault::new(Class::Permanent, format!("restore {path}"), why)
            .remedy("remove it, or restore to another directory")),
    }
}

pub(super) fn wanted(head: &Head) -> Wanted {
    Wanted { size: head.meta.size, mtime: head.mtime, written: head.meta.modified }
}

pub(super) fn another(key: &Spot) -> Fault {
    Fault::new(Class::Changed, format!("restore {key}"), "another object is there")
}

/// Bytes that came.
pub(super) struct Memory(pub(super) Bytes);

impl Source for Memory {
    async fn stat(&self) -> Result<LocalMeta, Fault> {
        let (time, size) = (Stamp::default(), self.0.len() as u64);
        let print = Fingerprint { size, mtime: time, ctime: time, inode: 0 };
        Ok(LocalMeta { print, attributes: Attributes { mode: 0, uid: 0, gid: 0 } })
    }

    async fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Fault> {
        let end = self.0.len();
        let at = usize::try_from(at).unwrap_or(end).min(end);
        Ok(self.0.slice(at..end.min(at.saturating_add(len))))
    }
}
