//! Where credentials come from.

use super::Options;
use crate::model::{Class, Fault};
use aws_config::{
    BehaviorVersion, Region, default_provider::credentials::DefaultCredentialsChain,
    profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::config::SharedHttpClient;
use std::path::PathBuf;

/// Credentials given in the options, if they are; whole, or not at all.
pub(super) fn given(options: &Options) -> Result<Option<Credentials>, Fault> {
    match (&options.access_key_id, &options.secret_access_key) {
        (Some(id), Some(secret)) => Ok(Some(Credentials::new(
            id,
            secret.reveal(),
            options.session_token.as_ref().map(|t| t.reveal().to_owned()),
            None,
            "options",
        ))),
        (None, None) if options.session_token.is_none() => Ok(None),
        _ => Err(Fault::new(Class::Fatal, "credentials", "access_key_id and secret_access_key go together")
            .remedy("set both of them, or neither")),
    }
}

/// The source that the options name, the default chain if they name none. STS and SSO are asked in
/// `region`, over `http` if it is given.
pub(super) fn source(
    options: &Options,
    region: Option<Region>,
    http: Option<SharedHttpClient>,
) -> Result<SharedCredentialsProvider, Fault> {
    if let Some(given) = given(options)? {
        return Ok(SharedCredentialsProvider::new(given));
    }
    let kind = match (&options.credentials_file, &options.profile) {
        (Some(file), profile) => Kind::File(file.clone(), profile.clone()),
        (None, Some(profile)) => Kind::Profile(profile.clone()),
        (None, None) => Kind::Chain,
    };
    Ok(SharedCredentialsProvider::new(Fresh { kind, region, http }))
}

/// A source that is opened again whenever credentials are renewed: the SDK's own keep what they read at
/// first, an error too, for the life of the process.
#[derive(Debug)]
struct Fresh {
    kind: Kind,
    region: Option<Region>,
    http: Option<SharedHttpClient>,
}

#[derive(Debug)]
enum Kind {
    File(PathBuf, Option<String>),
    Profile(String),
    Chain,
}

impl Fresh {
    async fn load(&self) -> Result<Credentials, CredentialsError> {
        let mut config = ProviderConfig::default()
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_region(self.region.clone());
        if let Some(http) = &self.http {
            config = config.with_http_client(http.clone());
        }
        let profile = ProfileFileCredentialsProvider::builder().configure(&config);
        match &self.kind {
            Kind::File(file, name) => {
                // a file that is named but missing is otherwise taken for an empty one
                tokio::fs::metadata(file).await.map_err(|e| {
                    CredentialsError::invalid_configuration(format!(
                        "credentials_file {}: {e}",
                        file.display()
                    ))
                })?;
                let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, file).build();
                let name = name.as_deref().unwrap_or("default");
                profile.profile_files(files).profile_name(name).build().provide_credentials().await
            }
            Kind::Profile(name) => profile.profile_name(name).build().provide_credentials().await,
            Kind::Chain => {
                let mut chain = DefaultCredentialsChain::builder().configure(config);
                // else it asks for one everywhere, IMDS too
                chain.set_region(self.region.clone());
                chain.build().await.provide_credentials().await
            }
        }
    }
}

impl ProvideCredentials for Fresh {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    #[test]
    fn keys_are_given_whole_or_not_at_all() {
        let mut options = Options::new("b", "");
        assert!(given(&options).expect("none").is_none());
        options.access_key_id = Some("AKIA".into());
        assert_eq!(given(&options).expect_err("half").class, Class::Fatal);
        options.secret_access_key = Some(Secret::new("s"));
        assert!(given(&options).expect("both").is_some());
        options.access_key_id = None;
        options.secret_access_key = None;
        options.session_token = Some(Secret::new("t"));
        assert!(given(&options).is_err());
    }

    #[tokio::test]
    async fn c53_a_file_is_read_again_whenever_credentials_are_renewed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("keys");
        let source = Fresh { kind: Kind::File(file.clone(), None), region: None, http: None };
        assert!(source.load().await.is_err());
        for id in ["ONE", "TWO"] {
            let text = format!("[default]\naws_access_key_id={id}\naws_secret_access_key=s\n");
            std::fs::write(&file, text).expect("written");
            assert_eq!(source.load().await.expect("found").access_key_id(), id);
        }
    }
}
