//! What a store answers when it is asked for a listing: see `s3mirrord::fuzzing::listing`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| s3mirrord::fuzzing::listing(data));
