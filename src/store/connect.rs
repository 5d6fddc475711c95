//! From options to a client.

use super::{
    Options, answer::Whole, clock::Clock, credentials, payer::Payer, refusal::NotAgain, requests::Requests,
};
use crate::model::{Class, Fault};
use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::ProfileFileRegionProvider, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_types::service_config::ServiceConfigKey;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{fmt::Display, path::Path, time::Duration};

/// Signed for where neither options nor environment name a region: what stores other than AWS take.
const ANY_REGION: &str = "us-east-1";

/// A request that hangs is tried again once: for as long between its attempts.
const PAUSES: Duration = Duration::from_secs(2);

/// A client, and the endpoint it talks to as text.
pub(super) async fn client(
    options: &Options,
    requests: &Requests,
    clock: &Clock,
) -> Result<(aws_sdk_s3::Client, String), Fault> {
    let http = match &options.ca_bundle {
        Some(path) => Some(trusting(path).await?),
        None => None,
    };
    let (builder, endpoint) =
        if options.isolated { isolated(options, http)? } else { environment(options, http).await? };
    Ok((finished(builder, options, requests, clock), endpoint))
}

/// A client of `http`, whatever that is.
#[cfg(any(test, fuzzing))]
pub(super) fn over(
    http: SharedHttpClient,
    options: &Options,
    requests: &Requests,
    clock: &Clock,
) -> Result<(aws_sdk_s3::Client, String), Fault> {
    let (builder, endpoint) = isolated(options, Some(http))?;
    Ok((finished(builder, options, requests, clock), endpoint))
}

/// With all that is the same for every client.
fn finished(builder: Builder, options: &Options, requests: &Requests, clock: &Clock) -> aws_sdk_s3::Client {
    let mut builder = builder
        .retry_config(RetryConfig::standard().with_max_attempts(options.max_attempts.max(1)))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(options.connect_timeout)
                .operation_attempt_timeout(options.patience)
                // one that hangs is not tried as often as one that is answered
                .operation_timeout(2 * options.patience + PAUSES)
                .build(),
        )
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(2 * options.patience).build(),
        )
        // the checksums sent are our own, as headers: some stores refuse trailers, some store them
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_classifier(NotAgain)
        .interceptor(requests.clone())
        .interceptor(clock.clone())
        .interceptor(Whole);
    if options.requester_pays {
        builder = builder.interceptor(Payer);
    }
    if options.force_path_style {
        builder = builder.force_path_style(true);
    }
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// From the options alone: neither variable nor file is read.
fn isolated(options: &Options, http: Option<SharedHttpClient>) -> Result<(Builder, String), Fault> {
    let missing = |what: &str| {
        Fault::new(Class::Fatal, "connect", format!("{what} is not given, and the environment is not asked"))
    };
    let keys = credentials::given(options)?.ok_or_else(|| missing("access_key_id"))?;
    let endpoint = options.endpoint_url.clone().ok_or_else(|| missing("endpoint_url"))?;
    let region = options.region.clone().unwrap_or_else(|| ANY_REGION.to_owned());
    let mut builder = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .endpoint_url(&endpoint)
        .credentials_provider(keys);
    builder.set_http_client(http);
    Ok((builder, endpoint))
}

/// What the options leave open, from the environment.
async fn environment(options: &Options, http: Option<SharedHttpClient>) -> Result<(Builder, String), Fault> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    let mut profile_region = ProfileFileRegionProvider::builder();
    if let Some(name) = &options.profile {
        loader = loader.profile_name(name);
        profile_region = profile_region.profile_name(name);
    }
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    } else if options.endpoint_url.is_some() {
        // no question to IMDS: it would only delay what is most likely not AWS
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(profile_region.build())
            .or_else(Region::new(ANY_REGION));
        loader = loader.region(region);
    }
    if let Some(http) = &http {
        loader = loader.http_client(http.clone());
    }
    let config = loader.no_credentials().load().await;
    let endpoint = options.endpoint_url.clone().or_else(|| configured_endpoint(&config));
    let region = match (config.region(), &endpoint) {
        (Some(region), _) => region.clone(),
        (None, Some(_)) => Region::new(ANY_REGION),
        (None, None) => {
            return Err(Fault::new(Class::Fatal, "connect", "no region is set")
                .remedy("set `region` in [s3], or AWS_REGION"));
        }
    };
    let source = credentials::source(options, Some(region.clone()), http)?;
    let place = endpoint.clone().unwrap_or_else(|| format!("aws {region}"));
    let mut builder = Builder::from(&config).region(region).credentials_provider(source);
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Ok((builder, place))
}

/// The endpoint that variables or a profile name, the one for S3 before the general one.
fn configured_endpoint(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .expect("all three fields are set");
    let service = config.service_config().and_then(|found| found.load_config(key));
    service.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// An HTTP client that trusts these roots beside the system's.
async fn trusting(path: &Path) -> Result<SharedHttpClient, Fault> {
    let bad = |cause: &dyn Display| {
        Fault::new(Class::Fatal, format!("ca_bundle {}", path.display()), cause)
            .remedy("give a readable file of PEM certificates")
    };
    let pem = tokio::fs::read(path).await.map_err(|e| bad(&e))?;
    // the SDK panics over a certificate it cannot take
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
    }
    if roots.is_empty() {
        return Err(bad(&"it holds no certificate"));
    }
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::default().with_pem_certificate(pem))
        .build()
        .map_err(|e| bad(&e))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build_https())
}
