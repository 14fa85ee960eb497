//! Images of a registry on this machine: brought here the first time, asked for again, pushed again.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::contest::{Contestant, interleave};
use crate::bench::import::debian;
use crate::bench::report::{CPU, PEAK, Report, WALL};
use crate::bench::stage::Stage;
use crate::shell;

/// Debian's docker-registry, with a directory of the stage.
struct Registry {
    server: Child,
    address: String,
}

impl Registry {
    fn start(stage: &Stage) -> Result<Self> {
        // The port is free again when the listener goes; nobody else takes ports of this range in between.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            stage.word("registry")
        );
        fs::write(stage.path("registry.yml"), config)?;
        let log = fs::File::create(stage.path("registry.log"))?;
        let mut command = Command::new("docker-registry");
        command.args(["serve", &stage.word("registry.yml")]).stdout(Stdio::null()).stderr(log);
        let registry = Self { server: command.spawn().context("start docker-registry")?, address };
        for _ in 0..100 {
            if TcpStream::connect(&registry.address).is_ok() {
                return Ok(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("docker-registry does not listen at {}", registry.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It ends with the stage; that it is gone already is all right.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The image of one Debian layer and two more of this machine's own files, as a layout and in the registry.
fn three_layers(stage: &Stage, address: &str) -> Result<String> {
    debian(stage)?;
    let layout = stage.word("layout");
    let image = format!("{layout}:three");
    shell::output(Command::new("umoci").args(["tag", "--image", &format!("{layout}:debian"), "three"]))?;
    for directory in ["/usr/include", "/usr/share/doc"] {
        let to = format!("/more{directory}");
        shell::output(Command::new("umoci").args(["insert", "--image", &image, directory, &to]))?;
    }
    let name = format!("{address}/debian:three");
    let to = format!("docker://{name}");
    shell::output(Command::new("skopeo").args([
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        &format!("oci:{image}"),
        &to,
    ]))?;
    Ok(name)
}

pub(super) fn registry(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let server = Registry::start(stage)?;
    let name = match three_layers(stage, &server.address) {
        Ok(name) => name,
        Err(error) => {
            report.lines(&[format!("registry: left out, no image could be made here ({error})")]);
            eprintln!("{error:#}");
            return Ok(());
        }
    };
    fetch(stage, &name, rounds, report)?;
    again(stage, &name, &server.address, rounds, report)
}

/// Each run has a new store, so that nothing is known before.
fn fetch(stage: &Stage, name: &str, rounds: usize, report: &mut Report) -> Result<()> {
    let stopwatch = stage.word("measure");
    let (ours, theirs) = (stage.word("fetched"), stage.word("pulled"));
    let (copy, bundle) = (stage.word("copied"), stage.word("unpacked"));
    let podman = [
        "podman",
        "--root",
        &theirs,
        "--runroot",
        &stage.word("pulled-run"),
        "pull",
        "--quiet",
        "--tls-verify=false",
        name,
    ];
    let both = format!(
        "skopeo copy --quiet --src-tls-verify=false docker://{name} oci:{copy}:three && umoci unpack --image {copy}:three {bundle}"
    );
    let mut contestants = vec![
        Contestant::new("ctr-fetch", &[&stage.binary("ctr-fetch"), "--quiet", "--root", &ours, name]),
        Contestant::new("podman pull", &podman),
        Contestant::new("skopeo copy, umoci unpack", &["sh", "-c", &both]),
    ];
    for round in 0..=rounds {
        for contestant in &mut contestants {
            let (costs, _) = contestant.measure(&stopwatch, 1, 1)?;
            if round > 0 {
                contestant.costs.extend(costs);
            }
            shell::succeeds(Command::new("umount").arg(format!("{theirs}/overlay")));
            stage.put_aside(&[&ours, &theirs, &copy, &bundle])?;
            // What one wrote must not be flushed in the time of the next.
            shell::output(&mut Command::new("sync"))?;
        }
    }
    report.table(
        "Fetch",
        "A Debian image of three layers from a registry on this machine into a new store, verified and unpacked.",
        &contestants,
        &[WALL, CPU, PEAK],
    );
    Ok(())
}

/// What is known already.
fn again(stage: &Stage, name: &str, address: &str, rounds: usize, report: &mut Report) -> Result<()> {
    let stopwatch = stage.word("measure");
    let ours = stage.word("again");
    let fetch = stage.binary("ctr-fetch");
    shell::output(Command::new(&fetch).args(["--quiet", "--root", &ours, name]))?;
    let remote = format!("docker://{name}");
    let mut asked = vec![
        Contestant::new("ctr-fetch, unchanged", &[&fetch, "--quiet", "--root", &ours, name]),
        Contestant::new("skopeo inspect", &["skopeo", "inspect", "--tls-verify=false", &remote]),
    ];
    interleave(&mut asked, &stopwatch, rounds, 1);
    report.table(
        "Fetch of an unchanged tag",
        "One HEAD beside what skopeo needs to look at it.",
        &asked,
        &[WALL, CPU, PEAK],
    );
    let to = format!("{address}/again:three");
    let skopeo_to = format!("docker://{address}/again:skopeo");
    let from = format!("oci:{}:three", stage.word("layout"));
    let mut pushed = vec![
        Contestant::new("ctr-push", &[&stage.binary("ctr-push"), "--quiet", "--root", &ours, name, &to]),
        Contestant::new("skopeo copy", &["skopeo", "copy", "--quiet", "--dest-tls-verify=false", &from, &skopeo_to]),
    ];
    interleave(&mut pushed, &stopwatch, rounds, 1);
    report.table("Push of an image that is there", "Nothing is uploaded.", &pushed, &[WALL, CPU, PEAK]);
    let mut versions = vec![
        Contestant::new("ctr-fetch --version", &[&fetch, "--version"]),
        Contestant::new("skopeo --version", &["skopeo", "--version"]),
    ];
    interleave(&mut versions, &stopwatch, rounds, 5);
    report.table("Start of the program", "", &versions, &[WALL, CPU, PEAK]);
    Ok(())
}
