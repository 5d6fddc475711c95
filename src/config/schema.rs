//! The keys that a configuration may hold, those kept for later, and what a misspelt one was meant to be.

use super::problem::Complaint;

/// One key of a table.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// A line that would be right.
    pub(super) example: &'static str,
}

/// The keys of one kind of table.
pub(super) struct Shape {
    /// The table as the file spells it; empty for the top.
    pub(super) title: &'static str,
    pub(super) keys: &'static [Known],
    /// Further ones, which other tables have too.
    pub(super) shared: &'static [Known],
}

const fn key(name: &'static str, example: &'static str) -> Known {
    Known { name, example }
}

const BANDWIDTH: &str = "bandwidth = \"10MiB/s\" or [\"10MiB/s\", \"Mon-Fri 08:00-18:00 = 2MiB/s\"]";

pub(super) static TOP: Shape = Shape {
    title: "",
    keys: &[
        key("state_dir", "state_dir = \"/var/lib/s3mirrord\""),
        key("memory_limit", "memory_limit = \"64MiB\""),
        key("bandwidth", BANDWIDTH),
        key("metrics", "metrics = \"127.0.0.1:9633\""),
        key("s3", "[s3] and its keys below it"),
        key("prices", "[prices] and its keys below it"),
        key("mirror", "[[mirror]] and its keys below it"),
    ],
    shared: &[],
};

pub(super) static S3: Shape = Shape {
    title: "[s3]",
    keys: &[
        key("region", "region = \"eu-west-1\""),
        key("profile", "profile = \"backup\""),
        key("endpoint_url", "endpoint_url = \"https://minio.example:9000\""),
        key("force_path_style", "force_path_style = true"),
        key("ca_bundle", "ca_bundle = \"/etc/ssl/minio.pem\""),
        key("max_attempts", "max_attempts = 5"),
        key("access_key_id", "access_key_id = \"…\""),
        key("secret_access_key", "secret_access_key = \"…\""),
        key("session_token", "session_token = \"…\""),
        key("credentials_file", "credentials_file = \"/etc/s3mirrord/credentials\""),
    ],
    shared: &[],
};

pub(super) static MIRROR: Shape = Shape {
    title: "[[mirror]]",
    keys: &[
        key("name", "name = \"www\""),
        key("root", "root = \"/srv/www\""),
        key("bucket", "bucket = \"backups\""),
        key("prefix", "prefix = \"web-1/www/\""),
        key("exclude", "exclude = [\"*.tmp\", \".cache/\"]"),
        key("delete", "delete = \"mirror\", \"keep\" or \"trash\""),
        key("trash_prefix", "trash_prefix = \"trash/web-1/www/\""),
        key("trash_keep", "trash_keep = \"30d\" or \"forever\""),
        key("delete_grace", "delete_grace = \"10s\""),
        key("max_delete", "max_delete = { count = 10000, percent = 20, window = \"1h\" } or \"off\""),
        key("max_overwrite", "max_overwrite = { count = 10000, percent = 20, window = \"1h\" } or \"off\""),
        key("debounce", "debounce = { quiet = \"2s\", longest = \"60s\" }"),
        key("rescan", "rescan = \"1h\""),
        key("relist", "relist = \"24h\""),
        key("listers", "listers = 16"),
        key("before_read", "before_read = [\"/usr/local/bin/freeze\", \"www\"]"),
        key("after_read", "after_read = [\"/usr/local/bin/thaw\", \"www\"]"),
        key("hook_timeout", "hook_timeout = \"60s\""),
        key("links", "links = true"),
        key("directories", "directories = true"),
        key("special_files", "special_files = true"),
        key("mtime", "mtime = true"),
        key("mode", "mode = true"),
        key("owner", "owner = true"),
        key("owner_names", "owner_names = true"),
        key("xattrs", "xattrs = true"),
        key("hard_links", "hard_links = true"),
        key("scrub", "scrub = \"30d\""),
        key("scrub_fetch", "scrub_fetch = true"),
        key("drill", "drill = \"7d\""),
        key("heartbeat", "heartbeat = \"https://…\""),
        key("log_level", "log_level = \"debug\""),
        key("heartbeat_every", "heartbeat_every = \"5m\""),
        key("heartbeat_within", "heartbeat_within = \"15m\""),
        key("requester_pays", "requester_pays = true"),
        key("bandwidth", BANDWIDTH),
        key("s3", "[mirror.s3] and its keys below it"),
        key("prices", "[mirror.prices] and its keys below it"),
        key("objects", "[[mirror.objects]] and its keys below it"),
    ],
    shared: &OPTIONS,
};

/// What objects are to have: for all of a mirror, or for some.
static OPTIONS: [Known; 12] = [
    key("storage_class", "storage_class = \"STANDARD_IA\""),
    key("sse", "sse = \"s3\", \"kms\" or { kms = \"key-id-or-arn\", bucket_key = true }"),
    key("tags", "tags = { team = \"web\" }"),
    key("acl", "acl = \"bucket-owner-full-control\""),
    key("metadata", "metadata = { origin = \"web-1\" }"),
    key("content_type", "content_type = \"text/html; charset=utf-8\""),
    key("cache_control", "cache_control = \"max-age=300\""),
    key("content_disposition", "content_disposition = \"attachment\""),
    key("content_encoding", "content_encoding = \"gzip\""),
    key("content_language", "content_language = \"en\""),
    key("retention", "retention = { mode = \"governance\", days = 30 }"),
    key("legal_hold", "legal_hold = true"),
];

pub(super) static OBJECTS: Shape = Shape {
    title: "[[mirror.objects]]",
    keys: &[key("match", "match = [\"*.html\", \"/static/\"]")],
    shared: &OPTIONS,
};

pub(super) static SSE: Shape = Shape {
    title: "sse",
    keys: &[key("kms", "kms = \"key-id-or-arn\""), key("bucket_key", "bucket_key = true")],
    shared: &[],
};

pub(super) static RETENTION: Shape = Shape {
    title: "retention",
    keys: &[key("mode", "mode = \"governance\" or \"compliance\""), key("days", "days = 30")],
    shared: &[],
};

pub(super) static PRICES: Shape = Shape {
    title: "[prices]",
    keys: &[
        key("currency", "currency = \"USD\""),
        key("put_per_1000", "put_per_1000 = 0.005"),
        key("get_per_1000", "get_per_1000 = 0.0004"),
        key("storage_per_gb_month", "storage_per_gb_month = 0.023"),
    ],
    shared: &[],
};

pub(super) static MAX_DELETE: Shape = Shape {
    title: "max_delete",
    keys: &[key("count", "count = 10000"), key("percent", "percent = 20"), key("window", "window = \"1h\"")],
    shared: &[],
};

pub(super) static MAX_OVERWRITE: Shape = Shape { title: "max_overwrite", ..MAX_DELETE };

pub(super) static DEBOUNCE: Shape = Shape {
    title: "debounce",
    keys: &[key("quiet", "quiet = \"2s\""), key("longest", "longest = \"60s\"")],
    shared: &[],
};

static SHAPES: [&Shape; 10] =
    [&TOP, &S3, &PRICES, &MIRROR, &OBJECTS, &MAX_DELETE, &MAX_OVERWRITE, &DEBOUNCE, &SSE, &RETENTION];

/// Keys whose meaning is settled and that this version does not act on: never taken without a word.
static LATER: [&str; 2] = ["root_marker", "cross_mounts"];

/// Every key, with the table it belongs in as the file spells it (empty for the top).
pub fn known_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    SHAPES.iter().flat_map(|shape| shape.known().map(|known| (shape.title, known.name)))
}

/// The word that was meant, if one is near.
pub(super) fn nearest(word: &str, words: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let (steps, meant) = words.into_iter().map(|known| (distance(word, known), known)).min()?;
    (steps <= (meant.len() / 3).clamp(1, 3)).then_some(meant)
}

impl Shape {
    fn known(&self) -> impl Iterator<Item = &'static Known> + use<> {
        self.keys.iter().chain(self.shared)
    }

    /// A line with this key that would be right.
    pub(super) fn example(&self, name: &str) -> &'static str {
        self.known().find(|known| known.name == name).map_or("", |known| known.example)
    }

    /// Where it is, for a message.
    pub(super) fn place(&self) -> &'static str {
        if self.title.is_empty() { "the top of the file" } else { self.title }
    }

    /// What is wrong with a key, or nothing if it is one of these.
    pub(super) fn refuse(&self, name: &str) -> Option<Complaint> {
        if self.known().any(|known| known.name == name) {
            return None;
        }
        if LATER.contains(&name) {
            return Some(Complaint::new(
                format!("`{name}` is not yet built"),
                "take it out: this version would not act on it",
            ));
        }
        let wrong = format!("`{name}` is not a key of {}", self.place());
        let elsewhere = SHAPES.iter().find(|shape| shape.known().any(|known| known.name == name));
        let near = nearest(name, self.known().map(|known| known.name));
        Some(match (elsewhere, near) {
            (Some(shape), _) if shape.title.is_empty() => {
                Complaint::new(wrong, "move it to the top of the file, above the first [table]")
            }
            (Some(shape), _) => Complaint::new(wrong, format!("move it to {}", shape.title)),
            (None, Some(meant)) => Complaint::new(wrong, format!("did you mean `{meant}`?")),
            (None, None) => {
                let names: Vec<_> = self.known().map(|known| known.name).collect();
                Complaint::new(wrong, format!("take it out; its keys are {}", names.join(", ")))
            }
        })
    }
}

/// How many letters must be added, taken out, replaced or swapped with their neighbour to get from one
/// word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_far_apart_as_they_look() {
        for (a, b, want) in
            [("", "", 0), ("", "ab", 2), ("quiet", "quite", 1), ("relist", "rescan", 4), ("a", "b", 1)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn a_refused_key_says_what_was_meant() {
        for (shape, name, says) in [
            (&MIRROR, "buckets", "did you mean `bucket`?"),
            (&MIRROR, "excludes", "did you mean `exclude`?"),
            (&MIRROR, "max_deletes", "did you mean `max_delete`?"),
            (&MIRROR, "quiet", "move it to debounce"),
            (&S3, "state_dir", "move it to the top of the file"),
            (&MIRROR, "storage_clas", "did you mean `storage_class`?"),
            (&MIRROR, "match", "move it to [[mirror.objects]]"),
            (&OBJECTS, "requester_pays", "move it to [[mirror]]"),
            (&RETENTION, "day", "did you mean `days`?"),
            (&TOP, "mirrors", "did you mean `mirror`?"),
            (&MIRROR, "colour", "its keys are name, root"),
        ] {
            let told = shape.refuse(name).expect("refused");
            assert!(told.remedy.contains(says), "{name}: {told:?}");
        }
        for later in LATER {
            assert!(MIRROR.refuse(later).expect("refused").message.contains("not yet"), "{later}");
            assert!(known_keys().all(|(_, name)| name != later));
        }
        assert!(known_keys().all(|(title, name)| {
            SHAPES.iter().any(|shape| shape.title == title && shape.refuse(name).is_none())
        }));
    }
}
