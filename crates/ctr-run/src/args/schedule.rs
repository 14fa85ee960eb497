//! How the kernel schedules the program.

use clap::Args;

/// How the kernel schedules the program.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scheduling")]
pub(crate) struct ScheduleArgs {
    /// How much sooner than others it is ended for lack of memory, -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub(crate) oom_score_adj: Option<i32>,
    /// Nice value, -20 to 19
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-20..=19))]
    pub(crate) nice: Option<i32>,
    /// Policy: other, batch, idle, fifo,priority=N, rr,priority=N or deadline,runtime=T,deadline=T[,period=T]
    #[arg(long, value_name = "POLICY[,KEY=VALUE...]")]
    pub(crate) scheduler: Option<String>,
    /// Input and output: realtime, best-effort or idle, and a level from 0 to 7
    #[arg(long, value_name = "CLASS[:LEVEL]")]
    pub(crate) ioprio: Option<String>,
    /// CPUs that the program may run on, as 0-3,6
    #[arg(long, value_name = "LIST")]
    pub(crate) cpu_affinity: Option<String>,
    /// Execution domain: linux, linux32, addr-no-randomize
    #[arg(long, value_name = "NAME[,...]")]
    pub(crate) personality: Option<String>,
}
