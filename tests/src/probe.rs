//! A hostile program for the attack tests: `probe.c`, static, at `/probe` of a busybox image.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bins::{once, work_dir};
use crate::images;
use crate::scratch::{Cmd, Done, Root};
use crate::tarball::Tar;

const SOURCE: &str = include_str!("probe.c");

/// The program on the host, compiled once.
pub fn program() -> PathBuf {
    // Its name has the source's length and sum, so that a change makes a new one.
    let sum = SOURCE.bytes().fold(0u32, |sum, byte| sum.rotate_left(5) ^ u32::from(byte));
    let path = work_dir().join("images").join(format!("probe-{:x}-{sum:08x}", SOURCE.len()));
    once(&path, |half| {
        let source = half.with_extension("c");
        fs::write(&source, SOURCE).expect("write");
        Cmd::new("musl-gcc").args(["-static", "-O1", "-Wall", "-Werror", "-o"]).arg(half).arg(&source).ok();
    });
    path
}

/// A root with busybox and the probe as image `probe`.
pub fn root() -> Root {
    let root = Root::new();
    fetch(&root);
    root
}

/// Brings the image `probe` into a root.
pub fn fetch(root: &Root) {
    let layer = Tar::new().file("probe", 0o755, fs::read(program()).expect("the probe")).finish();
    root.fetch(&images::busybox_with(&root.file("probe-layout"), &[layer]), "probe");
}

/// Runs `/probe WORDS` inside.
pub fn run(root: &Root, options: &[&str], words: &[&str]) -> Done {
    let args = ["--wait", "--rm", "--log=inherit"];
    let command = root.ctr("run").args(args).args(options.iter().copied());
    command.args(["probe", "/probe"]).args(words.iter().copied()).run()
}

/// What it reached: the lines that it printed. It must have run to its end.
#[track_caller]
pub fn reached(root: &Root, options: &[&str], words: &[&str]) -> Vec<String> {
    let done = run(root, options, words);
    assert_eq!(done.code, 0, "{options:?} {words:?}: {done}");
    done.stdout.lines().map(|line| line.trim_start_matches("reached ").to_owned()).collect()
}

/// Runs the probe on the host, as the caller of something.
pub fn on_host(words: &[&str]) -> Cmd {
    Cmd::new(program() as PathBuf).args(words.iter().copied())
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}
