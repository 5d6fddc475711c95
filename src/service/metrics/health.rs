//! Whether a daemon lives, and whether it is ready: what is answered to those who start and stop it.

use crate::service::supervise::Post;
use std::{fmt::Write, sync::Arc};

/// What is wrong, a line for each mirror; `Ok` if nothing is.
pub(super) type Verdict = Result<(), String>;

/// It turns, or nobody would answer; and the watcher of each mirror gives signs of life.
pub(super) fn alive(posts: &[Arc<Post>]) -> Verdict {
    verdict(posts, |post| (!post.lives()).then(|| "its watcher gives no sign of life".to_owned()))
}

/// Each mirror is watched, and its root and prefix are open: nothing is in its way.
pub(super) fn ready(posts: &[Arc<Post>]) -> Verdict {
    verdict(posts, |post| match post.trouble() {
        Some(fault) => Some(fault.to_string()),
        None if post.is_over() => Some("it has ended".to_owned()),
        None if !post.is_up() => Some("it is not open and watched yet".to_owned()),
        None => None,
    })
}

fn verdict(posts: &[Arc<Post>], wrong: impl Fn(&Post) -> Option<String>) -> Verdict {
    let mut text = String::new();
    for post in posts {
        if let Some(why) = wrong(post) {
            let _ = writeln!(text, "{}: {}", post.mirror.name, why.escape_debug());
        }
    }
    if text.is_empty() { Ok(()) } else { Err(text) }
}
