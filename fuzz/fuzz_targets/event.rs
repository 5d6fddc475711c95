//! What the kernel tells of changes, as notify hands it on: see `s3mirrord::fuzzing::event`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| s3mirrord::fuzzing::event(data));
