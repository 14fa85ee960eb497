//! Where the binaries under test are, and where the tests keep what they make.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The binary `name` (`ctr-run`...): in `CTR_BIN_DIR`, else the workspace's own of the profile that runs.
pub fn binary(name: &str) -> PathBuf {
    let path = dir().join(name);
    assert!(path.is_file(), "no {} (build it, or set CTR_BIN_DIR)", path.display());
    path
}

/// The directory of the binaries; builds them first, once a run, unless `CTR_BIN_DIR` names it.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| match std::env::var_os("CTR_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            build();
            profile_dir()
        }
    })
}

/// `target/PROFILE`, from where this test runs: `target/PROFILE/deps/TEST`.
fn profile_dir() -> PathBuf {
    let me = std::env::current_exe().expect("own path");
    me.ancestors().find(|dir| dir.ends_with("deps")).and_then(Path::parent).expect("a test lies in deps/").to_owned()
}

/// `target/ctr-tests`: caches that outlive a run, and what CI reads.
pub fn work_dir() -> PathBuf {
    let dir = match std::env::var_os("CTR_TEST_WORK") {
        Some(dir) => PathBuf::from(dir),
        None => profile_dir().parent().expect("target/PROFILE").join("ctr-tests"),
    };
    fs::create_dir_all(&dir).expect("the tests' directory");
    dir
}

/// Runs `make` unless an earlier call of any process has left `path` complete. `make` gets a path to build at, which is
/// renamed to `path` in the end.
pub fn once(path: &Path, make: impl FnOnce(&Path)) {
    if path.exists() {
        return;
    }
    fs::create_dir_all(path.parent().expect("a parent")).expect("cache directory");
    let lock = File::create(path.with_added_extension("lock")).expect("lock file");
    lock.lock().expect("lock");
    if path.exists() {
        return;
    }
    let half = path.with_added_extension("half");
    if half.is_dir() {
        fs::remove_dir_all(&half).expect("old attempt")
    } else {
        fs::remove_file(&half).unwrap_or_default()
    }
    make(&half);
    fs::rename(&half, path).expect("rename into the cache");
}

fn build() {
    // Every test is a process of its own under nextest: one of a run builds.
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let stamp = work_dir().join("built").join(run);
    once(&stamp, |half| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("Cargo.toml");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--workspace", "--bins", "--exclude", "xtask", "--manifest-path"])
            .arg(manifest);
        match profile_dir().file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => {}
            Some(profile) => {
                cargo.args(["--profile", profile]);
            }
        }
        assert!(cargo.status().expect("run cargo").success(), "the binaries do not build");
        File::create(half).expect("stamp");
    });
}
