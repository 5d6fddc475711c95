//! What requests and storage cost: the arithmetic, and nothing else.
//!
//! An estimate, at the prices of the configuration. It knows nothing of free tiers, of storage that gets cheaper by
//! the terabyte, of earlier versions of objects, of taxes, or of data that leaves the store (a mirror reads none).

use crate::{config::Prices, engine::Stored};
use indicatif::HumanFloatCount;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, time::Duration};

/// A month, as stores reckon it: 730 hours.
const MONTH: Duration = Duration::from_secs(730 * 3600);
/// A GB, as S3 bills it: <https://aws.amazon.com/s3/faqs/>, *Billing*.
const GB: f64 = (1_u64 << 30) as f64;
/// The request that a comparison with the bucket is made of.
const LIST: &str = "ListObjectsV2";
/// The most objects that one of them tells of.
const PAGE: u64 = 1000;

/// What a request is billed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// PUT, COPY, POST, LIST.
    Put,
    /// GET, and all others.
    Get,
    /// DELETE, and what cancels an upload.
    Free,
}

/// What an operation of S3 is billed as: <https://aws.amazon.com/s3/pricing/>, *Requests & data retrievals*. All
/// requests of an upload in parts but the one that aborts it are PUT or POST.
fn class(operation: &str) -> Class {
    let is = |words: &[&str]| words.iter().any(|word| operation.starts_with(word));
    if is(&["Put", "Copy", "Create", "Upload", "Complete", "Post", "List"]) {
        Class::Put
    } else if is(&["Delete", "Abort"]) {
        Class::Free
    } else {
        Class::Get
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a> {
    /// Requests by operation, every attempt.
    pub requests: &'a BTreeMap<String, u64>,
    /// Comparisons with the bucket that they hold; 0 is taken for 1.
    pub compared: u64,
    /// Time from one comparison with the bucket to the next.
    pub interval: Duration,
    /// What the bucket holds for the mirror; `None` if that is not known.
    pub stored: Option<Stored>,
}

/// An estimate, rounded to a billionth of the currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The currency of all amounts.
    pub currency: String,
    /// What the requests that were counted cost.
    pub pass: f64,
    /// What the listings of a month cost if nothing changes: those of one comparison with the bucket, every
    /// `interval_seconds`. They are those that were counted, and no fewer than the objects that are stored now
    /// take: a first pass lists an empty bucket. What changes costs its requests on top.
    pub requests_month: f64,
    /// What a month of storage of `stored_bytes` costs; `None` if they are not known.
    pub storage_month: Option<f64>,
    /// Seconds from one comparison with the bucket to the next.
    pub interval_seconds: u64,
    /// The bytes of the mirrored files, and of objects that are kept without a file.
    pub stored_bytes: Option<u64>,
}

impl Cost {
    /// What it comes to, at these prices.
    pub fn estimate(prices: &Prices, usage: Usage<'_>) -> Self {
        let Usage { requests, compared, interval, stored } = usage;
        let of = |(operation, count): (&String, &u64)| {
            *count as f64 / 1000.0
                * match class(operation) {
                    Class::Put => prices.put_per_1000,
                    Class::Get => prices.get_per_1000,
                    Class::Free => 0.0,
                }
        };
        let counted = requests.get(LIST).copied().unwrap_or_default() as f64 / compared.max(1) as f64;
        let lists = counted.max(stored.map_or(0, |stored| stored.objects.div_ceil(PAGE)) as f64);
        let times = MONTH.as_secs_f64() / interval.as_secs_f64().max(1.0);
        let gigabytes = stored.map(|stored| stored.bytes as f64 / GB);
        Self {
            currency: prices.currency.clone(),
            pass: rounded(requests.iter().map(of).sum()),
            requests_month: rounded(lists * times / 1000.0 * prices.put_per_1000),
            storage_month: gigabytes.map(|n| rounded(n * prices.storage_per_gb_month)),
            interval_seconds: interval.as_secs(),
            stored_bytes: stored.map(|stored| stored.bytes),
        }
    }

    /// An amount with its currency, for people.
    pub fn amount(&self, amount: f64) -> Amount<'_> {
        Amount { currency: &self.currency, amount }
    }

    /// All of a month.
    pub fn month(&self) -> Amount<'_> {
        self.amount(self.requests_month + self.storage_month.unwrap_or_default())
    }
}

fn rounded(amount: f64) -> f64 {
    (amount * 1e9).round() / 1e9
}

/// Money, in words.
#[derive(Clone, Copy, Debug)]
pub struct Amount<'a> {
    currency: &'a str,
    amount: f64,
}

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { currency, amount } = self;
        match *amount {
            0.0 => write!(f, "{currency} 0"),
            ..0.01 => write!(f, "under {currency} 0.01"),
            amount if amount < 1000.0 => write!(f, "{currency} {amount:.2}"),
            amount => write!(f, "{currency} {}", HumanFloatCount(amount.round())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Each operation that a store is asked for (the SDK's names), and a few others.
    #[test]
    fn operations_are_billed_as_the_price_list_says() {
        for (billed, operations) in [
            (
                Class::Put,
                &[
                    "PutObject",
                    "CopyObject",
                    "ListObjectsV2",
                    "ListMultipartUploads",
                    "ListParts",
                    "CreateMultipartUpload",
                    "UploadPart",
                    "UploadPartCopy",
                    "CompleteMultipartUpload",
                ][..],
            ),
            (Class::Get, &["GetObject", "HeadObject", "HeadBucket", "GetBucketVersioning", "SelectObject"]),
            (Class::Free, &["DeleteObject", "DeleteObjects", "AbortMultipartUpload"]),
        ] {
            for operation in operations {
                assert_eq!(class(operation), billed, "{operation}");
            }
        }
    }

    #[test]
    fn costs_are_what_a_pocket_calculator_says() {
        let round = Prices {
            currency: "EUR".into(),
            put_per_1000: 1.0,
            get_per_1000: 0.1,
            storage_per_gb_month: 0.02,
        };
        let gb = 1 << 30;
        let stored = |objects, bytes| Some(Stored { objects, bytes });
        for (prices, requests, compared, interval, stored, want) in [
            (&round, &[][..], 1, DAY, None, (0.0, 0.0, None)),
            (&round, &[("ListObjectsV2", 0)], 0, DAY, stored(0, 0), (0.0, 0.0, Some(0.0))),
            // 1 LIST a day: 730/24 times a thousandth
            (&round, &[("ListObjectsV2", 1)], 1, DAY, stored(9, gb), (0.001, 0.030_416_667, Some(0.02))),
            (&round, &[("ListObjectsV2", 24)], 24, HOUR, stored(1000, gb / 2), (0.024, 0.73, Some(0.01))),
            (&round, &[("ListObjectsV2", 3)], 2, HOUR, None, (0.003, 1.095, None)),
            // a first pass: the bucket was empty
            (&round, &[("ListObjectsV2", 1)], 1, HOUR, stored(1001, 0), (0.001, 1.46, Some(0.0))),
            (
                &round,
                &[("DeleteObject", 9999), ("GetObject", 10), ("PutObject", 2000), ("UploadPart", 500)],
                1,
                HOUR,
                None,
                (2.501, 0.0, None),
            ),
            // a million files of 100 kB at S3's own prices, compared once a day
            (
                &Prices::default(),
                &[("GetObject", 1), ("ListObjectsV2", 1000)],
                1,
                DAY,
                stored(1_000_000, 100_000_000_000),
                (0.005_000_4, 0.152_083_333, Some(2.142_041_922)),
            ),
        ] {
            let requests: BTreeMap<_, _> = requests.iter().map(|(op, n)| ((*op).to_owned(), *n)).collect();
            let usage = Usage { requests: &requests, compared, interval, stored };
            let cost = Cost::estimate(prices, usage);
            assert_eq!((cost.pass, cost.requests_month, cost.storage_month), want, "{usage:?}");
            assert_eq!((&cost.currency, cost.stored_bytes), (&prices.currency, stored.map(|s| s.bytes)));
            assert_eq!(cost.interval_seconds, interval.as_secs());
        }
    }

    #[test]
    fn absurd_counts_stay_numbers() {
        let requests = BTreeMap::from([("ListObjectsV2".to_owned(), u64::MAX)]);
        let most = Prices { put_per_1000: 1e6, storage_per_gb_month: 1e6, ..Prices::default() };
        let stored = Some(Stored { objects: u64::MAX, bytes: u64::MAX });
        let usage = Usage { requests: &requests, compared: 0, interval: Duration::ZERO, stored };
        let cost = Cost::estimate(&most, usage);
        assert!(cost.pass.is_finite() && cost.requests_month.is_finite(), "{cost:?}");
        assert!(serde_json::to_string(&cost).is_ok_and(|text| !text.contains("null")), "{cost:?}");
    }

    #[test]
    fn people_read_cents_and_no_false_precision() {
        let cost = |requests_month, storage_month| Cost {
            currency: "USD".into(),
            pass: 0.0,
            requests_month,
            storage_month,
            interval_seconds: 1,
            stored_bytes: None,
        };
        for (amount, want) in [
            (0.0, "USD 0"),
            (0.000_005, "under USD 0.01"),
            (0.009_9, "under USD 0.01"),
            (0.01, "USD 0.01"),
            (0.349, "USD 0.35"),
            (999.5, "USD 999.50"),
            (1_234_567.8, "USD 1,234,568"),
        ] {
            assert_eq!(cost(amount, None).month().to_string(), want);
        }
        assert_eq!(cost(1.0, Some(2.5)).month().to_string(), "USD 3.50");
    }
}
