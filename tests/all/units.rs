//! The systemd units: systemd takes them without a complaint, and finds little left to shut.

use std::{fs, path::Path, process::Command};

/// Exposure that `systemd-analyze security` may find at most, in tenths.
const MOST_EXPOSED: &str = "20";

/// The units with the path of the binary just built, as files in a directory of their own; on demand with
/// what they offer as an option taken in.
fn units(dir: &Path, options: bool) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let mut paths = Vec::new();
    for name in
        ["s3mirrord.service", "s3mirrord@.service", "s3mirrord-once@.service", "s3mirrord-once@.timer"]
    {
        let text = fs::read_to_string(source.join(name)).expect("a unit");
        if name.ends_with(".service") {
            assert_eq!(text.matches("\nExecStart=/usr/bin/s3mirrord ").count(), 1, "{name}");
            assert!(text.contains("\nKillMode=mixed\n"), "{name}: a stop would end after_read, too");
        }
        let here = text.replace("=/usr/bin/s3mirrord ", concat!("=", env!("CARGO_BIN_EXE_s3mirrord"), " "));
        let option = |line: &str| line.len() > 1 && line.as_bytes()[0] == b'#' && line.as_bytes()[1] != b' ';
        let lines = here.lines().map(|line| if options && option(line) { &line[1..] } else { line });
        let here = lines.map(|line| format!("{line}\n")).collect::<String>();
        assert!(!options || name.ends_with(".timer") || here.contains("\nAmbientCapabilities=CAP_DAC_READ"));
        let path = dir.join(name.replace('@', "@www"));
        fs::write(&path, here).expect("written");
        paths.push(path.to_string_lossy().into_owned());
    }
    paths
}

/// Runs `systemd-analyze`; `None` if it is not there and need not be.
fn analyze(arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new("systemd-analyze").args(arguments).env("SYSTEMD_PAGER", "").output() {
        Ok(output) => {
            let told = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
        }
        Err(error) if std::env::var_os("S3MIRRORD_REQUIRE_ALL").is_some_and(|v| v == "1") => {
            panic!("systemd-analyze: {error}")
        }
        Err(error) => {
            eprintln!("skipped: systemd-analyze: {error}");
            None
        }
    }
}

#[test]
fn systemd_takes_the_units_without_a_complaint() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for path in [false, true].into_iter().flat_map(|options| units(dir.path(), options)) {
        let Some((success, told)) = analyze(&["verify", "--man=no", &path]) else { return };
        let ours: Vec<_> = told.lines().filter(|line| line.contains("s3mirrord")).collect();
        assert!(success && ours.is_empty(), "{path}: {told}");
    }
}

#[test]
fn what_is_offered_to_be_dropped_in_is_taken_without_a_complaint() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/drop-ins");
    let units = units(dir.path(), false);
    let mut seen = 0;
    for drop_in in fs::read_dir(source).expect("drop-ins") {
        let drop_in = drop_in.expect("an entry");
        seen += 1;
        // the instance that its text speaks of is `%i`: a user that there is
        for unit in units.iter().filter(|unit| unit.ends_with(".service")) {
            let beside = format!("{unit}.d");
            fs::create_dir(&beside).expect("made");
            let text = fs::read_to_string(drop_in.path()).expect("text").replace("User=%i", "User=root");
            fs::write(Path::new(&beside).join(drop_in.file_name()), text).expect("written");
            let Some((success, told)) = analyze(&["verify", "--man=no", unit]) else { return };
            let ours: Vec<_> = told.lines().filter(|line| line.contains("s3mirrord")).collect();
            assert!(success && ours.is_empty(), "{unit} with {drop_in:?}: {told}");
            fs::remove_dir_all(&beside).expect("gone");
        }
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn the_services_are_shut_as_far_as_they_can_be() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for path in units(dir.path(), false).iter().filter(|path| path.ends_with(".service")) {
        let threshold = format!("--threshold={MOST_EXPOSED}");
        let Some((success, told)) = analyze(&["security", "--offline=true", "--no-pager", &threshold, path])
        else {
            return;
        };
        assert!(success && told.contains("Overall exposure level"), "{path}: {told}");
    }
}

#[test]
fn the_services_differ_in_what_they_run_and_not_in_what_they_may() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        fs::read_to_string(path).expect("a unit")
    };
    let (daemon, once) = (read("s3mirrord.service"), read("s3mirrord-once@.service"));
    let instance = read("s3mirrord@.service");
    let shut = |text: &str| {
        let from = text.find("# One descriptor").expect("the hardening");
        text[from..].lines().take_while(|line| *line != "[Install]").collect::<Vec<_>>().join("\n")
    };
    assert!(daemon.contains("\nPrivateUsers=no\n"), "owners must be seen as they are");
    assert_eq!(shut(&daemon).trim_end(), shut(&once).trim_end());
    assert_eq!(shut(&daemon).trim_end(), shut(&instance).trim_end());
}
