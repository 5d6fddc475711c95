//! `init`: a configuration with everything explained, for what is asked or named, and a look at what stands in its way.

use super::{Common, Exit, Failure, doctor, paint::Paint, print::print};
use crate::config::{Config, Surroundings};
use anyhow::Context;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, BufRead, ErrorKind, IsTerminal, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The words of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord init                                    asks, and writes /etc/s3mirrord/config.toml
  s3mirrord init ./backup.toml --root /srv/www --bucket backups --region eu-west-1
  s3mirrord init ./backup.toml --root /srv/www --bucket backups --endpoint-url https://s3.example.net
  s3mirrord init ./example.toml < /dev/null         the example as it is

With a root and a bucket, by words or answers, `doctor` looks at it afterwards. Keys are not asked for: they are
found where the AWS tools find them, or the file says where to put them.

Exit codes: 0 written, and nothing stands in the way, 1 something does, 2 usage, or the file is there, 3 it cannot be written.")]
pub(super) struct Args {
    /// Where to write it; where --config says if it is not said
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The directory to mirror
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The bucket that it goes to
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// The prefix that is to equal the directory; HOST/NAME/ if it is not said
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// What the mirror is called; after the directory if it is not said
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The region of the bucket
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// A store other than Amazon's
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Do not look at what stands in the way
    #[arg(long)]
    no_doctor: bool,
}

/// What is put into the example.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    root: String,
    bucket: String,
    prefix: String,
    name: String,
    region: String,
    endpoint_url: String,
}

/// Asks if somebody is there to answer, writes it, readable to its owner alone (keys may be put into it), and looks at it.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let file = args.file.as_ref().unwrap_or(&common.config);
    if file.exists() {
        return Err(is_there(file));
    }
    let answers = answers(&args)?;
    let text = answers.as_ref().map_or_else(|| EXAMPLE.to_owned(), Answers::fill);
    if let Err(problems) = Config::parse(&text, file, &Surroundings::of_process()) {
        let list: Vec<_> =
            problems.list.iter().map(|problem| format!("{}; {}", problem.message, problem.remedy)).collect();
        return Err(Failure::usage(format!("nothing was written: {}", list.join("; "))));
    }
    write(file, &text)?;
    let shown = file.display();
    if answers.is_none() {
        print(&format!(
            "wrote {shown}: the example. Name your root and bucket in it, then: s3mirrord doctor --config {shown}"
        ));
        return Ok(Exit::InSync);
    }
    print(&format!("wrote {shown}"));
    if args.no_doctor {
        return Ok(Exit::InSync);
    }
    let exit =
        doctor::run(doctor::Args::default(), &Common { config: file.clone(), ..common.clone() }).await?;
    if Paint::stdout().terminal && exit == Exit::InSync {
        print(&format!("next, to see what a first pass would do: s3mirrord once --dry-run --config {shown}"));
    }
    Ok(exit)
}

/// What is said by words, and what is not by whoever sits there; `None` if nothing is.
fn answers(args: &Args) -> Result<Option<Answers>, Failure> {
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !asks && (args.root.is_none() || args.bucket.is_none()) {
        let words = [&args.prefix, &args.name, &args.region, &args.endpoint_url, &args.bucket];
        if args.root.is_some() || words.iter().any(|word| word.is_some()) {
            return Err(Failure::usage("name both --root and --bucket".to_owned()));
        }
        return Ok(None);
    }
    let answer = |said: &Option<String>, question: &str, usual: &str| match said {
        Some(said) => Ok(said.clone()),
        None if asks => ask(&mut io::stdin().lock(), &mut io::stderr(), question, usual),
        None => Ok(usual.to_owned()),
    };
    let root = args.root.as_ref().map(|root| root.to_string_lossy().into_owned());
    // nobody means all of the machine by hitting return
    let here = std::env::current_dir().ok().filter(|here| here.parent().is_some()).unwrap_or_default();
    let root = answer(&root, "Which directory is to be mirrored?", &here.to_string_lossy())?;
    let root = std::path::absolute(&root).map_or(root, |path| path.to_string_lossy().into_owned());
    let bucket = answer(&args.bucket, "Into which bucket?", "")?;
    let name = args.name.clone().unwrap_or_else(|| name_of(&root));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let prefix = answer(
        &args.prefix,
        "Below which prefix? It belongs to this mirror alone.",
        &format!("{host}/{name}/"),
    )?;
    let endpoint_url = answer(&args.endpoint_url, "The URL of the store, if it is not Amazon's?", "")?;
    let region = answer(&args.region, "In which region, if the environment does not say it?", "")?;
    Ok(Some(Answers { root, bucket, prefix, name, region, endpoint_url }))
}

/// Asks until something is said, if nothing is usual.
fn ask(from: &mut impl BufRead, to: &mut impl Write, question: &str, usual: &str) -> Result<String, Failure> {
    let optional = question.contains(" if ");
    loop {
        let hint = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
        write!(to, "{question}{hint} ").and_then(|()| to.flush())?;
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(Failure::usage("nothing was written: the answers ended".to_owned()));
        }
        match line.trim() {
            "" if usual.is_empty() && !optional => {}
            "" => return Ok(usual.to_owned()),
            said => return Ok(said.to_owned()),
        }
    }
}

/// What a mirror of this directory may be called.
fn name_of(root: &str) -> String {
    let last = Path::new(root).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "root".to_owned() } else { name.to_owned() }
}

impl Answers {
    /// The example with these in the places of its own; what is empty stays as it is there.
    fn fill(&self) -> String {
        let Self { root, bucket, prefix, name, region, endpoint_url } = self;
        let mut open = vec![
            ("root", root),
            ("bucket", bucket),
            ("prefix", prefix),
            ("name", name),
            ("region", region),
            ("endpoint_url", endpoint_url),
        ];
        open.retain(|(key, value)| *key == "prefix" || !value.is_empty());
        let mut text = String::new();
        for line in EXAMPLE.lines() {
            let key = line.trim_start_matches('#').split(" = ").next().unwrap_or_default();
            if let Some(n) = open.iter().position(|(open, _)| *open == key) {
                let value = toml::Value::String(open.remove(n).1.clone());
                text += &format!("{key} = {value}\n");
            } else if line.starts_with("state_dir = ") {
                // where the service keeps it, or this user
                text += &format!("#{line}\n");
            } else {
                text += &format!("{line}\n");
            }
        }
        text
    }
}

fn is_there(path: &Path) -> Failure {
    let path = path.display();
    Failure::usage(format!(
        "{path} is there already and stays as it is; name another file: s3mirrord init FILE"
    ))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fatal = |error: anyhow::Error| Failure::new(Exit::Fatal, error);
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
        made.with_context(|| format!("{} cannot be made", directory.display())).map_err(fatal)?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(is_there(path)),
        opened => opened.with_context(|| format!("{} cannot be written", path.display())).map_err(fatal)?,
    };
    let written = for_the_service(path, &file)
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all());
    written.with_context(|| format!("{} cannot be written", path.display())).map_err(fatal)
}

/// Where root has made the directory one group's alone, as the package does, it is the service's, which is to read the file.
fn for_the_service(path: &Path, file: &File) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let above = fs::metadata(directory.unwrap_or(Path::new(".")))?;
    // who may write there could have put anything in its place
    let others = above.mode() & 0o027 != 0;
    if others || above.gid() == 0 || above.uid() != 0 || file.metadata()?.uid() != 0 {
        return Ok(());
    }
    fchown(file, None, Some(above.gid()))?;
    file.set_permissions(Permissions::from_mode(0o640))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_writes_into_the_services_directory_the_service_may_read() {
        let is_root = rustix::process::geteuid().is_root();
        let dir = tempfile::tempdir().expect("a directory");
        for (mode, group, want) in [
            (0o750, 77, (0o640, 77)),
            (0o770, 77, (0o600, 0)),
            (0o755, 77, (0o600, 0)),
            (0o750, 0, (0o600, 0)),
        ] {
            let services = dir.path().join(format!("{mode:o}-{group}"));
            fs::create_dir(&services).expect("mkdir");
            fs::set_permissions(&services, Permissions::from_mode(mode)).expect("chmod");
            if is_root {
                std::os::unix::fs::chown(&services, None, Some(group)).expect("chown");
            }
            let path = services.join("config.toml");
            write(&path, "x").unwrap_or_else(|_| panic!("written"));
            let is = fs::metadata(path).expect("there");
            if is_root {
                assert_eq!((is.mode() & 0o777, is.gid()), want, "{mode:o} {group}");
            } else {
                assert_eq!(is.mode() & 0o777, 0o600);
            }
        }
    }

    #[test]
    fn answers_take_the_places_of_the_example() {
        let filled = Answers {
            root: "/srv/\"quoted\" \\ place".to_owned(),
            bucket: "my-backups".to_owned(),
            prefix: "host/www/".to_owned(),
            name: "www-1".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint_url: "https://s3.example.net".to_owned(),
        };
        let around = Surroundings { superuser: true, ..Surroundings::default() };
        let config = Config::parse(&filled.fill(), Path::new("c.toml"), &around).expect("valid");
        let mirror = &config.mirrors[0];
        assert_eq!(config.mirrors.len(), 1);
        assert_eq!((&*mirror.name, &*mirror.bucket), ("www-1", "my-backups"));
        assert_eq!(mirror.root, Path::new(&filled.root));
        let text = filled.fill();
        for line in
            ["prefix = \"host/www/\"", "region = \"eu-west-1\"", "endpoint_url = \"https://s3.example.net\""]
        {
            assert_eq!(text.matches(&format!("\n{line}\n")).count(), 1, "{line}");
        }
        assert!(text.lines().count() == EXAMPLE.lines().count() && text.contains("\n#state_dir = "));
        let plain = Answers { region: String::new(), endpoint_url: String::new(), ..filled }.fill();
        assert!(
            plain.contains("\n#region = ") && plain.contains("\n#endpoint_url = "),
            "what is not said stays an example"
        );
    }

    #[test]
    fn a_question_is_asked_until_it_is_answered_and_has_an_answer_that_is_usual() {
        let answer = |said: &str, question: &str, usual: &str| {
            let mut told = vec![];
            let answer = ask(&mut said.as_bytes(), &mut told, question, usual).ok();
            (answer, String::from_utf8(told).expect("text").matches('?').count())
        };
        assert_eq!(answer("\n\n b \n", "Bucket?", ""), (Some("b".to_owned()), 3));
        assert_eq!(answer("\n", "Root?", "/srv"), (Some("/srv".to_owned()), 1));
        assert_eq!(answer("\n", "URL, if another?", ""), (Some(String::new()), 1));
        assert_eq!(answer("", "Bucket?", ""), (None, 1));
    }

    #[test]
    fn a_mirror_is_called_after_its_directory() {
        for (root, name) in
            [("/srv/www", "www"), ("/", "root"), ("/srv/.x y\u{e9}", "x-y-"), ("/a/...", "root")]
        {
            assert_eq!(name_of(root), name, "{root}");
        }
    }
}
