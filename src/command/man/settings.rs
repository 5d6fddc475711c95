//! s3mirrord-config(5): each key of the configuration, in the words of the example that the tests load.

use super::NAME;
use roff::{Roff, bold, roman};
use std::mem;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// The page.
pub(super) fn page() -> String {
    let title = format!("{NAME}-config");
    let version = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let mut page = Roff::new();
    page.control("TH", [&*title, "5", " ", &version])
        .control("SH", ["NAME"])
        .text([roman(format!("{title} - the configuration of {NAME}, in TOML"))])
        .control("SH", ["SYNOPSIS"])
        .text([roman("/etc/s3mirrord/config.toml, $S3MIRRORD_CONFIG, --config FILE")])
        .control("SH", ["DESCRIPTION"]);
    render(EXAMPLE, &mut page);
    page.control("SH", ["SEE ALSO"]).text([
        bold(NAME),
        roman("(1), "),
        bold(format!("{NAME}-init")),
        roman("(1), "),
        bold(format!("{NAME}-doctor")),
        roman("(1)"),
    ]);
    page.render()
}

/// Lines that are TOML, or would be without their `#`, stand as they are, and below them what the comment before them
/// says; each table has a heading.
fn render(example: &str, page: &mut Roff) {
    let (mut said, mut lines) = (vec![], vec![]);
    // what follows the last block is nothing, which ends it
    for line in example.lines().chain([""]) {
        let comment = line.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with(' '));
        let table = line.trim_start_matches('#');
        if table.starts_with('[') {
            page.control("SS", [table]);
            paragraphs(&mem::take(&mut said), page);
        } else if let Some(comment) = comment {
            block(&mut said, &mut lines, page);
            said.push(comment.trim_start());
        } else if line.is_empty() {
            // what stands alone is of no setting
            match lines.is_empty() {
                true => paragraphs(&mem::take(&mut said), page),
                false => block(&mut said, &mut lines, page),
            }
        } else {
            lines.push(line);
        }
    }
}

/// Settings and what is said of them, once there are some.
fn block<'a>(said: &mut Vec<&'a str>, lines: &mut Vec<&'a str>, page: &mut Roff) {
    if lines.is_empty() {
        return;
    }
    page.control("PP", []).control("nf", []);
    mem::take(lines).into_iter().for_each(|line| {
        page.text([bold(line)]);
    });
    page.control("fi", []);
    if !said.is_empty() {
        page.control("RS", ["4"]);
        paragraphs(&mem::take(said), page);
        page.control("RE", []);
    }
}

fn paragraphs(said: &[&str], page: &mut Roff) {
    for paragraph in said.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()) {
        page.control("PP", []).text([roman(paragraph.join("\n"))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_stands_as_it_is_above_what_is_said_of_it() {
        let mut page = Roff::new();
        let example =
            "# A.\n\n# B\n# b.\na = 1\n#a = 2\n\n# Of it.\n[t]\n# C.\nc = \"\\\\\"\n\n# D.\n#[u]\n#d = 1\n";
        render(example, &mut page);
        let want = ".PP\nA.\n.PP\n.nf\n\\fBa = 1\\fR\n\\fB#a = 2\\fR\n.fi\n.RS 4\n.PP\nB\nb.\n.RE\n\
                    .SS [t]\n.PP\nOf it.\n.PP\n.nf\n\\fBc = \"\\\\\\\\\"\\fR\n.fi\n.RS 4\n.PP\nC.\n.RE\n\
                    .SS [u]\n.PP\nD.\n.PP\n.nf\n\\fB#d = 1\\fR\n.fi\n";
        assert_eq!(page.to_roff(), want);
    }
}
