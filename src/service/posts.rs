//! The mirrors that a daemon has now, for whoever answers questions about them: it asks at each question.

use super::supervise::Post;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The mirrors that a daemon has now. Clones show the same, whatever becomes of it.
#[derive(Clone)]
pub struct Posts {
    all: watch::Receiver<Arc<[Arc<Post>]>>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Posts {
    /// These to begin with, and the way to put others in their place.
    pub(super) fn new(posts: Arc<[Arc<Post>]>) -> (watch::Sender<Arc<[Arc<Post>]>>, Self) {
        let (place, all) = watch::channel(posts);
        (place, Self { all, refused: Arc::default() })
    }

    /// All of them at this moment, in the order of the configuration. A mirror is closed when nobody holds it any
    /// more, so this is not to be kept for longer than an answer takes.
    pub fn all(&self) -> Arc<[Arc<Post>]> {
        self.all.borrow().clone()
    }

    /// Why the configuration that was read last was not taken: they are as one before it says.
    pub fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration was read anew, and taken unless there is a reason why not.
    pub(super) fn were_read_anew(&self, refused: Option<String>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}
