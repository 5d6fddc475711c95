//! What the ledger costs at a million rows: measured, not judged, and only when it is asked for.
//!
//! `cargo test --test all -- --ignored --nocapture what_the_ledger_costs`; `S3MIRRORD_ROWS` and
//! `S3MIRRORD_CACHE` (bytes) shape it. Other tests' profile has redb optimised, and this program not.

use s3mirrord::ledger::{Database, LEDGER_FILE, Ledger, Options};
use s3mirrord::model::{Attributes, Change, Digest, ETag, Fingerprint, Kept, Key, KeyRange, Record, Stamp};
use std::{fs, os::unix::fs::MetadataExt, time::Instant};

fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Anonymous memory of this process, and its peak, in KiB.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    (of("RssAnon:"), of("VmHWM:"))
}

fn key(n: u64) -> Key {
    Key::raw(format!("srv/data/d{:04}/file-{:07}.dat", n / 1000, n))
}

/// As of a plain upload of a small file: nothing repeats from row to row that does not in life.
fn record(n: u64) -> Record {
    let noise = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut sha256 = [0; 32];
    sha256
        .chunks_exact_mut(8)
        .for_each(|part| part.copy_from_slice(&noise.rotate_left(part[0].into()).to_le_bytes()));
    let stamp =
        |n: u64| Stamp { sec: 1_700_000_000 + (n % 10_000_000) as i64, nsec: (n % 1_000_000_000) as u32 };
    let print = Fingerprint {
        size: noise % 200_000,
        mtime: stamp(noise),
        ctime: stamp(noise >> 7),
        inode: 1_000_000 + n,
    };
    Record {
        print: Some(print),
        attributes: Some(Attributes { mode: 0o100_644, uid: 1000, gid: 1000 }),
        metadata_due: false,
        doubted: false,
        condemned: false,
        kept: Kept::default(),
        size: print.size,
        etag: ETag::new(&format!("{noise:016x}{:016x}", !noise)),
        digest: Some(Digest { sha256, part_size: None }),
        seq: 0,
    }
}

#[tokio::test]
#[ignore = "a measurement of minutes"]
async fn what_the_ledger_costs() {
    let (rows, cache) = (asked("S3MIRRORD_ROWS", 1_000_000), asked("S3MIRRORD_CACHE", 4 << 20));
    for batch in [1000, 256] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { cache_bytes: cache as usize, ..Options::new(dir.path()) };
        let ledger = Database::open(options.clone()).await.unwrap().ledger;
        println!("{rows} rows, batches of {batch}, cache of {} KiB: {:?} KiB before", cache >> 10, memory());
        let begun = Instant::now();
        for first in (0..rows).step_by(batch) {
            let last = rows.min(first + batch as u64);
            let proofs = (first..last).map(|n| Change::Proof(key(n), record(n))).collect();
            ledger.commit(proofs).await.unwrap();
        }
        let each = |begun: Instant| begun.elapsed().as_secs_f64() * 1e6 / rows as f64;
        // the file is as long as its last doubling made it: what counts is what the disk gave
        let length = || fs::metadata(dir.path().join(LEDGER_FILE)).unwrap().blocks() * 512 / rows;
        println!("  write {:.2} µs, {} bytes a row, {:?} KiB", each(begun), length(), memory());
        for most in [512, 1000] {
            let begun = Instant::now();
            let (mut seen, mut from) = (0, None);
            loop {
                let page = ledger.page(&KeyRange::Under(Key::raw("")), from.take(), most).await.unwrap();
                seen += page.len() as u64;
                let Some((last, _)) = page.last().filter(|_| page.len() == most) else { break };
                from = Some(Key::raw(format!("{}\0", last.as_str())));
            }
            assert_eq!(seen, rows);
            println!("  pages of {most}: {:.2} µs a row, {:?} KiB", each(begun), memory());
        }
        let begun = Instant::now();
        for n in 0..10_000 {
            let n = n * (rows / 10_000).max(1) % rows;
            assert_eq!(ledger.by_inodes(vec![1_000_000 + n]).await.unwrap(), [[key(n)]]);
        }
        println!("  by inode: {:.1} µs", begun.elapsed().as_secs_f64() * 100.0);
        drop(ledger);
        let begun = Instant::now();
        let ledger = Database::open(options.clone()).await.unwrap();
        assert_eq!(ledger.fresh, None);
        println!("  opened again in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        for first in (0..rows / 10).step_by(batch) {
            let proofs = (first..first + batch as u64).map(|n| n * 7919 % rows);
            ledger.ledger.commit(proofs.map(|n| Change::Proof(key(n), record(n))).collect()).await.unwrap();
        }
        println!(
            "  write again, a tenth at random {:.2} µs, {} bytes a row, {:?} KiB",
            each(begun) * 10.0,
            length(),
            memory()
        );
    }
}
