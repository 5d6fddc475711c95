//! Which part sizes a multipart ETag may be made of: what the common tools use when left to themselves.
//!
//! | MiB | who |
//! |---|---|
//! | 5 | rclone; AWS's SDKs for Go, JavaScript, PHP, Java 1 |
//! | 8 | AWS CLI 1 and 2, boto3, AWS CRT (Mountpoint, Java 2), .NET, s3sync, this program |
//! | 10 | s3fs-fuse, Cyberduck |
//! | 15 | s3cmd |
//! | 16 | MinIO's mc |
//! | 16.4 | AWS's console: 17,179,870 bytes |
//! | 25 | duplicity |
//! | 50 | s5cmd |
//! | 64, 128 | MinIO's mc of earlier years; Hadoop's S3A |
//! | 100 | Hadoop's S3A of earlier years |
//!
//! Over 10,000 parts all grow: the AWS CLI and boto3 by doubling, rclone and we to the next whole MiB, mc to the
//! next multiple of 16 MiB, the CRT and the SDKs for Go and Java to the byte.
//!
//! Each candidate costs one more MD5 of the file, though no further read. But size and number of parts
//! leave an interval, `size / N <= part < size / (N - 1)`, that narrows quickly: among the sizes above no
//! interval holds more than [`MOST`], and from 50 parts on none holds two.

const MIB: u64 = 1 << 20;

/// The most parts an object has (S3 user guide, *Multipart upload limits*).
const MOST_PARTS: u64 = 10_000;

/// The most candidates.
const MOST: usize = 4;

/// Bytes of the sizes above, and of what is commonly set in their place.
const USUAL: [u64; 15] = [
    8 * MIB,
    5 * MIB,
    16 * MIB,
    50 * MIB,
    15 * MIB,
    17_179_870,
    10 * MIB,
    64 * MIB,
    100 * MIB,
    32 * MIB,
    128 * MIB,
    25 * MIB,
    256 * MIB,
    512 * MIB,
    1024 * MIB,
];

/// Part sizes that cut `size` bytes into `parts`, the likeliest first, [`MOST`] at most; `own` is what we would
/// use. If none of the usual ones fits, the smallest in whole MiB.
pub(super) fn likely(size: u64, parts: u32, own: Option<u64>) -> Vec<u64> {
    if parts <= 1 {
        // one part is one part, whatever its size
        return if parts == 1 { vec![size.max(1)] } else { vec![] };
    }
    let n = u64::from(parts);
    let fits = |part: &u64| *part > 0 && size.div_ceil(*part) == n;
    // to the byte, as it is where a usual size would make too many parts
    let grown = [size.div_ceil(MOST_PARTS), size / MOST_PARTS + 1].map(|part| part.max(5 * MIB));
    let mut sizes = vec![];
    for part in own.into_iter().chain(USUAL).chain(grown).filter(fits) {
        if !sizes.contains(&part) && sizes.len() < MOST {
            sizes.push(part);
        }
    }
    let whole = |sizes: &[u64]| sizes.iter().any(|part| part.is_multiple_of(MIB));
    if !whole(&sizes) {
        let first = size.div_ceil(n).next_multiple_of(MIB);
        let more = (0..).map(|more| first + more * MIB).take_while(fits);
        sizes.extend(more.take(MOST - sizes.len()));
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What each tool makes of a file of this size.
    fn tools(size: u64) -> Vec<(&'static str, u64)> {
        let too_many = |part: u64| size.div_ceil(part) > MOST_PARTS;
        let grown = |base: u64, other: u64| if too_many(base) { other } else { base };
        let doubled = |base: u64| (0..).map(|n| base << n).find(|part| !too_many(*part)).unwrap();
        // rclone rounds up what it rounded down before, and adds one where that is still too little
        let rclone = {
            let least = (size / MOST_PARTS).next_multiple_of(MIB).max(MIB);
            if too_many(least) { least + MIB } else { least }
        };
        let next = |of: u64| size.div_ceil(MOST_PARTS).next_multiple_of(of);
        vec![
            ("aws s3 cp, boto3", doubled(8 * MIB)),
            ("CRT", grown(8 * MIB, size.div_ceil(MOST_PARTS))),
            ("rclone", grown(5 * MIB, rclone)),
            ("s5cmd", if size / (50 * MIB) >= MOST_PARTS { size / MOST_PARTS + 1 } else { 50 * MIB }),
            ("s3cmd", 15 * MIB),
            ("mc", grown(16 * MIB, next(16 * MIB))),
            ("mc of 2020", grown(128 * MIB, next(128 * MIB))),
            ("console", grown(17_179_870, next(MIB))),
            ("ours", grown(8 * MIB, next(MIB))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_a_tool_made_is_found_among_few(bits in 23_u32..43, fraction in 0.0..1.0_f64) {
            let size = ((1_u64 << bits) as f64 * (1.0 + fraction)) as u64;
            for (tool, part) in tools(size) {
                let parts = size.div_ceil(part);
                if parts > MOST_PARTS {
                    continue; // s3cmd does not grow its parts
                }
                let found = likely(size, parts as u32, None);
                let one = parts == 1 && found == [size];
                prop_assert!(one || found.contains(&part), "{tool}: {size} in {part}, not {found:?}");
            }
        }

        #[test]
        fn candidates_fit_and_are_few(size in 1..(48_u64 << 40), parts in 0..10_001_u32, own in 1..(64 * MIB)) {
            let found = likely(size, parts, Some(own));
            prop_assert!(found.len() <= MOST, "{found:?}");
            for part in &found {
                prop_assert_eq!(size.div_ceil(*part), u64::from(parts));
            }
            if u64::from(parts) == size.div_ceil(own) && parts > 1 {
                prop_assert_eq!(found[0], own, "our own comes first");
            }
        }
    }

    #[test]
    fn few_intervals_hold_two_usual_sizes() {
        // an interval can only begin at a usual size to hold the most of them
        for n in 2..=MOST_PARTS {
            let most = USUAL.iter().map(|from| {
                let size = from * n;
                USUAL.iter().filter(|part| size.div_ceil(**part) == n).count()
            });
            let most = most.max().unwrap_or_default();
            assert!(most <= MOST, "{n} parts: {most}");
            assert!(n < 50 || most <= 1, "{n} parts: {most}");
        }
    }

    #[test]
    fn each_usual_size_is_tried_and_others_only_where_none_fits() {
        for (part, want) in [
            (5, &[5][..]),
            (8, &[8, 10]),
            (10, &[10]),
            (16, &[16]),
            (25, &[32, 25]),
            (32, &[32]),
            (50, &[50, 64]),
            (64, &[64]),
            (100, &[100, 128]),
            (128, &[128]),
            (256, &[256]),
            (512, &[512]),
            (1024, &[1024]),
        ] {
            let mut found = likely(part * MIB * 4, 4, None);
            found.retain(|part| *part != 17_179_870);
            assert_eq!(found, want.iter().map(|part| part * MIB).collect::<Vec<_>>(), "{part} MiB");
        }
        let console = likely(15 * MIB * 4, 4, None);
        assert_eq!(console, [16 * MIB, 15 * MIB, 17_179_870]);
    }

    #[test]
    fn no_more_are_tried_than_the_most() {
        let (own, size) = (17 * MIB, 30 * MIB);
        assert_eq!(likely(size, 2, Some(own)), [own, 16 * MIB, 15 * MIB, 17_179_870]);
        let own = 1025 * MIB + 1;
        let whole = [1025, 1026, 1027].map(|part| part * MIB);
        assert_eq!(likely(2050 * MIB, 2, Some(own)), [vec![own], whole.to_vec()].concat());
    }

    #[test]
    fn parts_that_grew_to_the_byte_are_none_of_less_than_five_mib() {
        assert_eq!(likely(10_000 * 2_000_003, 10_000, None), [0; 0]);
        assert_eq!(likely(10_000 * (5 * MIB + 3), 10_000, None)[0], 5 * MIB + 3);
    }

    #[test]
    fn a_size_of_somebodys_own_is_found_where_few_fit() {
        // `multipart_chunksize = 12MB`
        assert_eq!(likely(120 * MIB - 7, 10, None), [12 * MIB, 13 * MIB]);
        assert_eq!(likely(12 * MIB + 1, 2, None), [8 * MIB, 10 * MIB]);
        assert_eq!(likely(48, 3, Some(16)), [16]);
        assert_eq!(likely(48, 3, None), [0; 0]);
        assert_eq!(likely(7, 1, None), [7]);
        assert_eq!(likely(0, 1, None), [1]);
        assert_eq!((likely(0, 2, None), likely(7, 0, None)), (vec![], vec![]));
    }
}
