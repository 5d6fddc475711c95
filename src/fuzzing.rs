//! What `fuzz/` runs, and unit tests replay over the inputs that it kept: docs/TESTING.md.

/// Any text as a configuration.
#[cfg(fuzzing)]
pub fn config(data: &[u8]) {
    crate::config::fuzz::holds(data);
}

/// Any bytes as paths and as keys.
#[cfg(fuzzing)]
pub fn key(data: &[u8]) {
    crate::model::fuzz::holds(data);
}

/// Any bytes as the answer to a listing.
#[cfg(fuzzing)]
pub fn listing(data: &[u8]) {
    crate::store::fuzz::holds(data);
}

/// Any event of the kernel's.
#[cfg(fuzzing)]
pub fn event(data: &[u8]) {
    crate::local::fuzz::holds(data);
}

/// Calls `holds` with each input that is kept for a target. None is not enough.
#[cfg(test)]
pub(crate) fn replay(target: &str, holds: impl Fn(&[u8])) {
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&kept).expect("a folder of inputs") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display()); // shown of the one that fails
        holds(&std::fs::read(&path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs > 0, "nothing is kept in {}", kept.display());
}
