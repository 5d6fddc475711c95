//! The floor of an upload: the same bytes to the same server, by a client that does nothing else. It reads each file,
//! signs the request (with no digest of its bytes), sends it over one of a few connections, and looks at the status.
//! Nothing is compared, proven, recorded, or tried again; what a real client takes beyond this is what it does beyond.
//!
//!   cargo run --release --example floor -- ROOT http://127.0.0.1:9000 BUCKET PREFIX

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    collections::VecDeque,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::net::TcpStream;

/// Connections, and so requests at the same time.
const CONNECTIONS: usize = 16;
/// Larger files go up in parts of this size.
const PART: u64 = 8 << 20;

/// Where everything goes, and who signs.
struct Target {
    authority: String,
    path: String,
    credentials: Credentials,
}

/// One request's worth of a file.
struct Piece {
    url: String,
    file: PathBuf,
    offset: u64,
    length: u64,
}

/// A file in parts.
struct Parts {
    url: String,
    id: String,
    file: PathBuf,
    size: u64,
}

/// One connection.
struct Wire<'a> {
    target: &'a Target,
    sender: http1::SendRequest<Full<Bytes>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [root, endpoint, bucket, prefix] = words.as_slice() else {
        anyhow::bail!("usage: floor ROOT ENDPOINT BUCKET PREFIX");
    };
    let target = Target {
        authority: endpoint.strip_prefix("http://").context("the endpoint is no http://")?.to_owned(),
        path: format!("/{bucket}/{prefix}"),
        credentials: Credentials::new(
            std::env::var("AWS_ACCESS_KEY_ID")?,
            std::env::var("AWS_SECRET_ACCESS_KEY")?,
            None,
            None,
            "floor",
        ),
    };
    let mut files = vec![];
    walk(Path::new(root), &mut files)?;
    let (mut pieces, mut large) = (VecDeque::new(), vec![]);
    let mut first = target.wire().await?;
    for (file, size) in files {
        let url = target.url(Path::new(root), &file)?;
        if size <= PART {
            pieces.push_back(Piece { url, file, offset: 0, length: size });
            continue;
        }
        let parts = Parts { id: first.create(&url).await?, url, file, size };
        pieces.extend(parts.pieces());
        large.push(parts);
    }
    let pieces = Arc::new(Mutex::new(pieces));
    let workers = (0..CONNECTIONS).map(|_| send_all(&target, Arc::clone(&pieces)));
    let etags: Vec<_> = futures::future::try_join_all(workers).await?.into_iter().flatten().collect();
    for parts in large {
        first.complete(&parts, &etags).await?;
    }
    Ok(())
}

fn walk(at: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// Sends pieces until there is none; the tags of parts, by their URL.
async fn send_all(target: &Target, pieces: Arc<Mutex<VecDeque<Piece>>>) -> Result<Vec<(String, String)>> {
    let (mut wire, mut etags) = (target.wire().await?, vec![]);
    loop {
        let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(piece) = next else { return Ok(etags) };
        let mut bytes = vec![0; usize::try_from(piece.length)?];
        File::open(&piece.file)?.read_exact_at(&mut bytes, piece.offset)?;
        let (answer, _) = wire.send("PUT", &piece.url, bytes.into()).await?;
        if piece.url.contains('?') {
            let etag = answer.headers().get(header::ETAG).context("a part without a tag")?;
            etags.push((piece.url, etag.to_str()?.to_owned()));
        }
    }
}

impl Target {
    /// Names of the benches' trees need no escape.
    fn url(&self, root: &Path, file: &Path) -> Result<String> {
        let name = file.strip_prefix(root)?.to_str().context("a plain name")?;
        Ok(format!("http://{}{}/{name}", self.authority, self.path))
    }

    async fn wire(&self) -> Result<Wire<'_>> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Wire { target: self, sender })
    }

    fn sign(&self, request: &mut Request<Full<Bytes>>) -> Result<()> {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?;
        let headers =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("")));
        let uri = request.uri().to_string();
        let signable =
            SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::UnsignedPayload)?;
        let (signed, _) = sign(signable, &params.into())?.into_parts();
        signed.apply_to_request_http1x(request);
        Ok(())
    }
}

impl Parts {
    fn pieces(&self) -> impl Iterator<Item = Piece> {
        (0..self.size.div_ceil(PART)).map(|n| Piece {
            url: self.part(n),
            file: self.file.clone(),
            offset: n * PART,
            length: PART.min(self.size - n * PART),
        })
    }

    fn part(&self, n: u64) -> String {
        format!("{}?partNumber={}&uploadId={}", self.url, n + 1, self.id)
    }
}

impl Wire<'_> {
    async fn send(&mut self, method: &str, url: &str, body: Bytes) -> Result<(Response<Incoming>, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::HOST, &self.target.authority)
            .header(header::CONTENT_LENGTH, body.len())
            .body(Full::new(body))?;
        self.target.sign(&mut request)?;
        *request.uri_mut() = request.uri().path_and_query().context("a path")?.as_str().parse()?;
        self.sender.ready().await?;
        let mut answer = self.sender.send_request(request).await?;
        let text = answer.body_mut().collect().await?.to_bytes();
        ensure!(answer.status().is_success(), "{method} {url}: {} {:?}", answer.status(), text);
        Ok((answer, text))
    }

    async fn create(&mut self, url: &str) -> Result<String> {
        let (_, text) = self.send("POST", &format!("{url}?uploads="), Bytes::new()).await?;
        let text = String::from_utf8(text.into())?;
        let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
        Ok(id.context("an upload without an id")?.0.to_owned())
    }

    async fn complete(&mut self, parts: &Parts, etags: &[(String, String)]) -> Result<()> {
        let mut text = String::from("<CompleteMultipartUpload>");
        for n in 0..parts.size.div_ceil(PART) {
            let url = parts.part(n);
            let (_, etag) = etags.iter().find(|(of, _)| *of == url).context("a part that was not sent")?;
            text += &format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", n + 1);
        }
        text += "</CompleteMultipartUpload>";
        self.send("POST", &format!("{}?uploadId={}", parts.url, parts.id), text.into()).await?;
        Ok(())
    }
}
