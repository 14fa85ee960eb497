//! Small C programs of the tests (`tests/programs`), compiled statically once, for containers to run.

use std::path::{Path, PathBuf};

use crate::bins::{once, work_dir};
use crate::oci::digest;
use crate::scratch::Cmd;
use crate::skip::missing;

/// The compiler that is here: musl's makes the smaller programs.
pub fn compiler() -> Option<&'static str> {
    ["musl-gcc", "cc"].into_iter().find(|name| missing(false, &[name]).is_none())
}

/// The executable of `tests/programs/NAME.c`.
pub fn program(name: &str) -> PathBuf {
    let compiler = compiler().expect("a C compiler: the test asks for one first");
    compiled(compiler, &["-static"], name)
}

/// Compiled by this compiler, with these flags after the source.
pub fn compiled(compiler: &str, flags: &[&str], name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(format!("{name}.c"));
    let text = std::fs::read(&source).expect("the source");
    let version = digest(&[&text, compiler.as_bytes(), flags.join(" ").as_bytes()].concat());
    let path = work_dir().join("programs").join(format!("{name}-{}", &version[7..19]));
    once(&path, |half| {
        Cmd::new(compiler).args(["-O2", "-o"]).arg(half).arg(&source).args(flags.iter().copied()).ok();
    });
    path
}
