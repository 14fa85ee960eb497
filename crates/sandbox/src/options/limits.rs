//! Limits that control groups hold.

/// Limits that the control groups hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// CPU time in thousandths of one CPU.
    pub cpu_millis: Option<u64>,
    /// Number of processes and threads; 0 is unlimited.
    pub pids: Option<u64>,
}
