//! What has to be allowed for a configuration, and no more, as an IAM policy.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>

use crate::{
    config::{DeletePolicy, Mirror},
    model::{Encryption, ObjectOptions, RESERVED},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The policy for the user or role of these mirrors.
pub fn policy(mirrors: &[Mirror]) -> Value {
    let mut buckets: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let (mut objects, mut keys) = (vec![], BTreeSet::new());
    for mirror in mirrors {
        let partition = partition(mirror.s3.region.as_deref().unwrap_or_default());
        let bucket = buckets.entry((partition, &mirror.bucket)).or_default();
        // without ListBucket an absent object answers 403; a condition on s3:prefix has that effect on HEAD
        bucket.extend(["s3:ListBucket", "s3:ListBucketMultipartUploads"]);
        if mirror.trash.is_some() {
            bucket.insert("s3:GetBucketVersioning");
        }
        let below = |prefix: &str| format!("arn:{partition}:s3:::{}/{prefix}*", mirror.bucket);
        let mut places = vec![below(&mirror.prefix)];
        places.extend(mirror.trash.as_ref().map(|trash| below(&trash.prefix)));
        objects.push(statement(actions(mirror), places));
        if mirror.delete == DeletePolicy::Keep {
            objects.push(statement(["s3:DeleteObject"], [below(&format!("{}{RESERVED}", mirror.prefix))]));
        }
        keys.extend(options(mirror).filter_map(key_of));
    }
    let buckets = buckets
        .into_iter()
        .map(|((partition, name), actions)| statement(actions, [format!("arn:{partition}:s3:::{name}")]));
    let seals = (!keys.is_empty()).then(|| statement(["kms:Decrypt", "kms:GenerateDataKey"], keys));
    let all: Vec<_> = buckets.chain(objects).chain(seals).collect();
    json!({ "Version": "2012-10-17", "Statement": all })
}

/// What Amazon calls the part of the world that a region lies in.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

fn statement<A: Into<String>, R: Into<String>>(
    actions: impl IntoIterator<Item = A>,
    resources: impl IntoIterator<Item = R>,
) -> Value {
    let actions: Vec<String> = actions.into_iter().map(Into::into).collect();
    let resources: Vec<String> = resources.into_iter().map(Into::into).collect();
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

/// What is done with the objects of a mirror.
fn actions(mirror: &Mirror) -> BTreeSet<&'static str> {
    let mut actions = BTreeSet::from([
        "s3:AbortMultipartUpload",
        "s3:GetObject",
        // a copy takes the tags with it
        "s3:GetObjectTagging",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
        "s3:PutObjectTagging",
    ]);
    if mirror.delete != DeletePolicy::Keep {
        actions.insert("s3:DeleteObject");
    }
    for options in options(mirror) {
        actions.extend(options.acl.as_ref().map(|_| "s3:PutObjectAcl"));
        actions.extend(options.retention.as_ref().map(|_| "s3:PutObjectRetention"));
        actions.extend(options.legal_hold.map(|_| "s3:PutObjectLegalHold"));
    }
    actions
}

fn options(mirror: &Mirror) -> impl Iterator<Item = &ObjectOptions> {
    std::iter::once(&mirror.options).chain(mirror.rules.iter().map(|rule| &rule.options))
}

/// The key of the key service, if it can be named in a policy: an alias cannot.
fn key_of(options: &ObjectOptions) -> Option<String> {
    match &options.encryption {
        Some(Encryption::Kms { key: Some(key), .. })
            if key.starts_with("arn:") && !key.contains(":alias/") =>
        {
            Some(key.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Surroundings};
    use std::path::Path;

    fn of(more: &str) -> Value {
        let text = format!(
            "[[mirror]]\nname = \"www\"\nroot = \"/no/www\"\nbucket = \"backups\"\nprefix = \"p/\"\n{more}"
        );
        let around = Surroundings { superuser: true, ..Surroundings::default() };
        policy(&Config::parse(&text, Path::new("c.toml"), &around).expect("valid").mirrors)
    }

    fn allows(policy: &Value, action: &str, resource: &str) -> bool {
        let has = |statement: &Value, key: &str, what: &str| {
            statement[key].as_array().expect("a list").iter().any(|one| one == what)
        };
        let all = policy["Statement"].as_array().expect("a list");
        all.iter().any(|statement| has(statement, "Action", action) && has(statement, "Resource", resource))
    }

    #[test]
    fn what_is_configured_is_allowed_and_no_more() {
        let (objects, bucket) = ("arn:aws:s3:::backups/p/*", "arn:aws:s3:::backups");
        let key = "arn:aws:kms:eu-west-1:1:key/k";
        for (more, action, resource, want) in [
            ("", "s3:ListBucket", bucket, true),
            ("", "s3:PutObject", objects, true),
            ("", "s3:DeleteObject", objects, true),
            ("", "s3:GetBucketVersioning", bucket, false),
            ("", "s3:PutObjectAcl", objects, false),
            ("", "s3:PutObjectRetention", objects, false),
            ("delete = \"keep\"", "s3:DeleteObject", objects, false),
            ("delete = \"keep\"", "s3:DeleteObject", "arn:aws:s3:::backups/p/.s3mirrord/*", true),
            (
                "delete = \"trash\"\ntrash_prefix = \"t/\"",
                "s3:DeleteObject",
                "arn:aws:s3:::backups/t/*",
                true,
            ),
            ("delete = \"trash\"\ntrash_prefix = \"t/\"", "s3:GetBucketVersioning", bucket, true),
            ("acl = \"private\"", "s3:PutObjectAcl", objects, true),
            (
                "[[mirror.objects]]\nmatch = [\"*\"]\nlegal_hold = true",
                "s3:PutObjectLegalHold",
                objects,
                true,
            ),
            ("retention = { mode = \"governance\", days = 1 }", "s3:PutObjectRetention", objects, true),
            ("sse = { kms = \"arn:aws:kms:eu-west-1:1:key/k\" }", "kms:GenerateDataKey", key, true),
        ] {
            let policy = of(more);
            assert_eq!(allows(&policy, action, resource), want, "{more}: {action} {policy:#}");
        }
        assert!(
            !of("sse = \"kms\"").to_string().contains("kms:"),
            "the service's own key needs no statement"
        );
    }

    #[test]
    fn a_region_of_china_or_of_the_government_has_names_of_its_own() {
        for (region, want) in
            [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
        {
            let policy = of(&format!("[mirror.s3]\nregion = {region:?}"));
            assert!(allows(&policy, "s3:ListBucket", &format!("arn:{want}:s3:::backups")), "{policy:#}");
            assert!(allows(&policy, "s3:PutObject", &format!("arn:{want}:s3:::backups/p/*")), "{policy:#}");
        }
    }

    #[test]
    fn mirrors_of_one_bucket_share_its_statement() {
        let policy =
            of("[[mirror]]\nname = \"two\"\nroot = \"/no/two\"\nbucket = \"backups\"\nprefix = \"q/\"");
        let statements = policy["Statement"].as_array().expect("a list");
        let of_bucket = statements.iter().filter(|one| one["Resource"][0] == "arn:aws:s3:::backups");
        assert_eq!((of_bucket.count(), statements.len()), (1, 3), "{policy:#}");
    }
}
