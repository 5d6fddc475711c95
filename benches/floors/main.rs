//! What the pure floors cost, by the item: `cargo bench`, or `cargo bench -- merge` for one room.
//!
//! Inputs are those of a tree of a million files in a thousand directories. What is told as items a second is
//! the price of one file on one core, without disk, network and database.

mod codec;
mod decide;
mod gate;
mod merge;
mod pending;
mod sample;

fn main() {
    divan::main();
}
