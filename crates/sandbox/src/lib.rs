//! The launcher: plan, prepare, enter, exec.
#![forbid(unsafe_code)]
