//! All that can be set about a store.

use super::{Memory, Objects, Throttle, upload::ONE_REQUEST};
use std::{fmt, path::PathBuf, time::Duration};

/// 1 MiB in bytes.
pub(super) const MIB: u64 = 1 << 20;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the signer alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Which store, and how to talk to it. What is `None` is asked of the AWS environment: variables, the
/// shared files, SSO, web identity, ECS, IMDS.
#[derive(Clone, Debug)]
pub struct Options {
    /// The bucket.
    pub bucket: String,
    /// What every key of the mirror begins with; empty, or ending in `/`.
    pub prefix: String,
    /// Where its trash is, outside that prefix, ending in `/`; `None`: it has none.
    pub trash: Option<String>,
    /// The region requests are signed for.
    pub region: Option<String>,
    /// The service, `http://` or `https://`; `None` for AWS itself.
    pub endpoint_url: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub force_path_style: bool,
    /// Roots to trust beside the system's, PEM.
    pub ca_bundle: Option<PathBuf>,
    /// Attempts per request, the first included; at least 1.
    pub max_attempts: u32,
    /// A profile of the shared files; goes before credentials in the environment.
    pub profile: Option<String>,
    /// With `secret_access_key`: goes before everything else.
    pub access_key_id: Option<String>,
    /// See `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// See `access_key_id`; temporary credentials have one.
    pub session_token: Option<Secret>,
    /// A file in the format of `~/.aws/credentials`, read again when credentials are renewed; goes before
    /// the shared files. `profile` names the section, else `default`.
    pub credentials_file: Option<PathBuf>,
    /// No variable and no file of AWS is read: region, endpoint and keys are those given here.
    pub isolated: bool,
    /// What objects get beside bytes and metadata.
    pub objects: Objects,
    /// Every request says that the requester pays.
    pub requester_pays: bool,
    /// Up to this many bytes, an object goes up in one request; at most 5 GiB.
    pub threshold: u64,
    /// Up to this many bytes, an object is copied in one request; at most 5 GiB.
    pub copy_threshold: u64,
    /// Bytes of a part; at least 5 MiB but for stores that take less. Grows for files of over 10,000 parts.
    pub part_size: u64,
    /// Parts of one file in flight.
    pub concurrency: usize,
    /// What all bodies in flight may hold together.
    pub memory: Memory,
    /// How fast bodies may go.
    pub throttle: Throttle,
    /// How long a TCP connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a server may be silent that owes an answer.
    pub patience: Duration,
}

impl Options {
    /// That place with the defaults for all else.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            trash: None,
            region: None,
            endpoint_url: None,
            force_path_style: false,
            ca_bundle: None,
            max_attempts: 5,
            profile: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            credentials_file: None,
            isolated: false,
            objects: Objects::default(),
            requester_pays: false,
            threshold: 8 * MIB,
            copy_threshold: ONE_REQUEST,
            part_size: 8 * MIB,
            concurrency: 4,
            memory: Memory::default(),
            throttle: Throttle::default(),
            connect_timeout: Duration::from_secs(5),
            patience: Duration::from_secs(60),
        }
    }
}

impl Options {
    /// The most bytes that are copied in one request.
    pub(super) fn one_copy(&self) -> u64 {
        self.copy_threshold.min(ONE_REQUEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let mut options = Options::new("b", "p/");
        options.secret_access_key = Some(Secret::new("hunter2"));
        options.session_token = Some(Secret::new("hunter3"));
        let text = format!("{options:?}");
        assert!(!text.contains("hunter"), "{text}");
    }
}
