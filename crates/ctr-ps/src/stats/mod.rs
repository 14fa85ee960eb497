//! `ctr-ps --stats`: what running containers use.

mod groups;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ctr_cli::{Failure, OutputFormat, Table, human};
use ctr_core::container::{Container, State};
use ctr_core::timestamp::Timestamp;
use serde::Serialize;

use crate::failure;
use groups::Groups;

/// Time between the two looks that a rate needs, where nothing is watched.
const INTERVAL: Duration = Duration::from_millis(200);
/// Bytes of the pages that `/proc/PID/statm` counts; every platform of ours has 4 KiB.
const PAGE: u64 = 4096;

/// What `--stats --format json` prints of a container (spec/schemas/stats.json). What is not known is null.
#[derive(Debug, Serialize)]
struct Stats {
    id: String,
    name: Option<String>,
    /// When it was looked at.
    at: Timestamp,
    cpu: Cpu,
    memory: Memory,
    pids: Pids,
    /// Bytes read and written since the start, of block devices.
    io: Option<Io>,
    /// Bytes received and sent since the start, by all interfaces but loopback.
    network: Option<Network>,
}

#[derive(Debug, Serialize)]
struct Cpu {
    /// Thousandths of one CPU, between the last two looks.
    used_millis: Option<u64>,
    /// Microseconds since the start.
    time_us: Option<u64>,
    limit_millis: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Memory {
    used: Option<u64>,
    peak: Option<u64>,
    limit: Option<u64>,
    /// `cgroup`, or `processes`: no control group counts it here, and this is the sum of what each process has for itself.
    source: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Pids {
    current: Option<u64>,
    limit: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Io {
    read: u64,
    written: u64,
}

#[derive(Debug, Serialize)]
struct Network {
    received: u64,
    sent: u64,
}

/// The limits that are in force for a running container (spec/schemas/ps.json). What is not limited is null.
#[derive(Debug, Serialize)]
pub(crate) struct InForce {
    memory: Option<u64>,
    swap: Option<u64>,
    cpu_millis: Option<u64>,
    cpu_weight: Option<u64>,
    cpuset: Option<String>,
    pids: Option<u64>,
}

impl InForce {
    /// As the control groups of `container` have them now.
    pub(crate) fn of(container: &Container) -> Self {
        let groups = Groups::new(&container.record.cgroups);
        Self {
            memory: groups.memory_limit(),
            swap: groups.swap_limit(),
            cpu_millis: groups.cpu_limit(),
            cpu_weight: groups.cpu_weight(),
            cpuset: groups.cpuset(),
            pids: groups.pids_limit(),
        }
    }
}

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Show {
    pub(crate) format: OutputFormat,
    /// Again and again, with this time between; until nothing that was named runs any more.
    pub(crate) watch: Option<Duration>,
    /// Ids in full.
    pub(crate) full: bool,
}

/// Shows what `choose` finds, again as long as that is wanted. A container that ends meanwhile is left out.
pub(crate) fn show(
    choose: impl Fn(&mut Vec<Failure>) -> Result<Vec<Container>, Failure>,
    named: bool,
    show: Show,
    failures: &mut Vec<Failure>,
) -> Result<(), Failure> {
    let mut before: Vec<(String, Look)> = Vec::new();
    let interval = show.watch.unwrap_or(INTERVAL);
    let mut shown = 0;
    loop {
        let mut now = Vec::new();
        let mut unreadable = Vec::new();
        let mut stats = Vec::new();
        for container in choose(&mut unreadable)? {
            let pid = match container.status() {
                Ok(status) if status.state == State::Running => status.pid,
                // Whoever was named is shown, with what is still known of it.
                Ok(_) if named && show.watch.is_none() => {
                    let (groups, look) =
                        (Groups::new(&container.record.cgroups), Look { at: Instant::now(), cpu: None });
                    stats.push(Stats::of(&container, &groups, None, look, None));
                    continue;
                }
                Ok(_) => continue,
                Err(error) => {
                    unreadable.push(failure(error));
                    continue;
                }
            };
            let groups = Groups::new(&container.record.cgroups);
            let look = Look { at: Instant::now(), cpu: groups.cpu_time() };
            let earlier = before.iter().find(|(id, _)| *id == container.record.id).map(|(_, look)| *look);
            if earlier.is_some() || show.watch.is_some() {
                stats.push(Stats::of(&container, &groups, pid, look, earlier));
            }
            now.push((container.record.id, look));
        }
        let gone = now.is_empty();
        if !before.is_empty() || show.watch.is_some() || gone {
            shown += 1;
            print(&stats, show, shown)?;
        }
        let once = show.watch.is_none() && (!before.is_empty() || gone);
        if once || (named && gone) {
            failures.append(&mut unreadable);
            return Ok(());
        }
        before = now;
        thread::sleep(interval);
    }
}

/// The CPU time at one moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    cpu: Option<u64>,
}

impl Look {
    /// Thousandths of one CPU since `earlier`.
    fn rate(self, earlier: Self) -> Option<u64> {
        let used = u128::from(self.cpu?.checked_sub(earlier.cpu?)?);
        let passed = self.at.duration_since(earlier.at).as_micros();
        u64::try_from((used * 1000).checked_div(passed)?).ok()
    }
}

impl Stats {
    fn of(container: &Container, groups: &Groups, pid: Option<i32>, look: Look, earlier: Option<Look>) -> Self {
        let counted = groups.memory_used();
        let summed = if counted.is_none() { own_memory(&groups.processes(), pid) } else { None };
        let source = counted.map(|_| "cgroup").or_else(|| summed.map(|_| "processes"));
        let own_network = container.record.isolation.namespaces.iter().any(|name| name == "net");
        Self {
            id: container.record.id.clone(),
            name: container.record.name.clone(),
            at: Timestamp::now(),
            cpu: Cpu {
                used_millis: earlier.and_then(|earlier| look.rate(earlier)),
                time_us: look.cpu,
                limit_millis: groups.cpu_limit(),
            },
            memory: Memory {
                used: counted.or(summed),
                peak: groups.memory_peak(),
                limit: groups.memory_limit(),
                source,
            },
            pids: Pids { current: groups.pids(), limit: groups.pids_limit() },
            io: groups.io().map(|(read, written)| Io { read, written }),
            network: pid.filter(|_| own_network).and_then(network),
        }
    }

    fn cells(&self, full: bool) -> [String; 9] {
        let of = |used: Option<String>, limit: Option<String>| match (used, limit) {
            (Some(used), Some(limit)) => format!("{used} / {limit}"),
            (used, _) => used.unwrap_or_default(),
        };
        let size = |bytes: Option<u64>| bytes.map(human::size);
        let pair = |pair: Option<(u64, u64)>| {
            pair.map(|(one, other)| format!("{} / {}", human::size(one), human::size(other)))
        };
        let percent = |millis: u64| format!("{}.{}%", millis / 10, millis % 10);
        let time = |micros: u64| format!("{}.{:02} s", micros / 1_000_000, micros / 10_000 % 100);
        [
            if full { self.id.clone() } else { self.id.chars().take(12).collect() },
            self.name.clone().unwrap_or_default(),
            self.cpu.used_millis.map(percent).unwrap_or_default(),
            self.cpu.time_us.map(time).unwrap_or_default(),
            of(size(self.memory.used), size(self.memory.limit)),
            self.memory_share().unwrap_or_default(),
            of(self.pids.current.map(|n| n.to_string()), self.pids.limit.map(|n| n.to_string())),
            pair(self.io.as_ref().map(|io| (io.read, io.written))).unwrap_or_default(),
            pair(self.network.as_ref().map(|net| (net.received, net.sent))).unwrap_or_default(),
        ]
    }

    fn memory_share(&self) -> Option<String> {
        let (used, limit) = (u128::from(self.memory.used?), u128::from(self.memory.limit?));
        let tenths = (used * 1000).checked_div(limit)?;
        Some(format!("{}.{}%", tenths / 10, tenths % 10))
    }
}

fn print(stats: &[Stats], show: Show, times: u64) -> Result<(), Failure> {
    use std::io::IsTerminal;
    if show.format == OutputFormat::Json {
        if show.watch.is_none() {
            return ctr_cli::print_json(&stats);
        }
        // A list on each line.
        let line = ctr_cli::to_json(&stats, false)
            .map_err(|error| Failure::new("cannot print the figures").caused_by(&error))?;
        return ctr_cli::print(&format!("{line}\n"));
    }
    let heads = ["ID", "NAME", "CPU", "CPU TIME", "MEMORY", "MEM", "PIDS", "READ / WRITTEN", "RECEIVED / SENT"];
    let mut table = Table::new(heads).right(2).right(3).right(5);
    for container in stats {
        table.row(container.cells(show.full));
    }
    let clear = if show.watch.is_some() && std::io::stdout().is_terminal() { "\x1b[H\x1b[J" } else { "" };
    let apart = if clear.is_empty() && times > 1 { "\n" } else { "" };
    ctr_cli::print(&format!("{clear}{apart}{table}"))
}

/// The sum of what each process has in memory for itself (proc_pid_statm(5)): what is shared is counted for nobody.
fn own_memory(processes: &[i32], pid: Option<i32>) -> Option<u64> {
    let one = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let mut fields = text.split(' ').skip(1).filter_map(|field| field.parse::<u64>().ok());
        Some(fields.next()?.saturating_sub(fields.next()?).saturating_mul(PAGE))
    };
    let pids = if processes.is_empty() { pid.as_slice() } else { processes };
    pids.iter().filter_map(one).reduce(u64::saturating_add)
}

/// What the interfaces of the container's network namespace have counted (proc_pid_net(5), `dev`).
fn network(pid: i32) -> Option<Network> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let mut network = Network { received: 0, sent: 0 };
    for (name, counts) in text.lines().filter_map(|line| line.split_once(':')) {
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|count| count.parse().ok()).collect();
        if let (true, [received, _, _, _, _, _, _, _, sent, ..]) = (name.trim() != "lo", counts.as_slice()) {
            network.received = network.received.saturating_add(*received);
            network.sent = network.sent.saturating_add(*sent);
        }
    }
    Some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_two_looks() {
        let at = Instant::now();
        let (first, second) =
            (Look { at, cpu: Some(1000) }, Look { at: at + Duration::from_millis(200), cpu: Some(301_000) });
        assert_eq!(second.rate(first), Some(1500));
        assert_eq!(first.rate(second), None, "counted backwards");
        assert_eq!(first.rate(first), None, "no time between");
        assert_eq!(Look { cpu: None, ..second }.rate(first), None);
    }

    #[test]
    fn cells_that_are_not_known_are_empty() {
        let mut stats = Stats {
            id: "0123456789abcdef".to_owned(),
            name: None,
            at: Timestamp::now(),
            cpu: Cpu { used_millis: Some(1505), time_us: Some(61_234_567), limit_millis: None },
            memory: Memory { used: Some(1 << 20), peak: None, limit: Some(4 << 20), source: Some("cgroup") },
            pids: Pids { current: Some(3), limit: None },
            io: Some(Io { read: 10, written: 2000 }),
            network: None,
        };
        let cells = stats.cells(false);
        assert_eq!(
            cells,
            ["0123456789ab", "", "150.5%", "61.23 s", "1.04 MB / 4.19 MB", "25.0%", "3", "10 B / 2.00 kB", ""]
        );
        (stats.memory.used, stats.memory.limit) = (None, Some(0));
        assert_eq!((stats.cells(true)[0].as_str(), stats.cells(true)[5].as_str()), ("0123456789abcdef", ""));
    }

    #[test]
    fn own_memory_and_network_of_this_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(own_memory(&[pid], None).unwrap() > 0);
        assert!(own_memory(&[], None).is_none() && own_memory(&[i32::MAX], None).is_none());
        assert!(network(pid).is_some() && network(i32::MAX).is_none());
    }
}
