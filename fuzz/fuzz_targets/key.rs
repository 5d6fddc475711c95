//! Paths and keys: see `s3mirrord::fuzzing::key`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| s3mirrord::fuzzing::key(data));
