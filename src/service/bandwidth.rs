//! How fast the mirrors of a process may send, all of them together and each, by the host's clock and time zone.

use crate::{
    config::Config,
    model::Rates,
    store::{Limit, Rate, Throttle},
};
use jiff::Zoned;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The limits of all mirrors. They hold for those that are open, too, when they are set anew. Clones share them.
#[derive(Clone, Debug)]
pub struct Bandwidth(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: Limit,
    /// By name.
    mirrors: Mutex<BTreeMap<String, Limit>>,
}

impl Bandwidth {
    /// As it is configured.
    pub(super) fn new(config: &Config) -> Self {
        let bandwidth = Self(Arc::new(Shared { all: Limit::new(None), mirrors: Mutex::default() }));
        bandwidth.heed(config);
        bandwidth
    }

    /// As it is configured now. A mirror that is not in the configuration any more ends at the rate that it had.
    pub(super) fn heed(&self, config: &Config) {
        self.0.all.set(rate(&config.bandwidth));
        for mirror in &config.mirrors {
            self.limit(&mirror.name).set(rate(&mirror.bandwidth));
        }
    }

    /// What the mirror of this name keeps to.
    pub(super) fn of(&self, mirror: &str) -> Throttle {
        Throttle::new(vec![self.0.all.clone(), self.limit(mirror)])
    }

    fn limit(&self, mirror: &str) -> Limit {
        let mut mirrors = self.0.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        mirrors.entry(mirror.to_owned()).or_insert_with(|| Limit::new(None)).clone()
    }
}

/// The one of this moment.
fn rate(rates: &Rates) -> Option<Rate> {
    let rates = Some(rates).filter(|rates| !rates.is_none())?.clone();
    Some(Box::new(move || {
        let now = Zoned::now();
        let minute = i16::from(now.hour()) * 60 + i16::from(now.minute());
        rates.at(now.weekday().to_monday_zero_offset().unsigned_abs(), minute.unsigned_abs())
    }))
}
