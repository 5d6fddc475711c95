//! L1, deciding: pure.
