//! `doctor`: what stands in the way, and what to type.

use super::{
    Common, Exit, Failure,
    paint::{Paint, Tone},
    print::{json, print},
    which,
};
use crate::{
    config::Config,
    service::{
        columns::escaped,
        doctor::{self, Finding, Verdict},
    },
};
use serde::Serialize;

/// The words of `doctor`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:
  s3mirrord doctor                       look at all mirrors of the configuration
  s3mirrord doctor --mirror www          at one
  s3mirrord doctor --policy              print the IAM policy that this configuration needs; nothing is asked
  sudo -u s3mirrord s3mirrord doctor     as the user of the service: what it may read, and as whom it asks

It walks the roots without opening a file, and tries each request that a mirror makes on a key of its own below .s3mirrord/,
which it removes. A daemon may be running.

Exit codes: 0 nothing stands in the way, 1 something does, 2 usage or configuration.")]
pub(super) struct Args {
    /// Only this mirror of the configuration
    #[arg(long, value_name = "NAME", value_hint = clap::ValueHint::Other)]
    mirror: Option<String>,
    /// Print the least IAM policy for this configuration, and end
    #[arg(long)]
    policy: bool,
    /// Print one JSON object a line on stdout
    #[arg(long, conflicts_with = "policy")]
    json: bool,
}

#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<&'a str>,
    verdict: &'static str,
    check: &'a str,
    found: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    good: usize,
    notes: usize,
    wrong: usize,
    exit: u8,
}

/// Looks at everything.
pub(super) async fn run(args: Args, common: &Common) -> Result<Exit, Failure> {
    let mut config = Config::load(&common.config)?;
    if let Some(name) = &args.mirror {
        which::only(&mut config, name, &common.config)?;
    }
    let policy = serde_json::to_string_pretty(&doctor::policy(&config.mirrors)).expect("it is JSON");
    if args.policy {
        print(&policy);
        return Ok(Exit::InSync);
    }
    let paint = Paint::stdout();
    let mut printer =
        Printer { args: &args, quiet: common.quiet > 0, paint, of: None, sums: [0; 3], denied: false };
    let file = common.config.display();
    printer.tell(&Finding {
        mirror: None,
        verdict: if config.warnings.is_empty() { Verdict::Good } else { Verdict::Note },
        check: "configuration",
        found: if config.warnings.is_empty() {
            file.to_string()
        } else {
            format!("{file}: {}", config.warnings.join("; "))
        },
        why: None,
        remedy: None,
    });
    doctor::examine(&config, |finding| printer.tell(&finding)).await;
    let [good, notes, wrong] = printer.sums;
    let exit = if wrong > 0 { Exit::Some } else { Exit::InSync };
    if args.json {
        print(&json(&Summary { event: "summary", good, notes, wrong, exit: exit.code() }));
        return Ok(exit);
    }
    if printer.denied {
        print(&format!("\nwhat this configuration needs on Amazon S3, as an IAM policy:\n{policy}"));
    }
    if common.quiet == 0 {
        let told = match wrong {
            0 => "nothing stands in the way".to_owned(),
            1 => "one thing stands in the way".to_owned(),
            n => format!("{n} things stand in the way"),
        };
        print(&format!("\n{good} good, {notes} to be noted: {told}"));
    }
    Ok(exit)
}

struct Printer<'a> {
    args: &'a Args,
    quiet: bool,
    paint: Paint,
    /// The mirror of the last finding; `None` before the first.
    of: Option<Option<String>>,
    sums: [usize; 3],
    denied: bool,
}

impl Printer<'_> {
    fn tell(&mut self, finding: &Finding) {
        let Finding { mirror, verdict, check, found, why, remedy } = finding;
        self.sums[*verdict as usize] += 1;
        self.denied |= finding.is_denied();
        let (word, tone) = match verdict {
            Verdict::Good => ("good", Tone::Good),
            Verdict::Note => ("note", Tone::Warn),
            Verdict::Wrong => ("WRONG", Tone::Bad),
        };
        if self.args.json {
            return print(&json(&Told {
                event: "finding",
                mirror: mirror.as_deref(),
                verdict: word,
                check,
                found,
                why: *why,
                remedy: remedy.as_deref(),
            }));
        }
        if self.quiet && *verdict == Verdict::Good {
            return;
        }
        if self.of.as_ref() != Some(mirror) {
            let of = mirror.as_deref().unwrap_or("this host");
            print(&format!("{}", self.paint.with(Tone::Strong, of)));
            self.of = Some(mirror.clone());
        }
        print(&format!("  {:<5} {check}: {}", self.paint.with(tone, word), escaped(found)));
        for (what, text) in [("why", *why), ("do", remedy.as_deref())] {
            if let Some(text) = text.filter(|_| *verdict != Verdict::Good) {
                print(&format!("        {}: {}", self.paint.with(Tone::Faint, what), escaped(text)));
            }
        }
    }
}
