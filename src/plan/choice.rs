//! Which options an object gets: those of the mirror, and over them those of the patterns that name its file.

use super::Filter;
use crate::model::{ObjectOptions, RelPath};
use std::sync::Arc;

/// The options of a mirror's objects, by path.
#[derive(Clone, Debug)]
pub struct Choice {
    base: Arc<ObjectOptions>,
    rules: Vec<(Filter, ObjectOptions)>,
}

impl Choice {
    /// `base` for all; over it, option by option, each rule that covers the file, the later ones on top.
    pub fn new(base: ObjectOptions, rules: Vec<(Filter, ObjectOptions)>) -> Self {
        Self { base: Arc::new(base), rules }
    }

    /// True if nothing depends on the path.
    pub fn is_uniform(&self) -> bool {
        self.rules.is_empty()
    }

    /// The options of the object of the file at `path`.
    pub fn of(&self, path: &RelPath) -> Arc<ObjectOptions> {
        let mut chosen = self.base.clone();
        for (_, options) in self.rules.iter().filter(|(filter, _)| filter.covers(path)) {
            chosen = Arc::new(options.clone().over(&chosen));
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(class: Option<&str>, cache: Option<&str>) -> ObjectOptions {
        ObjectOptions {
            storage_class: class.map(str::to_owned),
            cache_control: cache.map(str::to_owned),
            ..ObjectOptions::default()
        }
    }

    #[test]
    fn later_matches_win_option_by_option() {
        let rule = |patterns: &[&str], options| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            (Filter::new(&patterns).expect("good patterns"), options)
        };
        let choice = Choice::new(
            options(Some("BASE"), None),
            vec![
                rule(&["*.html", "!index.html"], options(Some("HTML"), Some("html"))),
                rule(&["/static/"], options(None, Some("static"))),
            ],
        );
        for (path, class, cache) in [
            ("a", "BASE", None),
            ("a.html", "HTML", Some("html")),
            ("x/a.html", "HTML", Some("html")),
            ("index.html", "BASE", None),
            ("static/a", "BASE", Some("static")),
            ("static/x/a.html", "HTML", Some("static")),
            ("x/static/a", "BASE", None),
            ("static", "BASE", None),
        ] {
            let found = choice.of(&RelPath::new(path.as_bytes()).expect("valid path"));
            assert_eq!(*found, options(Some(class), cache), "{path}");
        }
        assert!(!choice.is_uniform());
        assert!(Choice::new(ObjectOptions::default(), vec![]).is_uniform());
    }
}
