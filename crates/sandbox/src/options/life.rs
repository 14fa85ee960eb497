//! How long a container lives and what becomes of it.

use std::collections::BTreeMap;

use ctr_core::container::LogMode;
use ctr_core::platform::Platform;

/// Name, output, end.
#[derive(Debug, Clone, Default)]
pub struct LifeOptions {
    /// Container name.
    pub name: Option<String>,
    /// Labels; they win over the image's.
    pub labels: BTreeMap<String, String>,
    /// The image must be for this platform.
    pub platform: Option<Platform>,
    /// The signal that asks the program to end.
    pub stop_signal: Option<i32>,
    /// Seconds from that to the kill.
    pub stop_timeout: Option<u64>,
    /// How long the program may run.
    pub timeout: Option<std::time::Duration>,
    /// Where the output goes; `None`: as the situation says.
    pub log: Option<LogMode>,
    /// The program itself is PID 1.
    pub no_init: bool,
    /// Remove the container once it has ended.
    pub rm: bool,
    /// Stay until it has ended.
    pub wait: bool,
}
