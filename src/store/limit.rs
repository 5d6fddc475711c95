//! How many requests may be on their way at a time: more while that brings more, half when the store asks for less.
//! Rates of a few seconds are uneven, so that now and then more seems to bring more by chance alone: what was won so is
//! lost again, for it is also tried whether fewer bring as much.
//!
//! Additive increase, multiplicative decrease, as TCP has it (Chiu and Jain, 1989): several clients of one store that
//! all do so come to share it evenly, without knowing of each other. So each mirror has a limit of its own, and what one
//! prefix is refused holds up no other.
//!
//! Pure: time is an argument.

use std::time::Duration;

/// Requests at a time to begin with. Up to here, or to where more once brought more, a limit grows with every clean
/// round.
const USUAL: u32 = 16;
/// Beyond that one in as many is added for a trial,
const STEP: u32 = 4;
/// which stays if this share of it is gained; and what is taken away stays away unless as much is lost.
const GAIN: f64 = 0.25;
/// After a trial that found nothing to be gained the next one comes after as many rounds, the other way.
const REST: u32 = 50;
/// What a round of a trial takes at least: shorter ones tell nothing.
const ROUND: Duration = Duration::from_millis(250);
/// What a request costs beside its bytes, in bytes.
const REQUEST: u64 = 64 << 10;

/// The limit, and what it has been.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    most: u32,
    now: u32,
    /// Up to here more brought more.
    proven: u32,
    cuts: u64,
    round: Option<Round>,
    /// Bytes a second before a trial, and what it was then.
    before: Option<(f64, u32)>,
    /// Rounds before the next trial.
    rest: u32,
    /// Whether that is one of fewer.
    fewer: bool,
}

/// Answers of a time in which as many requests were on their way as may be.
#[derive(Clone, Copy, Debug)]
struct Round {
    begun: Duration,
    answers: u32,
    bytes: u64,
}

/// When a request began: between which cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun(u64);

impl Limit {
    /// At most `most` (at least 1) at a time.
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        let now = most.min(USUAL);
        Self { most, now, proven: now, cuts: 0, round: None, before: None, rest: 0, fewer: false }
    }

    /// How many may be on their way: from 1 to what it was made with.
    pub(super) fn now(&self) -> u32 {
        self.now
    }

    /// A request begins.
    pub(super) fn begin(&self) -> Begun {
        Begun(self.cuts)
    }

    /// The store asked for less. What it says to requests that began before the last cut was said of the time before.
    pub(super) fn refused(&mut self, begun: Begun) {
        if begun == self.begin() {
            self.now = (self.now / 2).max(1);
            self.cuts += 1;
            (self.round, self.before, self.rest, self.fewer) = (None, None, 0, false);
        }
    }

    /// A request of so many bytes was answered at `now`, while as many were on their way as may be if `full`: else
    /// it is not the limit that holds anything up.
    pub(super) fn answered(&mut self, begun: Begun, bytes: u64, full: bool, now: Duration) {
        if begun != self.begin() {
            return;
        }
        if !full {
            self.round = None;
            // a trial that comes to no end has shown nothing
            if let Some((_, was)) = self.before.take() {
                self.now = was;
            }
            return;
        }
        let mut round = self.round.unwrap_or(Round { begun: now, answers: 0, bytes: 0 });
        round.answers += 1;
        round.bytes += bytes + REQUEST;
        self.round = Some(round);
        let took = now.saturating_sub(round.begun);
        let whole = round.answers >= self.now;
        if whole && self.now < self.proven && self.before.is_none() {
            self.set(self.now + 1);
        } else if whole && took >= ROUND {
            self.judge(round.bytes as f64 / took.as_secs_f64());
        }
    }

    /// A round at what is proven, or of a trial, ended.
    fn judge(&mut self, rate: f64) {
        self.round = None;
        if let Some((before, was)) = self.before.take() {
            let added = f64::from(self.now) / f64::from(was) - 1.0;
            let enough = rate >= before * (1.0 + GAIN * added);
            if !enough {
                self.now = was;
            }
            self.proven = self.now;
            let more = enough && added > 0.0 && self.now < self.most;
            (self.rest, self.fewer) = (if more { 0 } else { REST }, added > 0.0 && !more);
        }
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        let least = self.most.min(USUAL);
        let to = match self.fewer {
            true => (self.now - self.now / STEP).max(least),
            false => (self.now + self.now / STEP).min(self.most),
        };
        if to == self.now {
            self.fewer = !self.fewer;
        } else {
            self.before = Some((rate, self.now));
            self.set(to);
        }
    }

    fn set(&mut self, to: u32) {
        self.now = to.min(self.most);
        self.round = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// Clean answers, apart as `pause` says of the limit, while more are wanted than may be.
    fn answer(limit: &mut Limit, now: &mut Duration, answers: u32, pause: impl Fn(u32) -> Duration) {
        for _ in 0..answers {
            *now += pause(limit.now());
            limit.answered(limit.begin(), 0, true, *now);
        }
    }

    /// Without a trial that is under way.
    fn usual(limit: &Limit) -> u32 {
        limit.before.map_or(limit.now, |(_, was)| was)
    }

    /// Each request takes 50 ms, however many there are.
    fn far(limit: u32) -> Duration {
        50 * MS / limit
    }

    #[test]
    fn refusals_of_one_moment_are_one() {
        let mut limit = Limit::new(64);
        assert_eq!(limit.now(), 16);
        let flying: Vec<_> = (0..16).map(|_| limit.begin()).collect();
        flying.iter().for_each(|begun| limit.refused(*begun));
        assert_eq!(limit.now(), 8);
        // those of before that were answered say nothing of what may be now
        flying.iter().for_each(|begun| limit.answered(*begun, 0, true, MS));
        assert_eq!(limit.now(), 8);
        for want in [4, 2, 1, 1] {
            limit.refused(limit.begin());
            assert_eq!(limit.now(), want);
        }
    }

    #[test]
    fn it_recovers_by_one_for_each_round_and_only_if_it_is_what_holds_up() {
        let (mut limit, mut now) = (Limit::new(64), Duration::ZERO);
        (0..4).for_each(|_| limit.refused(limit.begin()));
        for _ in 0..1000 {
            limit.answered(limit.begin(), 0, false, MS);
        }
        assert_eq!(limit.now(), 1);
        // 1 + 2 + … + 15
        answer(&mut limit, &mut now, 119, far);
        assert_eq!(limit.now(), 15);
        answer(&mut limit, &mut now, 1, far);
        assert_eq!(limit.now(), 16);
    }

    #[test]
    fn beyond_the_usual_it_grows_while_that_brings_more() {
        let (mut limit, mut now) = (Limit::new(64), Duration::ZERO);
        answer(&mut limit, &mut now, 5000, far);
        assert_eq!(usual(&limit), 64, "a store that is far away");
        let (mut limit, mut now) = (Limit::new(64), Duration::ZERO);
        let mut most = 0;
        for _ in 0..20_000 {
            answer(&mut limit, &mut now, 1, |_| 3 * MS);
            most = most.max(limit.now());
        }
        assert_eq!((usual(&limit), most), (16, 20), "a store that is busy, however many ask it");
        let (mut limit, mut now) = (Limit::new(64), Duration::ZERO);
        answer(&mut limit, &mut now, 60_000, |limit| 50 * MS / limit.min(32));
        assert!((28..=40).contains(&usual(&limit)), "one that does 32 at a time: {}", limit.now());
    }

    #[test]
    fn what_comes_in_bursts_proves_nothing() {
        let (mut limit, mut now) = (Limit::new(64), Duration::ZERO);
        for _ in 0..200 {
            answer(&mut limit, &mut now, 150, far);
            now += 10_000 * MS;
            limit.answered(limit.begin(), 0, false, now);
            assert_eq!(limit.now(), 16, "a trial that came to no end");
        }
    }

    /// The store sends as many bytes a second whatever is asked of it, and no two bodies are alike: by chance alone half of
    /// all trials gain something.
    #[test]
    fn chance_does_not_carry_it_up() {
        for seed in 0..5 {
            let (mut limit, mut now, mut rng) =
                (Limit::new(64), Duration::ZERO, fastrand::Rng::with_seed(seed));
            let (mut sum, answers) = (0_u64, 200_000_u64);
            for _ in 0..answers {
                let bytes = 1_u64 << rng.u32(10..25);
                now += Duration::from_secs_f64((bytes + REQUEST) as f64 / 1e8);
                limit.answered(limit.begin(), bytes, true, now);
                sum += u64::from(limit.now());
            }
            assert!(sum / answers < 28, "{} at a time", sum / answers);
        }
    }

    #[test]
    fn a_store_that_comes_nearer_is_asked_for_less_at_a_time() {
        let (mut limit, mut now) = (Limit::new(64), Duration::ZERO);
        answer(&mut limit, &mut now, 5000, far);
        answer(&mut limit, &mut now, 60_000, |_| 3 * MS);
        assert_eq!(usual(&limit), 16);
    }

    #[test]
    fn what_once_brought_more_is_grown_back_to_whatever_it_brings_now() {
        let (mut limit, mut now) = (Limit::new(64), Duration::ZERO);
        answer(&mut limit, &mut now, 5000, far);
        (0..6).for_each(|_| limit.refused(limit.begin()));
        assert_eq!(limit.now(), 1);
        answer(&mut limit, &mut now, 64 * 63 / 2, |_| 3 * MS);
        assert_eq!(limit.now(), 64);
    }

    proptest! {
        /// Whatever comes, in whatever order: some are answered late, some not at all.
        #[test]
        fn it_is_never_none_nor_above_its_most_and_halves_once_for_a_cut(
            most in 1u32..200,
            acts in prop::collection::vec((0u8..4, 0usize..40, any::<bool>(), 0u64..1 << 24), 1..400),
        ) {
            let (mut limit, mut now, mut flying) = (Limit::new(most), Duration::ZERO, vec![]);
            for (act, which, full, bytes) in acts {
                now += MS * (which as u32);
                let (before, cut) = (limit.now(), limit.begin());
                match act {
                    0 | 1 => flying.push(limit.begin()),
                    _ if flying.is_empty() => {}
                    2 => {
                        let begun = flying.swap_remove(which % flying.len());
                        limit.answered(begun, bytes, full, now);
                        prop_assert_eq!(limit.begin(), cut);
                        if begun != cut {
                            prop_assert_eq!(limit.now(), before);
                        }
                    }
                    _ => {
                        let begun = flying.swap_remove(which % flying.len());
                        limit.refused(begun);
                        let want = if begun == cut { (before / 2).max(1) } else { before };
                        prop_assert_eq!(limit.now(), want);
                        if begun == cut {
                            // the rest of its moment
                            flying.iter().for_each(|other| limit.refused(*other));
                            prop_assert_eq!(limit.now(), want);
                        }
                    }
                }
                prop_assert!((1..=most).contains(&limit.now()));
            }
        }

        /// From wherever it was cut to.
        #[test]
        fn it_recovers_within_so_many_clean_answers(most in 1u32..80, cuts in 0u32..10) {
            let (mut limit, mut now) = (Limit::new(most), Duration::ZERO);
            (0..cuts).for_each(|_| limit.refused(limit.begin()));
            // the usual after at most its square, halved; beyond that rounds of 250 ms at 20 answers a second each
            answer(&mut limit, &mut now, USUAL * USUAL / 2 + 12 * 80 * 6, far);
            prop_assert_eq!(usual(&limit), most);
        }
    }
}
