//! `approve`: shows deletes and replacements that are held, or a root that is another one, and lets an operator release them.
//! It only marks; the daemon or the next `once` acts.

use super::{
    Common, Exit, Failure,
    paint::{Paint, Tone},
    print::print,
    which::Which,
};
use crate::{
    config::{Config, Mirror},
    ledger::{Database, LEDGER_FILE, OpenError},
    local::Directory,
    service::{
        assembly,
        control::{Client, Question, Reply, Request},
        proposal::{self, Kind, OtherRoot, Plan},
        telemetry,
    },
};
use std::io::{self, BufRead, IsTerminal, Write};
use tracing::Instrument;

/// The words of `approve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord approve                                    look at what is held, and be asked
  s3mirrord approve --mirror www --yes                 release it without being asked
  s3mirrord approve --plan 9f86d081884c7d65-42 --yes   release it if it is still this plan

It releases exactly what it shows. What is held later is asked about again.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Only if the plan still has this name
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Who knows, and acts: the daemon, or the ledger itself where no daemon runs.
enum Desk {
    Daemon(Client),
    Own(Box<(Directory, Database)>),
    /// The mirror was never opened: there is nothing to ask.
    Nobody,
}

/// Shows, asks, releases; mirror after mirror.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let config = args.which.config(common, None)?;
    let mut asked = vec![];
    for mirror in &config.mirrors {
        let mut desk = Desk::open(&config, mirror).instrument(telemetry::about(&mirror.name)).await?;
        let question = desk.ask(mirror).await?;
        asked.push((mirror, desk, question));
    }
    if let Some(name) = &args.plan {
        let plans: Vec<_> = asked.iter().flat_map(|(_, _, question)| &question.plans).collect();
        if !plans.iter().any(|plan| plan.name == *name) {
            let (nothing, plans) =
                (plans.is_empty(), plans.iter().map(|plan| show(plan)).collect::<Vec<_>>());
            plans.iter().for_each(|plan| print(plan));
            let now = if nothing { "nothing is held now" } else { "what is held now is shown above" };
            return Err(Failure::usage(format!("there is no plan {name} (any more); {now}")));
        }
        asked.iter_mut().for_each(|(_, _, question)| question.plans.retain(|plan| plan.name == *name));
    }
    let mut nothing = true;
    for (mirror, mut desk, question) in asked {
        let paint = Paint::stdout();
        let heading = paint.with(Tone::Strong, &mirror.name).to_string();
        if let Some(other) = question.root.filter(|_| args.plan.is_none()) {
            nothing = false;
            print(&format!("{heading}: {}", show_root(mirror, &other)));
            if consent(&args, "Mirror this directory from now on?")? {
                desk.accept(mirror, &other).await?;
            }
        }
        for plan in question.plans {
            nothing = false;
            print(&format!("{heading}: {}", show(&plan)));
            let (what, ask) = match plan.kind {
                Kind::Deletes => ("deletes", "Delete them?"),
                Kind::Overwrites => ("replacements", "Replace them by what the files are now?"),
            };
            if consent(&args, ask)? {
                let later = desk.approve(mirror, &plan).await?;
                print(&format!("{heading}: {} {what} are released; {later}", plan.objects));
            }
        }
    }
    if nothing && (Paint::stdout().terminal || common.verbose > 0) {
        print("nothing is held");
    }
    Ok(Exit::InSync)
}

fn consent(args: &Args, question: &str) -> Result<bool, Failure> {
    if args.yes {
        return Ok(true);
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Failure::usage("there is no terminal to ask on; if this is right, say it with --yes"));
    }
    let mut out = io::stdout().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn show(plan: &Plan) -> String {
    let what = match plan.kind {
        Kind::Deletes => "deletes are held",
        Kind::Overwrites => "changed files are held, and their objects stay as they were",
    };
    let mut text = format!("{} {what}, of {} files; plan {}", plan.objects, plan.files, plan.name);
    for (directory, objects) in &plan.directories {
        let name = if directory.is_empty() { "(at the top)".to_owned() } else { format!("{directory}/") };
        text += &format!("\n  {objects:>8}  {name}");
    }
    text += "\nsuch as";
    for path in &plan.samples {
        text += &format!("\n  {path}");
    }
    text
}

fn show_root(mirror: &Mirror, other: &OtherRoot) -> String {
    format!(
        "{} is another directory than the one that was mirrored\n  accepted  {}\n  found     {}\n\
         If it is accepted, objects whose files it lacks become deletes, within max_delete.",
        mirror.root.display(),
        other.accepted,
        other.found
    )
}

impl Desk {
    async fn open(config: &Config, mirror: &Mirror) -> Result<Self, Failure> {
        if let Some(client) = Client::connect(&config.state_dir).await? {
            return Ok(Self::Daemon(client));
        }
        if !config.state_dir.join(&mirror.name).join(LEDGER_FILE).exists() {
            return Ok(Self::Nobody);
        }
        let ledger = match assembly::ledger(&config.state_dir, mirror, false).await {
            Ok(ledger) => ledger,
            Err(OpenError::Fault(fault)) => return Err(fault.into()),
            Err(OpenError::Held(held)) => {
                let error = anyhow::anyhow!("{held}; when it has ended, call this again");
                return Err(Failure::new(Exit::Another, error));
            }
        };
        Ok(Self::Own(Box::new((assembly::directory(mirror)?, ledger))))
    }

    async fn ask(&mut self, mirror: &Mirror) -> Result<Question, Failure> {
        let name = mirror.name.clone();
        match self {
            Self::Daemon(client) => match client.ask(&Request::Question { mirror: name }).await? {
                Reply::Question(question) => Ok(question),
                other => Err(refused(other)),
            },
            Self::Nobody => Ok(Question::default()),
            Self::Own(own) => {
                // a root that is gone is no other root
                let root = proposal::other_root(&own.0, &own.1).await.unwrap_or_default();
                Ok(Question { plans: proposal::plans(&own.1).await?, root })
            }
        }
    }

    /// Returns who acts, and when.
    async fn approve(&mut self, mirror: &Mirror, plan: &Plan) -> Result<&'static str, Failure> {
        match self {
            Self::Daemon(client) => {
                let request = Request::Approve { mirror: mirror.name.clone(), plan: plan.name.clone() };
                done(client.ask(&request).await?)?;
                Ok("the daemon goes on with them now")
            }
            Self::Own(own) => {
                proposal::approve(&own.1, &plan.name).await?;
                Ok("the next pass goes on with them")
            }
            Self::Nobody => Err(nobody()),
        }
    }

    async fn accept(&mut self, mirror: &Mirror, other: &OtherRoot) -> Result<(), Failure> {
        match self {
            Self::Daemon(client) => {
                let request = Request::AcceptRoot { mirror: mirror.name.clone(), shown: other.found.clone() };
                done(client.ask(&request).await?)
            }
            Self::Own(own) => Ok(proposal::accept_root(&own.0, &own.1, &other.found).await?),
            Self::Nobody => Err(nobody()),
        }
    }
}

fn nobody() -> Failure {
    Failure::usage("the mirror was never opened: there is nothing to approve")
}

fn done(reply: Reply) -> Result<(), Failure> {
    if reply == Reply::Done { Ok(()) } else { Err(refused(reply)) }
}

fn refused(reply: Reply) -> Failure {
    match reply {
        Reply::Refused { changed: true, error } => Failure::usage(error),
        Reply::Refused { error, .. } => Failure::new(Exit::Fatal, anyhow::anyhow!(error)),
        other => Failure::new(Exit::Fatal, anyhow::anyhow!("the daemon answers beside the point: {other:?}")),
    }
}
