//! Parses, runs, and ends with the exit code.

fn main() {}
