//! What other tools get back from a bucket that is mirrored: measured, and held to the table of docs/COMPATIBILITY.md.

use crate::{
    restore::{noise, write},
    support::{outsider::Outsider, site::Site, skip},
};
use s3mirrord::{
    embedded::{Options, Server},
    model::{Key, RelPath},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, chown, symlink},
    },
    path::Path,
};

/// Names by what is difficult in them.
const NAMES: [(&str, &[&[u8]]); 5] = [
    (
        "names: letters, spaces, punctuation",
        &[b"plain", b"a b+%&#'\"(x)=@!~;,$", "öß 日本".as_bytes(), b"dir/sub/deep", b" edge ", b".hidden"],
    ),
    (
        "names: what a shell, URL or path may misread",
        &[b"-rf", b"%2e%2e", b"back\\slash", b"a:b*?", b"~", b"..."],
    ),
    ("names: control characters", &[b"line\nfeed", b"tab\tx", b"esc\x1b[31m"]),
    ("names: not UTF-8", &[b"caf\xe9", b"\xff\xfe/x"]),
    (
        "names: `\u{FF0F}`, `\u{2400}`, `\u{201B}`, which are rclone's quotes",
        &["\u{FF0F}".as_bytes(), "x\u{2400}".as_bytes(), "\u{201B}41".as_bytes()],
    ),
];

const LARGE: &[u8] = b"large";

fn files(root: &Path) {
    for name in NAMES.iter().flat_map(|(_, names)| *names) {
        write(root, name, &[b"this is ", *name].concat(), 0o644, 1_600_000_000);
    }
    write(root, b"empty", b"", 0o644, 1_600_000_000);
    write(root, LARGE, &noise((20 << 20) + 5, 7), 0o644, 1_600_000_000);
    write(root, b"mode", b"x", 0o751, 1_600_000_000);
    write(root, b"special", b"x", 0o4755, 1_600_000_000);
    write(root, b"old", b"x", 0o644, 86_400);
    let owned = root.join("owned");
    write(root, b"owned", b"x", 0o644, 1_600_000_000);
    chown(&owned, Some(1234), Some(4321)).unwrap();
    symlink("plain", root.join("link")).unwrap();
    fs::create_dir_all(root.join("hollow/inner")).unwrap();
}

/// What came back of it, row by row.
fn measured(root: &Path, out: &Path, mirrored: &dyn Fn(&str) -> bool) -> Vec<(String, String)> {
    let at = |dir: &Path, name: &[u8]| dir.join(OsStr::from_bytes(name));
    let equal = |name: &[u8]| fs::read(at(out, name)).ok() == fs::read(at(root, name)).ok();
    let verdict = |good: usize, all: usize| match good {
        0 => "no".to_owned(),
        n if n == all => "yes".to_owned(),
        n => format!("{n} of {all}"),
    };
    let mut rows = vec![(
        "bytes".to_owned(),
        verdict([LARGE, b"empty", b"plain", b"old"].iter().filter(|name| equal(name)).count(), 4),
    )];
    for (what, names) in NAMES {
        let came = verdict(names.iter().filter(|name| equal(name)).count(), names.len());
        let spelled = |name: &&&[u8]| {
            let key = Key::of(&RelPath::new(name).unwrap());
            fs::read(out.join(key.as_str())).ok() == fs::read(at(root, name)).ok()
        };
        let came = match came.as_str() {
            "no" if names.iter().all(|name| spelled(&name)) => "as the key is spelled".to_owned(),
            _ => came,
        };
        rows.push((what.to_owned(), came));
    }
    let same = |of: &dyn Fn(&fs::Metadata) -> (i64, i64), names: &[&[u8]]| {
        let is = |name: &&&[u8]| {
            let (came, had) = (at(out, name).symlink_metadata(), at(root, name).symlink_metadata().unwrap());
            came.is_ok_and(|came| of(&came) == of(&had))
        };
        verdict(names.iter().filter(is).count(), names.len())
    };
    rows.push((
        "time of modification, to the nanosecond".into(),
        same(&|m| (m.mtime(), m.mtime_nsec()), &[b"plain", b"old", LARGE]),
    ));
    rows.push(("mode".into(), same(&|m| (i64::from(m.mode() & 0o777), 0), &[b"mode"])));
    rows.push(("set-user-id".into(), same(&|m| (i64::from(m.mode() & 0o4000), 0), &[b"special"])));
    rows.push(("owner and group".into(), same(&|m| (i64::from(m.uid()), i64::from(m.gid())), &[b"owned"])));
    let link = match out.join("link").symlink_metadata() {
        _ if !mirrored("link") => "not mirrored".to_owned(),
        Ok(meta) if meta.is_symlink() => {
            verdict(usize::from(fs::read_link(out.join("link")).unwrap() == Path::new("plain")), 1)
        }
        _ if out.join("link.rclonelink").exists() => "as a file `link.rclonelink`".to_owned(),
        _ => "no".to_owned(),
    };
    rows.push(("symbolic links".into(), link));
    let hollow = if mirrored("hollow/") {
        verdict(usize::from(out.join("hollow/inner").is_dir()), 1)
    } else {
        "not mirrored".into()
    };
    rows.push(("empty directories".into(), hollow));
    rows
}

/// The cells of the table by its rows.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/COMPATIBILITY.md")).unwrap();
    let (_, table) = text.split_once("<!-- measured -->\n").unwrap();
    let (table, _) = table.split_once("<!-- /measured -->").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
        (cells.next().unwrap(), cells.collect())
    })
    .collect()
}

async fn run(site: &Site, tool: &str, words: &[&str], out: &Path) -> Result<(), String> {
    let to = format!("{}/", out.display());
    site.tool(tool, &[words, &[&*to]].concat()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_tools_get_back_is_what_the_table_says() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root gives files away");
    }
    let buckets = vec!["backups".to_owned()];
    let server = Server::start(Options { buckets, ..Options::default() }).await.unwrap();
    let site = Site::new(server.endpoint(), server.access_key(), server.secret_key());
    let boto3 = Outsider::start(&site.endpoint, &site.access_key, &site.secret_key, "backups").await;
    let Some(mut boto3) = boto3 else { return skip("python3 has no boto3") };
    files(&site.root);
    let ran = site.once(&[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let keys: Vec<String> = serde_json::from_value(boto3.ask(json!(["keys", "www/"])).await).unwrap();
    let mirrored = |name: &str| keys.iter().any(|key| key.starts_with(name));
    let remote =
        format!(":s3,provider=Other,env_auth,endpoint='{}',directory_markers:backups/www", site.endpoint);
    let into = |name: &str| {
        let out = site.dir.path().join(name);
        fs::create_dir(&out).unwrap();
        out
    };
    let mut columns = vec![];
    let out = site.dir.path().join("ours");
    assert_eq!(site.restore(&out, &["--owner", "--special"]).await.code, 0);
    columns.push(measured(&site.root, &out, &mirrored));
    for (tool, words) in [
        (
            "rclone",
            vec![
                "copy",
                "--metadata",
                "--links",
                "--create-empty-src-dirs",
                "--exclude",
                "/.s3mirrord/**",
                &remote,
            ],
        ),
        ("aws", vec!["s3", "sync", "--only-show-errors", "--exclude", ".s3mirrord/*", "s3://backups/www/"]),
    ] {
        let out = into(tool);
        if let Err(why) = run(&site, tool, &words, &out).await {
            return skip(&why);
        }
        columns.push(measured(&site.root, &out, &mirrored));
    }
    let endpoint = &*site.endpoint;
    let words = ["--endpoint-url", endpoint, "cp", "--exclude", ".s3mirrord/*", "s3://backups/www/*"];
    let boto3_column = {
        let out = into("boto3");
        boto3.ask(json!(["fetch", "www/", out])).await;
        measured(&site.root, &out, &mirrored)
    };
    // s5cmd does not ask for keys in a form that XML carries: beside an ESC it lists nothing
    let out = into("s5cmd");
    let listed_nothing = run(&site, "s5cmd", &words, &out).await.unwrap_err();
    assert!(listed_nothing.contains("illegal character"), "{listed_nothing}");
    boto3.ask(json!(["delete", "www/esc\x1b[31m"])).await;
    if let Err(why) = run(&site, "s5cmd", &words, &out).await {
        return skip(&why);
    }
    columns.push(measured(&site.root, &out, &mirrored));
    columns.push(boto3_column);
    let mut found = BTreeMap::<_, Vec<_>>::new();
    columns.into_iter().flatten().for_each(|(row, cell)| found.entry(row).or_default().push(cell));
    let lines: Vec<_> =
        found.iter().map(|(row, cells)| format!("| {row} | {} |", cells.join(" | "))).collect();
    assert_eq!(table(), found, "docs/COMPATIBILITY.md says otherwise:\n{}", lines.join("\n"));
}
