//! The contract of the file: what is taken, what is refused, where, and with which remedy.

use super::*;
use proptest::prelude::*;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

fn around() -> Surroundings {
    Surroundings { superuser: true, ..Surroundings::default() }
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("c.toml"), &around())
}

/// A `[[mirror]]` on four lines, with `more` from the fifth on.
fn mirror(name: &str, more: &str) -> String {
    format!("[[mirror]]\nname = \"{name}\"\nroot = \"/no/{name}\"\nbucket = \"backups\"\n{more}")
}

const WHOLE: &str = r#"
state_dir = "/var/lib/elsewhere"

[s3]
region = "eu-west-1"
profile = "backup"
endpoint_url = "https://minio.example:9000"
force_path_style = false
ca_bundle = "/etc/ssl/minio.pem"
max_attempts = 7

[prices]
currency = "EUR"
put_per_1000 = 0.01
storage_per_gb_month = 1

[[mirror]]
name = "www"
root = "/no/srv/www/"
bucket = "backups"
prefix = "web-1/www"
exclude = ["*.tmp", ".cache/"]
delete = "keep"
delete_grace = "1m 10s"
max_delete = { count = 1_000, percent = 30, window = "2h" }
debounce = { quiet = "1s", longest = "5s" }
rescan = "2h"
relist = "2d"

[mirror.s3]
region = "eu-central-1"

[mirror.prices]
put_per_1000 = 5.4e-3
get_per_1000 = 0

[[mirror]]
name = "db"
root = "/no/srv/db"
bucket = "backups"
prefix = "web-1/db/"
max_delete = "off"
[mirror.s3]
access_key_id = "id"
secret_access_key = "hush"
"#;

#[test]
fn every_key_is_read() {
    let config = parse(WHOLE).expect("valid");
    assert_eq!(config.state_dir, Path::new("/var/lib/elsewhere"));
    assert_eq!(config.warnings, Vec::<String>::new());
    let [www, db] = &config.mirrors[..] else { panic!("two mirrors") };
    assert_eq!((&*www.name, &*www.bucket, &*www.prefix), ("www", "backups", "web-1/www/"));
    assert_eq!(www.root, Path::new("/no/srv/www"));
    assert_eq!(www.exclude, ["*.tmp", ".cache/"]);
    assert_eq!((www.delete, www.delete_grace), (DeletePolicy::Keep, Duration::from_secs(70)));
    let window = Duration::from_secs(7200);
    assert_eq!(www.max_delete, Some(Budget { count: 1000, percent: 30, window }));
    assert_eq!((www.quiet, www.longest), (Duration::from_secs(1), Duration::from_secs(5)));
    assert_eq!((www.rescan, www.relist), (Duration::from_secs(7200), Duration::from_secs(172_800)));
    assert_eq!(www.leave_out, None);

    assert_eq!(www.s3.region.as_deref(), Some("eu-central-1"));
    assert_eq!(db.s3.region.as_deref(), Some("eu-west-1"));
    for s3 in [&www.s3, &db.s3] {
        assert_eq!(s3.profile.as_deref(), Some("backup"));
        assert_eq!(s3.endpoint_url.as_deref(), Some("https://minio.example:9000"));
        assert_eq!(s3.ca_bundle.as_deref(), Some(Path::new("/etc/ssl/minio.pem")));
        assert_eq!((s3.force_path_style, s3.max_attempts), (false, 7));
    }
    let prices = |put, get| Prices {
        currency: "EUR".into(),
        put_per_1000: put,
        get_per_1000: get,
        storage_per_gb_month: 1.0,
    };
    assert_eq!((&www.prices, &db.prices), (&prices(0.0054, 0.0), &prices(0.01, 0.0004)), "key by key");
    assert_eq!(db.max_delete, None);
    assert_eq!(db.s3.access_key_id.as_deref(), Some("id"));
    assert_eq!((&www.s3.access_key_id, &www.s3.secret_access_key), (&None, &None));
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn what_is_left_out_is_as_documented() {
    let config = parse(&mirror("www", "")).expect("valid");
    assert_eq!(config.state_dir, Path::new("/var/lib/s3mirrord"));
    let www = &config.mirrors[0];
    assert_eq!((&*www.prefix, www.exclude.len(), www.delete), ("", 0, DeletePolicy::Mirror));
    assert_eq!(www.delete_grace, Duration::from_secs(10));
    let window = Duration::from_secs(3600);
    assert_eq!(www.max_delete, Some(Budget { count: 10_000, percent: 20, window }));
    assert_eq!((www.quiet, www.longest), (Duration::from_secs(2), Duration::from_secs(60)));
    assert_eq!((www.rescan, www.relist), (window, Duration::from_secs(86_400)));
    assert_eq!((www.s3.max_attempts, www.s3.force_path_style), (5, false));
    let usual = &www.prices;
    assert_eq!((&*usual.currency, usual.put_per_1000, usual.get_per_1000), ("USD", 0.005, 0.0004));
    assert_eq!(usual.storage_per_gb_month, 0.023);

    let partly =
        parse(&mirror("www", "max_delete = { count = 5 }\ndebounce.longest = \"9s\"")).expect("valid");
    let www = &partly.mirrors[0];
    assert_eq!(www.max_delete, Some(Budget { count: 5, percent: 20, window }));
    assert_eq!(www.max_overwrite, None, "off by default");
    let limited = parse(&mirror("www", "max_overwrite = { count = 5 }")).expect("valid");
    assert_eq!(limited.mirrors[0].max_overwrite, Some(Budget { count: 5, percent: 20, window }));
    assert_eq!((www.quiet, www.longest), (Duration::from_secs(2), Duration::from_secs(9)));
}

/// One wrong line each, the fifth of a mirror: what is wrong, and what to write.
#[test]
fn each_wrong_value_is_told_with_its_line_and_a_remedy() {
    for (line, message, remedy) in [
        ("exclud = []", "`exclud` is not a key of [[mirror]]", "`exclude`?"),
        ("quiet = \"2s\"", "`quiet` is not a key of [[mirror]]", "move it to debounce"),
        ("state_dir = \"/x\"", "not a key of [[mirror]]", "above the first [table]"),
        ("before_read = \"sync\"", "must be a list of texts, not a text", "\"/usr/local/bin/freeze\""),
        ("before_read = []", "names no program", "\"/usr/local/bin/freeze\""),
        ("after_read = [\"\", \"x\"]", "names no program", "\"/usr/local/bin/thaw\""),
        ("hook_timeout = \"0s\"", "out of range", "from 1s to 1day"),
        ("root_marker = \"x\"", "not yet built", "take it out"),
        ("bandwidth = \"1M\"", "not a rate", "2MiB/s"),
        ("bandwidth = [\"1MiB/s\", \"8:00 = 1MiB/s\"]", "not a time", "Mon-Fri"),
        ("metrics = \"127.0.0.1:9633\"", "not a key of [[mirror]]", "above the first [table]"),
        ("delete = \"bin\"", "is not a policy", "\"keep\" or \"trash\""),
        ("trash_keep = \"1d\"", "does nothing without delete = \"trash\"", "write that, or take it out"),
        ("trash_prefix = \"t/\"", "does nothing without delete = \"trash\"", "write that, or take it out"),
        ("delete = \"no\"", "is not a policy", "\"keep\" or \"trash\""),
        ("delete = false", "must be a text in quotes, not true or false", "\"keep\" or \"trash\""),
        ("prefix = \"/a\"", "begins with `/`", "prefix = \"a/\""),
        ("exclude = \"*.tmp\"", "must be a list of texts, not a text", "exclude = ["),
        ("exclude = [\"ok\", 3]", "must be a list of texts, not a number", "exclude = ["),
        ("exclude = [\"ok\", \"a[\"]", "the pattern \"a[\" cannot work", ".gitignore"),
        ("rescan = 3600", "is not a span of time", "rescan = \"3600s\""),
        ("rescan = \"1 fortnight\"", "is not a span of time", "rescan = \"10s\""),
        ("rescan = \"0s\"", "out of range", "from 1s"),
        ("relist = \"3M\"", "is not a span of time", "`m` for minutes"),
        ("delete_grace = true", "must be a text in quotes", "delete_grace = \"10s\""),
        ("max_delete = \"none\"", "must be a table or \"off\"", "or \"off\""),
        ("max_overwrite = 100", "must be a table or \"off\", not a number", "count = 10000"),
        ("max_overwrite = { counts = 1 }", "not a key of max_overwrite", "`count`?"),
        ("max_delete = 100", "must be a table or \"off\", not a number", "count = 10000"),
        ("max_delete = { count = -1 }", "`count = -1` is out of range", "write 0 or more"),
        ("max_delete = { percent = 0 }", "`percent = 0` is out of range", "from 1 to 100"),
        ("max_delete = { percent = 101 }", "`percent = 101` is out of range", "from 1 to 100"),
        ("max_delete = { percent = 1.5 }", "must be a whole number, not a fraction", "percent = 20"),
        ("max_delete = { windows = \"1h\" }", "not a key of max_delete", "`window`?"),
        ("debounce = { quiet = \"2m\" }", "is longer than `longest`", "no shorter than"),
        ("debounce = { quite = \"2m\" }", "not a key of debounce", "`quiet`?"),
        ("debounce = \"2s\"", "must be a table, not a text", "quiet = \"2s\""),
        ("s3.max_attempts = 0", "`max_attempts = 0` is out of range", "from 1 to 20"),
        ("s3.max_attempts = 99999999999999999999", "out of range", "from 1 to 20"),
        ("s3.ca_bundle = \"ca.pem\"", "is relative", "ca_bundle = \"/…\""),
        ("s3.endpoint_url = \"minio:9000\"", "`endpoint_url`", "scheme and host"),
        ("s3.region = \"\"", "`region` is empty", "region = \"eu-west-1\""),
        ("s3.region = \"http://x:9000\"", "is no region's name", "`endpoint_url`"),
        ("s3.access_key_id = \"id\"", "stands without `secret_access_key`", "write both"),
        ("s3.secret_access_key = \"hush\"", "stands without `access_key_id`", "write both"),
        ("s3.session_token = \"hush\"", "stands without `access_key_id`", "write both"),
        ("s3.secret_access_key = [\"hush\"]", "must be a text in quotes", "secret_access_key = "),
        ("s3.credentials_file = \"a/b\"", "neither an absolute path", "LoadCredential="),
        ("prices.put_per_1000 = -0.005", "`put_per_1000 = -0.005` is no price", "put_per_1000 = 0.005"),
        ("prices.get_per_1000 = inf", "`get_per_1000 = inf` is no price", "from 0 to 1000000"),
        ("prices.get_per_1000 = -nan", "is no price", "from 0"),
        ("prices.get_per_1000 = 1e999", "is no price", "from 0"),
        ("prices.put_per_1000 = 9_999_999", "is no price", "from 0"),
        ("prices.storage_per_gb_month = \"0.02\"", "must be an amount, not a text", "= 0.023"),
        ("prices.currency = \"\"", "`currency` is no name", "currency = \"USD\""),
        ("prices.currency = 1", "must be a text in quotes", "currency = \"USD\""),
        ("prices.put_per_100 = 1", "not a key of [prices]", "`put_per_1000`?"),
        ("prices = 1", "must be a table, not a number", "[mirror.prices]"),
        ("put_per_1000 = 1", "not a key of [[mirror]]", "move it to [prices]"),
        ("rescan = 1h", "not TOML", "quotes"),
        ("bucket = \"again\"", "not TOML: duplicate key", ""),
    ] {
        let text = mirror("www", line);
        let told = parse(&text).expect_err(line);
        let found = told.list.iter().find(|p| p.message.contains(message) && p.remedy.contains(remedy));
        let found = found.unwrap_or_else(|| panic!("{line}: {told}"));
        assert_eq!((found.line, found.column.is_some()), (Some(5), true), "{line}: {told}");
        assert!(told.list.iter().all(|p| p.line == Some(5)), "{line}: {told}");
        assert!(!told.to_string().contains("hush"), "{told}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "state_dir = \"var\"
colour = 1
[s3]
regoin = \"x\"
max_attempts = 21
[[mirror]]
name = \"a/b\"
root = \"www\"
bucket = \"B\"
[[mirror]]
delete = \"bin\"
[mirror.s3]
sse = \"AES256\"
";
    let told = parse(text).expect_err("wrong");
    let lines: Vec<_> = told.list.iter().map(|p| p.line.expect("a place")).collect();
    assert_eq!(lines, [1, 2, 4, 5, 7, 8, 9, 10, 10, 10, 11, 13], "{told}");
    assert!(told.to_string().starts_with("c.toml:1:13: `state_dir = \"var\"` is relative; "), "{told}");
    assert!(
        told.to_string().contains("\nc.toml:10:1: [[mirror]] has no `root`; write root = \"/srv/www\"\n")
    );
}

#[test]
fn what_is_not_toml_hides_nothing_else_and_invents_nothing() {
    let told = parse("[[mirror]]\nname = www\nroot = \"rel\"\n= \"backups\"\n").expect_err("wrong");
    let lines: Vec<_> = told.list.iter().map(|p| p.line).collect();
    assert_eq!(lines, [Some(2), Some(3), Some(4)], "{told}");
    assert!(!told.to_string().contains("has no"), "{told}");
}

#[test]
fn a_file_without_mirrors_is_refused() {
    for (text, says) in [
        ("", "the top of the file has no `mirror`"),
        ("mirror = []", "at least one"),
        ("[mirror]\nname = \"a\"", "must be a list of tables, not a table"),
        ("[[s3]]\n", "must be a table, not a list"),
    ] {
        let told = parse(text).expect_err(text).to_string();
        assert!(told.contains(says) && told.contains("[[mirror]]"), "{text}: {told}");
    }
    let nowhere = Config::parse(&mirror("a", ""), Path::new("c.toml"), &Surroundings::default());
    assert!(nowhere.expect_err("no state_dir").to_string().contains("has no `state_dir`"));
}

#[test]
fn c63_names_and_targets_of_two_mirrors_must_differ() {
    for (first, second, says) in [
        ("prefix = \"a\"", "prefix = \"a/\"", Some("\"a/\" overlaps \"a/\" of `one`")),
        ("prefix = \"a\"", "prefix = \"a/b/\"", Some("overlaps")),
        ("prefix = \"a/b/\"", "", Some("overlaps")),
        ("prefix = \"a\"", "prefix = \"ab\"", None),
        ("prefix = \"a\"", "prefix = \"a\"\ns3.endpoint_url = \"http://h\"", None),
        ("s3.endpoint_url = \"http://h:80\"", "s3.endpoint_url = \"http://H/\"", Some("overlaps")),
    ] {
        let text = format!("{}\n{}", mirror("one", first), mirror("two", second));
        match (parse(&text), says) {
            (Ok(_), None) => {}
            (Err(told), Some(says)) => {
                assert_eq!(told.list.len(), 1, "{told}");
                assert!(told.to_string().contains(says) && told.list[0].line > Some(5), "{told}");
            }
            (got, _) => panic!("{first} and {second}: {got:?}"),
        }
    }
    let told = parse(&format!("{}\n{}", mirror("one", "prefix = \"a\""), mirror("one", "prefix = \"b\"")));
    let told = told.expect_err("two of one name");
    assert_eq!(told.list.len(), 1, "{told}");
    assert_eq!(told.list[0].line, Some(7), "{told}");
}

#[test]
fn our_own_state_is_left_out_of_the_mirror() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let base = fs::canonicalize(dir.path()).expect("real path");
    fs::create_dir(base.join("private")).expect("made");
    std::os::unix::fs::symlink("private", base.join("state")).expect("linked");
    let with = |state_dir: &str, root: &str| {
        let (state_dir, root) = (base.join(state_dir), base.join(root));
        parse(&format!(
            "state_dir = {state_dir:?}\n[[mirror]]\nname = \"a\"\nroot = {root:?}\nbucket = \"backups\""
        ))
    };
    let left_out = |state_dir, root| with(state_dir, root).expect("valid").mirrors[0].leave_out.clone();
    let below = |path: &str| crate::model::RelPath::new(path.as_bytes()).ok();
    assert_eq!(left_out("new/state", ""), below("new/state"));
    assert_eq!(left_out("state", ""), below("private"), "through the link, as systemd's DynamicUser= makes");
    assert_eq!(left_out("state", "www"), None);
    assert_eq!(with("new", "").expect("valid").warnings.len(), 1);
    for (state_dir, root) in [("www", "www"), ("www", "www/a"), ("state", "private/a")] {
        let told = with(state_dir, root).expect_err("a root in our state");
        assert!(told.to_string().contains("lies in, the state_dir"), "{told}");
        assert_eq!(told.list[0].line, Some(4), "{told}");
    }
}

#[test]
fn keys_stand_only_in_a_file_that_others_cannot_read() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("config.toml");
    let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
    fs::write(&path, WHOLE).expect("written");
    for mode in [0o644, 0o660, 0o604, 0o620] {
        set(mode);
        let told = Config::load(&path).expect_err("readable by others");
        assert_eq!(told.list.len(), 1, "{told}");
        assert_eq!(told.list[0].line, Some(44), "{told}");
        assert!(told.to_string().contains(&format!("chmod 600 '{}'", path.display())), "{told}");
    }
    set(0o600);
    assert_eq!(Config::load(&path).expect("private").mirrors.len(), 2);
    // a group is chosen by root alone
    for (of_root, mode, want) in [
        (true, 0o640, true),
        (false, 0o640, false),
        (true, 0o644, false),
        (true, 0o660, false),
        (false, 0o400, true),
    ] {
        assert_eq!(Access { mode: 0o100_000 | mode, of_root }.is_private(), want, "{of_root} {mode:o}");
    }
    fs::write(&path, mirror("www", "")).expect("written");
    set(0o644);
    assert_eq!(Config::load(&path).expect("no keys in it").mirrors.len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_told_as_such() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let told = Config::load(&dir.path().join("none.toml")).expect_err("missing").to_string();
    assert!(told.contains("none.toml: cannot be read") && told.contains("--config"), "{told}");
    let path = dir.path().join("latin.toml");
    fs::write(&path, b"state_dir = \"/a\"\n# caf\xe9\n").expect("written");
    let told = Config::load(&path).expect_err("not UTF-8").to_string();
    assert!(told.contains("latin.toml:2:6: not UTF-8"), "{told}");
}

#[test]
fn credentials_that_systemd_hands_over_are_found_by_name() {
    let text = mirror("www", "s3.credentials_file = \"s3\"");
    let path = Path::new("c.toml");
    let handed = Surroundings { credentials_directory: Some("/run/credentials/u".into()), ..around() };
    let config = Config::parse(&text, path, &handed).expect("valid");
    assert_eq!(config.mirrors[0].s3.credentials_file, Some("/run/credentials/u/s3".into()));
    assert_eq!(config.warnings, Vec::<String>::new());
    let config = Config::parse(&text, path, &around()).expect("valid");
    assert!(config.warnings[0].contains("LoadCredential="), "{:?}", config.warnings);
}

proptest! {
    /// However a file is damaged, it is taken or told what is wrong with it, at places that are in it.
    #[test]
    fn no_damage_goes_without_a_word(
        at in 0..WHOLE.len(),
        cut in 0..40_usize,
        put in "[\\[\\]{}=\"'#.,\\n0-9a-z_é\u{0}-]{0,12}",
    ) {
        let text = format!("{}{put}{}", &WHOLE[..at], &WHOLE[(at + cut).min(WHOLE.len())..]);
        if let Err(told) = parse(&text) {
            prop_assert!(!told.list.is_empty());
            let lines = text.matches('\n').count() + 1;
            prop_assert!(told.list.iter().all(|p| p.line.is_none_or(|line| line <= lines)), "{told}");
            prop_assert!(!told.to_string().contains("hush"), "{told}");
        }
    }
}
