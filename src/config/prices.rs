//! What the store asks for: what a pass costs, and a month, is told at these prices.

use super::{
    problem::Complaint,
    raw::{Reader, Table},
};

/// What the store asks for. DELETE and what ends an upload are free.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// The currency of all amounts, as it is to be shown: 1 to 8 characters.
    pub currency: String,
    /// A thousand PUT, COPY, POST and LIST requests; not negative, finite.
    pub put_per_1000: f64,
    /// A thousand GET and HEAD requests, and of all others; not negative, finite.
    pub get_per_1000: f64,
    /// Storage of a GB (2³⁰ bytes) for a month; not negative, finite.
    pub storage_per_gb_month: f64,
}

impl Default for Prices {
    /// S3 Standard in us-east-1, the first 50 TB: <https://aws.amazon.com/s3/pricing/>, *Storage* and *Requests
    /// & data retrievals*, as of 2026.
    fn default() -> Self {
        Self {
            currency: "USD".into(),
            put_per_1000: 0.005,
            get_per_1000: 0.0004,
            storage_per_gb_month: 0.023,
        }
    }
}

impl Prices {
    /// Reads `[prices]` or `[mirror.prices]`; what is not said, or wrong, is as in `base`.
    pub(super) fn read(table: &Table<'_>, base: &Self, reader: &mut Reader<'_>) -> Self {
        let mut amount = |key, usual| table.amount(key, reader).unwrap_or(usual);
        Self {
            put_per_1000: amount("put_per_1000", base.put_per_1000),
            get_per_1000: amount("get_per_1000", base.get_per_1000),
            storage_per_gb_month: amount("storage_per_gb_month", base.storage_per_gb_month),
            currency: currency(table, reader).unwrap_or_else(|| base.currency.clone()),
        }
    }
}

fn currency(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let given = table.text("currency", reader)?;
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    if (1..=8).contains(&given.value.chars().count()) && given.value.chars().all(plain) {
        return Some(given.value.to_owned());
    }
    let remedy = format!("write 1 to 8 characters: {}", table.shape.example("currency"));
    reader.complain(given.at, Complaint::new("`currency` is no name of a currency", remedy));
    None
}
