//! `explain`: what is known of one file, and what would be done about it.

use super::{
    Common, Exit, Failure,
    paint::{Paint, Tone},
    print::{json, print},
    which,
};
use crate::{
    config::{Config, Mirror},
    ledger::{Database, OpenError},
    model::Key,
    service::{
        assembly::Commons,
        control::{Client, Reply, Request},
        explain::{Explanation, Known, Side},
        onlooker, telemetry,
    },
};
use serde::Serialize;
use std::path::PathBuf;
use tracing::Instrument;

/// The words of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord explain docs/a.txt                 a file of the only mirror
  s3mirrord explain /srv/www/docs/a.txt        of the mirror in whose root it lies
  s3mirrord explain --json cache/x | jq .rule

It shows which pattern of `exclude` decides on the file, what disk, bucket and ledger say of it, and what would be done
now, and does nothing. A daemon that holds the ledger is asked.

Exit codes: 0, 2 usage or configuration, 3 store, credentials or root.")]
pub(super) struct Args {
    /// Which mirror of the configuration
    #[arg(long, value_name = "NAME", value_hint = clap::ValueHint::Other)]
    mirror: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The file, as it is named below the root; it need not be there
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    mirror: &'a str,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// Asks, and prints.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let mut config = Config::load(&common.config)?;
    which::one(&mut config, args.mirror.as_deref(), std::slice::from_ref(&args.path), &common.config)?;
    let mirror = &config.mirrors[0];
    let path = which::below(&mirror.root, &args.path)?;
    if path.is_root() {
        return Err(Failure::usage("the root is no file: name what is below it"));
    }
    let key = Key::of(&path);
    let asking = ask(&config, mirror, &key).instrument(telemetry::about(&mirror.name));
    let explanation = asking.await?;
    print(&match args.json {
        true => json(&Told { event: "explanation", mirror: &mirror.name, explanation: &explanation }),
        false => told(&explanation, Paint::stdout()),
    });
    Ok(Exit::InSync)
}

async fn ask(config: &Config, mirror: &Mirror, key: &Key) -> Result<Explanation, Failure> {
    if let Some(mut client) = Client::connect(&config.state_dir).await? {
        let request = Request::Explain { mirror: mirror.name.clone(), key: key.as_str().to_owned() };
        return match client.ask(&request).await? {
            Reply::Explanation(explanation) => Ok(*explanation),
            Reply::Refused { changed: true, error } => Err(Failure::usage(error)),
            Reply::Refused { error, .. } => Err(Failure::new(Exit::Fatal, anyhow::anyhow!(error))),
            other => {
                let text = format!("the daemon answers beside the point: {other:?}");
                Err(Failure::new(Exit::Fatal, anyhow::anyhow!(text)))
            }
        };
    }
    let found = onlooker::open(&Commons::new(config), mirror).await?;
    let (tree, store) = (&found.sides.tree, &found.sides.store);
    // one that was never opened knows nothing, and is no secret
    let fresh = match (&found.sides.ledger, found.beside) {
        (None, false) => Some(Database::scratch().await.map_err(|error| match error {
            OpenError::Fault(fault) => Failure::from(fault),
            OpenError::Held(held) => Failure::new(Exit::Another, held),
        })?),
        _ => None,
    };
    let ledger = found.sides.ledger.as_ref().or(fresh.as_ref());
    Ok(Known { tree, store, ledger, mirror }.explain(key).await?)
}

fn told(explanation: &Explanation, paint: Paint) -> String {
    let Explanation { path, key, rule, disk, bucket, ledger, verdict, why, notes, versions, .. } =
        explanation;
    let mut text = paint.with(Tone::Strong, path).to_string();
    if path != key {
        text += &format!("  (key {key})");
    }
    if let Some(rule) = rule {
        let does = if rule.excludes { "excludes" } else { "takes back in" };
        let of = if rule.entry == *path { "it".to_owned() } else { format!("{}/", rule.entry) };
        text += &format!("\n  exclude number {}, {}, {does} {of}", rule.number, rule.pattern);
    }
    for (name, side) in [("disk", disk), ("bucket", bucket), ("ledger", ledger)] {
        text += &format!("\n  {name:<7} {}", row(side));
    }
    text += &format!("\n  now: {}, as {why}", paint.with(Tone::Strong, verdict));
    for note in notes {
        text += &format!("\n  {note}");
    }
    if !versions.is_empty() {
        text += "\n  versions";
    }
    for version in versions {
        let size = version.size.map_or("deleted".to_owned(), |size| size.to_string());
        let at = version.modified.as_deref().unwrap_or("?");
        text += &format!("\n    {at:<24} {size:>12}  {}", version.id);
    }
    text
}

/// What one side shows, under the same columns for all.
fn row(side: &Side) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    if side.size.is_none() {
        return side.is.clone();
    }
    let size = side.size.map_or("-".to_owned(), |size| size.to_string());
    let mut row = format!(
        "{:<8} {size:>12}  {:<30}  {:<10}  {:<11}",
        side.is,
        text(&side.mtime),
        text(&side.mode),
        text(&side.owner)
    );
    if let Some(etag) = &side.etag {
        row += &format!("  tag {etag}");
    }
    row.trim_end().to_owned()
}
