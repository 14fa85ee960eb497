//! Verbs that bring a container from one state to the next.

use std::path::PathBuf;

use clap::Args;

use crate::id::ContainerId;

/// What `create` and `run` have in common.
#[derive(Debug, Clone, Args)]
pub struct NewContainer {
    /// Id that the container gets
    #[arg(value_name = "ID")]
    pub id: ContainerId,
    /// Directory with config.json [default: the working directory]
    #[arg(long, short, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Socket on which the master of the program's terminal is passed on (process.terminal)
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// File that gets the process id of the container
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the program gets
    #[arg(long, value_name = "N", default_value_t)]
    pub preserve_fds: u32,
    /// Change the root by chroot(2): for a root filesystem that is an initramfs
    #[arg(long)]
    pub no_pivot: bool,
    /// The program keeps the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
}

/// `create`.
#[derive(Debug, Clone, Args)]
pub struct Create {
    /// The container.
    #[command(flatten)]
    pub container: NewContainer,
}

/// `run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The container.
    #[command(flatten)]
    pub container: NewContainer,
    /// End when the program runs; the container stays until delete
    #[arg(long, short)]
    pub detach: bool,
    /// Leave the stopped container until delete
    #[arg(long)]
    pub keep: bool,
    /// Accepted for older engines: ctr-oci is no subreaper
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
}

/// `start`.
#[derive(Debug, Clone, Args)]
pub struct Start {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

/// `state`.
#[derive(Debug, Clone, Args)]
pub struct StateOf {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

/// `kill`.
#[derive(Debug, Clone, Args)]
pub struct Kill {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
    /// Number or name, with or without SIG
    #[arg(value_name = "SIGNAL", default_value = "TERM", value_parser = signal)]
    pub signal: i32,
    /// Send it to every process of the container, also when its program has ended
    #[arg(long, short)]
    pub all: bool,
}

/// `delete`.
#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
    /// Kill it before, if it runs; no error if there is none
    #[arg(long, short)]
    pub force: bool,
}

/// A signal that can be sent; 0 only looks whether there is a process.
fn signal(text: &str) -> Result<i32, String> {
    if text == "0" {
        return Ok(0);
    }
    ctr_sys::signal::parse(text).ok_or_else(|| "there is no such signal (signal(7) lists them)".to_owned())
}
