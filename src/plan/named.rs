//! Files and directories that somebody named.

use crate::model::RelPath;

/// Without those that lie below others, as nothing is to be dealt with twice; everything if nothing is named.
pub fn apart(paths: &[RelPath]) -> Vec<RelPath> {
    let mut all = paths.to_vec();
    all.sort();
    all.dedup();
    if all.is_empty() {
        return vec![RelPath::root()];
    }
    let is_below = |path: &RelPath| all.iter().any(|other| other != path && path.is_within(other));
    all.iter().filter(|path| !is_below(path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_another_is_not_named_twice() {
        let paths = |names: &[&str]| -> Vec<RelPath> {
            names.iter().map(|name| RelPath::new(name.as_bytes()).expect("valid path")).collect()
        };
        for (given, want) in [
            (&[][..], &[""][..]),
            (&["a", "a"], &["a"]),
            (&["a/b", "a", "a-b", "c/d", "c/de"], &["a", "a-b", "c/d", "c/de"]),
            (&["a", ""], &[""]),
        ] {
            assert_eq!(apart(&paths(given)), paths(want), "{given:?}");
        }
    }
}
