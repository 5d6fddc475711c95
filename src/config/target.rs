//! Where a mirror writes, or its trash: no two may meet.

/// Where it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) store: String,
    pub(super) bucket: String,
    pub(super) prefix: String,
}

impl Target {
    /// True if an object of one could be an object of the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.store == other.store
            && self.bucket == other.bucket
            && (self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c63_targets_overlap_when_one_could_hold_the_others_keys() {
        let at = |store: &str, prefix: &str| Target {
            store: store.to_owned(),
            bucket: "b".to_owned(),
            prefix: prefix.to_owned(),
        };
        for (a, b, want) in [
            ("a/", "a/", true),
            ("a/", "a/b/", true),
            ("", "a/", true),
            ("a/", "ab/", false),
            ("a/", "b/", false),
        ] {
            assert_eq!(at("x", a).overlaps(&at("x", b)), want, "{a} {b}");
            assert_eq!(at("x", b).overlaps(&at("x", a)), want, "{b} {a}");
            assert!(!at("x", a).overlaps(&at("y", b)));
        }
    }
}
