//! The command line.

use std::path::PathBuf;

use clap::Parser;
use ctr_cli::GlobalArgs;

/// Build an image from a Dockerfile
///
/// No daemon, nothing stays running. Steps whose inputs did not change are taken from the cache; the same inputs give the
/// same image.
#[derive(Debug, Parser)]
#[command(name = "ctr-build", version = ctr_cli::VERSION, after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Options {
    /// Directory with the files that COPY and ADD take
    #[arg(default_value = ".", value_name = "CONTEXT")]
    pub(crate) context: PathBuf,
    /// The Dockerfile; `-` reads it from standard input [default: CONTEXT/Dockerfile, else CONTEXT/Containerfile]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Name of the image; several are possible
    #[arg(long, short, value_name = "NAME[:TAG]")]
    pub(crate) tag: Vec<String>,
    /// Where the image goes besides the store: type=oci|oci-archive|docker-archive|aci|tar|dir,dest=PATH
    #[arg(long, short, value_name = "type=TYPE,dest=PATH")]
    pub(crate) output: Vec<String>,
    /// Stage to build, by name or number [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Value of an ARG; without a value that of the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) build_arg: Vec<String>,
    /// Another context: a directory, docker-image://NAME, or oci-layout://DIR[:TAG]
    #[arg(long, value_name = "NAME=PLACE")]
    pub(crate) build_context: Vec<String>,
    /// A secret for RUN --mount=type=secret
    #[arg(long, value_name = "id=ID[,src=FILE|,env=NAME]")]
    pub(crate) secret: Vec<String>,
    /// An agent for RUN --mount=type=ssh
    #[arg(long, value_name = "default|ID[=SOCKET]")]
    pub(crate) ssh: Vec<String>,
    /// Label of the image
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// Annotation of the manifest
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// Platform of the image; with several the names stand for an index of them [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    pub(crate) platform: Vec<String>,
    /// Write the digest of the image's config to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Run every step, take none from the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Take results of steps from this directory or registry; several are possible
    #[arg(long, value_name = "DIR|type=registry,ref=NAME")]
    pub(crate) cache_from: Vec<String>,
    /// Write the results of all steps, and what caches of RUN have in them, to this directory or registry
    #[arg(long, value_name = "DIR|type=registry,ref=NAME")]
    pub(crate) cache_to: Vec<String>,
    /// Both: for machines that begin with nothing
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Build what ctr-build.toml in this directory has under this name, or all of it; several are possible
    #[arg(long, value_name = "NAME|all")]
    pub(crate) named: Vec<String>,
    /// Build nothing: say what of the Dockerfile should be otherwise, and fail if something should
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) check: Option<CheckFormat>,
    /// Build twice, the second time without the cache, and fail if the images differ
    #[arg(long)]
    pub(crate) verify_reproducible: bool,
    /// The second of these builds
    #[arg(long, hide = true)]
    pub(crate) second_build: bool,
    /// When base images are fetched
    #[arg(long, value_enum, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_value = "missing", default_missing_value = "always")]
    pub(crate) pull: Pull,
    /// What to do where a RUN fails
    #[arg(long, value_enum, value_name = "WHAT", default_value = "stop")]
    pub(crate) on_error: OnError,
    /// With which rights the build works; without them it fails
    #[arg(long, value_enum, value_name = "RIGHTS", default_value = "auto")]
    pub(crate) isolation: IsolationName,
    /// Network of RUN
    #[arg(long, value_enum, value_name = "NETWORK", default_value = "default")]
    pub(crate) network: NetworkName,
    /// Entries of /etc/hosts for RUN
    #[arg(long, value_name = "HOST:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Size of /dev/shm for RUN
    #[arg(long, value_name = "SIZE", default_value = "64m")]
    pub(crate) shm_size: String,
    /// Compression of new layers
    #[arg(long, value_enum, default_value = "zstd")]
    pub(crate) compression: CompressionName,
    /// Bills of materials to keep with the image; several are possible
    #[arg(long, value_enum, value_name = "FORMAT", value_delimiter = ',')]
    pub(crate) sbom: Vec<Sbom>,
    /// Keep with the image how it was made; `max` tells the build arguments too
    #[arg(long, value_enum, value_name = "HOW_MUCH", num_args = 0..=1, require_equals = true, default_missing_value = "min")]
    pub(crate) provenance: Option<Provenance>,
    /// Send the image to the registries that its names say, with ctr-push
    #[arg(long)]
    pub(crate) push: bool,
    /// Steps to run at once [default: twice the processors, at least 4]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// How steps are shown
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) progress: Shown,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// How steps are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shown {
    /// tty on a terminal, else plain; nothing with --format json
    #[default]
    Auto,
    /// What runs now and the last lines that it printed are redrawn, what is done stays above
    Tty,
    /// A line for each step and each line that a command prints
    Plain,
    /// The same as JSON objects, for programs
    Json,
    /// Nothing
    #[value(alias = "quiet")]
    None,
}

/// With which rights a build works, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum IsolationName {
    /// The most of these that the caller has
    Auto,
    /// Those of root of this machine
    Root,
    /// Those of root of a user namespace with ranges of ids
    Userns,
    /// Those of root of a user namespace with one id: owners of files are recorded
    SingleId,
    /// Those of root, in a chroot over a copy of the files: where nothing may be mounted
    Chroot,
    /// None: nothing is executed, owners of files are recorded
    None,
}

/// When base images are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pull {
    /// Their registry is asked each time
    Always,
    /// If the store lacks them
    Missing,
    /// Their registry is asked, if it answers
    Newer,
    /// Never
    Never,
}

/// What to do where a RUN fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnError {
    /// End
    Stop,
    /// A shell at the terminal, in what the command left; then end
    Shell,
}

/// Network of RUN where the instruction does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum NetworkName {
    /// The host's
    Default,
    /// The host's
    Host,
    /// None
    None,
}

/// Formats of bills of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sbom {
    /// SPDX 2.3
    Spdx,
    /// CycloneDX 1.6
    Cyclonedx,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CheckFormat {
    /// Lines with their places
    Text,
    /// As docker's
    Json,
    /// SARIF 2.1.0, which code hosts show beside the lines
    Sarif,
}

/// How much is told of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Provenance {
    /// The Dockerfile's digest and the base images'
    Min,
    /// Build arguments too
    Max,
}

/// The names of compressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CompressionName {
    /// zstd level 3
    Zstd,
    /// gzip level 6, which every other tool reads
    Gzip,
    /// None
    None,
}

const EXAMPLES: &str = "\
Examples:
  ctr-build -t app .
  ctr-build -t registry.example.com/app:1 --push .
  ctr-build --target test --build-arg VERSION=2 -o type=oci-archive,dest=app.tar src";
