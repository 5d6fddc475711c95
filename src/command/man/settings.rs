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
    page.control("TH", [&*title, "5", "", &version])
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

/// Comments become paragraphs, and lines that are TOML, or would be without their `#`, stand as they are; each table
/// has a heading, before what is said of it.
fn render(example: &str, page: &mut Roff) {
    let (mut said, mut lines) = (vec![], vec![]);
    // what follows the last block is nothing, which ends it
    for line in example.lines().chain([""]) {
        match line.strip_prefix('#') {
            Some("") => said.push(""),
            Some(rest) if rest.starts_with(' ') => {
                verbatim(&mem::take(&mut lines), page);
                said.push(rest.trim_start());
            }
            _ if line.is_empty() => {
                paragraphs(&mem::take(&mut said), page);
                verbatim(&mem::take(&mut lines), page);
            }
            _ => {
                let plain = line.trim_start_matches('#');
                if plain.starts_with('[') {
                    page.control("SS", [plain]);
                }
                paragraphs(&mem::take(&mut said), page);
                if !plain.starts_with('[') {
                    lines.push(line);
                }
            }
        }
    }
}

fn paragraphs(said: &[&str], page: &mut Roff) {
    for paragraph in said.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()) {
        page.control("PP", []).text([roman(paragraph.join("\n"))]);
    }
}

fn verbatim(lines: &[&str], page: &mut Roff) {
    if lines.is_empty() {
        return;
    }
    page.control("PP", []).control("RS", ["4"]).control("nf", []);
    lines.iter().for_each(|line| {
        page.text([bold(*line)]);
    });
    page.control("fi", []).control("RE", []);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_paragraphs_and_settings_stand_as_they_are() {
        let mut page = Roff::new();
        let example =
            "# A.\n#\n# B\n# b.\na = 1\n#a = 2\n\n# Of it.\n[t]\n# C.\nc = \"\\\\\"\n\n# D.\n#[u]\n#d = 1\n";
        render(example, &mut page);
        let want = ".PP\nA.\n.PP\nB\nb.\n.PP\n.RS 4\n.nf\n\\fBa = 1\\fR\n\\fB#a = 2\\fR\n.fi\n.RE\n\
                    .SS [t]\n.PP\nOf it.\n.PP\nC.\n.PP\n.RS 4\n.nf\n\\fBc = \"\\\\\\\\\"\\fR\n.fi\n.RE\n\
                    .SS [u]\n.PP\nD.\n.PP\n.RS 4\n.nf\n\\fB#d = 1\\fR\n.fi\n.RE\n";
        assert_eq!(page.to_roff(), want);
    }
}
