//! L4, the verbs: one file each.
