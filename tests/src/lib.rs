//! What the end-to-end tests share: images, roots, the crash injector, the checks.
#![forbid(unsafe_code)]

pub mod trace;
