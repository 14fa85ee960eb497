//! How the program is scheduled: `--oom-score-adj`, `--nice`, `--scheduler`, `--ioprio`, `--cpu-affinity`, `--personality`.

use ctr_cli::Failure;
use ctr_core::quantity;
use ctr_sandbox::options::{Cpus, IoClass, IoPriority, Scheduler, Scheduling};

use super::bad;
use crate::args::ScheduleArgs;

pub(super) fn request(args: &ScheduleArgs) -> Result<Scheduling, Failure> {
    let cpus = |text: &str| {
        let why = "it is a list of CPU numbers and ranges, as 0-3,6";
        Cpus::parse(text).ok_or_else(|| bad("--cpu-affinity", text, why))
    };
    Ok(Scheduling {
        oom_score_adj: args.oom_score_adj,
        nice: args.nice,
        scheduler: args.scheduler.as_deref().map(scheduler).transpose()?,
        io: args.ioprio.as_deref().map(io_priority).transpose()?,
        cpus: args.cpu_affinity.as_deref().map(cpus).transpose()?,
        personality: args.personality.as_deref().map(personality).transpose()?,
        ..Scheduling::default()
    })
}

/// Parameters of `--scheduler`.
#[derive(Default)]
struct Parameters {
    policy: Option<String>,
    priority: Option<u32>,
    runtime: Option<u64>,
    deadline: Option<u64>,
    period: Option<u64>,
}

/// `POLICY[,KEY=VALUE...]`, or `policy=POLICY,...`.
fn scheduler(text: &str) -> Result<Scheduler, Failure> {
    let cannot = |why: String| bad("--scheduler", text, why);
    let mut given = Parameters::default();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or(("policy", part));
        let time = || {
            let time = quantity::parse_duration(value).map_err(|error| cannot(error.to_string()))?;
            u64::try_from(time.as_nanos()).map_err(|_| cannot("the time is too long".to_owned()))
        };
        let twice = match key {
            "policy" => {
                given.policy.replace(value.to_ascii_lowercase().trim_start_matches("sched_").to_owned()).is_some()
            }
            "priority" => {
                let number = value.parse().ok().filter(|number| (1..=99).contains(number));
                given.priority.replace(number.ok_or_else(|| cannot("a priority is 1 to 99".to_owned()))?).is_some()
            }
            "runtime" => given.runtime.replace(time()?).is_some(),
            "deadline" => given.deadline.replace(time()?).is_some(),
            "period" => given.period.replace(time()?).is_some(),
            _ => {
                return Err(cannot(format!("there is no \"{key}\": priority, runtime, deadline and period there are")));
            }
        };
        if twice {
            return Err(cannot(format!("{key} is given twice")));
        }
    }
    given.decide().map_err(cannot)
}

impl Parameters {
    fn decide(self) -> Result<Scheduler, String> {
        let policy = self.policy.unwrap_or_default();
        let times = self.runtime.is_some() || self.deadline.is_some() || self.period.is_some();
        if times && policy != "deadline" {
            return Err("runtime, deadline and period are of the policy deadline".to_owned());
        }
        match (policy.as_str(), self.priority) {
            ("other" | "normal", None) => Ok(Scheduler::Other),
            ("batch", None) => Ok(Scheduler::Batch),
            ("idle", None) => Ok(Scheduler::Idle),
            ("fifo", Some(priority)) => Ok(Scheduler::Fifo { priority }),
            ("rr", Some(priority)) => Ok(Scheduler::Rr { priority }),
            ("fifo" | "rr", None) => Err(format!("the policy {policy} needs a priority, as in {policy},priority=10")),
            ("deadline", None) => match (self.runtime, self.deadline) {
                (Some(runtime), Some(deadline)) => {
                    Ok(Scheduler::Deadline { runtime, deadline, period: self.period.unwrap_or(deadline) })
                }
                _ => Err("the policy deadline needs runtime and deadline, as in deadline,runtime=5ms,deadline=20ms"
                    .to_owned()),
            },
            ("other" | "normal" | "batch" | "idle" | "deadline", Some(_)) => {
                Err("a priority is of the policies fifo and rr".to_owned())
            }
            _ => Err("the policies are other, batch, idle, fifo, rr and deadline".to_owned()),
        }
    }
}

/// `CLASS[:LEVEL]`.
fn io_priority(text: &str) -> Result<IoPriority, Failure> {
    let why = "it is realtime, best-effort (with a level from 0 to 7, as best-effort:6) or idle";
    let (class, level) = text.split_once(':').map_or((text, None), |(class, level)| (class, Some(level)));
    let class = match class {
        "realtime" | "rt" => IoClass::RealTime,
        "best-effort" | "be" => IoClass::BestEffort,
        "idle" if level.is_none() => return Ok(IoPriority { class: IoClass::Idle, level: 0 }),
        _ => return Err(bad("--ioprio", text, why)),
    };
    // ionice(1) takes 4 where none is given.
    let level = level.map_or(Some(4), |level| level.parse().ok().filter(|level| *level <= 7));
    level.map(|level| IoPriority { class, level }).ok_or_else(|| bad("--ioprio", text, why))
}

fn personality(text: &str) -> Result<u32, Failure> {
    /// `PER_LINUX32` and `ADDR_NO_RANDOMIZE` of personality(2).
    const NAMES: [(&str, u32); 3] = [("linux", 0), ("linux32", 8), ("addr-no-randomize", 0x004_0000)];
    text.split(',').try_fold(0, |persona, part| {
        let known = NAMES.iter().find(|(name, _)| *name == part.to_ascii_lowercase());
        known
            .map(|(_, bits)| persona | bits)
            .ok_or_else(|| bad("--personality", text, "there are linux, linux32 and addr-no-randomize"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        let read = |text: &str| scheduler(text).ok();
        assert_eq!(read("batch"), Some(Scheduler::Batch));
        assert_eq!(read("policy=SCHED_FIFO,priority=7"), Some(Scheduler::Fifo { priority: 7 }));
        let deadline = Scheduler::Deadline { runtime: 5_000_000, deadline: 20_000_000, period: 20_000_000 };
        assert_eq!(read("deadline,runtime=5ms,deadline=20ms"), Some(deadline));
        for bad in [
            "",
            "fifo",
            "fifo,priority=0",
            "fifo,priority=100",
            "other,priority=1",
            "rr,priority=1,runtime=1ms",
            "x",
            "deadline,runtime=1ms",
            "batch,batch",
            "batch,weight=1",
            "deadline,priority=1,runtime=1ms,deadline=2ms",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn classes_and_domains_are_read() {
        let read = |text: &str| io_priority(text).map(|io| io.to_string()).ok();
        assert_eq!(read("be").as_deref(), Some("best-effort, level 4"));
        assert_eq!(read("realtime:0").as_deref(), Some("realtime, level 0"));
        assert_eq!(read("idle").as_deref(), Some("idle"));
        for bad in ["", "idle:1", "be:8", "be:", "be:-1", "x:1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(personality("linux32,addr-no-randomize").unwrap(), 0x004_0008);
        assert!(personality("").is_err() && personality("linux64").is_err());
    }
}
