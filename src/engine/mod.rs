//! L3, the engine.
