//! What an operator is asked: deletes that are held, and a root that is another one. Used by the daemon for
//! those who ask it, and by `approve` itself where no daemon runs.

use crate::{
    ledger::Ledger,
    local::Tree,
    model::{Binding, Change, Class, Fault, Key, RootId, Sameness},
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

/// What names a plan: the ledger and its last row. Rows that come later are not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanName {
    /// The ledger's id.
    pub ledger: u64,
    /// The last row that is covered.
    pub row: u64,
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.ledger, self.row)
    }
}

impl PlanName {
    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (ledger, row) = text.split_once('-')?;
        Some(Self { ledger: u64::from_str_radix(ledger, 16).ok()?, row: row.parse().ok()? })
    }
}

/// Deletes that are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// See [`PlanName`].
    pub name: String,
    /// How many.
    pub deletes: u64,
    /// Of how many files that the ledger knows.
    pub files: u64,
    /// The directories at the top with the most of them, the most first; `""` is the root itself.
    pub directories: Vec<(String, u64)>,
    /// Some of the objects, in the order they were condemned.
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

/// The deletes that are held now; `None` if none are.
///
/// # Errors
/// I/O errors of the ledger.
pub async fn plan<L: Ledger>(ledger: &L) -> Result<Option<Plan>, Fault> {
    if !ledger.held().await? {
        return Ok(None);
    }
    let tally = ledger.tally().await?;
    let (mut directories, mut samples, mut deletes) = (BTreeMap::<String, u64>::new(), vec![], 0);
    let mut after = 0;
    loop {
        let rows = ledger.condemned(after, PAGE).await?;
        let full = rows.len() == PAGE;
        after = rows.last().map_or(after, |row| row.row);
        for row in rows.iter().filter(|row| row.row <= tally.last_row && !row.approved && !row.moved) {
            deletes += 1;
            if samples.len() < SAMPLES {
                samples.push(row.key.path().map_or_else(|| row.key.to_string(), |path| path.to_string()));
            }
            let top = top(&row.key);
            if directories.len() < DIRECTORIES || directories.contains_key(&top) {
                *directories.entry(top).or_default() += 1;
            }
        }
        if !full {
            break;
        }
    }
    if deletes == 0 {
        return Ok(None);
    }
    let mut directories: Vec<_> = directories.into_iter().collect();
    directories.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    directories.truncate(SHOWN);
    let name = PlanName { ledger: ledger.id(), row: tally.last_row }.to_string();
    Ok(Some(Plan { name, deletes, files: tally.records, directories, samples }))
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
    let last = ledger.tally().await?.last_row;
    let plan = parsed.filter(|plan| plan.row <= last).ok_or_else(|| {
        let cause = "the ledger has no such plan, or no longer";
        Fault::new(Class::Changed, format!("approve plan {}", name.escape_debug()), cause)
            .remedy("look at the present one: s3mirrord approve")
    })?;
    ledger.commit(vec![Change::Approve(plan.row)]).await?;
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
        let name = PlanName { ledger: 0xab, row: 12 };
        assert_eq!(name.to_string(), "00000000000000ab-12");
        assert_eq!(PlanName::parse(&name.to_string()), Some(name));
        for bad in ["", "ab", "x-1", "ab-", "ab-x", "-1"] {
            assert_eq!(PlanName::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn c61_a_plan_covers_what_was_shown_and_nothing_later() {
        let ledger = Database::scratch().await.expect("a ledger");
        let condemn = |path: &str| Change::Condemn(key(path), ETag::new("e"), u64::MAX);
        ledger
            .commit(vec![condemn("a/1"), condemn("a/2"), condemn("b\n/3"), condemn("4")])
            .await
            .expect("written");
        assert_eq!(plan(&ledger).await.expect("read"), None, "they are not held");
        ledger.commit(vec![Change::Hold(true)]).await.expect("written");
        let shown = plan(&ledger).await.expect("read").expect("held");
        let directories = [("a", 2), ("", 1), ("b\\n", 1)].map(|(d, n)| (d.to_owned(), n));
        assert_eq!((shown.deletes, &shown.directories[..]), (4, &directories[..]));
        assert_eq!(shown.samples, ["a/1", "a/2", "b\\n/3", "4"]);

        ledger.commit(vec![condemn("later")]).await.expect("written");
        let now = plan(&ledger).await.expect("read").expect("held");
        assert_ne!(now.name, shown.name);
        let foreign = PlanName { ledger: ledger.id() ^ 1, row: 1 }.to_string();
        let future = PlanName { ledger: ledger.id(), row: u64::MAX }.to_string();
        for bad in [&*foreign, &*future, "x"] {
            assert_eq!(approve(&ledger, bad).await.expect_err(bad).class, Class::Changed);
        }
        approve(&ledger, &shown.name).await.expect("approved");
        let left = plan(&ledger).await.expect("read").expect("held");
        assert_eq!((left.deletes, &left.samples[..]), (1, &["later".to_owned()][..]));
    }
}
