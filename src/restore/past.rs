//! How the bucket can be had as it was: by the versions that it keeps, else by what the trash holds; and if by neither,
//! why not. What cannot be known is refused, not guessed.

use crate::{
    model::{Class, Fault, Key, RESERVED, Reach},
    plan::Moment,
    store::{S3, Store, patiently},
};
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the end of this second, counted since 1970.
    At(i64),
    /// So long before now, by the store's clock.
    Ago(Duration),
}

/// How what was at a moment is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// By the versions that the bucket keeps.
    Versions(Moment),
    /// By what is there, and by a trash of this prefix.
    Trash(Moment, String),
}

impl Past {
    /// Finds a way. `now`: seconds since 1970 by this host's clock, where the store tells no time.
    ///
    /// # Errors
    /// `Fatal` if there is none.
    pub async fn find(store: &S3, when: When, now: i64) -> Result<Self, Fault> {
        let owner = Key::raw(format!("{RESERVED}owner.json"));
        let record = patiently(|| store.read(&owner)).await?;
        let reach = record.and_then(|(body, _)| reach(&body));
        let now = store.clock().unwrap_or(now);
        let moment = Moment(match when {
            When::At(at) => at,
            When::Ago(span) => now.saturating_sub(i64::try_from(span.as_secs()).unwrap_or(i64::MAX)),
        });
        let mut why = match versioned(store, moment).await {
            Ok(None) => return Ok(Self::Versions(moment)),
            Ok(Some(why)) => why,
            // nobody may ask, or the store does not know of versions
            Err(fault) if matches!(fault.class, Class::Denied | Class::Permanent) => fault.to_string(),
            Err(fault) => return Err(fault),
        };
        match reach {
            Some(reach) if reach.back_to(now) <= moment.0 => return Ok(Self::Trash(moment, reach.prefix)),
            Some(reach) => why += &format!("; its trash reaches back to {}", time(reach.back_to(now))),
            None => why += "; and it has no trash (`delete = \"trash\"`)",
        }
        Err(Fault::new(Class::Fatal, format!("restore what was at {}", time(moment.0)), why).remedy(
            "choose a later time, or leave --at out to restore what is there now; for the next time, turn on \
             versioning of the bucket, or `delete = \"trash\"`",
        ))
    }
}

/// A time as it is told.
pub(super) fn time(sec: i64) -> String {
    Timestamp::from_second(sec).map_or_else(|_| format!("second {sec}"), |at| at.to_string())
}

/// What the owner record tells of the trash.
fn reach(body: &[u8]) -> Option<Reach> {
    #[derive(Deserialize)]
    struct Record {
        trash: Option<Reach>,
    }
    serde_json::from_slice::<Record>(body).ok()?.trash
}

/// `None` if a version shows that the bucket kept them by then; else why it cannot be had by them.
async fn versioned(store: &S3, moment: Moment) -> Result<Option<String>, Fault> {
    // whoever may not ask, or is not understood, may be shown them nevertheless
    if let Ok(false) = store.ever_kept_versions().await {
        return Ok(Some("the bucket keeps no versions".to_owned()));
    }
    let (all, mut next) = (Key::raw(""), None);
    loop {
        let page = patiently(|| store.versions(&all, next.clone())).await?;
        if page.versions.iter().any(|(_, version)| moment.proves(version)) {
            return Ok(None);
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    Ok(Some(
        "nothing below the prefix shows that the bucket kept versions by then: what was overwritten or deleted before it \
         did is gone"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_older_versions_tell_of_no_trash() {
        assert_eq!(reach(b"{\"version\":1,\"host\":\"h\"}"), None);
        assert_eq!(reach(b"no record"), None);
        let told = reach(b"{\"version\":1,\"trash\":{\"prefix\":\"t/\",\"since\":5,\"keep\":null}}");
        assert_eq!(told, Some(Reach { prefix: "t/".into(), since: 5, keep: None }));
        assert_eq!(time(1_795_953_013), "2026-11-29T11:50:13Z");
    }
}
