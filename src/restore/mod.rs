//! L3, the way back: every object below the prefix that a file can have becomes that file again.
//!
//! It needs the bucket alone, no ledger: what a file was beside its bytes is in the object's metadata. `bring` fetches one
//! object, a large one in `pieces`, proves it and gives it its place; nothing takes its name before that, and nothing outside the target is touched
//! (`local/target`). What was at a time is told by the versions that the bucket keeps or by the trash (`past`): each is only
//! another source of what is brought.

mod bring;
mod directories;
mod link;
mod named;
mod node;
mod past;
mod pieces;
mod silence;
mod source;
mod trash;
mod turns;
mod twin;

pub use named::Pattern;
pub use past::{Past, When};

use crate::{
    local::{Finish, Target},
    model::{Class, Fault, Key, RelPath, RemoteMeta},
    plan::{Moment, Replace},
    store::{Depth, S3, Start, Store},
};
use bring::Bringer;
use directories::Directories;
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use named::Scope;
use silence::Silence;
use source::{Item, Shown};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio_util::sync::CancellationToken;

/// Objects that are dealt with at the same time.
const ABREAST: usize = 32;

/// What is to be restored, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which files give way.
    pub replace: Replace,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Give files the owner that they had.
    pub owner: bool,
    /// Of those who have the names here that the owners had, where these are told: else by number.
    pub owner_names: bool,
    /// Give them set-user-id, set-group-id and sticky bits, too.
    pub special: bool,
    /// Make devices.
    pub devices: bool,
    /// Files, and directories with all below them; neither these nor patterns: everything.
    pub paths: Vec<RelPath>,
    /// Of `paths` only what has these very names, and nothing that is below them.
    pub alone: bool,
    /// Patterns of files and directories.
    pub patterns: Vec<Pattern>,
    /// What may be held of transfers, in bytes.
    pub memory: u64,
    /// As it was then; `None`: as it is.
    pub past: Option<Past>,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its file is there now, of so many bytes. Not `proven` if nothing that the store tells could be compared.
    Restored {
        /// Bytes.
        bytes: u64,
        /// It is what was stored.
        proven: bool,
    },
    /// It would be restored, with so many bytes.
    Planned(u64),
    /// Its file was there.
    Same,
    /// Another file is there, and stays.
    Stays,
    /// It could not be restored.
    Failed(Fault),
}

/// Told of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Below the prefix.
    pub key: Key,
    /// What became of it.
    pub ending: Ending,
}

/// What it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Files that were restored, or would be.
    pub restored: u64,
    /// And their bytes.
    pub bytes: u64,
    /// Of these, files that nothing could be held against.
    pub unproven: u64,
    /// Files that were there as they are to be.
    pub same: u64,
    /// Files that were there, are others, and stay.
    pub stays: u64,
    /// Keys that could not be restored.
    pub failed: u64,
}

/// How far it is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    restored: AtomicU64,
    bytes: AtomicU64,
    unproven: AtomicU64,
    same: AtomicU64,
    stays: AtomicU64,
    failed: AtomicU64,
    /// Bytes that came, those of files that failed, and of attempts that did, included.
    came: AtomicU64,
    silence: Silence,
}

impl Live {
    /// Bytes that came so far, of files under way too.
    pub fn came(&self) -> u64 {
        self.0.came.load(Relaxed)
    }

    /// As it is now.
    pub fn sums(&self) -> Sums {
        let Counts { restored, bytes, unproven, same, stays, failed, .. } = &*self.0;
        Sums {
            restored: restored.load(Relaxed),
            bytes: bytes.load(Relaxed),
            unproven: unproven.load(Relaxed),
            same: same.load(Relaxed),
            stays: stays.load(Relaxed),
            failed: failed.load(Relaxed),
        }
    }

    fn count(&self, ending: &Ending) {
        let counts = &*self.0;
        let one = match ending {
            Ending::Restored { bytes, proven } => {
                counts.unproven.fetch_add(u64::from(!proven), Relaxed);
                counts.bytes.fetch_add(*bytes, Relaxed);
                &counts.restored
            }
            Ending::Planned(bytes) => {
                counts.bytes.fetch_add(*bytes, Relaxed);
                &counts.restored
            }
            Ending::Same => &counts.same,
            Ending::Stays => &counts.stays,
            Ending::Failed(_) => &counts.failed,
        };
        one.fetch_add(1, Relaxed);
    }

    fn arrived(&self, bytes: u64) {
        self.0.came.fetch_add(bytes, Relaxed);
        self.0.silence.heard();
    }

    fn silence(&self) -> &Silence {
        &self.0.silence
    }
}

/// Restores until all is done, or `stop` is cancelled: then what is under way is dropped.
///
/// # Errors
/// What nothing can be restored for: the bucket, credentials, a full disk. What concerns one key is told of it.
pub async fn run(
    store: &S3,
    target: &Target,
    options: &Options,
    live: &Live,
    stop: &CancellationToken,
    tell: impl Fn(Event),
) -> Result<(), Fault> {
    let bringer = &Bringer::new(store, target, options, live);
    let mut directories = Directories::default();
    let finished = directories.finished();
    let all = async {
        let scope = &Scope::find(store, live, options).await?;
        let dress = async || {
            for (key, path, finish) in finished.take() {
                let finish = match finish {
                    Some(finish) => Ok(finish),
                    None if options.dry_run || !target.is_unfinished(&path) => continue,
                    None => bringer.finish_above(&path, scope).await,
                };
                let dressed = match finish {
                    Ok(finish) => target.dress(&path, finish).await,
                    Err(fault) => Err(fault),
                };
                match dressed {
                    Ok(()) => {}
                    Err(fault) if fault.class == Class::Fatal => return Err(fault),
                    Err(fault) => {
                        let ending = Ending::Failed(fault);
                        live.count(&ending);
                        tell(Event { key, ending });
                    }
                }
            }
            Ok(())
        };
        let (items, moment) = items(store, live, scope, options.past.as_ref());
        let brought = items.map_ok(move |(key, shown)| {
            let directory = directories.come_to(&key);
            async move {
                let found = match shown {
                    Ok(shown) => source::settle(store, live, &key, shown, moment).await,
                    Err(fault) => Err(fault),
                };
                let was_there = !matches!(found, Ok(None));
                let ending = match found {
                    Ok(Some(found)) => bringer.bring(&key, found, directory.as_deref()).await,
                    Ok(None) => Ok(None),
                    Err(fault) => Err(fault),
                };
                Ok::<_, Fault>((key, was_there, ending))
            }
        });
        let mut brought = Box::pin(brought.try_buffer_unordered(ABREAST));
        // what is named and is not there is told, too
        let mut missed: Vec<_> = scope.all().iter().filter(|sought| !sought.name().is_root()).collect();
        while let Some((key, was_there, ending)) = brought.try_next().await? {
            dress().await?;
            if was_there {
                missed.retain(|sought| !sought.holds(&key));
            }
            let ending = match ending {
                Ok(Some(ending)) => ending,
                Ok(None) => continue,
                Err(fault) if fault.class == Class::Fatal => return Err(fault),
                Err(fault) => Ending::Failed(fault),
            };
            live.count(&ending);
            tell(Event { key, ending });
        }
        // with it go the directories that are still open
        drop(brought);
        dress().await?;
        for sought in missed {
            let (key, cause) = (Key::of(sought.name()), sought.lacks(moment.is_some()));
            let ending = Ending::Failed(Fault::new(Class::Missing, format!("restore {key}"), cause));
            live.count(&ending);
            tell(Event { key, ending });
        }
        Ok(())
    };
    let stopped =
        || Fault::new(Class::Transient, "restore", "stopped before it was over").remedy("run it again");
    let lost = async {
        loop {
            let lost = live.silence().lost().await;
            // one that answers with an error is there
            if store.answered().is_none_or(|answered| answered.elapsed() >= silence::LONGEST) {
                return lost;
            }
            live.silence().heard();
        }
    };
    let answered = async {
        tokio::select! {
            done = all => done,
            lost = lost => Err(lost),
        }
    };
    let done = stop.run_until_cancelled(answered).await.unwrap_or_else(|| Err(stopped()));
    // what was made stays for its owner alone: the next restore goes on with it
    for path in target.opened_up() {
        if let Err(fault) = target.dress(&path, Finish::default()).await {
            tracing::warn!(%path, "a directory that was opened up did not get its mode back: {fault}");
        }
    }
    bringer.tell_unknown();
    // whatever has its name is taken for whole the next time
    let synced = if options.dry_run { Ok(()) } else { target.sync().await };
    done.and(synced)
}

/// What is to be brought, and of which moment.
fn items<'a>(
    store: &'a S3,
    live: &'a Live,
    scope: &Scope,
    past: Option<&Past>,
) -> (BoxStream<'a, Result<Item, Fault>>, Option<Moment>) {
    let (scope, paths, alone) = (scope.clone(), scope.roots(), scope.alone());
    let (all, moment) = match past {
        None => {
            let now = |(key, found): Found| (key, found.map(Shown::Now));
            (objects(store, live, paths, alone).map_ok(now).boxed(), None)
        }
        Some(Past::Versions(moment)) => {
            (source::versions(store, live, *moment, paths).boxed(), Some(*moment))
        }
        Some(Past::Trash(moment, _)) => {
            let there = |(key, found): Found| std::future::ready(Ok(found.ok().map(|meta| (key, meta))));
            let present = move |path| objects(store, live, vec![path], alone).try_filter_map(there);
            (trash::objects(store, live, *moment, paths, present).boxed(), Some(*moment))
        }
    };
    (all.try_filter(move |(key, _)| std::future::ready(scope.holds(key))).boxed(), moment)
}

/// A key, and the object that a listing shows there; or why one that was named cannot be had.
type Found = (Key, Result<RemoteMeta, Fault>);

/// The objects of these files and directories.
fn objects<'a>(
    store: &'a S3,
    live: &'a Live,
    paths: Vec<RelPath>,
    alone: bool,
) -> impl Stream<Item = Result<Found, Fault>> + 'a {
    stream::iter(paths).flat_map(move |path| {
        let named = !path.is_root();
        // as a file, and as a link
        let itself = [Key::of(&path), Key::of_link(&path)].into_iter().filter(move |_| named);
        let itself = stream::iter(itself).filter_map(async move |key| {
            let found = match store.head(&key).await {
                // a name that is too long for a link's object may well be a file's
                Err(fault) if fault.class == Class::Permanent && key.link().is_some() => None,
                head => head.map(|head| head.map(|head| head.meta)).transpose(),
            };
            found.map(|found| (key, found))
        });
        let below = (!alone).then(|| below(store, live, Key::directory(&path)));
        let below = stream::iter(below).flatten().map_ok(|(key, meta)| (key, Ok(meta)));
        itself.map(Ok).chain(below)
    })
}

fn below<'a>(
    store: &'a S3,
    live: &'a Live,
    prefix: Key,
) -> impl Stream<Item = Result<(Key, RemoteMeta), Fault>> + 'a {
    stream::try_unfold(Some(Start::First), move |start| {
        let prefix = prefix.clone();
        async move {
            let Some(start) = start else { return Ok(None) };
            let page = live.silence().patiently(|| store.list(&prefix, Depth::All, start.clone())).await?;
            let objects = stream::iter(page.objects.into_iter().map(Ok));
            Ok::<_, Fault>(Some((objects, page.next.map(Start::Token))))
        }
    })
    .try_flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, Secret};
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::Instant,
    };

    /// Answers so many requests with a listing of one object, and is gone; or answers all others with an error.
    async fn told(listings: usize, is_there: bool) -> (Result<(), Fault>, Sums, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let server = tokio::spawn(async move {
            for number in 0.. {
                if number >= listings && !is_there {
                    break;
                }
                let (mut stream, _) = listener.accept().await.expect("a client");
                let (mut head, mut byte) = (vec![], [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                let body = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>www/a</Key>\
                    <ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>4</Size></Contents></ListBucketResult>";
                let (status, body) = if number < listings { ("200 OK", body) } else { ("500 Oh", "") };
                let len = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let store = S3::connect(store::Options {
            isolated: true,
            endpoint_url: Some(endpoint),
            force_path_style: true,
            access_key_id: Some("key".to_owned()),
            secret_access_key: Some(Secret::new("secret")),
            ..store::Options::new("bucket", "www/")
        });
        let store = store.await.expect("nothing is sent yet");
        let dir = tempfile::tempdir().expect("a directory");
        let target = Target::open(dir.path(), true).expect("it can be written to");
        let (live, stop, begun) = (Live::default(), CancellationToken::new(), Instant::now());
        let done = run(&store, &target, &Options::default(), &live, &stop, |_| ()).await;
        server.abort();
        (done, live.sums(), begun.elapsed())
    }

    /// Each request is tried 25 times: that would take three minutes.
    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_gone_is_given_up_after_half_a_minute() {
        for listings in [0, 1] {
            let (done, _, took) = told(listings, false).await;
            let fault = done.expect_err("nobody answers");
            assert_eq!(fault.class, Class::Fatal, "{fault}");
            assert!(fault.to_string().contains("has not answered"), "{fault}");
            assert!(took >= Duration::from_secs(30) && took <= Duration::from_secs(100), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_answers_with_errors_fails_the_file_alone() {
        let (done, sums, _) = told(1, true).await;
        assert_eq!((done, sums.failed), (Ok(()), 1));
    }
}
