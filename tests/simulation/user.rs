//! Who changes the disk: a step at a time, while the weather changes and others are at work on the bucket.

use crate::{
    scene::names,
    stranger,
    support::{
        disk::BLOCK,
        world::{Fake, World},
    },
    watcher::Watcher,
    weather::weather,
};
use s3mirrord::model::{RelPath, Scope};

/// A step: what it touched, and if it is to be written to block by block.
type Step = (Vec<Scope>, bool);

pub async fn user(world: Fake, mut watcher: Watcher, steps: u64) -> u64 {
    let names = names();
    for n in 0..steps {
        world.lag(400).await;
        let ((touched, slow), born) = world.with(|w| {
            let p = names[w.rng.usize(0..names.len())].clone();
            let dir = p.parent().unwrap();
            let was = w.disk.is_directory(&dir);
            stranger::acts(w, &names);
            let step = step(w, &names, p);
            (step, (!was && w.disk.is_directory(&dir)).then_some(dir))
        });
        if let Some(dir) = born {
            watcher.born(dir);
        }
        if let (true, Some(Scope::File(p))) = (slow, touched.first()) {
            write_slowly(&world, &mut watcher, p, n).await;
        }
        for scope in touched {
            watcher.tell(scope).await;
        }
    }
    steps
}

fn step(w: &mut World, names: &[RelPath], p: RelPath) -> Step {
    let text = w.rng.u64(..);
    if w.disk.root != w.disk.truth && w.strikes("events of a root that was replaced", 3) {
        w.write_elsewhere(&p, text);
        return (vec![Scope::File(p)], false);
    }
    match w.rng.u8(0..22) {
        0..=5 => return (vec![Scope::File(p)], true),
        6..=8 => w.remove(&p),
        9 => {
            let body = (0..w.rng.usize(0..6) * BLOCK).map(|i| (i as u64 ^ text) as u8).collect();
            w.replace(&p, body);
        }
        10..=12 => {
            let to = names[w.rng.usize(0..names.len())].clone();
            w.rename(&p, &to);
            return (vec![Scope::File(p), Scope::File(to)], false);
        }
        13 => {
            let blocks = w.rng.usize(0..3);
            w.truncate(&p, blocks);
        }
        14 | 15 => {
            let mode = if w.rng.bool() { 0o600 } else { 0o755 };
            w.chmod(&p, mode);
        }
        16 => w.link(&p),
        17 => {
            // a whole directory goes, or most of the tree
            let dir = if w.rng.u8(0..3) == 0 { RelPath::root() } else { p.parent().unwrap() };
            let all: Vec<RelPath> = w.disk.files.keys().filter(|f| f.is_within(&dir)).cloned().collect();
            all.iter().for_each(|f| w.remove(f));
            return (vec![Scope::Tree(dir)], false);
        }
        18 => {
            let to = names[w.rng.usize(0..names.len())].clone();
            if w.may("a hard link") {
                w.hard_link(&p, &to);
            }
            return (vec![Scope::File(to)], false);
        }
        19 => {
            let block = w.rng.usize(0..4);
            if w.may("a silent write") {
                w.write_silently(&p, block, text);
            }
            return (vec![], false);
        }
        _ => weather(w),
    }
    (vec![Scope::File(p)], false)
}

/// In place, block by block.
async fn write_slowly(world: &Fake, watcher: &mut Watcher, p: &RelPath, step: u64) {
    let restless = world.draw(5) == 0;
    for n in 0..1 + world.draw(if restless { 60 } else { 6 }) as usize {
        let block = if restless { world.draw(6) as usize } else { n };
        world.with(|w| match w.may("a silent write") && w.rng.u8(0..4) == 0 {
            true => w.write_silently(p, block, step << 32 | n as u64),
            false => w.write(p, block, step << 32 | n as u64),
        });
        world.lag(if restless { 10 } else { 30 }).await;
        if restless && world.draw(20) == 0 {
            watcher.tell(Scope::File(p.clone())).await;
            world.lag(300).await;
        }
    }
}
