//! Which of the uploads that were left open is gone on with.

use crate::model::{Begun, Part};

/// True if the part has the size that the part of this number has in a file of `size` bytes.
fn fits(part: &Part, size: u64, part_size: u64) -> bool {
    let before = u64::from(part.number.saturating_sub(1)).saturating_mul(part_size);
    part.number > 0 && before < size && part.size == part_size.min(size - before)
}

/// The upload that holds the most parts of the right size, the newest of those; and the others.
pub fn richest(mut all: Vec<Begun>, size: u64, part_size: u64) -> (Option<Begun>, Vec<Begun>) {
    let worth = |begun: &Begun| {
        let parts = begun.parts.iter().filter(|part| fits(part, size, part_size)).count();
        (parts, begun.upload.initiated)
    };
    let best = (0..all.len()).max_by_key(|at| worth(&all[*at]));
    (best.map(|at| all.swap_remove(at)), all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ETag, Key, Stamp, Upload};

    fn part((number, size): (u32, u64)) -> Part {
        Part { number, size, etag: ETag::new("x"), sha256: None }
    }

    #[test]
    fn c56_parts_have_the_size_that_their_number_has_in_the_file() {
        const GIB: u64 = 1 << 30;
        for (number, part_size, size, of, want) in [
            (1, 8, 8, 20, true),
            (2, 8, 8, 20, true),
            (3, 8, 4, 20, true),
            (3, 8, 8, 20, false),
            (2, 8, 4, 20, false),
            (4, 8, 4, 20, false),
            (4, 8, 0, 24, false),
            (3, 8, 8, 24, true),
            (0, 8, 8, 20, false),
            (1, 8, 0, 0, false),
            (u32::MAX, u64::MAX, 8, 20, false),
            // over 5 GiB, and the largest there is
            (641, 8 << 20, 1, 5 * GIB + 1, true),
            (641, 8 << 20, 8 << 20, 5 * GIB + 1, false),
            (10_000, 5000 << 20, 5000 << 20, 10_000 * (5000 << 20), true),
        ] {
            assert_eq!(fits(&part((number, size)), of, part_size), want, "{number} of {size} in {of}");
        }
    }

    #[test]
    fn the_upload_with_the_most_parts_goes_on_and_of_equals_the_newest() {
        let begun = |id: &str, sec: Option<i64>, parts: &[(u32, u64)]| Begun {
            upload: Upload {
                key: Key::raw("k"),
                id: id.into(),
                initiated: sec.map(|sec| Stamp { sec, nsec: 0 }),
            },
            parts: parts.iter().copied().map(part).collect(),
        };
        let chosen = |all: &[Begun]| {
            let (best, others) = richest(all.to_vec(), 20, 8);
            assert_eq!(others.len() + usize::from(best.is_some()), all.len());
            best.map(|begun| begun.upload.id)
        };
        let (old, new) = (begun("old", Some(1), &[(1, 8), (2, 8)]), begun("new", Some(2), &[(3, 4)]));
        let wrong = begun("wrong", Some(3), &[(1, 7), (2, 7), (3, 7), (4, 7)]);
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[old.clone(), new.clone(), wrong.clone()]).as_deref(), Some("old"));
        assert_eq!(chosen(&[wrong, new]).as_deref(), Some("new"));
        let empty = [begun("untimed", None, &[]), begun("b", Some(2), &[]), begun("a", Some(1), &[])];
        assert_eq!(chosen(&empty).as_deref(), Some("b"));
    }
}
