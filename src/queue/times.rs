//! Moments with their number: which of many is the first, without looking at all of them.

use super::Mono;
use std::collections::BTreeMap;

/// A bag of moments.
#[derive(Debug, Default)]
pub(super) struct Times(BTreeMap<Mono, usize>);

impl Times {
    /// One more of this.
    pub(super) fn add(&mut self, at: Mono) {
        *self.0.entry(at).or_default() += 1;
    }

    /// One less of this, which is there.
    pub(super) fn remove(&mut self, at: Mono) {
        if let Some(n) = self.0.get_mut(&at) {
            *n -= 1;
            if *n == 0 {
                self.0.remove(&at);
            }
        }
    }

    /// The first of all.
    pub(super) fn first(&self) -> Option<Mono> {
        self.0.first_key_value().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_moment_stays_while_one_of_it_is_left() {
        let (mut times, [early, late]) = (Times::default(), [1, 2].map(Mono::from_secs));
        assert_eq!(times.first(), None);
        [late, early, early].into_iter().for_each(|at| times.add(at));
        let first: Vec<_> = [early, late, early, late]
            .into_iter()
            .map(|at| {
                times.remove(at);
                times.first()
            })
            .collect();
        assert_eq!(first, [Some(early), Some(early), None, None]);
    }
}
