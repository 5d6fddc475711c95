//! An S3 server in the process, for the demo and the tests.
