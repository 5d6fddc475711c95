//! What objects are to have beside their bytes: in `[[mirror]]` for all, in `[[mirror.objects]]` for some.

use super::{
    labels::{metadata, tags},
    problem::{Complaint, Shown},
    protection::{encryption, retention},
    raw::{Reader, Table},
    schema::nearest,
};
use crate::model::ObjectOptions;

/// What some objects get over what all of the mirror get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Gitignore patterns that `plan::Filter` takes: whose objects.
    pub patterns: Vec<String>,
    /// What they get.
    pub options: ObjectOptions,
}

/// The classes of Amazon S3 (S3 API, *PutObject*, `x-amz-storage-class`). Other stores have others.
const CLASSES: [&str; 11] = [
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "EXPRESS_ONEZONE",
    "REDUCED_REDUNDANCY",
    "OUTPOSTS",
    "SNOW",
];

/// The canned ACLs of objects (S3 user guide, *Canned ACL*).
const ACLS: [&str; 7] = [
    "private",
    "bucket-owner-full-control",
    "bucket-owner-read",
    "authenticated-read",
    "aws-exec-read",
    "public-read",
    "public-read-write",
];

/// Reads the options of `[[mirror]]` or `[[mirror.objects]]`; what is wrong is noted and left out.
pub(super) fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> ObjectOptions {
    let mut header = |key| checked(table, key, reader, header);
    let (cache_control, content_disposition) = (header("cache_control"), header("content_disposition"));
    let (content_encoding, content_language) = (header("content_encoding"), header("content_language"));
    ObjectOptions {
        storage_class: checked(table, "storage_class", reader, class),
        encryption: encryption(table, reader),
        tags: tags(table, reader),
        acl: checked(table, "acl", reader, acl),
        metadata: metadata(table, reader),
        content_type: checked(table, "content_type", reader, content_type),
        cache_control,
        content_disposition,
        content_encoding,
        content_language,
        retention: retention(table, reader),
        legal_hold: table.boolean("legal_hold", reader),
    }
}

/// The storage class, if it is none of Amazon's: a store of another kind may have it.
pub(super) fn unknown_class(options: &ObjectOptions) -> Option<&str> {
    options.storage_class.as_deref().filter(|class| !CLASSES.contains(class))
}

/// A text that must pass its check.
fn checked(
    table: &Table<'_>,
    key: &str,
    reader: &mut Reader<'_>,
    check: impl FnOnce(&str, &str) -> Result<(), Complaint>,
) -> Option<String> {
    let given = table.text(key, reader)?;
    reader.check(given.at, check(key, given.value)).map(|()| given.value.to_owned())
}

fn class(key: &str, text: &str) -> Result<(), Complaint> {
    let word = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(word) {
        return Ok(());
    }
    let message = format!("`{key} = {}` is not a storage class", Shown(text));
    Err(Complaint::new(
        message,
        match nearest(&text.to_ascii_uppercase().replace(['-', ' '], "_"), CLASSES) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("write one of {}, or a class of your store in upper case", CLASSES.join(", ")),
        },
    ))
}

fn acl(key: &str, text: &str) -> Result<(), Complaint> {
    if ACLS.contains(&text) {
        return Ok(());
    }
    let message = format!("`{key} = {}` is not a canned ACL", Shown(text));
    Err(Complaint::new(
        message,
        match nearest(text, ACLS) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("write one of {}", ACLS.join(", ")),
        },
    ))
}

/// The value of a header, or nothing for none.
fn header(key: &str, text: &str) -> Result<(), Complaint> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text && text.len() <= 1024 {
        return Ok(());
    }
    let remedy = "write at most 1024 printable ASCII characters, with no blank at either end; \"\" for none";
    Err(Complaint::new(format!("`{key} = {}` cannot be a header", Shown(text)), remedy))
}

fn content_type(key: &str, text: &str) -> Result<(), Complaint> {
    header(key, text)?;
    let kind = text.split(';').next().unwrap_or_default().trim_end();
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-*".contains(&b))
    };
    if text.is_empty() || kind.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub)) {
        return Ok(());
    }
    let remedy = format!("write a type and a subtype: {key} = \"text/html; charset=utf-8\"");
    Err(Complaint::new(format!("`{key} = {}` is not a media type", Shown(text)), remedy))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Problems, Surroundings};
    use super::*;
    use crate::model::{Encryption, Retention};
    use std::path::Path;

    /// A mirror on four lines, with `more` from the fifth on.
    fn parse(more: &str) -> Result<Config, Problems> {
        let text = format!("[[mirror]]\nname = \"www\"\nroot = \"/no/www\"\nbucket = \"backups\"\n{more}");
        let around = Surroundings { superuser: true, ..Surroundings::default() };
        Config::parse(&text, Path::new("c.toml"), &around)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn every_option_is_read_for_all_and_for_some() {
        let text = |text: &str| Some(text.to_owned());
        let config = parse(
            r#"
storage_class = "STANDARD_IA"
sse = { kms = "arn:aws:kms:eu-west-1:1:key/k", bucket_key = true }
tags = { team = "web", "cost centre" = "a+b=c-d._:/@ é" }
acl = "bucket-owner-full-control"
metadata = { origin = "web-1 é" }
content_type = "application/octet-stream"
cache_control = "max-age=300"
content_disposition = "attachment"
content_encoding = "gzip"
content_language = "en, de"
retention = { mode = "Governance", days = 30 }
legal_hold = true
requester_pays = true

[[mirror.objects]]
match = ["*.html", "/static/"]
content_type = "text/html; charset=utf-8"
sse = "s3"
tags = {}
cache_control = ""
retention = "bucket"

[[mirror.objects]]
match = ["/logs/"]
sse = "kms"
retention = { mode = "compliance", days = 36500 }

[[mirror.objects]]
match = ["/x/"]
sse = "bucket"
legal_hold = false
"#,
        )
        .expect("valid");
        assert_eq!(config.warnings, Vec::<String>::new());
        let www = &config.mirrors[0];
        assert!(www.requester_pays);
        let key = text("arn:aws:kms:eu-west-1:1:key/k");
        let all = ObjectOptions {
            storage_class: text("STANDARD_IA"),
            encryption: Some(Encryption::Kms { key, bucket_key: Some(true) }),
            tags: pairs(&[("cost centre", "a+b=c-d._:/@ é"), ("team", "web")]),
            acl: text("bucket-owner-full-control"),
            metadata: pairs(&[("origin", "web-1 é")]),
            content_type: text("application/octet-stream"),
            cache_control: text("max-age=300"),
            content_disposition: text("attachment"),
            content_encoding: text("gzip"),
            content_language: text("en, de"),
            retention: Some(Retention::Governance(30)),
            legal_hold: Some(true),
        };
        assert_eq!(www.options, all);
        let rule = |patterns: &[&str], options| Rule {
            patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            options,
        };
        let html = ObjectOptions {
            content_type: text("text/html; charset=utf-8"),
            encryption: Some(Encryption::Store),
            tags: Some(vec![]),
            cache_control: text(""),
            retention: Some(Retention::Bucket),
            ..ObjectOptions::default()
        };
        let logs = ObjectOptions {
            encryption: Some(Encryption::Kms { key: None, bucket_key: None }),
            retention: Some(Retention::Compliance(36_500)),
            ..ObjectOptions::default()
        };
        let x = ObjectOptions {
            encryption: Some(Encryption::Bucket),
            legal_hold: Some(false),
            ..ObjectOptions::default()
        };
        assert_eq!(
            www.rules,
            [rule(&["*.html", "/static/"], html), rule(&["/logs/"], logs), rule(&["/x/"], x)]
        );

        let bare = parse("").expect("valid");
        let www = &bare.mirrors[0];
        assert_eq!((&www.options, www.rules.len()), (&ObjectOptions::default(), 0));
        assert!(!www.requester_pays);
    }

    #[test]
    fn a_class_of_another_store_is_taken_with_a_word() {
        let config = parse(
            "storage_class = \"COLD-2\"\n[[mirror.objects]]\nmatch = [\"a\"]\nstorage_class = \"WARM\"",
        );
        let told = config.expect("valid").warnings;
        assert!(
            told.len() == 2 && told[0].contains("\"WARM\"") && told[1].contains("\"COLD-2\""),
            "{told:?}"
        );
        for class in CLASSES {
            let config = parse(&format!("storage_class = {class:?}")).expect("valid");
            assert_eq!(config.warnings, Vec::<String>::new(), "{class}");
        }
    }

    /// What is wrong stands in the fifth line, for all objects; and in the seventh, for some.
    #[test]
    fn each_wrong_option_is_told_with_its_line_and_a_remedy() {
        let long = "x".repeat(1025);
        let many: Vec<_> = (0..11).map(|n| format!("t{n} = \"\"")).collect();
        let many = format!("tags = {{ {} }}", many.join(", "));
        let wide = format!("tags = {{ {} = \"\" }}", "n".repeat(129));
        let deep = format!("tags = {{ a = \"{}\" }}", "v".repeat(257));
        let big = format!("metadata = {{ a = \"{}\" }}", "v".repeat(1536));
        let encoded = format!("metadata = {{ a = \"{}\" }}", "é".repeat(600));
        let header = format!("cache_control = \"{long}\"");
        for (line, message, remedy) in [
            ("storage_class = \"standard_ia\"", "is not a storage class", "did you mean \"STANDARD_IA\"?"),
            ("storage_class = \"Standard-IA\"", "is not a storage class", "did you mean \"STANDARD_IA\"?"),
            ("storage_class = \"cold\"", "is not a storage class", "in upper case"),
            ("storage_class = \"\"", "is not a storage class", "STANDARD_IA"),
            ("storage_class = 1", "must be a text in quotes", "storage_class = "),
            ("sse = \"AES256\"", "is not a way to encrypt", "\"s3\", \"kms\""),
            ("sse = true", "must be a text or a table", "bucket_key = true"),
            ("sse = { bucket_key = true }", "sse has no `kms`", "kms = \"key-id-or-arn\""),
            ("sse = { kms = \"\" }", "is not a key of KMS", "its ARN"),
            ("sse = { kms = \"k\", bucket_key = 1 }", "must be true or false", "bucket_key = true"),
            ("sse = { kms = \"k\", key = 1 }", "`key` is not a key of sse", "kms, bucket_key"),
            ("tags = [\"a\"]", "must be a table of texts", "tags = { team = \"web\" }"),
            ("tags = { a = 1 }", "must be a table of texts, not a number", "tags = { team = \"web\" }"),
            ("tags = { \"a*\" = \"b\" }", "the tag \"a*\" = \"b\" cannot be one", "letters, digits"),
            ("tags = { a = \"b,c\" }", "cannot be one", "+ - = . _ : / @"),
            ("tags = { \"\" = \"b\" }", "cannot be one", "1 to 128"),
            ("tags = { \"Aws:x\" = \"b\" }", "is Amazon's own", "aws:"),
            (&many, "11 tags are too many", "S3 takes 10"),
            (&wide, "cannot be one", "1 to 128"),
            (&deep, "cannot be one", "at most 256"),
            ("acl = \"public\"", "is not a canned ACL", "private, bucket-owner-full-control"),
            ("acl = \"bucket-owner-full-controll\"", "is not a canned ACL", "did you mean"),
            ("metadata = { mtime = \"1\" }", "is written for every file", "another name"),
            ("metadata = { s3mirrord-own = \"1\" }", "is written for every file", "another name"),
            ("metadata = { Team = \"1\" }", "cannot name metadata", "a-z 0-9"),
            ("metadata = { a = \"\" }", "cannot be sent", "at least one character"),
            ("metadata = { a = \"b\\n\" }", "cannot be sent", "no control characters"),
            (&big, "the metadata takes 1537 bytes", "at most 1536"),
            (&encoded, "the metadata takes 1613 bytes", "at most 1536"),
            ("content_type = \"html\"", "is not a media type", "text/html; charset=utf-8"),
            ("content_type = \"text/é\"", "cannot be a header", "ASCII"),
            ("cache_control = \" no-cache\"", "cannot be a header", "no blank at either end"),
            ("content_language = \"a\\u0001\"", "cannot be a header", "ASCII"),
            (&header, "cannot be a header", "at most 1024"),
            ("retention = { mode = \"governance\" }", "retention has no `days`", "days = 30"),
            ("retention = { days = 1 }", "retention has no `mode`", "mode = \"governance\""),
            ("retention = { mode = \"g\", days = 1 }", "is not a mode of Object Lock", "\"compliance\""),
            ("retention = { mode = \"governance\", days = 0 }", "`days = 0` is out of range", "1 to 36500"),
            ("retention = { mode = \"governance\", days = 36501 }", "out of range", "1 to 36500"),
            ("retention = 30", "must be a table or \"bucket\", not a number", "days = 30"),
            ("legal_hold = \"on\"", "must be true or false", "legal_hold = true"),
        ] {
            for (place, n) in [("", 5), ("[[mirror.objects]]\nmatch = [\"*\"]\n", 7)] {
                let told = parse(&format!("{place}{line}")).expect_err(line);
                let found =
                    told.list.iter().find(|p| p.message.contains(message) && p.remedy.contains(remedy));
                assert_eq!(found.unwrap_or_else(|| panic!("{line}: {told}")).line, Some(n), "{told}");
                assert!(told.list.iter().all(|p| p.line == Some(n)), "{told}");
            }
        }
    }

    #[test]
    fn extended_attributes_leave_less_room() {
        let metadata = |len: usize| format!("metadata = {{ a = \"{}\" }}\n", "v".repeat(len));
        let rule = "[[mirror.objects]]\nmatch = [\"*\"]\n";
        for (lines, fits) in [
            (format!("xattrs = true\n{}", metadata(447)), true),
            (format!("xattrs = true\n{}", metadata(448)), false),
            (format!("xattrs = true\n{rule}{}", metadata(448)), false),
            (format!("xattrs = false\n{}", metadata(448)), true),
        ] {
            match parse(&lines) {
                Ok(_) => assert!(fits, "{lines}"),
                Err(told) => assert!(!fits && told.to_string().contains("leaves no room"), "{lines}: {told}"),
            }
        }
    }

    #[test]
    fn each_wrong_rule_is_told() {
        for (rule, message, remedy) in [
            ("storage_class = \"STANDARD\"", "[[mirror.objects]] has no `match`", "write match = ["),
            ("match = []\nacl = \"private\"", "matches nothing", "\"/static/\""),
            ("match = [\"*\"]", "says nothing of its objects", "storage_class"),
            ("match = [\"a[\"]\nacl = \"private\"", "the pattern \"a[\" cannot work", ".gitignore"),
            ("match = \"*\"\nacl = \"private\"", "must be a list of texts", "match = ["),
            (
                "match = [\"*\"]\nrequester_pays = true",
                "not a key of [[mirror.objects]]",
                "move it to [[mirror]]",
            ),
            ("matchs = [\"*\"]\nacl = \"private\"", "not a key", "did you mean `match`?"),
        ] {
            let told = parse(&format!("[[mirror.objects]]\n{rule}")).expect_err(rule);
            let found = told.list.iter().any(|p| p.message.contains(message) && p.remedy.contains(remedy));
            assert!(found, "{rule}: {told}");
        }
        let told = parse("requester_pays = 1\nobjects = 1").expect_err("wrong");
        assert_eq!(told.list.len(), 2, "{told}");
    }
}
