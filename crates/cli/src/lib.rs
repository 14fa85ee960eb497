//! What every ctr binary shares at its command line.
#![forbid(unsafe_code)]
