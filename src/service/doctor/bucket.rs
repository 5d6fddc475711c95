//! The store: as whom, whether the bucket is there, and each request that a mirror makes, tried one by one on a key of our own,
//! which is removed in the end.

use super::{Finding, disk::Seen};
use crate::{
    config::{DeletePolicy, Mirror},
    engine::{self, Stored},
    model::{
        Attributes, Capabilities, Class, ETag, Extra, Fault, Keep, Key, KeyRange, Only, RESERVED, Spec, Stamp,
    },
    service::{
        assembly::{self, Commons},
        cost::{Cost, Usage},
    },
    store::{Depth, S3, Start, Store},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

/// Seconds by which the clocks may differ before it is told, and before S3 refuses what is signed (S3 user guide,
/// *Signature Version 4*: 15 minutes; this is less).
const DRIFT: (u64, u64) = (5, 300);

/// Looks at the bucket of a mirror.
pub(super) async fn examine(
    commons: &Commons,
    mirror: &Mirror,
    seen: Option<Seen>,
    tell: &mut impl FnMut(Finding),
) {
    let store = match assembly::store(commons, mirror).await {
        Ok(store) => store,
        Err(fault) => return tell(Finding::of("connect", &fault)),
    };
    match store.caller().await {
        Ok(caller) => {
            let until = caller.expires.map_or(String::new(), |at| {
                let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                format!(", for another {} minutes", left.as_secs() / 60)
            });
            tell(Finding::good(
                "credentials",
                format!("{} from {}{until}", caller.access_key, caller.source),
            ));
        }
        Err(fault) => return tell(Finding::of("credentials", &fault)),
    }
    let place = store.place();
    match store.list(&Key::raw(""), Depth::Children, Start::First).await {
        Ok(_) => tell(Finding::good("bucket", place)),
        Err(fault) if is_forbidden(&fault) => {
            tell(Finding::of("s3:ListBucket", &fault).why("what the bucket holds cannot be known"));
        }
        Err(fault) => return tell(unreachable(&store, &fault).await),
    }
    clock(&store, tell);
    owner(&store, tell).await;
    around(commons, mirror, tell).await;
    let key = Key::raw(format!("{RESERVED}doctor-{:016x}", fastrand::u64(..)));
    let mut trial = Trial { store: &store, allowed: vec![], tell };
    let works = trial.objects(&key, mirror).await;
    trial.parts(&key).await;
    trial.versions(&key, mirror).await;
    trial.end();
    if let Some(trash) = &mirror.trash {
        let there = Mirror { prefix: trash.prefix.clone(), trash: None, ..mirror.clone() };
        match assembly::store(commons, &there).await {
            Ok(store) => {
                let mut trial = Trial { store: &store, allowed: vec![], tell };
                trial.objects(&key, mirror).await;
                trial.end();
            }
            Err(fault) => tell(Finding::of("trash", &fault)),
        }
    }
    if works {
        match store.probe(&key).await {
            Ok(can) => honours(can).into_iter().for_each(&mut *tell),
            Err(fault) => tell(Finding::of("store", &fault)),
        }
    }
    if let Some(seen) = seen {
        let stored = Some(Stored { objects: seen.files, bytes: seen.bytes });
        let usage = Usage { requests: &BTreeMap::new(), compared: 1, interval: mirror.relist, stored };
        let month = Cost::estimate(&mirror.prices, usage).month().to_string();
        tell(Finding::good("cost", format!("{month} a month by [prices], if nothing changes")));
    }
}

/// 403, however it is classed.
fn is_forbidden(fault: &Fault) -> bool {
    fault.class == Class::Denied || fault.cause.contains("AccessDenied") || fault.cause.contains("(HTTP 403")
}

/// The bucket cannot be listed, and not for want of a permission: with what these credentials see instead.
async fn unreachable(store: &S3, fault: &Fault) -> Finding {
    const WHY: &str = "nothing of the mirror can be done";
    let mut finding = Finding::of("bucket", fault).why(WHY);
    let network = "check `endpoint_url`, DNS, TLS and the network";
    finding.remedy.get_or_insert_with(|| network.to_owned());
    if !fault.cause.contains("NoSuchBucket") {
        return finding;
    }
    match store.buckets().await {
        Ok(names) if names.is_empty() => {
            finding.remedy("create it; these credentials see no bucket at all: are they those of this store?")
        }
        Ok(names) => finding
            .remedy(format!("create it, or set `bucket` to one of those there are: {}", names.join(", "))),
        Err(_) => finding,
    }
}

fn clock(store: &S3, tell: &mut impl FnMut(Finding)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let Some(there) = store.clock().and_then(|there| u64::try_from(there).ok()) else { return };
    let off = now.abs_diff(there);
    let told = format!("{off} s from the store's");
    let finding = match off {
        off if off <= DRIFT.0 => return tell(Finding::good("clock", told)),
        off if off <= DRIFT.1 => Finding::note("clock", told),
        _ => Finding::wrong("clock", told),
    };
    let finding =
        finding.why("requests are signed with the time, and S3 refuses them when it is off by 15 minutes");
    tell(finding.remedy("timedatectl set-ntp true"));
}

async fn owner(store: &S3, tell: &mut impl FnMut(Finding)) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    tell(match engine::owner(store).await {
        Ok(None) => Finding::good("owner", "nobody mirrors to this prefix yet"),
        Ok(Some(owner)) if owner.host == host => Finding::good("owner", format!("this host, {host}")),
        Ok(Some(owner)) => Finding::wrong("owner", format!("{} mirrors to this prefix", owner.host))
            .why("two mirrors of one prefix would delete each other's objects, so the second is refused")
            .remedy(
                "give this one a prefix of its own; or, if that host is no more: s3mirrord once --take-over",
            ),
        Err(fault) if is_forbidden(&fault) => return,
        Err(fault) => Finding::of("owner", &fault),
    });
}

/// Whether a prefix that this one lies within is another mirror's. What may not be read there is not known.
async fn around(commons: &Commons, mirror: &Mirror, tell: &mut impl FnMut(Finding)) {
    let above = mirror.prefix.trim_end_matches('/').match_indices('/').map(|(at, _)| &mirror.prefix[..=at]);
    for prefix in std::iter::once("").chain(above).filter(|prefix| *prefix != mirror.prefix) {
        let there = Mirror { prefix: prefix.to_owned(), trash: None, ..mirror.clone() };
        let Ok(store) = assembly::store(commons, &there).await else { return };
        if let Ok(Some(owner)) = engine::owner(&store).await {
            let told = format!("{} mirrors to {}, which this prefix lies within", owner.host, store.place());
            tell(Finding::wrong("owner", told).why("one of the two would take the other's objects for its own").remedy(
                "give one of them a prefix outside of the other's; or, if nobody mirrors there any more, delete the \
                 owner record below it",
            ));
        }
    }
}

/// Requests of one kind after the other.
struct Trial<'a, T> {
    store: &'a S3,
    /// Actions that were allowed.
    allowed: Vec<&'static str>,
    tell: &'a mut T,
}

impl<T: FnMut(Finding)> Trial<'_, T> {
    /// Notes how a request went; what it gave.
    fn came<V>(&mut self, action: &'static str, why: &'static str, done: Result<V, Fault>) -> Option<V> {
        match done {
            Ok(value) => {
                self.allowed.push(action);
                Some(value)
            }
            Err(fault) => {
                (self.tell)(Finding::of(action, &fault).why(why));
                None
            }
        }
    }

    /// The same, of what a mirror can do without.
    fn may<V>(&mut self, action: &'static str, why: &'static str, done: Result<V, Fault>) {
        match done {
            Ok(_) => self.allowed.push(action),
            Err(fault) => (self.tell)(Finding::of(action, &fault).why(why).only_noted()),
        }
    }

    /// An object comes, is looked at, and goes. True if all of that works.
    async fn objects(&mut self, key: &Key, mirror: &Mirror) -> bool {
        let store = self.store;
        let put = store.write(key, Bytes::from_static(b"written by s3mirrord doctor"), Only::Always).await;
        let Some(put) = self.came("s3:PutObject", "nothing can be uploaded", put) else { return false };
        let read = store.read(key).await;
        let mut works = self.came("s3:GetObject", "nothing can be compared or restored", read).is_some();
        let tags = store.reads_tags(key).await;
        self.may("s3:GetObjectTagging", "renamed files whose objects have tags are sent again", tags);
        let tags = store.writes_tags(key).await;
        const WHY: &str = "objects with tags cannot be written or copied";
        match has_tags(mirror) {
            true => works &= self.came("s3:PutObjectTagging", WHY, tags).is_some(),
            false => self.may("s3:PutObjectTagging", WHY, tags),
        }
        works & self.goes(key, &put.etag, mirror).await
    }

    async fn goes(&mut self, key: &Key, etag: &ETag, mirror: &Mirror) -> bool {
        let gone = self.store.delete(key, etag).await;
        let left = gone.is_err();
        let why = match mirror.delete {
            DeletePolicy::Keep => "nothing of the mirror is deleted, but probes leave their objects behind",
            _ => "objects of files that are gone stay",
        };
        let gone = self.came("s3:DeleteObject", why, gone).is_some();
        if left {
            let told = format!("{} is left in the bucket", self.store.place() + key.as_str());
            (self.tell)(Finding::note("left", told).remedy("delete it by hand"));
        }
        gone
    }

    /// An upload in parts is begun, looked at, and ended.
    async fn parts(&mut self, key: &Key) {
        let store = self.store;
        let open = store.uploads(&KeyRange::One(key.clone())).await;
        const OPEN: &str = "uploads that a crash left open are not found, and are paid for";
        self.came("s3:ListBucketMultipartUploads", OPEN, open);
        let created = store.create(key, &spec()).await;
        let Some(upload) = self.came("s3:PutObject", "large files cannot be uploaded", created) else {
            return;
        };
        let parts = store.parts(&upload).await;
        const PARTS: &str = "what had arrived of a large file is sent again after a crash";
        self.came("s3:ListMultipartUploadParts", PARTS, parts);
        let ended = store.abort(&upload).await;
        self.came("s3:AbortMultipartUpload", "uploads that failed stay, and are paid for", ended);
    }

    async fn versions(&mut self, key: &Key, mirror: &Mirror) {
        match self.store.keeps_versions().await {
            Ok(true) => (self.tell)(Finding::good("versions", "the bucket keeps them")),
            Ok(false) if mirror.trash.is_some() => {
                (self.tell)(Finding::good("versions", "the bucket keeps none; the trash does"));
            }
            Ok(false) => (self.tell)(
                Finding::note("versions", "the bucket keeps none")
                    .why("what is overwritten or deleted cannot be had back")
                    .remedy("turn versioning on for the bucket, or set delete = \"trash\""),
            ),
            Err(fault) => self.may::<()>(
                "s3:GetBucketVersioning",
                "it cannot be told whether what is overwritten can be had back",
                Err(fault),
            ),
        }
        let listed = self.store.versions(key, None).await;
        self.may("s3:ListBucketVersions", "restore --at cannot go by versions", listed);
    }

    /// Tells what was allowed.
    fn end(mut self) {
        let mut seen = std::collections::BTreeSet::new();
        self.allowed.retain(|action| seen.insert(*action));
        if !self.allowed.is_empty() {
            (self.tell)(Finding::good("allowed", self.allowed.join(", ")));
        }
    }
}

fn has_tags(mirror: &Mirror) -> bool {
    let rules = mirror.rules.iter().map(|rule| &rule.options);
    std::iter::once(&mirror.options).chain(rules).any(|options| options.tags.is_some())
}

/// Of an object that is never made.
fn spec() -> Spec {
    Spec {
        size: 16 << 20,
        mtime: Stamp::default(),
        attributes: Attributes { mode: 0o100_600, uid: 0, gid: 0 },
        names: None,
        keep: Keep::default(),
        extra: Extra::default(),
        own: String::new(),
        sha256: None,
        part_size: None,
    }
}

/// What the store was seen to honour.
fn honours(can: Capabilities) -> Vec<Finding> {
    let mut told = vec![];
    if can.conditional_put && can.conditional_delete {
        told.push(Finding::good("conditions", "writes and deletes hold only for what was seen"));
    } else {
        let lacks = match (can.conditional_put, can.conditional_delete) {
            (false, false) => "PUT and DELETE heed no condition",
            (false, true) => "PUT heeds no condition",
            _ => "DELETE heeds no condition",
        };
        let why = "what another tool writes at the same moment may be overwritten or deleted";
        told.push(
            Finding::note("conditions", lacks).why(why).remedy("let nothing else write below the prefix"),
        );
    }
    let checked = match can {
        Capabilities { verifies_sha256: true, .. } => Some("SHA-256"),
        Capabilities { verifies_crc64: true, .. } => Some("CRC-64/NVME"),
        Capabilities { verifies_md5: true, .. } => Some("Content-MD5"),
        _ => None,
    };
    let tags = if can.etag_is_md5 { "tags are MD5s" } else { "tags are no MD5s" };
    told.push(match checked {
        Some(what) => Finding::good("checksums", format!("{what} is verified; {tags}")),
        None => Finding::note("checksums", format!("none is verified; {tags}"))
            .why("a bit that flips on its way to the store is not noticed"),
    });
    told
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_a_store_does_not_honour_is_noted() {
        let all = Capabilities {
            conditional_put: true,
            conditional_delete: true,
            verifies_sha256: true,
            ..Capabilities::default()
        };
        for (can, want) in [
            (all, [Verdict::Good, Verdict::Good]),
            (Capabilities { conditional_delete: false, ..all }, [Verdict::Note, Verdict::Good]),
            (Capabilities { conditional_put: false, ..all }, [Verdict::Note, Verdict::Good]),
            (
                Capabilities { verifies_sha256: false, verifies_md5: true, ..all },
                [Verdict::Good, Verdict::Good],
            ),
            (Capabilities { verifies_sha256: false, ..all }, [Verdict::Good, Verdict::Note]),
        ] {
            let told = honours(can);
            assert_eq!(told.iter().map(|one| one.verdict).collect::<Vec<_>>(), want, "{told:?}");
            let noted = told.iter().filter(|one| one.verdict != Verdict::Good);
            assert!(noted.clone().all(|one| one.why.is_some()), "{told:?}");
        }
    }

    #[test]
    fn what_is_forbidden_is_known_whatever_its_class() {
        for (class, cause, want) in [
            (Class::Denied, "x", true),
            (Class::Fatal, "AccessDenied: no (HTTP 403)", true),
            (Class::Fatal, "NoSuchBucket (HTTP 404)", false),
            (Class::Transient, "no answer", false),
        ] {
            assert_eq!(is_forbidden(&Fault::new(class, "List", cause)), want, "{cause}");
        }
    }
}
