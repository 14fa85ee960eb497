//! One validated request: what the command line asked for, before any work starts. Pure data, one file for each subject.

mod devices;
mod filesystem;
mod kernel;
mod life;
mod limits;
mod mounts;
mod namespaces;
mod program;
mod schedule;
mod security;
mod terminal;

pub use devices::{DeviceAccess, DeviceKind, DeviceOptions, DeviceRequest, DeviceRule};
pub use filesystem::{FilesystemOptions, ShmChoice};
pub use kernel::{ClockOffsets, KernelOptions, Sysctl, Timezone, sysctl_path};
pub use life::LifeOptions;
pub use limits::{Amount, CpuWeight, IoRate, IoUnit, IoWeight, Limits, RAW_CONTROLLERS};
pub use mounts::{
    Atime, ImageFound, MountFlags, MountKind, MountRequest, PropagationKind, SecretBytes, SecretPlace, SecretRequest,
    TmpfsRequest,
};
pub use namespaces::{NamespaceOptions, Source, Userns};
pub use program::{ProgramOptions, Ulimit};
pub use schedule::{Cpus, IoClass, IoPriority, JoinCpus, MemoryPolicy, Scheduler, Scheduling};
pub use security::{SeccompChoice, SecurityOptions, SelinuxRequest};
pub use terminal::TerminalOptions;

/// What to run, and how. `None` and empty mean "as the image says", then "as ctr's default is".
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// How long it lives and what becomes of it.
    pub life: LifeOptions,
    /// The program.
    pub program: ProgramOptions,
    /// Root filesystem and mounts.
    pub filesystem: FilesystemOptions,
    /// Devices of the host.
    pub devices: DeviceOptions,
    /// Namespaces and what is set in them.
    pub namespaces: NamespaceOptions,
    /// Kernel parameters and clocks.
    pub kernel: KernelOptions,
    /// How the program is scheduled.
    pub scheduling: Scheduling,
    /// Limits of the container.
    pub limits: Limits,
    /// Privileges.
    pub security: SecurityOptions,
    /// Terminal and standard input.
    pub terminal: TerminalOptions,
}

impl RunOptions {
    /// Whether the caller stays until the program ends.
    pub fn stays(&self) -> bool {
        self.life.wait || ((self.terminal.interactive || self.terminal.tty) && !self.terminal.detach)
    }
}
