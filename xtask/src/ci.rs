//! `cargo xtask ci`: what CI runs, in order of cost, with the time of each step.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::{deny, docs, firewall, fuzz, shell, test};

type Step = fn() -> Result<()>;

const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("firewall", || firewall::run(none())),
    ("deny", || deny::run(none())),
    ("clippy", clippy),
    ("api docs", api_docs),
    ("docs/cli", docs::check_fresh),
    ("fuzz", || fuzz::run(Arguments::new(vec!["--seconds=3".to_owned(), "--plain".to_owned()]))),
    ("test", || test::run(none())),
];

/// A failed step does not keep the others from being run: one run tells everything that is wrong.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    arguments.finish()?;
    let began = Instant::now();
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    for (name, step) in STEPS {
        // The tests come last and close with their runner's summary, so the times so far are printed before them.
        if *name == "test" {
            println!("ci: {} s so far ({})", began.elapsed().as_secs(), times.join(", "));
        }
        println!("=== ci: {name}");
        let start = Instant::now();
        if let Err(error) = step() {
            eprintln!("=== ci: {name} FAILED: {error:#}");
            failures.push(*name);
        }
        let seconds = start.elapsed().as_secs();
        times.push(format!("{name} {seconds} s"));
        // The runner's summary is what the output closes with.
        if *name != "test" {
            eprintln!("=== ci: {name} took {seconds} s");
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("failed: {}", failures.join(", ")) }
}

fn none() -> Arguments {
    Arguments::new(Vec::new())
}

fn format() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    shell::run(shell::cargo().args([
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The libraries' documentation. The binaries' is docs/cli: their doc comments are help texts, where brackets are no links.
fn api_docs() -> Result<()> {
    let mut cargo = shell::cargo();
    // A link to a private item helps who reads the source, and does no harm elsewhere.
    cargo.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    cargo.args(["doc", "--quiet", "--locked", "--no-deps", "--document-private-items", "--keep-going"]);
    for library in ["ctr-sys", "ctr-core", "ctr-layer", "ctr-sandbox", "ctr-cli"] {
        cargo.args(["--package", library]);
    }
    shell::run(&mut cargo)
}
