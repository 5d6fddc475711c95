//! What a watcher tells of what happens, and what it does not.

use crate::{
    story::Sabotage,
    support::world::{Fake, World},
};
use s3mirrord::{
    local::Notice,
    model::{Class, Fault, RelPath, Scope},
};
use std::time::Duration;
use tokio::{sync::mpsc, time::Instant};

/// Of what happens in a new directory for so long nothing is told.
const BLIND: Duration = Duration::from_millis(500);

pub struct Watcher {
    world: Fake,
    notices: mpsc::Sender<Notice>,
    sabotage: Sabotage,
    /// So many events are lost yet, until it is told that some were.
    overflow: u64,
    /// Its thread has ended.
    dead: bool,
    blind: Vec<(RelPath, Instant)>,
}

impl Watcher {
    pub fn new(world: Fake, notices: mpsc::Sender<Notice>, sabotage: Sabotage) -> Self {
        Self { world, notices, sabotage, overflow: 0, dead: false, blind: vec![] }
    }

    /// The engine may be dead, or its channel full: that is what rescans are for.
    fn send(&self, notice: Notice) {
        let _ = self.notices.try_send(notice);
    }

    /// A directory was made.
    pub fn born(&mut self, dir: RelPath) {
        if self.world.strikes("events of a new directory missing", 2) {
            self.send(Notice::Look(Scope::Tree(dir.clone())));
            self.blind.push((dir, Instant::now() + BLIND));
        }
    }

    /// The thread ends, or another takes its place.
    fn changes(&mut self) {
        self.dead = !self.dead;
        self.send(match self.dead {
            true => Notice::Degraded(Fault::new(Class::Transient, "watch the root", "the thread ended")),
            false => Notice::Lost("the watcher was begun anew".into()),
        });
    }

    pub async fn tell(&mut self, scope: Scope) {
        if self.sabotage.events_are_deletes {
            self.world.with(|w: &mut World| w.disk.believed_absent.insert(scope.path().clone()));
        }
        if self.world.strikes("the watcher ends and comes back", if self.dead { 5 } else { 30 }) {
            self.changes();
        }
        if self.overflow == 0 && self.world.strikes("events lost to an overflow", 30) {
            self.overflow = 1 + self.world.draw(8);
        }
        if self.overflow > 0 {
            self.overflow -= 1;
            if self.overflow == 0 {
                self.send(Notice::Lost("the queue was too long".into()));
            }
            return;
        }
        self.blind.retain(|(_, until)| Instant::now() < *until);
        if self.dead || self.blind.iter().any(|(dir, _)| scope.path().is_within(dir)) {
            return;
        }
        // as when many files of one directory change at once
        let scope = match scope {
            Scope::File(p) if self.world.strikes("event folded", 6) => Scope::Children(p.parent().unwrap()),
            scope => scope,
        };
        if self.world.strikes("event lost", 6) {
            return;
        }
        if self.world.strikes("event late", 8) {
            self.world.lag(3000).await;
        }
        let doubled = self.world.strikes("event doubled", 6);
        for _ in 0..=u8::from(doubled) {
            self.send(Notice::Look(scope.clone()));
        }
    }
}
