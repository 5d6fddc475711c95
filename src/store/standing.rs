//! Where we stand with the store: as whom, which buckets it shows us, and whether tags may be read and written. Asked by
//! `doctor` alone.

use super::{
    S3, credentials,
    error::{chain, fault},
};
use crate::model::{Class, Fault, Key};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::types::Tagging;
use std::time::SystemTime;

/// As whom requests are signed; nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The id of the access key.
    pub access_key: String,
    /// Where it is from, in words.
    pub source: String,
    /// When it ends; `None`: it does not.
    pub expires: Option<SystemTime>,
}

impl S3 {
    /// As whom requests are signed.
    ///
    /// # Errors
    /// `Fatal`: there are no credentials.
    pub async fn caller(&self) -> Result<Caller, Fault> {
        let region = self.client().config().region().cloned();
        let source = credentials::source(self.options(), region, None)?;
        let found = source.provide_credentials().await.map_err(|error| {
            Fault::new(Class::Fatal, "credentials", chain(&error)).remedy(
                "give access_key_id and secret_access_key, a profile or a credentials_file, or a role",
            )
        })?;
        let options = self.options();
        let source = match (&options.access_key_id, &options.credentials_file, &options.profile) {
            (Some(_), _, _) => "the configuration".to_owned(),
            (None, Some(file), _) => format!("{}", file.display()),
            (None, None, Some(profile)) => format!("profile {profile:?}"),
            (None, None, None) => "the SDK's chain: environment, profile, SSO, role".to_owned(),
        };
        Ok(Caller { access_key: found.access_key_id().to_owned(), source, expires: found.expiry() })
    }

    /// The names of the buckets that these credentials may see.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html>
    ///
    /// # Errors
    /// As for any request; it is often denied.
    pub async fn buckets(&self) -> Result<Vec<String>, Fault> {
        let request = self.client().list_buckets();
        let answer = self.send(0, || request.clone().send()).await;
        let answer = answer.map_err(|e| fault("ListBuckets", "", &e))?;
        Ok(answer.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned)).collect())
    }

    /// Reads the tags of an object, and nothing is done with them.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html>
    ///
    /// # Errors
    /// As for any request.
    pub async fn reads_tags(&self, key: &Key) -> Result<(), Fault> {
        let full = self.full("GetObjectTagging", key)?;
        let request = self.client().get_object_tagging().bucket(self.bucket()).key(&full);
        let answer = self.send(0, || request.clone().send()).await;
        answer.map(drop).map_err(|e| fault("GetObjectTagging", &full, &e))
    }

    /// Takes all tags from an object.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html>
    ///
    /// # Errors
    /// As for any request.
    pub async fn writes_tags(&self, key: &Key) -> Result<(), Fault> {
        let full = self.full("PutObjectTagging", key)?;
        let none = Tagging::builder().set_tag_set(Some(vec![])).build().expect("it has a set of tags");
        let request = self.client().put_object_tagging().bucket(self.bucket()).key(&full).tagging(none);
        let answer = self.send(0, || request.clone().send()).await;
        answer.map(drop).map_err(|e| fault("PutObjectTagging", &full, &e))
    }
}
