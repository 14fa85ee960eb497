//! Real servers as fixtures: docker-registry and nginx of Debian, each on a port of 127.0.0.1 of its own, ended when the
//! fixture is dropped; if the test fails its log is shown.
//!
//! ```no_run
//! use ctr_tests::images;
//! use ctr_tests::servers::{DockerRegistry, Login};
//!
//! let registry = DockerRegistry::new().login(Login::Basic("bob", "secret")).start();
//! let name = registry.name("demo:1");
//! images::skopeo_copy(&["--dest-tls-verify=false", "--dest-creds=bob:secret"], &images::busybox(), &format!("docker://{name}"));
//! ```

mod files;
mod jwt;
mod nginx;
mod process;
mod registry;

pub use files::FileServer;
pub use jwt::TokenServer;
pub use nginx::Nginx;
pub use registry::{DockerRegistry, Login, RunningRegistry};
