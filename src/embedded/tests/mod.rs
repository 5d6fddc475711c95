//! The server as a client sees it: by the AWS SDK, and by requests written out where the SDK would not send them.

mod copies;
mod faults;
mod lifetime;
mod listings;
mod multipart;
mod objects;
mod versions;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedCredentialsProvider,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Handle, Options, Server};

/// A server with one bucket `bkt`, and a client of it that never retries.
struct Bench {
    server: Handle,
    client: Client,
}

async fn bench() -> Bench {
    with(Options::default()).await
}

async fn with(options: Options) -> Bench {
    let server = Server::start(Options { buckets: vec!["bkt".to_owned()], ..options }).await.unwrap();
    let client = client(&server, RequestChecksumCalculation::WhenRequired);
    Bench { server, client }
}

fn client(server: &Handle, checksums: RequestChecksumCalculation) -> Client {
    let keys = Credentials::new(server.access_key(), server.secret_key(), None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint())
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(checksums)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}

impl Bench {
    /// Puts an object; its ETag, quoted as it came.
    async fn put(&self, key: &str, body: &[u8]) -> String {
        let put = self.client.put_object().bucket("bkt").key(key).body(ByteStream::from(body.to_vec()));
        put.send().await.unwrap().e_tag.unwrap()
    }

    /// The body of an object, if there is one.
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let got = self.client.get_object().bucket("bkt").key(key).send().await;
        match got {
            Ok(got) => Some(got.body.collect().await.unwrap().to_vec()),
            Err(error) => {
                assert_eq!(refusal(error), (404, "NoSuchKey".to_owned()));
                None
            }
        }
    }

    /// The keys under a prefix.
    async fn keys(&self, prefix: &str) -> Vec<String> {
        let listing = self.client.list_objects_v2().bucket("bkt").prefix(prefix).send().await.unwrap();
        listing.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    fn count(&self, operation: &str) -> u64 {
        self.server.requests().get(operation).copied().unwrap_or(0)
    }
}

/// Status and code of an answer that was an error.
fn refusal<E>(error: SdkError<E>) -> (u16, String)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(error) => {
            (error.raw().status().as_u16(), error.err().code().unwrap_or_default().to_owned())
        }
        other => panic!("no answer: {other:?}"),
    }
}

/// A request signed and written out by hand: `path` goes over the wire as it is.
fn written(
    server: &Handle,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    payload: SignableBody<'_>,
    body: &[u8],
) -> Vec<u8> {
    let host = server.address().to_string();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = Credentials::new(server.access_key(), server.secret_key(), None, None, "test").into();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap();
    let all = [&[("host", host.as_str())], headers].concat();
    let signable =
        SignableRequest::new(method, format!("http://{host}{path}"), all.iter().copied(), payload).unwrap();
    let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
    let mut text =
        format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in all.into_iter().chain(instructions.headers()) {
        text += &format!("{name}: {value}\r\n");
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// Sends such a request; the answer's head and body.
async fn raw(
    server: &Handle,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    payload: SignableBody<'_>,
    body: &[u8],
) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(&written(server, method, path, headers, payload, body)).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
