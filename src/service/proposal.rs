//! What an operator is asked: deletes and replacements that are held, and a root that is another one. Used by the daemon for
//! those who ask it, and by `approve` itself where no daemon runs.

use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Binding, Change, Class, Condemned, Fault, Key, RootId, Sameness},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Rows read at a time.
const PAGE: usize = 1000;
/// Directories that are counted apart.
const DIRECTORIES: usize = 1000;
/// Directories that are shown.
const SHOWN: usize = 10;
/// Objects that are shown by name.
const SAMPLES: usize = 10;
/// What the name of a plan of replacements ends in.
const OVERWRITES: &str = "-overwrites";

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Objects are to be deleted.
    Deletes,
    /// Objects are to be replaced by what their files are now.
    Overwrites,
}

/// What names a plan: what it is of, the ledger, and its last row. Rows that come later are not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanName {
    /// What it is of.
    pub kind: Kind,
    /// The ledger's id.
    pub ledger: u64,
    /// The last row that is covered.
    pub row: u64,
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.kind == Kind::Overwrites { OVERWRITES } else { "" };
        write!(f, "{:016x}-{}{suffix}", self.ledger, self.row)
    }
}

impl PlanName {
    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, text) = match text.strip_suffix(OVERWRITES) {
            Some(text) => (Kind::Overwrites, text),
            None => (Kind::Deletes, text),
        };
        let (ledger, row) = text.split_once('-')?;
        Some(Self { kind, ledger: u64::from_str_radix(ledger, 16).ok()?, row: row.parse().ok()? })
    }
}

/// What is held, of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// See [`PlanName`].
    pub name: String,
    /// Of which kind.
    pub kind: Kind,
    /// How many objects.
    pub objects: u64,
    /// Of how many files that the ledger knows.
    pub files: u64,
    /// The directories at the top with the most of them, the most first; `""` is the root itself.
    pub directories: Vec<(String, u64)>,
    /// Some of the objects, the first of them first.
    pub samples: Vec<String>,
}

/// A root that is another one than the one accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRoot {
    /// The one accepted.
    pub accepted: Identity,
    /// The one found.
    pub found: Identity,
}

/// [`RootId`], as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Inode of the root.
    pub inode: u64,
    /// File system.
    pub filesystem: Option<String>,
}

impl From<&RootId> for Identity {
    fn from(id: &RootId) -> Self {
        Self { inode: id.inode, filesystem: id.filesystem.clone() }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filesystem = self.filesystem.as_deref().unwrap_or("without a name");
        write!(f, "inode {} of file system {}", self.inode, filesystem.escape_debug())
    }
}

/// What is held now: a plan for each kind.
///
/// # Errors
/// I/O errors of the ledger.
pub async fn plans<L: Ledger>(ledger: &L) -> Result<Vec<Plan>, Fault> {
    let tally = ledger.tally().await?;
    let mut plans = vec![];
    if ledger.held().await? {
        let (mut draft, mut after) = (Draft::default(), 0);
        loop {
            let rows = ledger.condemned(after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.row;
            let held = |row: &&Condemned| row.row <= tally.last_row && row.costs();
            rows.iter().filter(held).for_each(|row| draft.add(&row.key));
        }
        let name = PlanName { kind: Kind::Deletes, ledger: ledger.id(), row: tally.last_row };
        plans.extend(draft.plan(name, tally.records));
    }
    let (mut draft, mut after) = (Draft::default(), 0);
    loop {
        let rows = ledger.overwrites(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.row;
        rows.iter().filter(|row| !row.approved).for_each(|row| draft.add(&row.key));
    }
    let name = PlanName { kind: Kind::Overwrites, ledger: ledger.id(), row: after };
    plans.extend(draft.plan(name, tally.records));
    Ok(plans)
}

/// A plan that is being drawn up.
#[derive(Default)]
struct Draft {
    objects: u64,
    directories: BTreeMap<String, u64>,
    samples: Vec<String>,
}

impl Draft {
    fn add(&mut self, key: &Key) {
        self.objects += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(key.path().map_or_else(|| key.to_string(), |path| path.to_string()));
        }
        let top = top(key);
        if self.directories.len() < DIRECTORIES || self.directories.contains_key(&top) {
            *self.directories.entry(top).or_default() += 1;
        }
    }

    fn plan(self, name: PlanName, files: u64) -> Option<Plan> {
        let Self { objects, directories, samples } = self;
        let mut directories: Vec<_> = directories.into_iter().collect();
        directories.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        directories.truncate(SHOWN);
        let (kind, name) = (name.kind, name.to_string());
        (objects > 0).then_some(Plan { name, kind, objects, files, directories, samples })
    }
}

/// The directory at the top that holds a key.
fn top(key: &Key) -> String {
    let top = key.as_str().split_once('/').map_or("", |(top, _)| top);
    Key::raw(top).to_string()
}

/// Releases the rows of a plan, and no later ones.
///
/// # Errors
/// `Changed` if the name is of no plan of this ledger; I/O errors.
pub async fn approve<L: Ledger>(ledger: &L, name: &str) -> Result<(), Fault> {
    let parsed = PlanName::parse(name).filter(|plan| plan.ledger == ledger.id());
    let tally = ledger.tally().await?;
    let last = |kind| match kind {
        Kind::Deletes => tally.last_row,
        Kind::Overwrites => tally.last_overwrite,
    };
    let plan = parsed.filter(|plan| plan.row <= last(plan.kind)).ok_or_else(|| {
        let cause = "the ledger has no such plan, or no longer";
        Fault::new(Class::Changed, format!("approve plan {}", name.escape_debug()), cause)
            .remedy("look at the present one: s3mirrord approve")
    })?;
    let release = match plan.kind {
        Kind::Deletes => Change::Approve(plan.row),
        Kind::Overwrites => Change::ApproveOverwrites(plan.row),
    };
    ledger.commit(vec![release]).await?;
    Ok(())
}

/// The root found and the one accepted, if they differ.
///
/// # Errors
/// There is no root; I/O errors.
pub async fn other_root<T: Tree, L: Ledger>(tree: &T, ledger: &L) -> Result<Option<OtherRoot>, Fault> {
    let Some(binding) = ledger.binding().await? else { return Ok(None) };
    let (found, _) = tree.root().await?;
    if found.compare(&binding.root) != Sameness::Changed {
        return Ok(None);
    }
    Ok(Some(OtherRoot { accepted: (&binding.root).into(), found: (&found).into() }))
}

/// Accepts the root that is there now, if it is still the one that was shown.
///
/// # Errors
/// `Changed` if it is not; I/O errors.
pub async fn accept_root<T: Tree, L: Ledger>(tree: &T, ledger: &L, shown: &Identity) -> Result<(), Fault> {
    let (found, _) = tree.root().await?;
    let binding = ledger.binding().await?.filter(|_| Identity::from(&found) == *shown);
    let Some(binding) = binding else {
        return Err(Fault::new(Class::Changed, "accept the root", "it changed since it was shown")
            .remedy("look at it again: s3mirrord approve"));
    };
    ledger.commit(vec![Change::Bind(Binding { root: found, ..binding })]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::Database,
        model::{ETag, RelPath},
    };

    fn key(path: &str) -> Key {
        Key::of(&RelPath::new(path.as_bytes()).expect("valid path"))
    }

    #[test]
    fn a_plan_is_known_by_its_name() {
        let name = PlanName { kind: Kind::Deletes, ledger: 0xab, row: 12 };
        let other = PlanName { kind: Kind::Overwrites, ..name };
        assert_eq!(name.to_string(), "00000000000000ab-12");
        assert_eq!(other.to_string(), "00000000000000ab-12-overwrites");
        for name in [name, other] {
            assert_eq!(PlanName::parse(&name.to_string()), Some(name));
        }
        for bad in ["", "ab", "x-1", "ab-", "ab-x", "-1", "ab-1-overwrite", "ab--overwrites"] {
            assert_eq!(PlanName::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn c61_a_plan_covers_what_was_shown_and_nothing_later() {
        let etag = || ETag::new("e");
        let condemn = |path: &str| Change::Condemn(key(path), etag(), u64::MAX);
        let refrain = |path: &str| Change::Refrain(key(path), etag());
        for kind in [Kind::Deletes, Kind::Overwrites] {
            let hold = |path: &str| match kind {
                Kind::Deletes => condemn(path),
                Kind::Overwrites => refrain(path),
            };
            let ledger = Database::scratch().await.expect("a ledger");
            let held = async || plans(&ledger).await.expect("read").pop();
            ledger.commit(vec![hold("a/1"), hold("a/2"), hold("b\n/3"), hold("4")]).await.expect("written");
            if kind == Kind::Deletes {
                assert_eq!(held().await, None, "they are not held");
                ledger.commit(vec![Change::Hold(true)]).await.expect("written");
            }
            let shown = held().await.expect("held");
            let directories = [("a", 2), ("", 1), ("b\\n", 1)].map(|(d, n)| (d.to_owned(), n));
            assert_eq!((shown.kind, shown.objects, &shown.directories[..]), (kind, 4, &directories[..]));
            assert_eq!(shown.samples, ["a/1", "a/2", "b\\n/3", "4"]);

            ledger.commit(vec![hold("later")]).await.expect("written");
            let now = held().await.expect("held");
            assert_ne!(now.name, shown.name);
            let foreign = PlanName { kind, ledger: ledger.id() ^ 1, row: 1 }.to_string();
            let future = PlanName { kind, ledger: ledger.id(), row: u64::MAX }.to_string();
            for bad in [&*foreign, &*future, "x"] {
                assert_eq!(approve(&ledger, bad).await.expect_err(bad).class, Class::Changed);
            }
            approve(&ledger, &shown.name).await.expect("approved");
            let left = held().await.expect("held");
            assert_eq!((left.objects, &left.samples[..]), (1, &["later".to_owned()][..]));
        }
    }

    #[tokio::test]
    async fn c61_deletes_and_replacements_are_plans_of_their_own() {
        let ledger = Database::scratch().await.expect("a ledger");
        let etag = || ETag::new("e");
        let held = vec![
            Change::Condemn(key("gone"), etag(), u64::MAX),
            Change::Refrain(key("changed"), etag()),
            Change::Hold(true),
        ];
        ledger.commit(held).await.expect("written");
        let shown = plans(&ledger).await.expect("read");
        assert_eq!(shown.iter().map(|plan| plan.kind).collect::<Vec<_>>(), [Kind::Deletes, Kind::Overwrites]);
        approve(&ledger, &shown[1].name).await.expect("approved");
        assert_eq!(plans(&ledger).await.expect("read"), shown[..1], "of one alone");
    }
}
