//! The busybox image, run and looked at from inside.

use crate::scratch::{Done, Root};
use crate::{leaks, store_check};

/// `ctr-run --wait --rm OPTIONS busybox COMMAND`.
pub fn run(root: &Root, options: &[&str], command: &[&str]) -> Done {
    let args = ["--wait", "--rm", "--log=inherit"];
    root.ctr("run").args(args).args(options.iter().copied()).arg("busybox").args(command.iter().copied()).run()
}

/// What a shell script inside prints.
#[track_caller]
pub fn inside(root: &Root, options: &[&str], script: &str) -> String {
    run(root, options, &["sh", "-c", script]).ok()
}

/// No container is left in the store, and nothing of any on the host.
#[track_caller]
pub fn assert_nothing_left(root: &Root, what: &str) {
    let remains: Vec<String> =
        store_check::remains(&root.path()).into_iter().filter(|path| path.starts_with("containers/")).collect();
    assert_eq!(remains, Vec::<String>::new(), "{what}");
    assert_eq!(leaks::outside(&root.path(), &[]), Vec::<String>::new(), "{what}");
}
