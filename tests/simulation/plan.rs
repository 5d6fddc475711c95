//! What a seed plays: its lives, their steps, and which kinds of fault are on. A plan is one line that can be given
//! back, and a plan that fails is shrunk to a smaller one that fails in the same way.

use std::{collections::BTreeSet, fmt};

/// Every kind of fault, and in one of how many seeds it is on. Each has to have been injected by some seed.
pub const FAULTS: &[(&str, u64)] = &[
    // what the watcher tells
    ("event lost", 2),
    ("event doubled", 2),
    ("event late", 2),
    ("event folded", 2),
    ("events lost to an overflow", 3),
    ("events of a new directory missing", 3),
    ("events of a root that was replaced", 2),
    ("the watcher ends and comes back", 3),
    // the disk
    ("a hard link", 2),
    ("a silent write", 4),
    ("a mount below the root", 3),
    ("a clock of seconds", 8),
    ("a network clock", 12),
    ("directory closed", 2),
    ("open EMFILE", 2),
    ("open ESTALE", 2),
    ("open EACCES", 2),
    ("read EIO", 2),
    ("read ESTALE", 2),
    ("fstat EIO", 2),
    ("stat EIO", 2),
    ("stat EACCES", 2),
    ("readdir EIO", 2),
    ("readdir ESTALE", 2),
    ("no room for a clone", 2),
    ("root missing", 2),
    ("root swapped", 2),
    ("root ESTALE", 4),
    // the ledger
    ("ledger lost", 3),
    ("ledger damaged", 3),
    ("ledger rolled back", 3),
    ("ledger half lost", 3),
    ("ledger disk full", 2),
    ("ledger disk full for long", 3),
    ("a ledger write lost at a crash", 2),
    // the store
    ("503", 2),
    ("429", 2),
    ("a storm of SlowDown", 3),
    ("store down", 2),
    ("credentials refused", 2),
    ("credentials expired", 3),
    ("a key denied", 2),
    ("a put lands late", 2),
    ("PutObject untold", 2),
    ("CopyObject untold", 2),
    ("CompleteMultipartUpload untold", 2),
    ("CreateMultipartUpload untold", 2),
    ("AbortMultipartUpload untold", 2),
    ("UploadPart untold", 2),
    ("UploadPartCopy untold", 2),
    ("DeleteObject untold", 2),
    ("DeleteObjects untold", 2),
    ("an error inside a 200", 2),
    ("a delete of a batch fails", 2),
    ("an answer leaves out a delete", 2),
    ("an answer names what was not asked for", 2),
    ("a batch of deletes lands late", 2),
    ("no batches of deletes", 5),
    ("no conditions", 6),
    ("no conditions on DELETE", 5),
    ("random etags", 5),
    ("no checksums", 4),
    ("unsorted listing", 8),
    ("listing omits a key", 2),
    ("a stale listing", 3),
    ("listing truncated without a token", 2),
    ("listing repeats its token", 2),
    ("parts are not listed", 10),
    ("an upload expires", 2),
    ("a part is damaged", 2),
    ("the store's clock is 20 minutes off", 6),
    ("the store's clock is a year off", 12),
    // others, time, and the operator
    ("another tool overwrites", 3),
    ("another tool deletes", 3),
    ("another tool copies", 3),
    ("another tool brings back what was", 3),
    ("another instance claims", 6),
    ("crash", 1),
    ("wall clock jumped", 3),
    ("wall clock jumped in a life", 3),
    ("configuration changed", 2),
    ("another root accepted", 6),
    // what else is mirrored
    ("links are stored", 2),
    ("directories are stored", 2),
    ("a scrub", 3),
];

/// What has to have happened, too: it shows that faults met something.
pub const EVENTS: &[&str] = &[
    "a part is not sent again",
    "a copy in parts",
    "deletes held",
    "replacements held",
    "taken over",
    "kept in the trash",
    "kept in the trash by parts",
];

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub lives: u64,
    /// Of each life.
    pub steps: u64,
    pub faults: BTreeSet<&'static str>,
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        // of a generator of its own: a plan that is cut leaves the rest as it was
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x706c_616e);
        let lives = 1 + rng.u64(0..3);
        let faults = FAULTS.iter().filter(|(_, one_in)| rng.u64(0..*one_in) == 0).map(|(name, _)| *name);
        Self { seed, lives, steps: 60 / lives + 1, faults: faults.collect() }
    }

    /// The plan of the environment: of `S3MIRRORD_SEED` that of `S3MIRRORD_PLAN`, or the one it draws.
    pub fn asked_for() -> Option<Self> {
        let var = |name| std::env::var(name).ok();
        let seed = var("S3MIRRORD_SEED")?.parse().expect("S3MIRRORD_SEED is a number");
        Some(var("S3MIRRORD_PLAN").map_or_else(|| Self::draw(seed), |text| Self::parse(seed, &text)))
    }

    fn parse(seed: u64, text: &str) -> Self {
        let mut parts = text.split('/').map(str::trim);
        let number = |part: Option<&str>| part.and_then(|part| part.parse().ok());
        let (lives, steps) = (number(parts.next()), number(parts.next()));
        let named: Vec<_> = parts.flat_map(|part| part.split(',')).map(str::trim).collect();
        let faults: BTreeSet<_> =
            FAULTS.iter().map(|(name, _)| *name).filter(|name| named.contains(name)).collect();
        let known = named.iter().filter(|name| !name.is_empty()).count();
        assert_eq!(faults.len(), known, "S3MIRRORD_PLAN names a fault that there is not");
        let wrong = "S3MIRRORD_PLAN is lives/steps/fault, fault, ...";
        Self { seed, lives: lives.expect(wrong), steps: steps.expect(wrong), faults }
    }

    /// Plans of less, those of much less first.
    fn smaller(&self) -> Vec<Self> {
        let mut all = vec![];
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self && plan.lives > 0 && plan.steps > 0 {
                all.push(plan);
            }
        };
        with(&|plan| plan.lives = 1);
        with(&|plan| plan.lives -= 1);
        with(&|plan| plan.steps /= 2);
        with(&|plan| plan.steps -= plan.steps.div_ceil(4));
        with(&|plan| plan.steps -= 1);
        let faults: Vec<_> = self.faults.iter().copied().collect();
        for size in [faults.len().div_ceil(2), faults.len().div_ceil(4), 1] {
            for some in faults.chunks(size.max(1)) {
                with(&|plan| plan.faults.retain(|fault| !some.contains(fault)));
            }
        }
        all
    }

    /// The smallest plan found that still `fails`, which is asked so often at most.
    pub fn shrunk(mut self, mut most: u32, fails: impl Fn(&Self) -> bool) -> Self {
        'smaller: loop {
            for plan in self.smaller() {
                if most == 0 {
                    return self;
                }
                most -= 1;
                if fails(&plan) {
                    self = plan;
                    continue 'smaller;
                }
            }
            return self;
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().copied().collect();
        let (seed, lives, steps) = (self.seed, self.lives, self.steps);
        write!(f, "S3MIRRORD_SEED={seed} S3MIRRORD_PLAN=\"{lives}/{steps}/{}\"", faults.join(", "))
    }
}

#[test]
fn a_plan_is_read_as_it_is_written() {
    for seed in 0..100 {
        let plan = Plan::draw(seed);
        let line = plan.to_string();
        assert_eq!(Plan::parse(seed, line.split('"').nth(1).unwrap()), plan);
    }
}

#[test]
fn a_plan_shrinks_to_what_it_fails_by() {
    let fails = |plan: &Plan| plan.lives >= 2 && plan.steps >= 5 && plan.faults.contains("503");
    let plan = (0..).map(Plan::draw).find(fails).unwrap();
    let least = plan.shrunk(10_000, fails);
    assert_eq!((least.lives, least.steps, least.faults), (2, 5, ["503"].into()));
}
