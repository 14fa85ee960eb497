//! `cargo xtask demo`: a first container from nothing, by the real binaries, with what each prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::binaries::{self, Profile};
use crate::shell;

const NEEDED: &[&str] = &[
    "ctr-build",
    "ctr-image",
    "ctr-fetch",
    "ctr-login",
    "ctr-run",
    "ctr-ps",
    "ctr-push",
    "ctr-exec",
    "ctr-attach",
    "ctr-logs",
    "ctr-stop",
    "ctr-oci",
    "ctr-rm",
    "ctr-volume",
    "ctr-gc",
    "hello",
];

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    arguments.finish()?;
    let start = Instant::now();
    let built = binaries::build(NEEDED, Profile::Demo)?;
    eprintln!("built in {} s: {}", start.elapsed().as_secs(), if built.is_static { "static" } else { "glibc" });
    let start = Instant::now();
    let stage = Stage::new(built.directory)?;
    let shown = stage.show(built.is_static);
    let swept = stage.sweep();
    shown.and(swept)?;
    println!("\nThat took {:.1} s. Nothing is left: no process, no mount, no file.", start.elapsed().as_secs_f32());
    Ok(())
}

/// The demo's own temporary directory with its own root.
struct Stage {
    binaries: PathBuf,
    directory: PathBuf,
}

impl Stage {
    fn new(binaries: PathBuf) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("ctr-demo-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("create {}", directory.display()))?;
        Ok(Self { binaries, directory })
    }

    fn show(&self, is_static: bool) -> Result<()> {
        let rootfs = self.directory.join("rootfs");
        fs::create_dir(&rootfs)?;
        fs::copy(self.binaries.join("hello"), rootfs.join("hello")).context("copy the example program")?;
        say("An image is a directory and a command. This one holds a single program.");
        self.ctr("ctr-image", &["pack", "rootfs", "--entrypoint", "/hello", "-o", "hello.aci"])?;
        say("Bring it into the store.");
        self.ctr("ctr-fetch", &["hello.aci", "--name", "hello"])?;
        self.ctr("ctr-image", &["list"])?;
        say("Images of registries come by their names. Whom is one asked of, and as whom?");
        self.ctr("ctr-login", &["--which", "registry.example.com/team/app:1"])?;
        say(
            "And they go where others find them: here into a tree of files, which any web server hands out as a registry.",
        );
        self.ctr("ctr-push", &["hello", "static:www"])?;
        if !is_static {
            println!(
                "\nThe example program was built against glibc, which the image does not hold: running it is skipped."
            );
            return Ok(());
        }
        self.build()?;
        say("Run it, and stay until it ends.");
        self.ctr("ctr-run", &["--wait", "--rm", "hello"])?;
        say("Run one that stays: ctr-run ends when the program has started, and nothing of ours remains outside.");
        self.ctr("ctr-run", &["--name", "sleeper", "hello", "sleep", "600"])?;
        self.ctr("ctr-ps", &[])?;
        self.ctr("ctr-logs", &["sleeper"])?;
        say("Execute one more program in it, by the same profile.");
        self.ctr("ctr-exec", &["sleeper", "/hello"])?;
        say("A program with a terminal that nobody looks at yet; then somebody does, until it ends.");
        self.ctr("ctr-run", &["--rm", "--tty", "--detach", "--name", "short", "hello", "sleep", "2"])?;
        self.ctr("ctr-attach", &["--no-stdin", "short"])?;
        say("Stop the other one, and see how it ended.");
        self.ctr("ctr-stop", &["sleeper"])?;
        self.ctr("ctr-ps", &["--all"])?;
        say("Remove it.");
        self.ctr("ctr-rm", &["sleeper"])?;
        say("A volume by name outlives its containers, and is removed by name alone.");
        self.ctr("ctr-volume", &["create", "data"])?;
        self.ctr("ctr-run", &["--wait", "--rm", "--volume", "data:/data", "hello"])?;
        self.ctr("ctr-volume", &["ls"])?;
        self.ctr("ctr-volume", &["rm", "data"])?;
        say("A program that does not exist: at once, with the reason.");
        self.fails("ctr-run", &["--entrypoint", "/nothing", "hello"], 127)?;
        say("Collect what is dead.");
        self.ctr("ctr-gc", &["--grace", "0s"])?;
        self.bundle()
    }

    /// An image from a Dockerfile, twice: the second time nothing is left to do.
    fn build(&self) -> Result<()> {
        say("Images are built of Dockerfiles: the program above is the base of this one.");
        let dockerfile = "FROM hello\nRUN [\"/hello\"]\nCOPY hello.aci /as-a-file\nENV GREETING=built\n";
        print!("$ cat > Dockerfile\n{dockerfile}");
        fs::write(self.directory.join("Dockerfile"), dockerfile).context("write a Dockerfile")?;
        fs::write(self.directory.join(".dockerignore"), "root\nwww\n").context("write a .dockerignore")?;
        self.ctr("ctr-build", &["--tag", "built", "."])?;
        say("Again: every step is known. The same inputs give the same digest, on every machine.");
        self.ctr("ctr-build", &["--tag", "built", "."])
    }

    /// The second face of the launcher, which engines call.
    fn bundle(&self) -> Result<()> {
        say("The same program from an OCI bundle, as Podman, containerd, Docker and Slurm have their containers run.");
        self.ctr("ctr-oci", &["spec"])?;
        if !is_root() {
            println!(
                "\nAn engine of an ordinary user calls ctr-oci in a user namespace of its own: running it by hand is skipped."
            );
            return Ok(());
        }
        println!("$ sed -i 's|\"terminal\": true|\"terminal\": false|; s|\"sh\"|\"/hello\"|' config.json");
        let path = self.directory.join("config.json");
        let config = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        fs::write(&path, config.replace("\"terminal\": true", "\"terminal\": false").replace("\"sh\"", "\"/hello\""))
            .with_context(|| format!("write {}", path.display()))?;
        self.ctr("ctr-oci", &["--root", "bundles", "run", "first"])
    }

    fn command(&self, binary: &str, words: &[&str]) -> Command {
        println!("\n$ {}", [&[binary], words].concat().join(" "));
        let mut command = Command::new(self.binaries.join(binary));
        command.args(words).env("CTR_ROOT", self.root()).current_dir(&self.directory);
        command
    }

    fn ctr(&self, binary: &str, words: &[&str]) -> Result<()> {
        let status = self.command(binary, words).status().with_context(|| format!("run {binary}"))?;
        if !status.success() {
            bail!("{binary} {} failed: {status}", words.join(" "));
        }
        Ok(())
    }

    fn fails(&self, binary: &str, words: &[&str], code: i32) -> Result<()> {
        let status = self.command(binary, words).status().with_context(|| format!("run {binary}"))?;
        if status.code() != Some(code) {
            bail!("{binary} {}: expected exit code {code}, found {status}", words.join(" "));
        }
        println!("(exit code {code})");
        Ok(())
    }

    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Ends what a failed demo may have left running, then removes the directory.
    fn sweep(&self) -> Result<()> {
        let running = self.root().join("containers/run");
        if holds_entries(&running) {
            let mut stop = Command::new(self.binaries.join("ctr-stop"));
            let stopped = shell::succeeds(stop.args(["--timeout", "0", "sleeper"]).env("CTR_ROOT", self.root()));
            if stopped {
                let mut collect = Command::new(self.binaries.join("ctr-gc"));
                shell::succeeds(collect.args(["--grace", "0s"]).env("CTR_ROOT", self.root()));
            }
        }
        fs::remove_dir_all(&self.directory).with_context(|| format!("remove {}", self.directory.display()))
    }
}

fn holds_entries(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn say(text: &str) {
    println!("\n# {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn the_demo_uses_every_binary() {
        for binary in tree::BINARIES {
            assert!(NEEDED.contains(binary), "{binary}");
        }
    }
}
