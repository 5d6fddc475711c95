//! How the store is reached: `[s3]`, and `[mirror.s3]` over it.

use super::{
    problem::{Complaint, Shown},
    raw::{Access, Reader, Table},
};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Attempts per request.
const MAX_ATTEMPTS: u32 = 5;

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: to sign with, never to print.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the store is reached. What is `None` is left to the SDK's own chain (environment, profile, SSO,
/// instance and container roles, web identity).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// Region.
    pub region: Option<String>,
    /// Profile of the AWS configuration, or of `credentials_file`.
    pub profile: Option<String>,
    /// Another store than Amazon's: scheme, host, perhaps a port.
    pub endpoint_url: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`. By default what most stores want:
    /// true with an `endpoint_url` that is not Amazon's.
    pub force_path_style: bool,
    /// Certificates to trust, PEM; an absolute path.
    pub ca_bundle: Option<PathBuf>,
    /// Attempts per request, 1 to 20.
    pub max_attempts: u32,
    /// Key id; only with `secret_access_key`.
    pub access_key_id: Option<String>,
    /// The key itself.
    pub secret_access_key: Option<Secret>,
    /// Token of temporary keys.
    pub session_token: Option<Secret>,
    /// A file in the form of `~/.aws/credentials`; never together with `access_key_id`. Absolute, unless
    /// `$CREDENTIALS_DIRECTORY` was not set and it was given relative to that.
    pub credentials_file: Option<PathBuf>,
}

/// One table's share of [`S3`].
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub(super) region: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) endpoint_url: Option<String>,
    pub(super) force_path_style: Option<bool>,
    pub(super) ca_bundle: Option<PathBuf>,
    pub(super) max_attempts: Option<u32>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<Secret>,
    pub(super) session_token: Option<Secret>,
    pub(super) credentials_file: Option<PathBuf>,
}

impl Layer {
    /// Reads `[s3]` or `[mirror.s3]`.
    pub(super) fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> Self {
        private(table, reader);
        pairs(table, reader);
        Self {
            region: region(table, reader),
            profile: word(table, "profile", reader),
            endpoint_url: table
                .text("endpoint_url", reader)
                .and_then(|url| reader.check(url.at, endpoint(url.value)).map(|()| url.value.to_owned())),
            force_path_style: table.boolean("force_path_style", reader),
            ca_bundle: table
                .text("ca_bundle", reader)
                .and_then(|path| reader.check(path.at, absolute("ca_bundle", path.value))),
            max_attempts: table
                .number("max_attempts", 1..=20, reader)
                .and_then(|number| u32::try_from(number).ok()),
            access_key_id: word(table, "access_key_id", reader),
            secret_access_key: word(table, "secret_access_key", reader).map(Secret),
            session_token: word(table, "session_token", reader).map(Secret),
            credentials_file: table
                .text("credentials_file", reader)
                .and_then(|path| reader.check(path.at, credentials(path.value))),
        }
    }

    /// This layer over `base`, key by key. Credentials go together: a layer that says where they come
    /// from says it whole, so that a token or a secret never meets the key of another account.
    pub(super) fn over(&self, base: &Self) -> Self {
        let mut base = base.clone();
        if self.access_key_id.is_some() || self.credentials_file.is_some() || self.profile.is_some() {
            (base.access_key_id, base.secret_access_key, base.session_token) = (None, None, None);
        }
        if self.access_key_id.is_some() {
            base.credentials_file = None;
        }
        let own = self.clone();
        Self {
            region: own.region.or(base.region),
            profile: own.profile.or(base.profile),
            endpoint_url: own.endpoint_url.or(base.endpoint_url),
            force_path_style: own.force_path_style.or(base.force_path_style),
            ca_bundle: own.ca_bundle.or(base.ca_bundle),
            max_attempts: own.max_attempts.or(base.max_attempts),
            access_key_id: own.access_key_id.or(base.access_key_id),
            secret_access_key: own.secret_access_key.or(base.secret_access_key),
            session_token: own.session_token.or(base.session_token),
            credentials_file: own.credentials_file.or(base.credentials_file),
        }
    }

    /// With what is not said filled in; a relative `credentials_file` lies in `directory`.
    pub(super) fn resolve(self, directory: Option<&Path>) -> S3 {
        let foreign = self.endpoint_url.as_deref().is_some_and(|url| authority(url) != AMAZON);
        S3 {
            region: self.region,
            profile: self.profile,
            endpoint_url: self.endpoint_url,
            force_path_style: self.force_path_style.unwrap_or(foreign),
            ca_bundle: self.ca_bundle,
            max_attempts: self.max_attempts.unwrap_or(MAX_ATTEMPTS),
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
            session_token: self.session_token,
            credentials_file: self.credentials_file.map(|file| match directory {
                Some(directory) => directory.join(file),
                None => file,
            }),
        }
    }
}

/// Keys may stand only in a file that others cannot read; told once per file.
fn private(table: &Table<'_>, reader: &mut Reader<'_>) {
    let Some(Access { mode, .. }) = reader.access.filter(|access| !access.is_private()) else { return };
    let keys = ["access_key_id", "secret_access_key", "session_token"];
    if let Some((key, given)) = keys.iter().find_map(|key| Some((key, table.get(key)?))) {
        let path = reader.path.display().to_string();
        let complaint = Complaint::new(
            format!("`{key}` stands in a file that others can read (mode {:04o})", mode & 0o7777),
            format!(
                "run: chmod 600 '{path}', and give it to the user who runs s3mirrord; or have it belong to root, with mode \
                 0640 and the group of that user"
            ),
        );
        reader.complain(given.at, complaint);
        reader.access = None;
    }
}

/// Half of a pair of keys, or two sources at once.
fn pairs(table: &Table<'_>, reader: &mut Reader<'_>) {
    let [id, secret, token, file] =
        ["access_key_id", "secret_access_key", "session_token", "credentials_file"].map(|key| table.get(key));
    for (has, name, lacks, other) in [
        (&id, "access_key_id", &secret, "secret_access_key"),
        (&secret, "secret_access_key", &id, "access_key_id"),
        (&token, "session_token", &id, "access_key_id"),
    ] {
        if let (Some(has), None) = (has, lacks) {
            let message = format!("`{name}` stands without `{other}`");
            reader.missing(has.at, Complaint::new(message, format!("write both here, or take `{name}` out")));
        }
    }
    if let (Some(_), Some(file)) = (id, file) {
        let message = "`credentials_file` and `access_key_id` stand together";
        reader.complain(file.at, Complaint::new(message, "take one of them out"));
    }
}

/// A text of at least one character, without spaces or control characters.
/// A part of a host's name, as signatures and endpoints have it.
fn region(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let at = table.text("region", reader)?.at;
    let region = word(table, "region", reader)?;
    if region.len() <= 63 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Some(region);
    }
    let message = format!("`region = {}` is no region's name", Shown(&region));
    reader.complain(
        at,
        Complaint::new(message, "write region = \"eu-west-1\"; the URL of a store is `endpoint_url`"),
    );
    None
}

fn word(table: &Table<'_>, key: &str, reader: &mut Reader<'_>) -> Option<String> {
    let given = table.text(key, reader)?;
    if given.value.is_empty() || given.value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = format!("`{key}` is empty, or holds a space or a control character");
        let remedy = format!("write {}, or take it out", table.shape.example(key));
        reader.complain(given.at, Complaint::new(message, remedy));
        return None;
    }
    Some(given.value.to_owned())
}

/// An absolute path without `.` and `..`, doubled and trailing slashes taken off.
pub(super) fn absolute(key: &str, text: &str) -> Result<PathBuf, Complaint> {
    let path = Path::new(text);
    let wrong =
        |what: &str, remedy: String| Err(Complaint::new(format!("`{key} = {}` {what}", Shown(text)), remedy));
    if text.contains(char::is_control) {
        return wrong("holds a control character", "take it out".to_owned());
    }
    if !path.is_absolute() {
        return wrong("is relative", format!("write it from the top: {key} = \"/…\""));
    }
    if text.split('/').any(|part| part == "..") {
        return wrong("goes up with `..`", "write the path it means".to_owned());
    }
    Ok(path.components().collect())
}

/// An absolute path, or the name of a credential that systemd hands over.
fn credentials(text: &str) -> Result<PathBuf, Complaint> {
    if text.starts_with('/') {
        return absolute("credentials_file", text);
    }
    if text.is_empty() || text == "." || text == ".." || text.contains(|c: char| c == '/' || c.is_control()) {
        return Err(Complaint::new(
            format!("`credentials_file = {}` is neither an absolute path nor one name", Shown(text)),
            "write \"/…\", or the name that LoadCredential= gives it",
        ));
    }
    Ok(PathBuf::from(text))
}

/// Checks an endpoint's URL.
pub(super) fn endpoint(url: &str) -> Result<(), Complaint> {
    let wrong = |what: &str, remedy: &str| Err(Complaint::new(format!("`endpoint_url` {what}"), remedy));
    let form = "write scheme and host: endpoint_url = \"https://minio.example:9000\"";
    let Ok(parsed) = url.parse::<http::Uri>() else {
        return wrong("is not a URL", form);
    };
    let Some(authority) = parsed.authority() else { return wrong("has no host", form) };
    if authority.as_str().contains('@') {
        return wrong("holds a user or a password", "write `access_key_id` and `secret_access_key` instead");
    }
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return wrong("is neither http nor https", form);
    }
    if authority.host().is_empty() || parsed.query().is_some() || url.contains('#') {
        return wrong("has no host, or more than scheme, host and path", form);
    }
    Ok(())
}

const AMAZON: &str = "amazonaws.com";

/// What tells stores apart: host and port, or one word for all of Amazon's, where a bucket's name is its
/// own everywhere.
pub(super) fn authority(url: &str) -> String {
    let Ok(uri) = url.parse::<http::Uri>() else { return url.to_owned() };
    let host = uri.host().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if host == AMAZON || [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| host.ends_with(end)) {
        return AMAZON.to_owned();
    }
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    format!("{host}:{port}")
}

/// [`authority`] of the endpoint, or Amazon's.
pub(super) fn store(endpoint_url: Option<&str>) -> String {
    endpoint_url.map_or_else(|| AMAZON.to_owned(), authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let s3 = Layer { secret_access_key: Some(Secret::new("hush")), ..Layer::default() }.resolve(None);
        let shown = format!("{s3:?} {s3:#?}");
        assert!(shown.contains("***") && !shown.contains("hush"));
        assert_eq!(s3.secret_access_key.expect("kept").expose(), "hush");
    }

    #[test]
    fn credentials_of_two_layers_never_mix() {
        let keys = |id: &str, token: Option<&str>| Layer {
            access_key_id: Some(id.to_owned()),
            secret_access_key: Some(Secret::new(format!("{id}-secret"))),
            session_token: token.map(Secret::new),
            region: Some("r".to_owned()),
            ..Layer::default()
        };
        let file = Layer { credentials_file: Some("f".into()), ..Layer::default() };
        let profile = Layer { profile: Some("p".into()), ..Layer::default() };

        let both = keys("new", None).over(&keys("old", Some("token")));
        assert_eq!((both.access_key_id.as_deref(), both.session_token), (Some("new"), None));
        let both = file.over(&keys("old", Some("token")));
        assert_eq!((both.access_key_id, both.secret_access_key, both.session_token), (None, None, None));
        assert_eq!((both.region.as_deref(), both.credentials_file), (Some("r"), Some("f".into())));
        assert_eq!(keys("new", None).over(&file).credentials_file, None);
        assert_eq!(profile.over(&keys("old", None)).access_key_id, None);
        assert_eq!(profile.over(&file).credentials_file, Some("f".into()));
        let region = Layer { region: Some("s".into()), ..Layer::default() }.over(&keys("old", Some("t")));
        assert_eq!((region.region.as_deref(), region.access_key_id.as_deref()), (Some("s"), Some("old")));
        assert!(region.session_token.is_some());
    }

    #[test]
    fn endpoints_are_checked_and_told_apart() {
        for (url, good) in [
            ("https://minio.example:9000", true),
            ("http://127.0.0.1:9000/", true),
            ("http://[::1]:9000", true),
            ("https://gateway.example/s3", true),
            ("minio.example:9000", false),
            ("minio.example", false),
            ("s3://bucket", false),
            ("https://", false),
            ("https://me:secret@minio.example", false),
            ("https://minio.example/?a", false),
            ("", false),
        ] {
            let checked = endpoint(url);
            assert_eq!(checked.is_ok(), good, "{url}");
            assert!(!format!("{checked:?}").contains("me:secret"));
        }
        assert_eq!(authority("https://Minio.example/"), authority("https://minio.example:443"));
        assert_ne!(authority("https://minio.example"), authority("http://minio.example"));
        assert_eq!(store(Some("https://s3.eu-west-1.amazonaws.com")), store(None));
        let style = |url: &str| {
            Layer { endpoint_url: Some(url.to_owned()), ..Layer::default() }.resolve(None).force_path_style
        };
        assert!(style("https://minio.example") && !style("https://s3.us-east-1.amazonaws.com"));
        assert!(!Layer::default().resolve(None).force_path_style);
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        assert_eq!(absolute("root", "/srv//www/./"), Ok(PathBuf::from("/srv/www")));
        assert_eq!(absolute("root", "/"), Ok(PathBuf::from("/")));
        for bad in ["srv", "", "./x", "~/x", "/srv/../etc", "/a\0"] {
            assert!(absolute("root", bad).is_err(), "{bad:?}");
        }
    }
}
