//! Everything but the simulation, in one binary.

mod config;
mod units;
