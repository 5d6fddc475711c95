//! What is drawn, of reports that are made up.

use super::{
    Drawn, POLICY,
    frame::{self, SCRIPT},
};
use crate::service::{
    control::{Daemon, Failing, HeldOverwrites, Hold, MirrorStatus, ScrubStatus},
    drill::Drilled,
    recent::Change,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::time::Instant;

fn quiet() -> MirrorStatus {
    MirrorStatus {
        mirror: "www".into(),
        root: "/srv/www".into(),
        target: "s3://backups/web-1/www/".into(),
        state: "in sync".into(),
        settled: true,
        pending: 0,
        in_flight: 0,
        held: None,
        overwrites_held: None,
        trouble: None,
        trouble_remedy: None,
        degraded: None,
        degraded_remedy: None,
        unknown: 0,
        unreadable_sample: vec![],
        failing: 0,
        failing_sample: vec![],
        unsynced_seconds: 0,
        files: Some(1234),
        uploaded: 3,
        copied: 2,
        deleted: 1,
        bytes: 2048,
        requests: [("PutObject".to_owned(), 3)].into(),
        scrub: None,
        drill: None,
        bytes_per_second: None,
        recent: vec![],
        cost: None,
    }
}

/// Everything is the matter, and every text of it is this one.
fn worst(text: &str) -> MirrorStatus {
    let text = || text.to_owned();
    MirrorStatus {
        mirror: text(),
        root: text(),
        target: text(),
        settled: false,
        pending: 7,
        in_flight: 3,
        held: Some(Hold { why: text(), deletes: Some(12) }),
        overwrites_held: Some(HeldOverwrites { why: text(), files: Some(5) }),
        trouble: Some(format!("{}; {}", text(), text())),
        trouble_remedy: Some(text()),
        degraded: Some(text()),
        degraded_remedy: None,
        unknown: 2,
        unreadable_sample: vec![text()],
        failing: 22,
        failing_sample: vec![
            Failing { path: text(), error: format!("{}; {}", text(), text()), remedy: Some(text()) },
            Failing { path: text(), error: text(), remedy: None },
        ],
        unsynced_seconds: 3725,
        scrub: Some(ScrubStatus { done: 1, skipped: 1, of: 2, since: 0, whole: Some(0), healed: 1 }),
        drill: Some(Drilled { at: 0, files: 3, bytes: 1, failed: 1, success: None }),
        bytes_per_second: Some(3 << 20),
        recent: ["put", "copy", "metadata", "delete", &text()]
            .map(|op| Change { at: 0, op: op.into(), path: text(), from: Some(text()), bytes: 5 })
            .into(),
        ..quiet()
    }
}

fn live(mirrors: Vec<MirrorStatus>) -> String {
    frame::live(&Daemon { pid: 7, version: "0.1.0".into(), mirrors, refused: None })
}

fn whole(daemon: &Daemon) -> String {
    frame::around(&Drawn {
        at: Instant::now(),
        time: Timestamp::UNIX_EPOCH,
        title: frame::title(daemon),
        live: frame::live(daemon).into(),
    })
}

/// The markup alone: tags, without the values of their attributes.
fn skeleton(html: &str) -> Vec<String> {
    let tags = html.split('<').skip(1).map(|rest| rest.split('>').next().expect("a part"));
    tags.map(|tag| tag.split('"').step_by(2).collect()).collect()
}

#[test]
fn a_mirror_in_sync_is_drawn_so() {
    let recent = vec![
        Change { at: 1_700_000_000, op: "put".into(), path: "a & b.txt".into(), from: None, bytes: 2048 },
        Change { at: 0, op: "copy".into(), path: "new".into(), from: Some("old".into()), bytes: 0 },
    ];
    let want = "<main id=\"live\" data-title=\"1 of 1 in sync \u{b7} s3mirrord\">\
        <p class=\"sum\" aria-live=\"polite\">1 of 1 mirror is in sync</p>\
        <section class=\"mirror\" aria-labelledby=\"m0\"><div class=\"head\"><h2 id=\"m0\"><bdi>www</bdi></h2>\
        <p class=\"state good\" aria-live=\"polite\"><span aria-hidden=\"true\">\u{2713}</span> in sync</p></div>\
        <p class=\"way\"><bdi>/srv/www</bdi> \u{2192} <bdi>s3://backups/web-1/www/</bdi></p>\
        <dl class=\"figures\"><div><dt>Behind (RPO)</dt><dd>nothing</dd></div>\
        <div><dt>Queue</dt><dd>empty</dd></div><div><dt>Throughput</dt><dd>nothing is sent</dd></div>\
        <div><dt>In the bucket</dt><dd>1,234 files</dd></div></dl>\
        <table class=\"recent\"><caption>Recent changes</caption><thead><tr><th scope=\"col\">When (UTC)</th>\
        <th scope=\"col\">What</th><th scope=\"col\">File</th></tr></thead><tbody>\
        <tr><td><time datetime=\"2023-11-14T22:13:20Z\">11-14 22:13:20</time></td>\
        <td>uploaded, 2.00 KiB</td><td><bdi>a &amp; b.txt</bdi></td></tr>\
        <tr><td><time datetime=\"1970-01-01T00:00:00Z\">01-01 00:00:00</time></td>\
        <td>copied</td><td><bdi>new</bdi> <span class=\"from\">from <bdi>old</bdi></span></td></tr></tbody></table>\
        <details><summary>More</summary><dl class=\"more\"><div><dt>Since the start</dt>\
        <dd>3 uploaded (2.00 KiB), 2 copied, 1 deleted</dd></div></dl></details></section>\
        <p class=\"none\">s3mirrord 0.1.0, process 7</p></main>";
    assert_eq!(live(vec![MirrorStatus { recent, ..quiet() }]), want);
}

#[test]
fn without_mirrors_there_is_a_page() {
    let page = live(vec![]);
    assert!(page.contains("The configuration has no mirrors."), "{page}");
    assert!(page.contains("data-title=\"0 of 0 in sync"), "{page}");
}

#[test]
fn what_is_held_comes_with_the_command_that_releases_it() {
    let held = Some(Hold { why: "1,200 of 1,300 objects within 1h".into(), deletes: Some(1200) });
    let page = live(vec![MirrorStatus { held, ..quiet() }, quiet()]);
    assert!(
        page.contains(
            "<h3>1,200 deletes are held</h3><p>1,200 of 1,300 objects within 1h</p>\
             <p>Look at them, and release them if that is right:</p>\
             <pre><code>s3mirrord approve --mirror www</code></pre>"
        ),
        "{page}"
    );
    assert_eq!(page.matches("s3mirrord approve").count(), 1, "of the one that has something");
    assert!(
        page.contains("</span> deletes held</p>")
            && page
                .contains("1 of 2 mirrors are in sync; held for you: <a href=\"#m0\"><bdi>www</bdi></a></p>")
    );
    let files = Some(HeldOverwrites { why: "max_overwrite".into(), files: Some(3) });
    let page = live(vec![MirrorStatus { overwrites_held: files, ..quiet() }]);
    assert!(page.contains("<h3>3 changed files are held</h3>"), "{page}");
    assert!(page.contains("<pre><code>s3mirrord approve --mirror www</code></pre>"), "{page}");
}

#[test]
fn what_cannot_be_read_is_named_and_no_mirror_with_it_is_in_sync() {
    let unreadable_sample = vec!["closed/".into(), "<b>".into()];
    let page = live(vec![MirrorStatus { unknown: 1_002, unreadable_sample, ..quiet() }]);
    assert!(
        page.contains(
            "<h3>1,002 places cannot be read</h3><ul><li><bdi>closed/</bdi></li><li><bdi>&lt;b&gt;</bdi></li>\
             <li>and 1,000 more</li></ul>"
        ),
        "{page}"
    );
    assert!(
        page.contains("</span> places unreadable</p>")
            && page.contains("0 of 1 mirror is in sync; something is wrong: ")
    );
}

#[test]
fn of_a_ledger_that_does_not_answer_no_number_is_made_up() {
    let held = Some(Hold { why: "the root is empty".into(), deletes: None });
    let page = live(vec![MirrorStatus { held, files: None, ..quiet() }]);
    assert!(page.contains("<h3>deletes are held</h3>"), "{page}");
    assert!(page.contains("<dt>In the bucket</dt><dd>the ledger does not answer</dd>"), "{page}");
}

#[test]
fn what_fails_comes_with_what_to_do() {
    let fails = |path: &str, error: &str, remedy: Option<&str>| Failing {
        path: path.into(),
        error: error.into(),
        remedy: remedy.map(Into::into),
    };
    let failing_sample = vec![
        fails("a", "PutObject a: 403 AccessDenied; allow s3:PutObject", Some("allow s3:PutObject")),
        fails("b", "read b: EIO", None),
    ];
    let trouble = Some("open the root: it is not there; mount it".to_owned());
    let (trouble_remedy, failing) = (Some("mount it".to_owned()), 22);
    let page = live(vec![MirrorStatus { failing, failing_sample, trouble, trouble_remedy, ..quiet() }]);
    for want in [
        "<caption>Files that fail: 22</caption>",
        "<th scope=\"row\"><bdi>a</bdi></th><td><p>PutObject a: 403 AccessDenied</p>\
         <p><strong>What to do:</strong> allow s3:PutObject</p></td>",
        "<td><p>read b: EIO</p><p><strong>What to do:</strong> nothing yet, it is tried again.",
        "<code>s3mirrord explain --mirror www FILE</code>",
        "<p>and 20 more</p>",
        "<h3>It does not work</h3><p>open the root: it is not there</p>\
         <p><strong>What to do:</strong> mount it</p>",
        "</span> in trouble</p>",
        "; something is wrong: <a href=\"#m0\"><bdi>www</bdi></a></p>",
    ] {
        assert!(page.contains(want), "{want}\n{page}");
    }
}

#[test]
fn nothing_runs_but_what_the_policy_names() {
    let page = whole(&Daemon {
        pid: 7,
        version: "0.1.0".into(),
        mirrors: vec![worst("<script>x()</script>")],
        refused: None,
    });
    for (open, close, directive) in
        [("<style>", "</style>", "style-src"), ("<script>", "</script>", "script-src")]
    {
        let parts: Vec<_> = page.split(open).skip(1).collect();
        assert_eq!(parts.len(), 1, "one {open}");
        let text = parts[0].split(close).next().expect("its text");
        let digest = BASE64_STANDARD.encode(Sha256::digest(text));
        assert!(POLICY.contains(&format!("{directive} 'sha256-{digest}';")), "{}", *POLICY);
    }
    assert!(!POLICY.contains("unsafe") && POLICY.starts_with("default-src 'none';"), "{}", *POLICY);
    // of itself, and of nowhere else
    for rest in page.split(" href=\"").skip(1).chain(page.split(" src=\"").skip(1)) {
        assert!(rest.starts_with(['/', '#', 'd']) && !rest.starts_with("//"), "{rest}");
    }
    let inline =
        |tag: &String| tag.split(' ').any(|word| word.starts_with("on") || word.starts_with("style="));
    assert!(!skeleton(&page.replace(SCRIPT, "")).iter().any(inline), "nothing inline");
}

proptest! {
    #[test]
    fn no_text_of_a_report_changes_the_markup(text in "[<>\"'&/ =;!a-z-]{0,24}|\\PC{0,24}|(<[a-z]+ on[a-z]+=['\"]?|--><script>|</(td|main|bdi|title)>){1,3}") {
        let draw = |text: &str| whole(&Daemon { pid: 7, version: text.into(), mirrors: vec![worst(text), quiet()], refused: Some(text.into()) });
        prop_assert_eq!(skeleton(&draw(&text)), skeleton(&draw("x")));
    }
}
