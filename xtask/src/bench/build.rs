//! Building images of Dockerfiles, beside buildah with the runtime that it would have (`--isolation oci --runtime runc`).

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::contest::{Contestant, interleave};
use crate::bench::report::{CPU, PEAK, Report, WALL};
use crate::bench::stage::Stage;
use crate::shell;

/// Files of the large context, in so many directories.
const FILES: usize = 20_000;
const DIRECTORIES: usize = 100;

/// Bytes of the large layer.
const LARGE: u64 = 2 << 30;

pub(super) fn build(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    contexts(stage)?;
    let buildah = buildah(stage);
    if let Err(error) = load(stage, &buildah) {
        report.lines(&[format!("build: left out, buildah has no base image here ({error})")]);
        eprintln!("{error:#}");
        return Ok(());
    }
    let stopwatch = stage.word("measure");
    for (title, note, context, cold) in [
        ("Ten RUN", "A layer for each of ten RUN that write a file, no cache.", "run", true),
        ("Ten RUN again", "Nothing changed.", "run", false),
        ("COPY of 20,000 files", "76 MB in 100 directories, no cache.", "copy", true),
        ("COPY of 20,000 files again", "Nothing changed.", "copy", false),
        (
            "Four stages",
            "Four stages of `RUN sleep 1` that do not need each other, and one that needs all; usual options.",
            "stages",
            true,
        ),
    ] {
        let mut contestants = contestants(stage, &buildah, context, cold);
        if !cold {
            for contestant in &contestants {
                contestant
                    .measure(&stopwatch, 1, 1)
                    .with_context(|| format!("a first build by {}", contestant.name))?;
            }
        }
        interleave(&mut contestants, &stopwatch, rounds, 1);
        report.table(&format!("Build: {title}"), note, &contestants, &[CPU, WALL, PEAK]);
    }
    large(stage, report)
}

/// One file of 2 GB, by COPY and by RUN: what matters is memory.
fn large(stage: &Stage, report: &mut Report) -> Result<()> {
    let stopwatch = stage.word("measure");
    let mut contestants = Vec::new();
    for (name, context) in [("ctr-build, COPY", "large"), ("ctr-build, RUN", "largerun")] {
        let mut contestant = ours(stage, context, true);
        name.clone_into(&mut contestant.name);
        contestant.costs.extend(contestant.measure(&stopwatch, 1, 1)?.0);
        contestants.push(contestant);
    }
    report.table("Build: a layer of 2 GB", "Once each.", &contestants, &[CPU, WALL, PEAK]);
    Ok(())
}

fn contexts(stage: &Stage) -> Result<()> {
    let write = |context: &str, dockerfile: &str| -> Result<()> {
        fs::create_dir_all(stage.path("build").join(context))?;
        Ok(fs::write(stage.path("build").join(context).join("Dockerfile"), dockerfile)?)
    };
    let mut run = "FROM localhost/small\n".to_owned();
    for number in 0..10 {
        writeln!(run, "RUN echo {number} > /file-{number}")?;
    }
    write("run", &run)?;
    let mut stages = String::new();
    for number in 0..4 {
        writeln!(stages, "FROM localhost/small AS s{number}\nRUN sleep 1; echo {number} > /out")?;
    }
    stages.push_str("FROM localhost/small\n");
    for number in 0..4 {
        writeln!(stages, "COPY --from=s{number} /out /out-{number}")?;
    }
    write("stages", &stages)?;
    write("copy", "FROM localhost/small\nCOPY files /files\n")?;
    for number in 0..FILES {
        let dir = stage.path("build/copy/files").join(format!("d{}", number % DIRECTORIES));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(format!("f{number}")), format!("line {number} of a file of the context\n").repeat(100))?;
    }
    write("large", "FROM localhost/small\nCOPY large /large\n")?;
    shell::output(Command::new("sh").args([
        "-c",
        &format!(
            "openssl enc -aes-128-ctr -pass pass:x -nosalt -pbkdf2 < /dev/zero 2>/dev/null | head -c {LARGE} > {}",
            stage.word("build/large/large")
        ),
    ]))?;
    write(
        "largerun",
        &format!("FROM localhost/small\nRUN /bin/busybox dd if=/dev/urandom of=/large bs=1M count={}\n", LARGE >> 20),
    )
}

fn buildah(stage: &Stage) -> Vec<String> {
    let (root, run) = (stage.word("buildah"), stage.word("buildah-run"));
    ["buildah", "--root", &root, "--runroot", &run, "--storage-driver", "overlay"].map(str::to_owned).to_vec()
}

/// The base image under the same name in both stores.
fn load(stage: &Stage, buildah: &[String]) -> Result<()> {
    let archive = stage.word("small.tar");
    shell::output(stage.ctr("ctr-fetch").args([&archive, "--name", "localhost/small"]))?;
    let Some((program, words)) = buildah.split_first() else { return Ok(()) };
    let image = format!("oci-archive:{archive}");
    let from = shell::output(Command::new(program).args(words).args(["pull", "--quiet", &image]))?;
    shell::output(Command::new(program).args(words).args(["tag", from.trim(), "localhost/small"])).map(drop)
}

fn ours(stage: &Stage, context: &str, cold: bool) -> Contestant {
    let (program, root) = (stage.binary("ctr-build"), stage.word("ctr"));
    let context = stage.word(&format!("build/{context}"));
    let mut words = vec![program.as_str(), "--root", &root, "--quiet", "--pull=never", "--tag", "bench"];
    words.extend(cold.then_some("--no-cache"));
    words.push(&context);
    Contestant::new("ctr-build", &words)
}

fn contestants(stage: &Stage, buildah: &[String], context: &str, cold: bool) -> Vec<Contestant> {
    let directory = stage.word(&format!("build/{context}"));
    let mut words: Vec<&str> = buildah.iter().map(String::as_str).collect();
    words.extend(["bud", "--quiet", "--isolation", "oci", "--runtime", "runc", "--network", "host"]);
    words.extend(["--pull=never", "--layers", "--tag", "bench"]);
    words.extend(cold.then_some("--no-cache"));
    words.push(&directory);
    vec![ours(stage, context, cold), Contestant::new("buildah", &words)]
}
