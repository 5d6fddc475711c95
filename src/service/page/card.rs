//! What the page shows of one mirror: how it is, what is the matter and what to do about it, and what was done last.

use super::{figures, html::Html};
use crate::service::{
    control::{Failing, MirrorStatus, State},
    recent::Change,
};
use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;

/// Writes it, as the one with this number.
pub(super) fn card(number: usize, mirror: &MirrorStatus, html: &mut Html) {
    html.put("<section class=\"mirror\" aria-labelledby=\"m", number, "\">");
    html.put("<div class=\"head\"><h2 id=\"m", number, "\">").name(&mirror.mirror).raw("</h2>");
    state(mirror, html);
    html.raw("</div><p class=\"way\">").name(&mirror.root).raw(" \u{2192} ").name(&mirror.target).raw("</p>");
    matters(mirror, html);
    figures::main(mirror, html);
    failing(mirror, html);
    recent(&mirror.recent, html);
    figures::rest(mirror, html);
    html.raw("</section>");
}

/// In a word and a sign, never by the colour alone.
fn state(mirror: &MirrorStatus, html: &mut Html) {
    let state = mirror.state();
    html.raw(match state {
        State::InSync => {
            "<p class=\"state good\" aria-live=\"polite\"><span aria-hidden=\"true\">\u{2713}</span> "
        }
        State::Working => {
            "<p class=\"state\" aria-live=\"polite\"><span aria-hidden=\"true\">\u{2026}</span> "
        }
        State::DeletesHeld | State::ReplacementsHeld | State::Unreadable => {
            "<p class=\"state warn\" aria-live=\"polite\"><span aria-hidden=\"true\">!</span> "
        }
        State::Trouble | State::Failing => {
            "<p class=\"state bad\" aria-live=\"polite\"><span aria-hidden=\"true\">\u{2717}</span> "
        }
    });
    html.text(state.word()).raw("</p>");
}

/// What concerns the mirror as a whole.
fn matters(mirror: &MirrorStatus, html: &mut Html) {
    if let Some(line) = &mirror.trouble {
        html.raw("<div class=\"matter bad\"><h3>It does not work</h3>");
        fault(line, mirror.trouble_remedy.as_deref(), html);
        html.raw("</div>");
    }
    if let Some(held) = &mirror.held {
        html.put("<div class=\"matter warn\"><h3>", held.what(), " are held</h3>");
        hold(&held.why, mirror, html);
    }
    if let Some(held) = &mirror.overwrites_held {
        html.put("<div class=\"matter warn\"><h3>", held.what(), " are held</h3>");
        hold(&held.why, mirror, html);
    }
    if let Some(line) = &mirror.degraded {
        html.raw("<div class=\"matter warn\"><h3>Changes are not seen at once</h3>");
        fault(line, mirror.degraded_remedy.as_deref(), html);
        html.raw("</div>");
    }
    unreadable(mirror, html);
}

fn unreadable(mirror: &MirrorStatus, html: &mut Html) {
    if mirror.unknown == 0 {
        return;
    }
    let places = match mirror.unknown {
        1 => "A place".to_owned(),
        n => format!("{} places", HumanCount(n)),
    };
    html.put("<div class=\"matter warn\"><h3>", places, " cannot be read</h3><ul>");
    for place in &mirror.unreadable_sample {
        html.raw("<li>").name(place).raw("</li>");
    }
    let more = mirror.unknown.saturating_sub(mirror.unreadable_sample.len() as u64);
    if more > 0 {
        html.put("<li>and ", HumanCount(more), " more</li>");
    }
    html.raw("</ul><p>In the bucket they are as they were; nothing is deleted there.</p><p><strong>What to do:</strong> ");
    html.put(
        "let the daemon's user read them, or exclude them. Why, as that user: <code>s3mirrord doctor --mirror ",
        &mirror.mirror,
        "",
    );
    html.raw("</code></p></div>");
}

fn hold(why: &str, mirror: &MirrorStatus, html: &mut Html) {
    html.put("<p>", why, "</p><p>Look at them, and release them if that is right:</p>");
    html.put("<pre><code>", mirror.approve(), "</code></pre></div>");
}

/// A fault's line, with what helps on a line of its own.
fn fault(line: &str, remedy: Option<&str>, html: &mut Html) {
    let Some(remedy) = remedy else {
        html.put("<p>", line, "</p>");
        return;
    };
    let why = line.strip_suffix(remedy).and_then(|line| line.strip_suffix("; ")).unwrap_or(line);
    html.put("<p>", why, "</p>").put("<p><strong>What to do:</strong> ", remedy, "</p>");
}

fn failing(mirror: &MirrorStatus, html: &mut Html) {
    if mirror.failing_sample.is_empty() {
        return;
    }
    html.put("<table><caption>Files that fail: ", HumanCount(mirror.failing as u64), "</caption>");
    html.raw("<thead><tr><th scope=\"col\">File</th><th scope=\"col\">Why, and what to do</th></tr></thead><tbody>");
    for Failing { path, error, remedy } in &mirror.failing_sample {
        html.raw("<tr><th scope=\"row\">").name(path).raw("</th><td>");
        fault(error, remedy.as_deref(), html);
        if remedy.is_none() {
            html.raw("<p><strong>What to do:</strong> nothing yet, it is tried again. What is known of it: ");
            html.put("<code>s3mirrord explain --mirror ", &mirror.mirror, " FILE</code></p>");
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table>");
    let more = mirror.failing.saturating_sub(mirror.failing_sample.len());
    if more > 0 {
        html.put("<p>and ", HumanCount(more as u64), " more</p>");
    }
}

fn recent(changes: &[Change], html: &mut Html) {
    if changes.is_empty() {
        html.raw("<p class=\"none\">No changes since the start.</p>");
        return;
    }
    html.raw("<table class=\"recent\"><caption>Recent changes</caption><thead><tr><th scope=\"col\">When (UTC)</th>");
    html.raw("<th scope=\"col\">What</th><th scope=\"col\">File</th></tr></thead><tbody>");
    for Change { at, op, path, from, bytes } in changes {
        let at = Timestamp::from_second(*at).unwrap_or_default();
        html.put("<tr><td><time datetime=\"", at, "\">").put(
            "",
            at.strftime("%m-%d %H:%M:%S"),
            "</time></td><td>",
        );
        match &**op {
            "put" => html.put("uploaded, ", HumanBytes(*bytes), ""),
            "copy" => html.raw("copied"),
            "metadata" => html.raw("new metadata"),
            "delete" => html.raw("deleted"),
            op => html.text(op),
        };
        html.raw("</td><td>").name(path);
        if let Some(from) = from {
            html.raw(" <span class=\"from\">from ").name(from).raw("</span>");
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table>");
}
