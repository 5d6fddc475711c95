//! `--log-format journald`: what the journal is told, each line with fields of its own.

use crate::support::{
    bench::{Bench, PATIENCE, Ran},
    skip,
    space::Space,
};
use s3mirrord::embedded::{Kind, Rule};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// A journal that only listens.
struct Journal(UnixDatagram);

/// The fields of one line.
type Fields = BTreeMap<String, String>;

impl Journal {
    fn listen(dir: &Path) -> Self {
        fs::create_dir(dir).unwrap();
        let socket = UnixDatagram::bind(dir.join("socket")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Waits for a line that this is true of.
    fn hear(&self, what: &str, is_it: impl Fn(&Fields) -> bool) -> Fields {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "never heard: {what}");
            let mut bytes = vec![0; 1 << 16];
            let n = self.0.recv(&mut bytes).expect(what);
            let fields = fields(&bytes[..n]);
            if is_it(&fields) {
                return fields;
            }
        }
    }
}

/// As systemd.io/JOURNAL_NATIVE_PROTOCOL has it: `NAME=text`, or the name alone, and a length before the value.
fn fields(mut rest: &[u8]) -> Fields {
    let mut all = Fields::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let (len, more) = rest.split_first_chunk().unwrap();
                let len = u64::from_le_bytes(*len) as usize;
                let value = String::from_utf8(more[..len].to_vec()).unwrap();
                assert_eq!(more[len], b'\n');
                rest = &more[len + 1..];
                (line, value)
            }
        };
        all.insert(name.to_owned(), value);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_gets_mirror_and_key_as_fields() {
    let bench = Bench::new().await;
    let dir = bench.dir.path().join("journal");
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind {dir:?} /run/systemd/journal"
    );
    let journal = Journal::listen(&dir);
    let Some(space) = Space::new(&["--mount", "--propagation=private"], &script) else { return };
    bench.write("plain", "1");
    // a name that would forge a field or a line, if it could
    bench.write("x\nPRIORITY=0\u{1b}[2J", "2");
    bench.write("refused", "3");
    bench.server.faults().add(Rule::new(Kind::AccessDenied).operation("PutObject").key("www/refused"));
    let _daemon = bench.start_logged(space.enter(bench.command(&["run", "--log-format", "journald"])));
    let heard = tokio::task::spawn_blocking(move || {
        let mut open = vec!["plain", "x\\nPRIORITY=0\\u{1b}[2J", "refused"];
        let mut heard = vec![];
        while !open.is_empty() {
            let line = journal.hear("each key", |line| open.iter().any(|key| of_key(line, key)));
            open.retain(|key| !of_key(&line, key));
            heard.push(line);
        }
        heard
    })
    .await
    .unwrap();
    for line in &heard {
        let want = if line["KEY"] == "refused" { "3" } else { "6" };
        assert_eq!((&*line["MIRROR"], &*line["PRIORITY"]), ("www", want), "{line:?}");
        assert_eq!(line["SYSLOG_IDENTIFIER"], "s3mirrord");
        // whoever reads lines only is told as much
        let message = &line["MESSAGE"];
        assert!(
            message.contains(&format!("key={} ", line["KEY"])) && message.ends_with("mirror=\"www\""),
            "{line:?}"
        );
        assert!(!line.values().any(|value| value.contains('\u{1b}')), "{line:?}");
    }
    let refused = heard.iter().find(|line| line["KEY"] == "refused").unwrap();
    assert!(refused["MESSAGE"].contains("s3:PutObject"), "{refused:?}");
}

fn of_key(line: &Fields, key: &str) -> bool {
    line.get("KEY").is_some_and(|told| told == key)
}

/// The program that is one, and the one that reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_journal_shows_whole_lines_and_finds_them_by_mirror_and_key() {
    const JOURNALD: &str = "/lib/systemd/systemd-journald";
    if !Path::new(JOURNALD).exists() {
        return skip(&format!("there is no {JOURNALD}"));
    }
    let bench = Bench::new().await;
    let id = bench.dir.path().join("machine-id");
    fs::write(&id, "0123456789abcdef0123456789abcdef\n").unwrap();
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journald.conf.d /run/log/journal && mount --bind {id:?} /etc/machine-id
         printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\n' > /run/systemd/journald.conf.d/own.conf"
    );
    let Some(space) = Space::new(&["--mount", "--propagation=private"], &script) else { return };
    let mut journald = space.enter(tokio::process::Command::new(JOURNALD));
    let mut journald =
        journald.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    bench.write("docs/a.txt", "1");
    bench.write("x\ny", "2");
    let socket = space.at(Path::new("/run/systemd/journal/socket"));
    let begun = Instant::now();
    while !socket.exists() {
        assert!(begun.elapsed() < PATIENCE && journald.try_wait().unwrap().is_none(), "no journal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _daemon = bench.start_logged(space.enter(bench.command(&["run", "--log-format", "journald"])));
    let read = async |words: &[&str]| {
        let mut journalctl = tokio::process::Command::new("journalctl");
        journalctl.args(["--no-pager", "--quiet", "--output=cat"]).args(words);
        Ran::of(space.enter(journalctl)).await.stdout
    };
    for (key, bytes) in [("docs/a.txt", 1), ("x\\ny", 1)] {
        let want = format!("put key={key} bytes={bytes} why=\"new file\" mirror=\"www\"\n");
        while read(&["MIRROR=www", &format!("KEY={key}")]).await != want {
            assert!(begun.elapsed() < PATIENCE, "not {want}: {}", read(&[]).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_it_is_logged_to_stderr_all_the_same() {
    let bench = Bench::new().await;
    let Some(space) = Space::new(&["--mount", "--propagation=private"], "mount -t tmpfs none /run") else {
        return;
    };
    let ran = Ran::of(space.enter(bench.command(&["once", "--log-format", "journald"]))).await;
    assert!(ran.code == 0 && ran.stderr.contains("the journal does not listen"), "{ran:?}");
}
