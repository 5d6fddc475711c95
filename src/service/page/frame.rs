//! What stands around the mirrors: the document, its style and script, and the policy that lets nothing else in.

use super::{Drawn, card::card, figures::time, html::Html};
use crate::service::control::{Daemon, MirrorStatus, State};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

/// Mirrors that are named in the first line.
const NAMED: usize = 5;

/// The Content-Security-Policy: this style and this script by their digests, questions to where it came from, and nothing
/// else; no page may frame it.
pub(in crate::service) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
});

/// What is well, of how many.
fn well(daemon: &Daemon) -> usize {
    daemon.mirrors.iter().filter(|mirror| mirror.state() == State::InSync).count()
}

/// What a tab shows.
pub(super) fn title(daemon: &Daemon) -> String {
    format!("{} of {} in sync \u{b7} s3mirrord", well(daemon), daemon.mirrors.len())
}

/// The part that changes: the whole of it, as an element.
pub(super) fn live(daemon: &Daemon) -> String {
    let mut html = Html::default();
    html.put("<main id=\"live\" data-title=\"", title(daemon), "\"><p class=\"sum\" aria-live=\"polite\">");
    sum(daemon, &mut html);
    html.raw("</p>");
    if let Some(why) = &daemon.refused {
        html.raw("<div class=\"matter warn\"><h3>The configuration was not loaded anew</h3>");
        html.put(
            "<p>",
            why,
            "</p><p><strong>What to do:</strong> mend it, and reload: all goes on by the one before. ",
        );
        html.raw("<code>s3mirrord doctor</code> names all that is wrong with it.</p></div>");
    }
    if daemon.mirrors.is_empty() {
        html.raw("<p class=\"none\">The configuration has no mirrors.</p>");
    }
    daemon.mirrors.iter().enumerate().for_each(|(n, mirror)| card(n, mirror, &mut html));
    html.put("<p class=\"none\">s3mirrord ", &daemon.version, "");
    html.put(", process ", daemon.pid, "</p></main>");
    html.done()
}

/// In a sentence, with the way to those that want somebody.
fn sum(daemon: &Daemon, html: &mut Html) {
    let mirrors = if daemon.mirrors.len() == 1 { " mirror is" } else { " mirrors are" };
    html.put("", well(daemon), " of ").put("", daemon.mirrors.len(), "").put("", mirrors, " in sync");
    named(
        daemon,
        "; held for you: ",
        |mirror| mirror.held.is_some() || mirror.overwrites_held.is_some(),
        html,
    );
    let wrong = |mirror: &MirrorStatus| mirror.trouble.is_some() || mirror.failing > 0 || mirror.unknown > 0;
    named(daemon, "; something is wrong: ", wrong, html);
}

fn named(daemon: &Daemon, before: &'static str, is: impl Fn(&MirrorStatus) -> bool, html: &mut Html) {
    let all: Vec<_> = daemon.mirrors.iter().enumerate().filter(|(_, mirror)| is(mirror)).collect();
    let mut between = before;
    for (n, mirror) in all.iter().take(NAMED) {
        html.raw(between).put("<a href=\"#m", n, "\">").name(&mirror.mirror).raw("</a>");
        between = ", ";
    }
    if all.len() > NAMED {
        html.put(" and ", all.len() - NAMED, " more");
    }
}

/// The document.
pub(super) fn around(drawn: &Drawn) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    html.put("<title>", &drawn.title, "</title>");
    // none of its own: a browser would ask for one
    html.raw("<link rel=\"icon\" href=\"data:,\">");
    html.raw("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>");
    html.raw("<style>").raw(STYLE).raw("</style></head>\n<body><header><h1>s3mirrord</h1>");
    html.put("<p id=\"beat\" role=\"status\">As of ", time(drawn.time), "</p></header>\n");
    let mut text = html.done();
    // it was written as markup
    text.push_str(std::str::from_utf8(&drawn.live).unwrap_or_default());
    let mut html = Html::default();
    html.raw("\n<footer><p>This page only tells. For machines: <a href=\"/metrics\">metrics</a>, ");
    html.raw("<a href=\"/healthz\">healthz</a>, <a href=\"/readyz\">readyz</a>; for scripts: ");
    html.raw("<code>s3mirrord status --json</code></p></footer>\n");
    html.raw("<script>").raw(SCRIPT).raw("</script></body></html>\n");
    text + &html.done()
}
