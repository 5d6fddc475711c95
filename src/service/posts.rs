//! The mirrors that a daemon has now, for whoever answers questions about them: it asks at each question.

use super::supervise::Post;
use std::sync::Arc;
use tokio::sync::watch;

/// The mirrors that a daemon has now. Clones show the same, whatever becomes of it.
#[derive(Clone)]
pub struct Posts(watch::Receiver<Arc<[Arc<Post>]>>);

impl Posts {
    /// These to begin with, and the way to put others in their place.
    pub(super) fn new(posts: Arc<[Arc<Post>]>) -> (watch::Sender<Arc<[Arc<Post>]>>, Self) {
        let (place, posts) = watch::channel(posts);
        (place, Self(posts))
    }

    /// All of them at this moment, in the order of the configuration. A mirror is closed when nobody holds it any
    /// more, so this is not to be kept for longer than an answer takes.
    pub fn all(&self) -> Arc<[Arc<Post>]> {
        self.0.borrow().clone()
    }
}
