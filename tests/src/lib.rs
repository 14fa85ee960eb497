//! What the end-to-end tests share: images, roots, the crash injector, the checks.
//!
//! | variable | effect |
//! |---|---|
//! | `CTR_BIN_DIR` | where the binaries are; without it they are built, once a run, in the profile of the tests |
//! | `CTR_TEST_TMP` | where roots are made (`/var/tmp`); must be on a disk, not in memory |
//! | `CTR_TEST_WORK` | where images and logs are kept between runs (`target/ctr-tests`) |
//! | `CTR_TEST_USER` | an ordinary user with subordinate ids (`ctr-test`) |
//! | `CTR_CRASH_POINTS` | at how many calls the crash tests strike (40), or `all` |
//! | `CTR_NO_SKIP` | `1`: a test that cannot run here fails, unless `allowed-skips.txt` has the reason |
#![forbid(unsafe_code)]

pub mod attack;
pub mod bins;
pub mod build;
pub mod bundle;
pub mod busybox;
pub mod crash;
pub mod faults;
pub mod groups;
pub mod image_files;
pub mod images;
pub mod leaks;
pub mod matrix;
pub mod oci;
pub mod powerloss;
pub mod private_host;
pub mod probe;
pub mod programs;
pub mod pty;
pub mod rpm;
pub mod schema;
pub mod scratch;
pub mod servers;
pub mod skip;
pub mod static_tree;
pub mod store_check;
pub mod tarball;
pub mod trace;
pub mod tree;
pub mod untar;
pub mod users;
pub mod vectors;
pub mod vt;
