//! L1, queueing: pure.
