//! What an object is to have beside its bytes and our own metadata, where the operator chose it.

/// Options of an object. `None`: not chosen, so a new object gets what the bucket gives, and a copy what its source
/// has. An empty text or list is a choice too: to have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// The storage class, as the store names it.
    pub storage_class: Option<String>,
    /// Encryption by the store.
    pub encryption: Option<Encryption>,
    /// All of its tags: at most 10, no name twice.
    pub tags: Option<Vec<(String, String)>>,
    /// The canned ACL.
    pub acl: Option<String>,
    /// User metadata beside ours: none of our names. A copy keeps other pairs that its source has.
    pub metadata: Option<Vec<(String, String)>>,
    /// `Content-Type`; empty: by the extension.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// How long Object Lock retains it.
    pub retention: Option<Retention>,
    /// Object Lock holds it until somebody lifts that.
    pub legal_hold: Option<bool>,
}

/// How the store encrypts an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket says: nothing is asked for.
    Bucket,
    /// With keys of the store (SSE-S3).
    Store,
    /// With a key of the key service (SSE-KMS).
    Kms {
        /// Id, ARN or alias of the key; `None`: the one that the service keeps for S3.
        key: Option<String>,
        /// One data key of the bucket for many objects; `None`: as the bucket says.
        bucket_key: Option<bool>,
    },
}

/// How long Object Lock retains an object, from when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As the bucket says: nothing is asked for.
    Bucket,
    /// So many days, 1 or more; whoever has a right of its own may end it before.
    Governance(u32),
    /// So many days, 1 or more; nobody can end it before.
    Compliance(u32),
}

impl ObjectOptions {
    /// These over `base`, option by option.
    #[must_use]
    pub fn over(self, base: &Self) -> Self {
        macro_rules! each {
            ($($option:ident),*) => {
                Self { $($option: self.$option.or_else(|| base.$option.clone())),* }
            };
        }
        each!(
            storage_class,
            encryption,
            tags,
            acl,
            metadata,
            content_type,
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            retention,
            legal_hold
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_laid_over_by_itself() {
        let text = |text: &str| Some(text.to_owned());
        let base = ObjectOptions {
            storage_class: text("STANDARD_IA"),
            tags: Some(vec![("team".into(), "web".into())]),
            cache_control: text("no-cache"),
            retention: Some(Retention::Compliance(1)),
            ..ObjectOptions::default()
        };
        let own = ObjectOptions {
            storage_class: text("STANDARD"),
            tags: Some(vec![]),
            cache_control: text(""),
            legal_hold: Some(true),
            ..ObjectOptions::default()
        };
        let both = own.clone().over(&base);
        assert_eq!(both, ObjectOptions { retention: Some(Retention::Compliance(1)), ..own });
        assert_eq!(ObjectOptions::default().over(&base), base);
    }
}
