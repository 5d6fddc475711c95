//! A store whose certificate a private authority signed.

use crate::support::server::{Answer, serve};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use s3mirrord::{
    model::{Class, Key},
    store::{Options, S3, Secret, Store},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

/// Serves TLS on loopback; gives the endpoint and the authority's certificate.
async fn start() -> (String, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();

    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let seen = Arc::new(Mutex::new(Vec::new()));
                    serve(stream, seen, Arc::new(|_, _| Answer::new(404, ""))).await;
                }
            });
        }
    });
    (endpoint, root.pem())
}

fn options(endpoint: &str, ca_bundle: Option<PathBuf>) -> Options {
    let mut options = Options::new("bucket", "");
    options.endpoint_url = Some(endpoint.to_owned());
    options.force_path_style = true;
    options.isolated = true;
    options.access_key_id = Some("ID".to_owned());
    options.secret_access_key = Some(Secret::new("s"));
    options.ca_bundle = ca_bundle;
    options.max_attempts = 2;
    options
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_if_it_is_named() {
    let (endpoint, root) = start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (_, stranger) = start().await;
    let both = file("both.pem", &format!("{stranger}\n{root}"));
    for bundle in [file("root.pem", &root), both] {
        let store = S3::connect(options(&endpoint, Some(bundle))).await.unwrap();
        assert_eq!(store.head(&Key::raw("a")).await.unwrap(), None);
    }
    for bundle in [None, Some(file("stranger.pem", &stranger))] {
        let store = S3::connect(options(&endpoint, bundle)).await.unwrap();
        let fault = store.head(&Key::raw("a")).await.unwrap_err();
        assert_eq!(fault.class, Class::Fatal, "{fault}");
        assert!(fault.to_string().contains("ca_bundle"), "{fault}");
    }
}

#[tokio::test]
async fn a_bundle_that_cannot_be_used_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [("none", None), ("empty", Some("")), ("text", Some("hello")), ("bad", Some(bad))] {
        let path = dir.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let fault = S3::connect(options("https://127.0.0.1:1", Some(path))).await.map(|_| ()).unwrap_err();
        assert_eq!(fault.class, Class::Fatal, "{name}: {fault}");
        assert!(fault.to_string().contains("ca_bundle"), "{name}: {fault}");
    }
}
