//! What is told: on terminals, in logs, of deletes that are held, of what it costs.

use crate::support::{
    bench::{Bench, PATIENCE, QUICK, Ran, behind},
    skip,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use s3mirrord::embedded::{Kind, Rule};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::Command;

/// Runs it on a terminal of 120 columns; what came to the terminal.
async fn on_a_terminal(bench: &Bench, words: &str, variables: &[(&str, &str)]) -> Option<Ran> {
    let mut script = Command::new("script");
    // at once to its own stdout, with the exit code
    script.args(["-qefc", &format!("stty cols 120; {} {words}", env!("CARGO_BIN_EXE_s3mirrord"))]);
    script.arg("/dev/null").stdin(Stdio::null()).env("PATH", std::env::var_os("PATH").unwrap());
    script.env_remove("NO_COLOR").env("TERM", "xterm").env("S3MIRRORD_CONFIG", bench.config());
    script.envs(variables.iter().copied());
    if Command::new("script").arg("--version").output().await.is_err() {
        skip("there is no `script`");
        return None;
    }
    Some(Ran::of(script).await)
}

/// What a terminal shows in the end, and whether it had ever shown `during`.
fn screen(told: &str, during: &str) -> (Vec<String>, bool) {
    let (mut lines, mut seen) = (vec![vec![]], false);
    let (mut column, mut rest) = (0, told);
    while let Some(c) = rest.chars().next() {
        let line: &mut Vec<char> = lines.last_mut().unwrap();
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => column = 0,
            '\n' => {
                lines.push(vec![]);
                column = 0;
            }
            '\x1b' => {
                let end = rest.find(|c: char| c.is_ascii_alphabetic()).expect("a whole sequence");
                match &rest[..=end] {
                    "[K" => line.truncate(column),
                    colour => assert!(colour.ends_with('m'), "{colour:?} in {told:?}"),
                }
                rest = &rest[end + 1..];
            }
            c => {
                line.truncate(line.len().max(column));
                match line.get_mut(column) {
                    Some(there) => *there = c,
                    None => line.push(c),
                }
                column += 1;
                seen |= line.iter().collect::<String>().contains(during);
                assert!(line.len() < 120 || !line.starts_with(&['w', 'w', 'w', ':', ' ', '[']), "it wraps");
            }
        }
    }
    let lines: Vec<String> = lines.into_iter().map(String::from_iter).collect();
    (lines.into_iter().filter(|line| !line.is_empty()).collect(), seen)
}

fn slow_listing(bench: &Bench, time: Duration) {
    bench.server.faults().add(Rule::new(Kind::Latency(time)).operation("ListObjectsV2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_how_far_a_pass_is_and_keeps_only_the_sums() {
    let bench = Bench::new().await;
    for n in 0..20 {
        bench.write(&format!("f{n}"), "x");
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    slow_listing(&bench, Duration::from_secs(1));
    let bar = "www: [                    ] looking: 0 of about 20 files";
    let Some(ran) = on_a_terminal(&bench, "once", &[]).await else { return };
    let (lines, seen) = screen(&ran.stdout, bar);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(seen, "{ran:?}");
    assert!(ran.stdout.contains("\x1b[1mwww\x1b[0m"), "{ran:?}");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("www: 20 unchanged, in "), "{lines:#?}");
    assert_eq!(lines[1], "  requests: 1 GetObject, 1 ListObjectsV2");
    assert!(lines[2].starts_with("  cost: this pass under USD 0.01; a month "), "{lines:#?}");

    // what is done is told above the line, and stays
    bench.write("f3", "edited");
    let ran = on_a_terminal(&bench, "once -v", &[("NO_COLOR", "1")]).await.unwrap();
    let (lines, seen) = screen(&ran.stdout, "looking: ");
    assert!(seen && lines[0] == "done     put      f3  size differs", "{lines:#?}");
    assert!(!ran.stdout.contains("\x1b[1m") && !ran.stdout.contains("\x1b[3"), "no colours: {ran:?}");

    let aside = bench.dir.path().join("told");
    let aside = format!("once --json >{}", aside.display());
    for (words, variables, shows) in [
        ("once --json", &[][..], false),
        (&*aside, &[], true),
        ("once -q", &[], false),
        ("once", &[("TERM", "dumb")], false),
    ] {
        let ran = on_a_terminal(&bench, words, variables).await.unwrap();
        let (lines, seen) = screen(&ran.stdout, "looking: ");
        assert_eq!((ran.code, seen), (0, shows), "{words}: {ran:?}");
        assert_eq!(ran.stdout.contains("\x1b[K"), shows, "{words}: {ran:?}");
        match words {
            "once --json" => assert!(serde_json::from_str::<Value>(&lines[0]).is_ok(), "{lines:#?}"),
            "once" => assert_eq!(lines.len(), 3, "{lines:#?}"),
            _ => assert_eq!(lines, [""; 0], "{words}: {ran:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_pass_from_cron_says_nothing_at_all() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    slow_listing(&bench, Duration::from_secs(1));
    for again in [false, true] {
        let mut program = Command::new("setsid");
        program.arg("--wait").stdin(Stdio::null());
        let mut cron = behind(program, bench.command(&["once"]));
        cron.env("TERM", "xterm");
        let ran = Ran::of(cron).await;
        assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (0, "", ""), "again: {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_long_pass_is_is_logged_every_ten_seconds() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    for bench in [&bench, &other] {
        bench.write("a", "a");
        slow_listing(bench, Duration::from_secs(11));
    }
    let mut daemon = other.command(&["run"]);
    let log = fs::File::create(other.dir.path().join("log")).unwrap();
    let mut daemon = daemon.kill_on_drop(true).stderr(log).spawn().unwrap();
    let once = bench.run(&["once", "-v"]).await;
    let told: Vec<_> = once.stderr.lines().filter(|line| line.contains("looked at 0 files")).collect();
    assert_eq!((once.code, told.len()), (0, 1), "{once:?}");
    assert!(told[0].contains(" INFO ") && told[0].ends_with("mirror=\"www\""), "{told:?}");
    other.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    end(&mut daemon).await;
    let log = fs::read_to_string(other.dir.path().join("log")).unwrap();
    assert_eq!(log.matches("looked at 0 files").count(), 1, "{log}");
}

async fn end(daemon: &mut tokio::process::Child) {
    let pid = Pid::from_raw(daemon.id().unwrap() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, daemon.wait()).await.expect("in time").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_line_of_a_mirror_names_it() {
    let bench = Bench::new().await;
    let other = bench.dir.path().join("other");
    bench.configure(
        &(bench.mirror("www", &bench.root, "www/", QUICK) + &bench.mirror("two", &other, "two/", QUICK)),
    );
    for (name, root) in [("www", &bench.root), ("two", &other)] {
        fs::create_dir_all(root.join("shut")).unwrap();
        for file in ["stays", "goes"] {
            fs::write(root.join(format!("{name}-{file}")), "x").unwrap();
        }
        let fifo = root.join(format!("{name}-fifo"));
        mknodat(CWD, fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::write(root.join(format!("shut/{name}")), "x").unwrap();
        fs::set_permissions(root.join("shut"), fs::Permissions::from_mode(0o0)).unwrap();
    }
    // all that it says, what is said on tasks of their own too
    let Some(mut daemon) = bench.restrained(&["run", "-v"]).await else {
        return skip("setpriv cannot take away root's right to read everything");
    };
    let path = bench.dir.path().join("log");
    let log = || fs::read_to_string(&path).unwrap();
    let mut daemon = daemon.kill_on_drop(true).stderr(fs::File::create(&path).unwrap()).spawn().unwrap();
    let settled =
        |told: &Value| told["mirrors"].as_array().is_some_and(|all| all.iter().all(|m| m["settled"] == true));
    bench.await_status("settled", settled).await;
    fs::remove_file(bench.root.join("www-goes")).unwrap();
    fs::remove_file(other.join("two-goes")).unwrap();
    let begun = Instant::now();
    let kinds = ["skipped", "it cannot be read", "put", "deleted key=", "in sync", "are open"];
    let whole = |kind: &str| log().lines().filter(|line| line.contains(kind)).count() >= 2;
    while !kinds.iter().all(|kind| whole(kind)) {
        assert!(begun.elapsed() < PATIENCE, "{}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    end(&mut daemon).await;
    let log = log();
    for line in log.lines() {
        let daemons_own =
            [": ready mirrors=2", ": finishing what is in flight", "s3mirrord::service::systemd"];
        let named = ["www", "two"].into_iter().filter(|name| line.contains(&format!("mirror=\"{name}\"")));
        let named: Vec<_> = named.collect();
        match daemons_own.iter().any(|own| line.contains(own)) {
            true => assert_eq!(named.len(), 0, "{line}"),
            false => assert_eq!((named.len(), line.matches("mirror=").count()), (1, 1), "{line}\n{log}"),
        }
        for (name, other) in [("www", "two"), ("two", "www")] {
            assert!(!line.contains(&format!("{name}-")) || named == [name], "{other}: {line}");
        }
    }
    for name in ["www", "two"] {
        for kind in kinds {
            let told = log.lines().any(|line| line.contains(kind) && line.contains(&format!("\"{name}\"")));
            assert!(told, "{kind} of {name}: {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c06_of_many_places_that_cannot_be_read_some_are_named() {
    let bench = Bench::new().await;
    for n in 0..130 {
        bench.write(&format!("d{n}/f"), "x");
        fs::set_permissions(bench.root.join(format!("d{n}")), fs::Permissions::from_mode(0o0)).unwrap();
    }
    let Some(once) = bench.restrained(&["once"]).await else {
        return skip("setpriv cannot take away root's right to read everything");
    };
    let ran = Ran::of(once).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stderr.matches("it cannot be read").count(), 100);
    assert_eq!(ran.stderr.matches("more than 100 places are left out").count(), 1);
    assert!(ran.stderr.contains("places=130"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_shut_is_told_at_once_and_open_again_it_is_mirrored() {
    let bench = Bench::new().await;
    bench.write("a", "x");
    let Some(mut daemon) = bench.restrained(&["run"]).await else {
        return skip("setpriv cannot take away root's right to read everything");
    };
    let mut daemon = daemon.kill_on_drop(true).spawn().unwrap();
    let state = |is: &'static str| move |told: &Value| told["mirrors"][0]["state"] == is;
    bench.await_status("in sync", state("in sync")).await;
    let shut = |mode| fs::set_permissions(&bench.root, fs::Permissions::from_mode(mode)).unwrap();
    shut(0o0);
    bench.await_status("told", state("in trouble")).await;
    bench.write("b", "x");
    shut(0o755);
    bench.await_objects(&[("a", "x"), ("b", "x")]).await;
    bench.await_status("in sync again", state("in sync")).await;
    end(&mut daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_printed_is_1_and_the_mirror_work_is_done() {
    let bench = Bench::new().await;
    bench.write("a", "a");
    let full = |words: &[&str]| {
        let mut command = bench.command(words);
        command.stdout(fs::File::create("/dev/full").unwrap()).stderr(Stdio::piped());
        async move { command.spawn().unwrap().wait_with_output().await.unwrap() }
    };
    for words in [&["once", "--json"][..], &["once", "-v"], &["completions", "bash"]] {
        let ran = full(words).await;
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{words:?} {told}");
        assert!(told.contains("standard output: No space left on device"), "{words:?} {told}");
    }
    assert_eq!(bench.objects().await.len(), 1);
    assert_eq!(full(&["once"]).await.status.code(), Some(0), "nothing was to be printed");

    // nobody listens
    bench.write("b", "b");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = bench.command(&["once", "--json"]);
    let ran =
        command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().await.unwrap();
    assert_eq!((ran.status.code(), &*ran.stderr), (Some(0), &b""[..]));
    assert_eq!(bench.objects().await.len(), 2);

    let mut daemon = bench.start(&["run"]);
    bench.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut watch = bench.command(&["status", "--watch"]);
    let mut watch = watch.stdout(writer).kill_on_drop(true).spawn().unwrap();
    let ended = tokio::time::timeout(PATIENCE, watch.wait()).await.expect("nobody listens, and it goes on");
    assert_eq!(ended.unwrap().code(), Some(0));
    end(&mut daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cost_is_told_at_the_prices_of_the_configuration() {
    let bench = Bench::new().await;
    let mirror = bench.mirror("www", &bench.root, "www/", &format!("relist = \"1h\"\n{QUICK}"));
    let prices = "[mirror.prices]\ncurrency = \"EUR\"\nput_per_1000 = 1\nget_per_1000 = 0.5\n\
                  storage_per_gb_month = 107374.1824\n";
    bench.configure(&format!("{mirror}{prices}"));
    for n in 0..1500 {
        bench.write(&format!("f{n}"), "12");
    }
    let first = bench.run(&["once", "--json"]).await.summary();
    let puts = first["requests"]["PutObject"].as_u64().unwrap();
    let lists = first["requests"]["ListObjectsV2"].as_u64().unwrap();
    assert!(puts > 1500 && lists == 1, "{first}");
    let cost = &first["cost"];
    let pass = cost["pass"].as_f64().unwrap();
    let others: u64 =
        ["GetObject", "HeadObject"].iter().filter_map(|op| first["requests"][op].as_u64()).sum();
    assert!((pass - (puts + lists) as f64 / 1000.0 - others as f64 / 2000.0).abs() < 1e-9, "{first}");
    // 730 comparisons of two pages each, though the first pass listed an empty bucket; a ten-thousandth a byte
    let want = serde_json::json!({
        "currency": "EUR", "pass": pass, "requests_month": 1.46, "storage_month": 0.3,
        "interval_seconds": 3600, "stored_bytes": 3000,
    });
    assert_eq!(*cost, want);

    let second = bench.run(&["once", "--json"]).await.summary();
    let lists = second["requests"]["ListObjectsV2"].as_f64().unwrap();
    assert_eq!(
        (second["requests"].as_object().unwrap().len(), &second["requests"]["GetObject"]),
        (2, &1.into())
    );
    let is = |told: &Value, want: f64| (told.as_f64().unwrap() - want).abs() < 1e-9;
    assert!(lists >= 2.0 && is(&second["cost"]["pass"], lists / 1000.0 + 0.0005), "{second}");
    let month = lists * 0.73;
    assert!(is(&second["cost"]["requests_month"], month), "{second}");
    bench.write("f0", "1234");
    let dry = bench.run(&["once", "--dry-run", "--json"]).await.summary();
    assert_eq!(dry["cost"]["stored_bytes"], 3002, "as it would be: {dry}");

    let mut daemon = bench.start(&["run"]);
    let told = bench.await_status("settled", |told| told["mirrors"][0]["settled"] == true).await;
    let mirror = &told["mirrors"][0];
    assert_eq!(mirror["requests"]["ListObjectsV2"].as_f64(), Some(lists), "{told}");
    assert!(is(&mirror["cost"]["requests_month"], month), "{told}");
    assert_eq!(mirror["cost"]["stored_bytes"], 3002, "{told}");
    let human = bench.run(&["status"]).await.stdout;
    let (lists, month) =
        (format!("{lists} ListObjectsV2"), format!("EUR {month:.2} for a comparison every 1h"));
    assert!(human.contains(&lists) && human.contains(&month), "{human}");
    end(&mut daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_all_tell_the_same_number_of_held_deletes() {
    let bench = Bench::with(&format!(
        "{QUICK}directories = false\nmax_delete = {{ count = 2, percent = 100, window = \"1h\" }}"
    ))
    .await;
    for name in ["d/1", "d/2", "d/e/3", "keep"] {
        bench.write(name, name);
    }
    assert_eq!(bench.run(&["once"]).await.code, 0);
    // what consoles make of a directory
    for marker in ["d/", "d/e/", "keep/"] {
        bench.put(&format!("www/{marker}"), "").await;
    }
    fs::remove_dir_all(bench.root.join("d")).unwrap();
    for adopt in [&["once", "--json"][..], &["once", "--json", "--adopt"]] {
        let held = bench.run(adopt).await;
        let actions = held.actions();
        assert_eq!((held.code, &held.summary()["held"]), (4, &3.into()), "{held:?}");
        assert_eq!(actions.iter().filter(|(_, _, outcome)| outcome == "held").count(), 3, "{held:?}");
        let asked = bench.run(&["approve"]).await;
        assert!(asked.stdout.contains("3 deletes are held"), "{asked:?}");
    }
    let mut daemon = bench.start(&["run"]);
    bench.await_status("held", |told| told["mirrors"][0]["held"]["deletes"] == 3).await;
    end(&mut daemon).await;
    assert_eq!(bench.run(&["approve", "--yes"]).await.code, 0);
    let done = bench.run(&["once", "--json"]).await.summary();
    assert_eq!((&done["deleted"], &done["held"]), (&3.into(), &0.into()));
    assert_eq!(bench.objects().await.into_keys().collect::<Vec<_>>(), ["keep"]);
    for marker in ["d/", "d/e/", "keep/"] {
        let head = bench.client().head_object().bucket("backups").key(format!("www/{marker}")).send().await;
        assert!(head.is_ok(), "markers stay: {marker}");
    }
}
