//! Faults a test asks for: which requests they meet, and what they do to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::Extensions;

/// What happens to a request that a [`Rule`] meets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It is held for this long first, then answered as usual.
    Latency(Duration),
    /// A write or delete is taken whole, and takes effect only after this long, even if its client hung up.
    Linger(Duration),
    /// The server's clock is this many seconds ahead of the real one (behind, if negative): it refuses requests
    /// signed over 15 minutes from its time with 403 `RequestTimeTooSkewed`, and dates its answers by it.
    Clock(i64),
    /// 503 `SlowDown`, no effect.
    SlowDown,
    /// 503 without a body, after the effect, as of a balancer that has lost sight of the server.
    Unavailable,
    /// 500 `InternalError`, no effect.
    InternalError,
    /// 403 `AccessDenied`, no effect.
    AccessDenied,
    /// 501 `NotImplemented`, no effect.
    NotImplemented,
    /// A key of a DeleteObjects is deleted, and the answer does not name it.
    Untold,
    /// 301 `PermanentRedirect` naming this region in `x-amz-bucket-region`, no effect.
    Moved(String),
    /// The connection is closed without an answer, no effect.
    Drop,
    /// The connection is closed without an answer, after the effect.
    LostReply,
    /// 200 with an `<Error>` for a body, no effect (CopyObject, CompleteMultipartUpload).
    ErrorIn200,
    /// A proxy's page: 200, HTML, no ETag, no effect.
    Html200,
    /// The effect happens and only half of the answer's body comes: of an object (GetObject) less than was
    /// announced, and the connection closes; of XML, as if that were all.
    CutShort,
    /// A listing says `IsTruncated` and gives no token.
    TruncatedListing,
    /// A listing asked to continue gives the same token again.
    RepeatedToken,
    /// Listings leave out this key.
    OmitKey(String),
    /// Listings come in descending order, page by page.
    UnsortedListing,
    /// `encoding-type` is ignored: keys come raw and nothing is echoed.
    NoUrlEncoding,
    /// What is stored gets an ETag that looks like an MD5 and is none, as with SSE-KMS.
    RandomEtag,
    /// What PutObject stores gets an ETag that does not even look like a digest.
    OddEtag,
    /// `If-Match`, `If-None-Match` and their copy-source kin are ignored.
    IgnoreConditions,
    /// Content-MD5 and `x-amz-checksum-*` are neither checked nor kept.
    NoChecksumVerification,
    /// This header counts as not sent: `content-md5`, or one of `x-amz-checksum-*`.
    Ignore(&'static str),
    /// What PutObject and UploadPart bring is stored with a bit flipped in its first byte, as by bad memory behind the
    /// door; what was said of the body is held against that.
    FlipBit,
    /// 501 `NotImplemented` for a request with a checksum header or trailer, no effect.
    RejectChecksums,
    /// The body is stored with aws-chunked framing around it, unverified.
    StoreFraming,
}

/// Which requests meet a fault: all that match, or a number of them.
#[derive(Debug, Clone)]
pub struct Rule {
    operation: Option<String>,
    key: Option<Named>,
    skip: u32,
    share: Option<u32>,
    times: Option<u32>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Named {
    Exactly(String),
    Ending(String),
}

impl Rule {
    /// `kind` for every request of every operation; narrow it with the other methods.
    pub fn new(kind: Kind) -> Self {
        Self { operation: None, key: None, skip: 0, share: None, times: None, kind }
    }

    /// Only requests of this operation, by its S3 name, e.g. `UploadPart`.
    pub fn operation(mut self, name: &str) -> Self {
        self.operation = Some(name.to_owned());
        self
    }

    /// Only requests whose key ends with this. DeleteObjects has no key of its own: there the rule meets the
    /// single keys, and only `SlowDown`, `InternalError`, `AccessDenied` and `Untold` do anything.
    pub fn key(mut self, suffix: &str) -> Self {
        self.key = Some(Named::Ending(suffix.to_owned()));
        self
    }

    /// Only requests for this very key; see [`Rule::key`].
    pub fn exact_key(mut self, key: &str) -> Self {
        self.key = Some(Named::Exactly(key.to_owned()));
        self
    }

    /// Lets the first `count` matching requests pass.
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Meets so many percent of the matching requests, spread evenly.
    pub fn share(mut self, percent: u32) -> Self {
        self.share = Some(percent);
        self
    }

    /// Meets at most `count` requests, then is spent.
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    fn matches(&self, operation: &str, key: Option<&str>) -> bool {
        self.operation.as_ref().is_none_or(|wanted| wanted == operation)
            && match (&self.key, key) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(Named::Exactly(wanted)), Some(key)) => wanted == key,
                (Some(Named::Ending(suffix)), Some(key)) => key.ends_with(suffix),
            }
    }
}

/// Names a rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(u64);

/// The faults in force. Cloning shares them.
#[derive(Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Lets requests pass without the lock while there is no rule.
    armed: AtomicBool,
    rules: Mutex<Vec<Active>>,
}

struct Active {
    id: RuleId,
    rule: Rule,
    /// Requests that matched, for the share of them.
    matched: u32,
    met: u64,
}

impl Faults {
    /// Adds a rule; it holds for requests dispatched from now on.
    pub fn add(&self, rule: Rule) -> RuleId {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let id = RuleId(NEXT.fetch_add(1, Ordering::Relaxed));
        self.with(|rules| rules.push(Active { id, rule, matched: 0, met: 0 }));
        id
    }

    /// Takes a rule away; false if it was gone.
    pub fn remove(&self, id: RuleId) -> bool {
        self.with(|rules| {
            let before = rules.len();
            rules.retain(|active| active.id != id);
            rules.len() < before
        })
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.with(Vec::clear);
    }

    /// How many requests the rule has met; 0 if it was taken away.
    pub fn met(&self, id: RuleId) -> u64 {
        self.with(|rules| rules.iter().find(|active| active.id == id).map_or(0, |active| active.met))
    }

    pub(super) fn armed(&self) -> bool {
        self.shared.armed.load(Ordering::Acquire)
    }

    /// The faults that meet this request, each counted as spent once.
    pub(super) fn meet(&self, operation: &str, key: Option<&str>) -> Vec<Kind> {
        if !self.armed() {
            return Vec::new();
        }
        self.with(|rules| {
            let mut kinds = Vec::new();
            for active in rules.iter_mut().filter(|active| active.rule.matches(operation, key)) {
                if active.rule.skip > 0 {
                    active.rule.skip -= 1;
                    continue;
                }
                active.matched = active.matched.wrapping_add(1);
                if active.rule.share.is_some_and(|percent| fraction(active.matched) >= percent) {
                    continue;
                }
                match &mut active.rule.times {
                    Some(0) => continue,
                    Some(left) => *left -= 1,
                    None => {}
                }
                active.met += 1;
                kinds.push(active.rule.kind.clone());
            }
            kinds
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Active>) -> T) -> T {
        let mut rules = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut rules);
        self.shared.armed.store(!rules.is_empty(), Ordering::Release);
        result
    }
}

/// A number below 100 for each number: those in a row are spread evenly (multiples of the golden ratio).
fn fraction(n: u32) -> u32 {
    ((u64::from(n.wrapping_mul(0x9E37_79B9)) * 100) >> 32) as u32
}

/// The faults of one request: set where it is dispatched, read by the backend and by the wire.
#[derive(Clone, Default)]
pub(super) struct Flight(Arc<OnceLock<Vec<Kind>>>);

impl Flight {
    pub(super) fn set(&self, kinds: Vec<Kind>) {
        // A request is dispatched once.
        let _ = self.0.set(kinds);
    }

    pub(super) fn kinds(&self) -> &[Kind] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

/// The faults a request carries.
pub(super) fn kinds(extensions: &Extensions) -> &[Kind] {
    extensions.get::<Flight>().map_or(&[], Flight::kinds)
}

/// Holds a request that was taken whole back from its effect.
pub(super) async fn linger(kinds: &[Kind]) {
    for kind in kinds {
        if let Kind::Linger(time) = kind {
            tokio::time::sleep(*time).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_meet_only_what_they_name_and_as_often_as_they_say() {
        let faults = Faults::default();
        assert!(!faults.armed());
        let id = faults.add(Rule::new(Kind::SlowDown).operation("PutObject").key("b").skip(1).times(2));
        assert!(faults.meet("GetObject", Some("a/b")).is_empty());
        assert!(faults.meet("PutObject", Some("a/c")).is_empty());
        assert!(faults.meet("PutObject", None).is_empty());
        let met: Vec<usize> = (0..4).map(|_| faults.meet("PutObject", Some("a/b")).len()).collect();
        assert_eq!(met, [0, 1, 1, 0]);
        assert_eq!(faults.met(id), 2);
        assert!(faults.remove(id));
        assert!(!faults.armed());
    }

    #[test]
    fn a_share_of_requests_is_spread_evenly() {
        let faults = Faults::default();
        faults.add(Rule::new(Kind::SlowDown).share(30));
        let met: Vec<usize> = (0..1000).map(|_| faults.meet("PutObject", None).len()).collect();
        let sums: Vec<usize> = met.chunks(50).map(|some| some.iter().sum()).collect();
        assert!(sums.iter().all(|sum| (13..=17).contains(sum)), "{sums:?}");
    }
}
