//! An S3 server in the process, for the demo and the tests.
//!
//! s3s checks signatures and speaks the wire; the rooms here keep what is stored. It is meant to answer as AWS
//! does wherever a client that backs files up could tell. Where it does not:
//!
//! - Nothing is kept across processes. Within one, [`Handle::stop`] and [`Handle::kill`] give back the [`Contents`]
//!   and [`Options::contents`] serves them again.
//! - There is one account, which may do everything: no policies. Canned ACLs and Object Lock are kept and told (every
//!   bucket has the latter), and hinder nobody.
//! - A lifecycle is stored and told, never acted on; no class is ever thawed (GLACIER and DEEP_ARCHIVE refuse a
//!   GET or copy).
//! - SSE is told back, with an ETag that is no MD5 under SSE-KMS and SSE-C; nothing is encrypted.
//! - The region of a signature is not compared with the server's.
//! - DeleteObjects is taken without a checksum of its body.
//! - A HEAD of a range is 200, not 206.
//! - A request whose body is XML is held against `x-amz-content-sha256` only, not Content-MD5 or `x-amz-checksum-*`.
//! - An object gets no checksum that its client did not ask for (AWS adds CRC64NVME).
//! - Completing an upload again is 404 `NoSuchUpload` (AWS repeats its answer for a while).
//! - ListMultipartUploads takes no delimiter. GetObjectAttributes, RestoreObject, SelectObjectContent and all
//!   bucket settings but versioning and lifecycle are 501.
//! - A key with a control character makes XML that is no XML where it is not URL-encoded, as on AWS.
//! - If `If-Match: *` guards a delete, an absent object is 412; other conditional deletes of it succeed.

mod attributes;
mod backend;
mod body;
mod bucket;
mod checksum;
mod condition;
mod copy;
mod delete;
mod fault;
mod get;
mod guard;
mod listing;
mod multipart;
mod object;
mod percent;
mod put;
mod state;
mod tally;
mod versions;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::backend::Backend;
pub use self::body::Bodies;
use self::body::Shelf;
pub use self::fault::{Faults, Kind, Rule, RuleId};
use self::state::State;
use self::tally::Tally;
use self::wire::{Gate, Wire};

/// How long [`Handle::stop`] lets requests under way take.
const GRACE: Duration = Duration::from_secs(5);

/// What to serve, and where.
pub struct Options {
    /// The address to listen on; port 0 takes any. Default: 127.0.0.1:0.
    pub listen: SocketAddr,
    /// The one access key. Default: `embedded`.
    pub access_key: String,
    /// Its secret. Default: random.
    pub secret_key: String,
    /// The region that GetBucketLocation and HeadBucket tell. Default: `us-east-1`.
    pub region: String,
    /// Buckets to make if they are not there. Default: none.
    pub buckets: Vec<String>,
    /// Where bodies are kept; unused with `contents`. Default: memory.
    pub bodies: Bodies,
    /// The least size of a multipart part that is not the last, in bytes; unused with `contents`. Default: 5 MiB.
    pub minimum_part: u64,
    /// What an earlier server held. Default: nothing.
    pub contents: Option<Contents>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            access_key: "embedded".to_owned(),
            secret_key: opaque(),
            region: "us-east-1".to_owned(),
            buckets: Vec::new(),
            bodies: Bodies::Memory,
            minimum_part: 5 << 20,
            contents: None,
        }
    }
}

/// All that a server held: buckets, objects, uploads in progress. Cloning shares it.
#[derive(Clone)]
pub struct Contents(Arc<State>);

impl Contents {
    /// Makes every object that is there older, by whole seconds.
    pub fn age(&self, by: Duration) {
        for (_, bucket) in self.0.buckets() {
            bucket.write().age(Duration::from_secs(by.as_secs()));
        }
    }
}

/// The server.
pub struct Server;

impl Server {
    /// Listens and serves on the current tokio runtime until the handle is stopped or dropped.
    ///
    /// # Errors
    /// The address cannot be bound, or a bucket's name is not valid.
    pub async fn start(options: Options) -> io::Result<Handle> {
        let listener = TcpListener::bind(options.listen).await?;
        Self::serve(listener, options)
    }

    /// Serves on a listener that is bound already; `listen` is ignored.
    ///
    /// # Errors
    /// The listener has no address, or a bucket's name is not valid.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve(listener: TcpListener, options: Options) -> io::Result<Handle> {
        let address = listener.local_addr()?;
        let state = match options.contents {
            Some(Contents(state)) => state,
            None => Arc::new(State::new(Shelf::new(options.bodies), options.minimum_part)),
        };
        for bucket in &options.buckets {
            if !s3s::path::check_bucket_name(bucket) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{bucket:?} is no bucket name"),
                ));
            }
            state.create(bucket);
        }
        let faults = Faults::default();
        let tally = Arc::new(Tally::default());
        let backend = Backend { state: state.clone(), faults: faults.clone(), region: options.region };
        let mut builder = S3ServiceBuilder::new(backend);
        builder.set_auth(SimpleAuth::from_single(options.access_key.clone(), options.secret_key.clone()));
        // The gate judges the time of a request itself, by a clock that a fault may set wrong.
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_access(Gate { faults: faults.clone(), tally: tally.clone() });
        let wire = Wire {
            service: builder.build(),
            faults: faults.clone(),
            closing: CancellationToken::new(),
            killed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        wire.tasks.spawn(wire.clone().accept(listener));
        Ok(Handle {
            address,
            access_key: options.access_key,
            secret_key: options.secret_key,
            state,
            faults,
            tally,
            wire,
        })
    }
}

/// A running server. Dropping it kills the server.
pub struct Handle {
    address: SocketAddr,
    access_key: String,
    secret_key: String,
    state: Arc<State>,
    faults: Faults,
    tally: Arc<Tally>,
    wire: Wire,
}

impl Handle {
    /// The URL to reach it at, e.g. `http://127.0.0.1:40123`. Buckets go into the path.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The access key id to sign with.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The secret to sign with.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// Requests by S3 operation, e.g. `PutObject`: all that were authenticated and dispatched, also those that a
    /// fault then met.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.tally.snapshot()
    }

    /// Sets the counts of [`Handle::requests`] back to nothing.
    pub fn reset_requests(&self) {
        self.tally.reset();
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What it holds, shared with it.
    pub fn contents(&self) -> Contents {
        Contents(self.state.clone())
    }

    /// Stops: nothing new is accepted, and requests under way get 5 s to end. The address is free afterwards.
    pub async fn stop(self) -> Contents {
        self.wire.closing.cancel();
        self.wire.tasks.close();
        if tokio::time::timeout(GRACE, self.wire.tasks.wait()).await.is_err() {
            self.wire.killed.cancel();
            self.wire.tasks.wait().await;
        }
        self.contents()
    }

    /// Stops as a crash would: connections break, requests under way are not finished. The address is free
    /// afterwards.
    pub async fn kill(self) -> Contents {
        self.wire.killed.cancel();
        self.wire.closing.cancel();
        self.wire.tasks.close();
        self.wire.tasks.wait().await;
        self.contents()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.wire.killed.cancel();
        self.wire.closing.cancel();
    }
}

/// 32 hex digits that mean nothing.
fn opaque() -> String {
    format!("{:032x}", fastrand::u128(..))
}
