//! How much is logged of each mirror: as much as of all else, or as much as its configuration says.

use super::telemetry::{CHATTY, Options, TOLD, level};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{PoisonError, RwLock},
};
use tracing::{
    Level, Metadata, Subscriber,
    callsite::rebuild_interest_cache,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id},
    subscriber::Interest,
};
use tracing_subscriber::{
    layer::{Context, Filter},
    registry::LookupSpan,
};

/// What the configuration says, by the name of the mirror.
static OWN: RwLock<BTreeMap<String, Level>> = RwLock::new(BTreeMap::new());

/// From now on so much is logged of these mirrors, instead of what is usual; `-v` and `-q` go on from there.
pub(super) fn set(own: impl IntoIterator<Item = (String, Level)>) {
    *OWN.write().unwrap_or_else(PoisonError::into_inner) = own.into_iter().collect();
    rebuild_interest_cache();
}

/// Lets pass what is to be logged.
pub(super) struct Levels(pub(super) Options);

/// Of a span: the mirror that it is about.
struct About(String);

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "mirror" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

impl Levels {
    /// Of what has a level of its own, or of all else. `-q` takes no errors from a mirror as long as it leaves those of others.
    fn of(&self, own: Option<Level>, target: &str) -> LevelFilter {
        let usual = level(self.0.usual, self.0.verbosity);
        let own = own.map(|own| level(own, self.0.verbosity).max(usual.min(LevelFilter::ERROR)));
        let level = own.unwrap_or(usual);
        let is_of = |all: &[&str]| all.iter().any(|prefix| target.starts_with(prefix));
        if is_of(&TOLD) {
            level.min(LevelFilter::ERROR)
        } else if is_of(&CHATTY) {
            level.min(LevelFilter::WARN)
        } else {
            level
        }
    }

    /// The most that may be logged of anything from there.
    fn most(&self, target: &str) -> LevelFilter {
        let own = OWN.read().unwrap_or_else(PoisonError::into_inner);
        let all = own.values().copied().map(Some).chain([None]);
        all.map(|own| self.of(own, target)).max().unwrap_or(LevelFilter::OFF)
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Filter<S> for Levels {
    fn enabled(&self, meta: &Metadata<'_>, ctx: &Context<'_, S>) -> bool {
        // without it nobody knew which mirror a line is about
        if meta.is_span() {
            return true;
        }
        let levels = OWN.read().unwrap_or_else(PoisonError::into_inner);
        let own = ctx.lookup_current().filter(|_| !levels.is_empty()).and_then(|span| {
            let about = |span: tracing_subscriber::registry::SpanRef<'_, S>| {
                levels.get(&span.extensions().get::<About>()?.0).copied()
            };
            span.scope().find_map(about)
        });
        *meta.level() <= self.of(own, meta.target())
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if meta.is_span() {
            return Interest::always();
        }
        match *meta.level() <= self.most(meta.target()) {
            true => Interest::sometimes(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // spans of mirrors are of the level of errors
        Some(self.most("").max(LevelFilter::ERROR))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut about = About(String::new());
        attributes.record(&mut about);
        if let Some(span) = ctx.span(id).filter(|_| !about.0.is_empty()) {
            span.extensions_mut().insert(about);
        }
    }
}
