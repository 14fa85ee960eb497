//! What the contestants run: made in a temporary directory, taken away at the end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::binaries::{self, Profile};
use crate::{shell, tree};

/// Rlimits for podman: its defaults are raises, which need a privilege that a sandboxed machine lacks.
pub(super) const LIMITS: &[&str] = &["--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:2048"];

pub(super) struct Stage {
    pub(super) directory: PathBuf,
    pub(super) binaries: PathBuf,
}

impl Stage {
    /// Makes the stage; `built` takes the binaries as the last build left them.
    pub(super) fn new(built: bool) -> Result<Self> {
        if !shell::is_root() {
            bail!("the benchmarks compare containers of root; run them as root");
        }
        let built = binaries::build(if built { &[] } else { tree::BINARIES }, Profile::Release)?;
        // Not under /tmp, which is a tmpfs on many machines, and overlay on it tells nothing.
        let directory = PathBuf::from("/var/tmp").join(format!("ctr-bench-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("create {}", directory.display()))?;
        let stage = Self { directory, binaries: built.directory };
        stage.compile("floor")?;
        stage.compile("measure")?;
        stage.small_image()?;
        fs::create_dir(stage.path("scratch"))?;
        Ok(stage)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A path as the word of a command line; the stage's own paths are ASCII.
    pub(super) fn word(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Makes room for the next run of a contest. What the last one left is moved, and goes with the stage: ext4 is slow to
    /// make files in the minutes after it removed as many (it passes over inodes that were just deleted), and whoever came
    /// next would pay for it.
    pub(super) fn put_aside(&self, left: &[&str]) -> Result<()> {
        let aside = self.path("aside");
        fs::create_dir_all(&aside)?;
        for path in left.iter().filter(|path| Path::new(path).symlink_metadata().is_ok()) {
            let number = fs::read_dir(&aside)?.count();
            fs::rename(path, aside.join(number.to_string())).with_context(|| format!("move {path} aside"))?;
        }
        Ok(())
    }

    pub(super) fn binary(&self, name: &str) -> String {
        self.binaries.join(name).to_string_lossy().into_owned()
    }

    /// One of ours, against the stage's store.
    pub(super) fn ctr(&self, binary: &str) -> Command {
        let mut command = Command::new(self.binaries.join(binary));
        command.env("CTR_ROOT", self.path("ctr"));
        command
    }

    /// Podman with a store of its own.
    pub(super) fn podman(&self) -> Vec<String> {
        ["podman", "--root", &self.word("podman"), "--runroot", &self.word("podman-run")].map(str::to_owned).to_vec()
    }

    pub(super) fn podman_command(&self, words: &[&str]) -> Command {
        let podman = self.podman();
        let mut command = Command::new("podman");
        command.args(podman.iter().skip(1)).args(words);
        command
    }

    /// The cgroup directories in which ctr-run makes a container's, by its own plan: the floor program joins the same.
    pub(super) fn cgroups(&self) -> Result<String> {
        let output = self.ctr("ctr-run").args(["--explain", "--dry-run", "small"]).output().context("run ctr-run")?;
        let plan = String::from_utf8_lossy(&output.stdout).into_owned();
        let paths = plan.lines().filter_map(|line| line.strip_prefix("cgroup ")?.split_whitespace().next());
        // The plan's path ends in ctr/ROOTHASH/ID.
        let tops = paths.filter_map(|path| Path::new(path).ancestors().nth(3));
        let tops: Vec<String> = tops.map(|path| path.to_string_lossy().into_owned()).collect();
        if tops.is_empty() {
            bail!("ctr-run --explain names no cgroup:\n{plan}");
        }
        Ok(tops.join(","))
    }

    /// Compiles one of `xtask/bench`, statically.
    pub(super) fn compile(&self, name: &str) -> Result<()> {
        let source = tree::top().join(format!("xtask/bench/{name}.c"));
        let compiler = if shell::which("musl-gcc").is_some() { "musl-gcc" } else { "gcc" };
        shell::run(Command::new(compiler).args(["-O2", "-static", "-o"]).arg(self.path(name)).arg(source))
    }

    /// One layer with busybox: as a directory, an OCI layout, an oci-archive, and in our store.
    fn small_image(&self) -> Result<()> {
        let rootfs = self.path("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(rootfs.join(name))?;
        }
        let busybox = shell::which("busybox").context("busybox is missing; install: apt-get install busybox-static")?;
        fs::copy(busybox, rootfs.join("bin/busybox"))?;
        for name in ["true", "sh", "sleep"] {
            symlink("busybox", rootfs.join("bin").join(name))?;
        }
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        fs::write(rootfs.join("etc/group"), "root:x:0:\n")?;
        let archive = self.word("small.tar");
        let pack = ["pack", &self.word("rootfs"), "--entrypoint", "/bin/true", "-o", &archive];
        shell::output(self.ctr("ctr-image").args(pack))?;
        shell::output(self.ctr("ctr-fetch").args([&archive, "--name", "small"]))?;
        Ok(())
    }

    /// Loads the small image into podman, under the name `small`.
    pub(super) fn load_into_podman(&self) -> Result<()> {
        let text = shell::output(&mut self.podman_command(&["load", "--quiet", "--input", &self.word("small.tar")]))?;
        let id = text.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        shell::output(&mut self.podman_command(&["tag", &id, "small"]))?;
        Ok(())
    }

    /// A runtime bundle equal to what podman would run: its own configuration, over a plain copy of the root filesystem.
    pub(super) fn bundle(&self) -> Result<()> {
        let mut create = self.podman_command(&["--runtime", "runc", "create", "--name", "pattern"]);
        shell::output(create.args(LIMITS).args(["--network", "none", "small"]))?;
        shell::output(&mut self.podman_command(&["--runtime", "runc", "init", "pattern"]))?;
        let inspect = ["inspect", "--format", "{{.OCIConfigPath}}", "pattern"];
        let path = shell::output(&mut self.podman_command(&inspect))?;
        let text = fs::read_to_string(path.trim()).with_context(|| format!("read {}", path.trim()))?;
        let config = equal_config(serde_json::from_str(&text)?);
        shell::output(&mut self.podman_command(&["--runtime", "runc", "rm", "--force", "pattern"]))?;
        let bundle = self.path("bundle");
        fs::create_dir(&bundle)?;
        shell::output(Command::new("cp").args(["-a"]).arg(self.path("rootfs")).arg(bundle.join("rootfs")))?;
        Ok(fs::write(bundle.join("config.json"), serde_json::to_vec_pretty(&config)?)?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for words in [["rm", "--all", "--force"], ["rmi", "--all", "--force"]] {
            shell::succeeds(&mut self.podman_command(&words));
        }
        // Podman keeps its store mounted on itself.
        shell::succeeds(Command::new("umount").arg(self.path("podman/overlay")));
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("left behind: {}: {error}", self.directory.display());
        }
    }
}

/// Podman's configuration without what ties it to podman's own directories and hooks.
fn equal_config(mut config: Value) -> Value {
    if let Some(table) = config.as_object_mut() {
        table.remove("hooks");
        table.insert("root".to_owned(), json!({ "path": "rootfs" }));
    }
    if let Some(process) = config.get_mut("process").and_then(Value::as_object_mut) {
        process.insert("terminal".to_owned(), json!(false));
        process.insert("args".to_owned(), json!(["/bin/true"]));
    }
    if let Some(mounts) = config.get_mut("mounts").and_then(Value::as_array_mut) {
        let bind = |mount: &Value| mount.get("type").and_then(Value::as_str) == Some("bind");
        mounts.retain(|mount| !bind(mount));
        mounts.push(json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] }));
    }
    if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
        linux.remove("cgroupsPath");
        let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
        linux.insert("namespaces".to_owned(), kinds.iter().map(|kind| json!({ "type": kind })).collect());
    }
    config
}
