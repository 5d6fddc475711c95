//! The text that Prometheus reads: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use super::table::Metric;
use std::fmt::Write;

/// What the answer is, as HTTP says it.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The samples of one metric, as they are gathered.
pub(super) struct Samples<'a> {
    metric: &'a Metric,
    /// The mirror that they are of.
    mirror: Option<&'a str>,
    text: &'a mut String,
}

impl<'a> Samples<'a> {
    pub(super) fn new(metric: &'a Metric, mirror: Option<&'a str>, text: &'a mut String) -> Self {
        Self { metric, mirror, text }
    }

    /// One with these values of the metric's labels, after that of the mirror.
    pub(super) fn add(&mut self, labels: &[&str], value: f64) {
        let values = self.mirror.into_iter().chain(labels.iter().copied());
        let mut separator = '{';
        self.text.push_str(self.metric.name);
        for (label, value) in self.metric.labels.iter().zip(values) {
            self.text.push(separator);
            separator = ',';
            self.text.push_str(label);
            self.text.push_str("=\"");
            self.text.extend(value.chars().flat_map(escaped));
            self.text.push('"');
        }
        if separator == ',' {
            self.text.push('}');
        }
        // a number with a fraction has a point, a whole one none
        let _ = writeln!(self.text, " {value}");
    }

    /// One, where there is something to tell.
    pub(super) fn maybe(&mut self, value: Option<f64>) {
        value.into_iter().for_each(|value| self.add(&[], value));
    }

    /// One of a number that is counted.
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a metric may be off by one")]
    pub(super) fn count(&mut self, labels: &[&str], value: u64) {
        self.add(labels, value as f64);
    }
}

/// What stands before the samples of a metric.
pub(super) fn head(metric: &Metric, text: &mut String) {
    let Metric { name, kind, help, .. } = metric;
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let word = match c {
        '\\' => Some('\\'),
        '"' => Some('"'),
        '\n' => Some('n'),
        _ => None,
    };
    word.map(|_| '\\').into_iter().chain([word.unwrap_or(c)])
}

#[cfg(test)]
mod tests {
    use super::{super::table::TABLE, *};

    fn told(name: &str, mirror: Option<&str>, labels: &[&str], value: f64) -> String {
        let metric = TABLE.iter().find(|metric| metric.name == name).expect("a metric");
        let mut text = String::new();
        Samples::new(metric, mirror, &mut text).add(labels, value);
        text
    }

    #[test]
    fn no_name_breaks_out_of_its_label() {
        for (mirror, want) in [
            ("www", "www"),
            ("a\"} 1\nx{b=\"", "a\\\"} 1\\nx{b=\\\""),
            ("back\\slash", "back\\\\slash"),
            ("\u{1F980}\r\u{7f}", "\u{1F980}\r\u{7f}"),
        ] {
            let line = told("s3mirrord_oldest_unsynced_seconds", Some(mirror), &[], 1.5);
            assert_eq!(line, format!("s3mirrord_oldest_unsynced_seconds{{mirror=\"{want}\"}} 1.5\n"));
        }
        let line = told("s3mirrord_requests_total", Some("m"), &["PutObject", "200"], 3.0);
        assert_eq!(line, "s3mirrord_requests_total{mirror=\"m\",operation=\"PutObject\",status=\"200\"} 3\n");
        assert_eq!(told("s3mirrord_mirrors", None, &[], 2.0), "s3mirrord_mirrors 2\n");
        assert_eq!(
            told("s3mirrord_oldest_unsynced_seconds", Some("m"), &[], f64::INFINITY).rsplit(' ').next(),
            Some("inf\n"),
            "as Prometheus reads it"
        );
    }
}
