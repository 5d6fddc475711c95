//! What is read as a configuration: see `s3mirrord::fuzzing::config`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| s3mirrord::fuzzing::config(data));
