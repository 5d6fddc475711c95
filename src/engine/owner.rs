//! Who holds the prefix: the owner record, and the identity it shares with the ledger.
//!
//! The record lies at `<prefix>.s3mirrord/owner.json`. It gives the mirror its id, keeps a second host
//! out, and is the second witness of the root's identity, so that a lost ledger alone needs no operator.

use super::{
    Options,
    context::Context,
    honours::{self, Honours},
};
use crate::{
    ledger::Ledger,
    local::Tree,
    model::{
        Binding, Capabilities, Change, Class, ETag, Fault, Key, MirrorId, Only, RESERVED, Reach, RemoteMeta,
        RootId, Sameness, Stamp,
    },
    store::Store,
};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use std::{
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

/// A pass that waits longer for its first answer says so.
const SILENCE: Duration = Duration::from_secs(3);
/// A claim that was not renewed for this long is void.
const EXPIRES: i64 = 24 * 3600;

/// What lies in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    mirror: String,
    host: String,
    pid: u32,
    root_inode: u64,
    root_filesystem: Option<String>,
    /// Wall clock of the host, seconds since 1970.
    renewed: i64,
    /// How far back its trash reaches, if it has one: for who restores what was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trash: Option<Reach>,
}

/// The record as it was found, and its tag.
pub(super) type Found = Option<(Record, ETag)>;

/// What the next record replaces. It is known from the moment a record is written, even if what a claim takes
/// besides fails: the next try must not take our own record for another's.
#[derive(Default)]
pub(super) struct Hold(Mutex<Written>);

#[derive(Clone, Default)]
struct Written {
    /// The tag of the record in the bucket; `None`: there is none.
    tag: Option<ETag>,
    /// When the records were renewed that were sent since: any of them may be there although no answer said so.
    sent: Vec<i64>,
    /// What they say of the trash.
    trash: Option<Reach>,
}

/// A claim that was made.
pub(super) struct Claim {
    honours: Honours,
    /// When the mirror first claimed its prefix, by the server's clock; `None`: not known.
    first: Option<Stamp>,
}

impl Hold {
    pub(super) fn new(found: &Found) -> Self {
        let tag = found.as_ref().map(|(_, etag)| etag.clone());
        Self(Mutex::new(Written { tag, ..Written::default() }))
    }

    fn get(&self) -> Written {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, written: Written) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = written;
    }
}

impl Claim {
    /// What the store honours.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.honours.known()
    }

    /// When the mirror first claimed its prefix, by the server's clock; `None`: not known.
    pub(super) fn first(&self) -> Option<Stamp> {
        self.first
    }
}

/// What opening a mirror found.
pub(super) struct Opened {
    pub binding: Binding,
    pub sameness: Sameness,
    pub clock_step: Duration,
    pub found: Found,
    /// Neither a ledger nor an owner record was there: nothing in the bucket is ours yet.
    pub fresh: bool,
}

fn key() -> Key {
    Key::raw(format!("{RESERVED}owner.json"))
}

/// Who holds a prefix, for those who only look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who the objects are of.
    pub mirror: MirrorId,
    /// On which host,
    pub host: String,
    /// and of which root.
    pub root: RootId,
    /// The tag of the record, which is sent as any small file is, is the MD5 of its bytes.
    pub tag_is_md5: bool,
}

/// Who holds the prefix; `None` if nobody does.
///
/// # Errors
/// As for any request; `Fatal` if there is something else in the place of the record.
pub async fn look<S: Store>(store: &S) -> Result<Option<Owner>, Fault> {
    let Some((body, meta)) = store.read(&key()).await? else { return Ok(None) };
    let (record, md5) = (parse(&body)?, ETag::of_md5(Md5::digest(&body).into(), None));
    let (mirror, root) = (record.mirror()?, record.root());
    Ok(Some(Owner { mirror, root, host: record.host, tag_is_md5: meta.etag == md5 }))
}

/// Finds the root, the ledger's binding and the owner record, and whether they fit. Binds the ledger;
/// writes nothing to the bucket.
pub(super) async fn open<T: Tree, S: Store, L: Ledger>(
    tree: &T,
    store: &S,
    ledger: &L,
    options: &Options,
) -> Result<Opened, Fault> {
    let (root, clock_step) = tree.root().await?;
    tree.bind(&root);
    let found = match not_in_silence(store.read(&key()), options).await? {
        Some((body, RemoteMeta { etag, .. })) => Some((parse(&body)?, etag)),
        None => None,
    };
    if let Some((record, _)) = &found {
        refuse_other_holder(record, options)?;
    }
    let bound = ledger.binding().await?;
    let sameness = match (&bound, &found) {
        (Some(bound), _) => root.compare(&bound.root),
        (None, Some(_)) if options.take_over => root.compare(&root),
        (None, Some((record, _))) if record.host != options.host => Sameness::Changed,
        (None, Some((record, _))) => root.compare(&record.root()),
        (None, None) => root.compare(&root),
    };
    let fresh = bound.is_none() && found.is_none();
    let binding = match (bound, &found) {
        (Some(bound), Some((record, _))) if bound.mirror != record.mirror()? => {
            return Err(Fault::new(
                Class::Fatal,
                "open the mirror",
                format!(
                    "the ledger is of mirror {}, but the prefix belongs to mirror {}",
                    bound.mirror, record.mirror
                ),
            )
            .remedy("if the prefix is the right one, move the ledger away: it is rebuilt from the bucket"));
        }
        (Some(bound), _) => bound,
        (None, found) => {
            let mirror = found.as_ref().map(|(record, _)| record.mirror()).transpose()?;
            let accepted = match (sameness, found) {
                (Sameness::Changed, Some((record, _))) => record.root(),
                _ => root.clone(),
            };
            let binding = Binding {
                mirror: mirror.unwrap_or(options.fresh_id),
                place: store.place(),
                root: accepted,
                claimed: None,
                capabilities: None,
                probed: None,
            };
            ledger.commit(vec![Change::Bind(binding.clone())]).await?;
            binding
        }
    };
    if let Some(capabilities) = binding.capabilities {
        store.know(capabilities);
    }
    Ok(Opened { binding, sameness, clock_step, found, fresh })
}

/// Whoever waits for a pass learns what it waits for. (A daemon tells of trouble, and stays.)
async fn not_in_silence<T>(asked: impl Future<Output = T>, options: &Options) -> T {
    let mut asked = pin!(asked);
    tokio::select! { biased;
        told = &mut asked => return told,
        () = sleep(SILENCE), if options.once => {
            tracing::warn!("the store has not answered yet, and is asked again; is it up, and are `endpoint_url` and the network right?");
        }
    }
    asked.await
}

/// What is told while another directory is in the root's place.
pub(super) fn another_root() -> Fault {
    let cause = "it is another directory than the one that was mirrored: only what the bucket lacks is \
                 uploaded, nothing is replaced or deleted";
    Fault::new(Class::Fatal, "prove the root", cause)
        .remedy("bring the true root back, or accept this one with `s3mirrord approve`")
}

/// Writes the owner record, and finds out what the store honours if that is not known yet.
pub(super) async fn claim<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<Claim, Fault> {
    write(ctx).await?;
    let mut binding = ctx.binding.clone();
    let (known, now) = (binding.capabilities, (ctx.options.wall)());
    if honours::is_due(known, binding.probed, now)
        && let Some(found) = honours::find_out(ctx, &key(), known).await?
    {
        ctx.store.know(found);
        (binding.capabilities, binding.probed) = (Some(found), Some(now));
    }
    if ctx.options.trash.is_some() {
        match ctx.store.keeps_versions().await {
            Ok(true) => tracing::info!(
                "the bucket keeps versions: what is replaced or deleted can be had back without a trash, and each copy \
                 there costs a request and storage"
            ),
            Ok(false) => {}
            Err(fault) => tracing::debug!(%fault, "whether the bucket keeps versions is not known"),
        }
    }
    if ctx.fresh && binding.claimed.is_none() {
        binding.claimed = ctx.store.head(&key()).await?.and_then(|head| head.meta.modified);
    }
    let (first, honours) = (binding.claimed, Honours::of(&binding));
    if binding != ctx.binding {
        let Binding { claimed, capabilities, probed, .. } = binding;
        remember(ctx, |now| (now.claimed, now.capabilities, now.probed) = (claimed, capabilities, probed))
            .await;
    }
    Ok(Claim { honours, first })
}

/// Has the ledger remember it, and keep what an operator may have accepted meanwhile.
pub(super) async fn remember<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    change: impl FnOnce(&mut Binding),
) {
    let written = async {
        let Some(mut binding) = ctx.ledger.binding().await? else { return Ok(()) };
        change(&mut binding);
        ctx.ledger.commit(vec![Change::Bind(binding)]).await.map(drop)
    };
    if let Err(fault) = written.await {
        // what is sent next cannot be written down either, and says so; without this it is found out once more
        tracing::debug!(%fault, "what the store honours is not written down");
    }
}

/// Claims at once what another host holds, if that is asked for: a pass that changes nothing else leaves the
/// prefix ours, too.
pub(super) async fn take_over<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<(), Fault> {
    let other = ctx.found.as_ref().is_some_and(|(record, _)| record.host != ctx.options.host);
    if other && ctx.options.take_over && !ctx.options.dry_run {
        ctx.claim().await?;
    }
    Ok(())
}

/// Renews a claim that was made. If there is none, and what the store allows is asked for (`asks`), reads the record. True if
/// the store was found to honour other things than the session goes by.
pub(super) async fn renew<T: Tree, S: Store, L: Ledger>(
    ctx: &Context<T, S, L>,
    asks: bool,
) -> Result<bool, Fault> {
    match ctx.claimed() {
        Some(claim) => {
            write(ctx).await?;
            Ok(claim.honours.changed(ctx, &key()).await)
        }
        None if asks => ctx.store.read(&key()).await.map(|_| false),
        None => Ok(false),
    }
}

/// Finds out whether the store answers a write at all: makes or renews the claim. A dry run only reads.
pub(super) async fn prove<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<(), Fault> {
    match ctx.claimed() {
        _ if ctx.options.dry_run => ctx.store.read(&key()).await.map(drop),
        Some(_) => write(ctx).await,
        None => ctx.claim().await.map(drop),
    }
}

/// Writes our record in the place of the one known.
async fn write<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Result<(), Fault> {
    let record = Record {
        version: 1,
        mirror: ctx.binding.mirror.to_string(),
        host: ctx.options.host.clone(),
        pid: ctx.options.pid,
        root_inode: ctx.binding.root.inode,
        root_filesystem: ctx.binding.root.filesystem.clone(),
        renewed: (ctx.options.wall)().sec,
        trash: reach(ctx),
    };
    let body = serde_json::to_vec_pretty(&record)
        .map_err(|e| Fault::new(Class::Permanent, "write the owner record", e))?;
    let mut written = ctx.hold.get();
    written.sent.push(record.renewed);
    written.trash.clone_from(&record.trash);
    ctx.hold.set(written.clone());
    let only = written.tag.map_or(Only::New, Only::Match);
    let etag = match ctx.store.write(&key(), Bytes::from(body), only).await {
        Ok(meta) => meta.etag,
        Err(fault) if fault.class == Class::Changed => match ctx.store.read(&key()).await? {
            Some((found, meta)) => {
                let found = parse(&found)?;
                // a retry after a lost reply finds our own words
                if !written.sent.contains(&found.renewed)
                    || found != (Record { renewed: found.renewed, ..record.clone() })
                {
                    let cause = format!("{} just claimed it", found.holder());
                    return Err(Fault::new(Class::Owned, "claim the prefix", cause)
                        .remedy("stop the other instance, or use a prefix of its own"));
                }
                meta.etag
            }
            None => {
                ctx.hold.set(Written::default());
                let cause = "the owner record vanished meanwhile";
                return Err(Fault::new(Class::Transient, "claim the prefix", cause));
            }
        },
        Err(fault) => return Err(fault),
    };
    ctx.hold.set(Written { tag: Some(etag), sent: vec![], trash: record.trash });
    Ok(())
}

/// How far back the trash reaches from now on: all that goes after this claim is there.
fn reach<T: Tree, S: Store, L: Ledger>(ctx: &Context<T, S, L>) -> Option<Reach> {
    let trash = ctx.options.trash.as_ref()?;
    let told = ctx.hold.get().trash;
    let found = || ctx.found.as_ref().and_then(|(record, _)| record.trash.as_ref());
    let now = ctx.store.clock().unwrap_or_else(|| (ctx.options.wall)().sec);
    let keep = trash.keep.map(|keep| keep.as_secs());
    Some(Reach::renewed(told.as_ref().or_else(found), &trash.prefix, keep, now))
}

fn refuse_other_holder(record: &Record, options: &Options) -> Result<(), Fault> {
    let now: Stamp = (options.wall)();
    let age = now.sec.saturating_sub(record.renewed);
    if record.host == options.host || age >= EXPIRES || options.take_over {
        return Ok(());
    }
    Err(Fault::new(Class::Owned, "open the mirror", format!("{} holds the prefix", record.holder()))
        .remedy("stop it there, or take the prefix over with `s3mirrord once --take-over`"))
}

fn parse(body: &[u8]) -> Result<Record, Fault> {
    let wrong = |cause: String| {
        Fault::new(Class::Fatal, format!("read the owner record {}", key()), cause).remedy(
            "it was written by something else, or by a newer version; use another prefix, or delete it",
        )
    };
    let record: Record = serde_json::from_slice(body).map_err(|e| wrong(e.to_string()))?;
    if record.version != 1 {
        return Err(wrong(format!("its version is {}, not 1", record.version)));
    }
    record.mirror().map_err(|fault| wrong(fault.cause))?;
    Ok(record)
}

impl Record {
    fn mirror(&self) -> Result<MirrorId, Fault> {
        let mut id = [0; 16];
        hex::decode_to_slice(&self.mirror, &mut id)
            .map_err(|e| Fault::new(Class::Fatal, "read the owner record", format!("mirror id: {e}")))?;
        Ok(MirrorId(id))
    }

    fn root(&self) -> RootId {
        RootId { inode: self.root_inode, filesystem: self.root_filesystem.clone() }
    }

    fn holder(&self) -> String {
        let host: String = self.host.chars().flat_map(char::escape_default).collect();
        format!("process {} on host {host}", self.pid)
    }
}
