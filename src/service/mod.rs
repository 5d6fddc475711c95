//! L4, what a daemon needs around the engine.
