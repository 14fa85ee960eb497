//! Typed instructions: what a line means after its variables are put in.

use std::time::Duration;

use serde::Serialize;

/// One instruction. All texts are expanded where the language expands them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Instruction {
    /// `FROM [--platform=P] IMAGE [AS NAME]`
    From(From),
    /// `RUN [--mount] [--network] [--security] COMMAND`
    Run(Run),
    /// `CMD COMMAND`
    Cmd(Command),
    /// `ENTRYPOINT COMMAND`
    Entrypoint(Command),
    /// `LABEL K=V ...`
    Label(Vec<Pair>),
    /// `MAINTAINER NAME` (deprecated)
    Maintainer(String),
    /// `EXPOSE PORT[/PROTO] ...`: words as they stand, ranges included
    Expose(Vec<String>),
    /// `ENV K=V ...`
    Env(Vec<Pair>),
    /// `ADD`
    Add(Add),
    /// `COPY`
    Copy(Copy),
    /// `VOLUME PATH ...`
    Volume(Vec<String>),
    /// `USER NAME`
    User(String),
    /// `WORKDIR PATH`
    Workdir(String),
    /// `ARG NAME[=DEFAULT] ...`
    Arg(Vec<Arg>),
    /// `ONBUILD INSTRUCTION`: the text behind the keyword, as an image config keeps it, and its heredocs' bodies with it
    Onbuild(String),
    /// `STOPSIGNAL NAME`
    Stopsignal(String),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `SHELL ["program", ...]`
    Shell(Vec<String>),
}

/// `KEY=value` of ENV and LABEL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// An argument that is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arg {
    /// Its name.
    pub name: String,
    /// Its value: what [`crate::Scope::argument`] says, else its default.
    pub value: Option<String>,
}

/// `FROM`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct From {
    /// An image, a stage, a named context, or `scratch`.
    pub image: String,
    /// `--platform`.
    pub platform: Option<String>,
    /// The stage's name, in lower case.
    pub name: Option<String>,
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Command {
    /// For the shell; what stands in a Dockerfile, with line continuations taken out.
    Shell(String),
    /// The program itself (JSON form).
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// What to run. With a heredoc: the line with its `<<` words.
    pub command: Command,
    /// Heredocs of the line, in their order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, in their order.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: Option<Network>,
    /// `--security=insecure`.
    pub insecure: bool,
}

/// `--network` of RUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// What the builder gives.
    Default,
    /// None but loopback.
    None,
    /// The host's.
    Host,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// The descriptor before `<<`, if there is one.
    pub descriptor: Option<u32>,
    /// Its lines, each with its end; leading tabs are gone if it is a `<<-`. Expanded for COPY and ADD unless `quoted`.
    pub content: String,
    /// `<<-`.
    pub chomp: bool,
    /// The word was quoted: no variables.
    pub quoted: bool,
}

/// `--mount` of RUN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Mount {
    /// `type=bind`
    Bind {
        /// A stage, an image or a named context; `None`: the build context.
        from: Option<String>,
        /// Path in it; `/` by default.
        source: String,
        /// Where.
        target: String,
        /// Writes are allowed, and forgotten.
        writable: bool,
    },
    /// `type=cache`
    Cache {
        /// What it is known by; the target by default.
        id: String,
        /// Where.
        target: String,
        /// Nothing is written.
        read_only: bool,
        /// Who may use it beside us.
        sharing: Sharing,
        /// First content: a stage, an image or a named context.
        from: Option<String>,
        /// Path in `from`.
        source: String,
        /// Permission bits of a new directory; 0755 by default.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// `type=tmpfs`
    Tmpfs {
        /// Where.
        target: String,
        /// Most bytes.
        size: Option<u64>,
    },
    /// `type=secret`
    Secret {
        /// What it is known by.
        id: String,
        /// Where; `/run/secrets/ID` by default, nowhere if only `env` is given.
        target: Option<String>,
        /// The variable that holds it.
        env: Option<String>,
        /// It has to be given.
        required: bool,
        /// Permission bits; 0400 by default.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// `type=ssh`
    Ssh {
        /// What it is known by; `default` by default.
        id: String,
        /// Where; `/run/buildkit/ssh_agent.N` by default.
        target: Option<String>,
        /// It has to be given.
        required: bool,
        /// Permission bits; 0600 by default.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// All.
    #[default]
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// What, and where to.
    pub paths: Paths,
    /// A stage (name or number), an image or a named context.
    pub from: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Add {
    /// What, and where to.
    pub paths: Paths,
    /// `--checksum`: `sha256:HEX`.
    pub checksum: Option<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--link`.
    pub link: bool,
    /// `--unpack`; `None`: local archives are, remote ones not.
    pub unpack: Option<bool>,
}

/// Sources and destination of COPY and ADD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paths {
    /// Patterns, and for ADD addresses too.
    pub sources: Vec<String>,
    /// Files that are in the Dockerfile.
    pub heredocs: Vec<Heredoc>,
    /// Where to. Ends with `/` if it has to be a directory.
    pub destination: String,
    /// `--chown`: `USER[:GROUP]`.
    pub chown: Option<String>,
    /// `--chmod`: octal or symbolic.
    pub chmod: Option<String>,
    /// `--exclude`, in their order.
    pub exclude: Vec<String>,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`
    None,
    /// `HEALTHCHECK [OPTIONS] CMD COMMAND`
    Check {
        /// The command.
        command: Command,
        /// Options that were given; zero means the engine's own value.
        times: HealthTimes,
    },
}

/// When a health check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HealthTimes {
    /// `--interval`
    pub interval: Option<Duration>,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--start-period`
    pub start_period: Option<Duration>,
    /// `--start-interval`
    pub start_interval: Option<Duration>,
    /// `--retries`
    pub retries: Option<u32>,
}
