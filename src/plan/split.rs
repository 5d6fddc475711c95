//! How a large listing is cut into ranges that are asked for side by side.
//!
//! A page of a listing holds 1,000 keys at most (S3 API, *ListObjectsV2*), so ranges that hold just as many
//! cost no more requests than one listing from end to end. What a range holds is only guessed, from what the
//! ledger knows or from the number of directories, and the guess follows what ranges were seen to hold.

/// How many units (rows of the ledger, or directories) a range spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Objects that a range should hold.
    aim: u64,
    /// Units of a range until it is known better.
    first: u64,
    /// The most units of a range.
    most: u64,
    seen: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    ranges: u64,
    /// Ranges that took more requests than one.
    over: u64,
    units: u64,
    objects: u64,
}

impl Split {
    /// By rows of the ledger: full pages of `page` keys, as long as the bucket holds what the ledger knows.
    pub fn by_rows(page: usize) -> Self {
        let page = page.max(1) as u64;
        Self { aim: page, first: page, most: page, seen: Sums::default() }
    }

    /// By directories, of which nothing is known: some pages each, so that the last, which is not full, does
    /// not count.
    pub fn by_directories(page: usize) -> Self {
        Self { aim: page.max(1) as u64 * 3, first: 1, most: 1000, seen: Sums::default() }
    }

    /// A range of `units` held `objects` and took `requests`.
    pub fn saw(&mut self, units: usize, objects: usize, requests: usize) {
        self.seen.ranges += 1;
        self.seen.over += u64::from(requests > 1);
        self.seen.units += units as u64;
        self.seen.objects += objects as u64;
    }

    /// Units of the next range, 1 at least.
    pub fn units(&self) -> usize {
        let Sums { ranges, over, units, objects } = self.seen;
        // a few keys that the ledger does not know, such as the owner record, are no reason
        let well = self.first == self.most && over * 20 <= ranges + 20;
        let units = match objects {
            _ if well => self.most,
            0 => self.first,
            // a little less, so that the next one does not just miss
            objects => {
                (self.aim * units * 24 / (objects * 25)).clamp(self.first.min(self.most / 8), self.most)
            }
        };
        usize::try_from(units.max(1)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_fill_pages_while_the_ledger_is_right() {
        let mut split = Split::by_rows(1000);
        assert_eq!(split.units(), 1000);
        split.saw(1000, 1001, 2); // the owner record
        assert_eq!(split.units(), 1000);
        (0..500).for_each(|_| split.saw(1000, 1000, 1));
        assert_eq!(split.units(), 1000);
        split.saw(1000, 1001, 2);
        assert_eq!(split.units(), 1000, "few of many");
    }

    #[test]
    fn ranges_shrink_where_the_bucket_holds_more_and_cost_few_requests() {
        for foreign in [1.01, 1.3, 2.0, 5.0] {
            let (mut split, mut rows, mut requests, mut objects) = (Split::by_rows(1000), 1_000_000, 0, 0);
            while rows > 0 {
                let units = split.units();
                let holds = (units as f64 * foreign) as usize;
                let took = holds.div_ceil(1000);
                split.saw(units, holds, took);
                (rows, requests, objects) = (rows - units.min(rows), requests + took, objects + holds);
            }
            let serial = objects.div_ceil(1000);
            assert!(requests * 100 <= serial * 110, "{foreign}: {requests} instead of {serial}");
        }
    }

    #[test]
    fn a_range_spans_an_eighth_of_a_page_of_rows_at_the_least() {
        let mut split = Split::by_rows(1000);
        (0..3).for_each(|_| split.saw(1000, 1_000_000, 1000));
        assert_eq!(split.units(), 125);
    }

    #[test]
    fn directories_are_taken_together_until_some_pages_are_full() {
        let mut split = Split::by_directories(1000);
        assert_eq!(split.units(), 1);
        (0..16).for_each(|_| split.saw(1, 500, 1));
        assert_eq!(split.units(), 5);
        (0..16).for_each(|_| split.saw(5, 100_000, 100));
        assert_eq!(split.units(), 1);
        let mut empty = Split::by_directories(1000);
        empty.saw(1, 0, 1);
        assert_eq!(empty.units(), 1);
    }
}
