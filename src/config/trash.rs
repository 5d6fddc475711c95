//! `trash_prefix` and `trash_keep`: where objects go before they are deleted or replaced, and for how long.

use super::{
    limits::{DAY, DeletePolicy, span},
    names::prefix_of,
    problem::Complaint,
    raw::{Given, Reader, Table},
};
use std::time::Duration;

const PREFIX: &str = "trash_prefix";
const KEEP: &str = "trash_keep";

/// The longest prefix that leaves room for the shortest name of any key.
const MOST: usize = 900;
/// The prefix of a mirror below this is that of its trash, unless said otherwise.
const USUAL: &str = "s3mirrord-trash/";
/// How long what is there is kept, unless said otherwise.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where objects go before they are deleted or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trash {
    /// Outside the prefix of every mirror, ending in `/`.
    pub prefix: String,
    /// How long what is there is kept, a day to a hundred years; `None`: for ever.
    pub keep: Option<Duration>,
}

impl Trash {
    /// That of a mirror with this prefix, if it has one. What is wrong is noted.
    pub(super) fn read(
        table: &Table<'_>,
        delete: DeletePolicy,
        mirror: &str,
        reader: &mut Reader<'_>,
    ) -> Option<Given<Self>> {
        if delete != DeletePolicy::Trash {
            for key in [PREFIX, KEEP] {
                if let Some(given) = table.get(key) {
                    let message = format!("`{key}` does nothing without delete = \"trash\"");
                    reader.complain(given.at, Complaint::new(message, "write that, or take it out"));
                }
            }
            return None;
        }
        let keep = keep(table, reader).unwrap_or(Some(MONTH));
        let Some(given) = table.text(PREFIX, reader) else {
            let at = table.get(PREFIX).or_else(|| table.get("delete")).and_then(|given| given.at);
            let prefix = reader.check(at, fit(format!("{USUAL}{mirror}")))?;
            return Some(Given { at, value: Self { prefix, keep } });
        };
        let prefix = reader.check(given.at, prefix(given.value))?;
        Some(Given { at: given.at, value: Self { prefix, keep } })
    }
}

fn prefix(text: &str) -> Result<String, Complaint> {
    let prefix = prefix_of(PREFIX, text, MOST)?;
    let nowhere = || Complaint::new("`trash_prefix = \"\"` is the whole bucket", "write a prefix of its own");
    Some(prefix).filter(|prefix| !prefix.is_empty()).ok_or_else(nowhere)
}

/// One that has room for the shortest name of any key.
fn fit(prefix: String) -> Result<String, Complaint> {
    let wrong =
        || Complaint::new("the trash beside this prefix leaves no room for names", "write a trash_prefix");
    Some(prefix).filter(|prefix| prefix.len() <= MOST).ok_or_else(wrong)
}

fn keep(table: &Table<'_>, reader: &mut Reader<'_>) -> Option<Option<Duration>> {
    let ever = table.get(KEEP).and_then(|given| given.value.as_str()) == Some("forever");
    if ever { Some(None) } else { span(table, KEEP, DAY..=36_500 * DAY, reader).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Problems, Surroundings};
    use std::path::Path;

    fn parse(text: &str) -> Result<Config, Problems> {
        let around = Surroundings { superuser: true, ..Surroundings::default() };
        Config::parse(text, Path::new("c.toml"), &around)
    }

    fn mirror(name: &str, more: &str) -> String {
        format!("[[mirror]]\nname = \"{name}\"\nroot = \"/no/{name}\"\nbucket = \"backups\"\n{more}")
    }

    #[test]
    fn a_trash_lies_outside_every_mirror_and_is_of_one() {
        const TRASH: &str = "delete = \"trash\"";
        let read = |lines: &str| parse(&mirror("one", lines)).expect("valid").mirrors[0].trash.clone();
        let days = |n: u64| Some(Duration::from_secs(n * 86_400));
        for (lines, prefix, keep) in [
            ("prefix = \"web-1/www\"", "s3mirrord-trash/web-1/www/", days(30)),
            ("prefix = \"www\"\ntrash_prefix = \"old\"\ntrash_keep = \"2d\"", "old/", days(2)),
            ("prefix = \"www\"\ntrash_keep = \"forever\"", "s3mirrord-trash/www/", None),
        ] {
            let want = Trash { prefix: prefix.to_owned(), keep };
            assert_eq!(read(&format!("{TRASH}\n{lines}")), Some(want), "{lines}");
        }
        assert_eq!(read(""), None);
        let long = format!("prefix = \"{}\"", "x".repeat(890));
        for (first, second, line, says) in [
            // the whole bucket is the mirror
            ("delete = \"trash\"", "s3.endpoint_url = \"http://h\"", 5, "give that mirror a prefix"),
            (
                "prefix = \"a\"\ntrash_prefix = \"a/t\"\ndelete = \"trash\"",
                "prefix = \"b\"",
                6,
                "the prefix \"a/\" of `one`",
            ),
            (
                "prefix = \"a/b\"\ntrash_prefix = \"a\"\ndelete = \"trash\"",
                "prefix = \"b\"",
                6,
                "neither equal",
            ),
            (
                "prefix = \"a\"\ntrash_prefix = \"b/t\"\ndelete = \"trash\"",
                "prefix = \"b\"",
                6,
                "the prefix \"b/\" of `two`",
            ),
            ("prefix = \"a\"\ndelete = \"trash\"", "prefix = \"s3mirrord-trash\"", 6, "of `two`"),
            (
                "prefix = \"a\"\ntrash_prefix = \"t\"\ndelete = \"trash\"",
                "prefix = \"b\"\ntrash_prefix = \"t\"\ndelete = \"trash\"",
                13,
                "the trash \"t/\" of `one`",
            ),
            ("prefix = \"a\"\ntrash_prefix = \"\"\ndelete = \"trash\"", "prefix = \"b\"", 6, "of its own"),
            (
                "prefix = \"a\"\ntrash_prefix = \"/t\"\ndelete = \"trash\"",
                "prefix = \"b\"",
                6,
                "trash_prefix = \"t/\"",
            ),
            ("prefix = \"a\"\ntrash_keep = \"1h\"\ndelete = \"trash\"", "prefix = \"b\"", 6, "from 1day"),
            (&format!("delete = \"trash\"\n{long}"), "prefix = \"b\"", 5, "leaves no room"),
        ] {
            let text = format!("{}\n{}", mirror("one", first), mirror("two", second));
            let told = parse(&text).expect_err(first);
            assert_eq!(told.list.len(), 1, "{told}");
            assert_eq!(told.list[0].line, Some(line), "{told}");
            assert!(told.to_string().contains(says), "{says}: {told}");
        }
        // in another bucket, and beside each other
        let text = format!(
            "{}\n{}",
            mirror("one", "prefix = \"a\"\ndelete = \"trash\""),
            mirror("two", "prefix = \"s3mirrord-trash\"\ns3.endpoint_url = \"http://h\"")
        );
        parse(&text).expect("another store");
        let both = |n: &str| mirror(n, &format!("prefix = \"{n}\"\ndelete = \"trash\""));
        parse(&format!("{}\n{}", both("one"), both("two"))).expect("each has its own");
    }
}
