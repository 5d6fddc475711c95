//! What people do to files, and what befalls a daemon: each story is played by the real binary on a real
//! directory, against the embedded server, and ends with boto3 saying that bucket and directory are equal.

mod busy;
mod clones;
mod crash;
mod edits;
mod faults;
mod hooks;
mod kinds;
mod names;
mod options;
mod outage;
mod resume;
mod stop;
mod trees;
