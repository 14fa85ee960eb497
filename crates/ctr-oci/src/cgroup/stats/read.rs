//! Reading the figures of a container's groups.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::{Amount, BlkIo, BlkIoEntry, Cpu, CpuSet, CpuUsage, HugePages, Interface, Memory, Pids, Stats, Throttling};

/// The groups of a container and its first process.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Directories of the groups.
    pub dirs: Vec<PathBuf>,
    /// A process in its network namespace, if it runs.
    pub pid: Option<i32>,
}

impl Figures {
    /// Reads all. What a host does not measure is 0.
    pub fn read(&self) -> Stats {
        Stats {
            cpu: self.cpu(),
            cpuset: CpuSet {
                cpus: list(&self.first(&["cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"])),
                mems: list(&self.first(&["cpuset.mems.effective", "cpuset.effective_mems", "cpuset.mems"])),
            },
            memory: self.memory(),
            pids: Pids { current: self.number("pids.current"), limit: self.number("pids.max") },
            blkio: self.blkio(),
            hugetlb: self.hugetlb(),
            intel_rdt: BTreeMap::new(),
            network_interfaces: self.interfaces(),
        }
    }

    /// How often the kernel ended a process of the container for lack of memory; in v1 also whether processes wait for some.
    pub fn out_of_memory(&self) -> u64 {
        let v2 = self.first(&["memory.events"]);
        let text = if v2.is_empty() { self.first(&["memory.oom_control"]) } else { v2 };
        let counted = keyed(&text);
        counted.get("oom_kill").copied().unwrap_or(0) + counted.get("under_oom").copied().unwrap_or(0)
    }

    fn file(&self, name: &str) -> Option<String> {
        self.dirs.iter().find_map(|dir| fs::read_to_string(dir.join(name)).ok())
    }

    /// The first of these files that there is.
    fn first(&self, names: &[&str]) -> String {
        names.iter().find_map(|name| self.file(name)).unwrap_or_default()
    }

    /// 0 for `max` and what is not there.
    fn number(&self, name: &str) -> u64 {
        self.file(name).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    fn limit(&self, name: &str) -> u64 {
        self.file(name).map_or(0, |text| text.trim().parse().unwrap_or(u64::MAX))
    }

    fn cpu(&self) -> Cpu {
        if let Some(total) = self.file("cpuacct.usage") {
            let stat = self.dirs.iter().find(|dir| dir.join("cpu.shares").exists());
            let stat = stat.and_then(|dir| fs::read_to_string(dir.join("cpu.stat")).ok()).unwrap_or_default();
            let stat = keyed(&stat);
            let of = |key: &str| stat.get(key).copied().unwrap_or(0);
            let percpu = self.first(&["cpuacct.usage_percpu"]);
            return Cpu {
                usage: CpuUsage {
                    total: total.trim().parse().unwrap_or(0),
                    percpu: percpu.split_whitespace().filter_map(|number| number.parse().ok()).collect(),
                    kernel: self.number("cpuacct.usage_sys"),
                    user: self.number("cpuacct.usage_user"),
                },
                throttling: Throttling {
                    periods: of("nr_periods"),
                    throttled_periods: of("nr_throttled"),
                    throttled_time: of("throttled_time"),
                },
            };
        }
        let stat = keyed(&self.first(&["cpu.stat"]));
        let of = |key: &str| stat.get(key).copied().unwrap_or(0);
        Cpu {
            usage: CpuUsage {
                total: of("usage_usec").saturating_mul(1000),
                percpu: Vec::new(),
                kernel: of("system_usec").saturating_mul(1000),
                user: of("user_usec").saturating_mul(1000),
            },
            throttling: Throttling {
                periods: of("nr_periods"),
                throttled_periods: of("nr_throttled"),
                throttled_time: of("throttled_usec").saturating_mul(1000),
            },
        }
    }

    fn memory(&self) -> Memory {
        let raw = keyed(&self.first(&["memory.stat"]));
        let of = |key: &str| raw.get(key).copied().unwrap_or(0);
        let Some(current) = self.file("memory.current") else {
            let amount = |name: &str| Amount {
                limit: self.number(&format!("{name}.limit_in_bytes")),
                usage: self.number(&format!("{name}.usage_in_bytes")),
                max: self.number(&format!("{name}.max_usage_in_bytes")),
                failcnt: self.number(&format!("{name}.failcnt")),
            };
            return Memory {
                cache: of("cache"),
                usage: amount("memory"),
                swap: amount("memory.memsw"),
                kernel: amount("memory.kmem"),
                kernel_tcp: amount("memory.kmem.tcp"),
                raw,
            };
        };
        let current = current.trim().parse().unwrap_or(0);
        let limit = self.limit("memory.max");
        let failed = |file: &str| keyed(&self.first(&[file])).get("max").copied().unwrap_or(0);
        // As in v1, swap is memory and swap.
        let swap = Amount {
            limit: limit.saturating_add(self.limit("memory.swap.max")),
            usage: self.number("memory.swap.current").saturating_add(current),
            max: 0,
            failcnt: failed("memory.swap.events"),
        };
        Memory {
            cache: of("file"),
            usage: Amount { limit, usage: current, max: self.number("memory.peak"), failcnt: failed("memory.events") },
            swap,
            kernel: Amount { usage: of("kernel"), ..Amount::default() },
            kernel_tcp: Amount { usage: of("sock"), ..Amount::default() },
            raw,
        }
    }

    fn blkio(&self) -> BlkIo {
        if let Some(stat) = self.file("io.stat") {
            return BlkIo {
                io_service_bytes_recursive: io_stat(&stat, &[("rbytes", "Read"), ("wbytes", "Write")]),
                io_serviced_recursive: io_stat(&stat, &[("rios", "Read"), ("wios", "Write")]),
            };
        }
        let read = |what: &str| {
            let names = [format!("blkio.bfq.{what}_recursive"), format!("blkio.throttle.{what}_recursive")];
            let found: Vec<Vec<BlkIoEntry>> = names
                .iter()
                .filter_map(|name| Some(blkio_lines(&self.file(name)?)))
                .filter(|entries| !entries.is_empty())
                .collect();
            found.into_iter().next().unwrap_or_default()
        };
        BlkIo { io_service_bytes_recursive: read("io_service_bytes"), io_serviced_recursive: read("io_serviced") }
    }

    fn hugetlb(&self) -> BTreeMap<String, HugePages> {
        let mut sizes = BTreeMap::new();
        for entry in self.dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten() {
            let name = entry.file_name();
            let size = name.to_str().and_then(|name| name.strip_prefix("hugetlb.")?.split('.').next());
            let Some(size) = size.filter(|size| !sizes.contains_key(*size)) else { continue };
            let v2 = keyed(&self.first(&[&format!("hugetlb.{size}.events")])).get("max").copied();
            let pages = match self.file(&format!("hugetlb.{size}.current")) {
                Some(usage) => HugePages { usage: usage.trim().parse().unwrap_or(0), max: 0, failcnt: v2.unwrap_or(0) },
                None => HugePages {
                    usage: self.number(&format!("hugetlb.{size}.usage_in_bytes")),
                    max: self.number(&format!("hugetlb.{size}.max_usage_in_bytes")),
                    failcnt: self.number(&format!("hugetlb.{size}.failcnt")),
                },
            };
            sizes.insert(size.to_owned(), pages);
        }
        sizes
    }

    fn interfaces(&self) -> Vec<Interface> {
        let table =
            self.pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()).unwrap_or_default();
        table.lines().skip(2).filter_map(interface).collect()
    }
}

/// A line of `/proc/PID/net/dev` (proc(5)).
fn interface(line: &str) -> Option<Interface> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
    Some(Interface {
        name: name.trim().to_owned(),
        rx_bytes: at(0),
        rx_packets: at(1),
        rx_errors: at(2),
        rx_dropped: at(3),
        tx_bytes: at(8),
        tx_packets: at(9),
        tx_errors: at(10),
        tx_dropped: at(11),
    })
}

fn keyed(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// `0-2,5`.
fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines `8:0 rbytes=1 wbytes=2 ...`.
fn io_stat(stat: &str, keys: &[(&str, &str)]) -> Vec<BlkIoEntry> {
    let mut entries = Vec::new();
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        let pairs: BTreeMap<&str, u64> = words
            .filter_map(|word| word.split_once('='))
            .filter_map(|(key, value)| Some((key, value.parse().ok()?)))
            .collect();
        for (key, op) in keys {
            if let Some(value) = pairs.get(key) {
                entries.push(BlkIoEntry { major, minor, op: (*op).to_owned(), value: *value });
            }
        }
    }
    entries
}

/// Lines `8:0 Read 4096`, and a last one `Total 4096`.
fn blkio_lines(text: &str) -> Vec<BlkIoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        Some(BlkIoEntry { major, minor, op: words.next()?.to_owned(), value: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(files: &[(&str, &str)]) -> (tempfile::TempDir, Figures) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let dirs = vec!["/no/such/group".into(), dir.path().to_owned()];
        (dir, Figures { dirs, pid: Some(std::process::id().cast_signed()) })
    }

    #[test]
    fn figures_of_v2() {
        let (_dir, figures) = figures(&[
            (
                "cpu.stat",
                "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n",
            ),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("memory.swap.current", "10\n"),
            ("memory.swap.max", "0\n"),
            ("memory.stat", "anon 1\nfile 2048\nkernel 3\nsock 4\n"),
            ("memory.events", "low 0\nmax 3\noom 2\noom_kill 2\n"),
            ("pids.current", "7\n"),
            ("pids.max", "max\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0\n8:16 \n"),
            ("hugetlb.2MB.current", "2097152\n"),
            ("hugetlb.2MB.max", "max\n"),
            ("hugetlb.2MB.events", "max 9\n"),
            ("cpuset.cpus.effective", "0-2,5\n"),
        ]);
        let stats = figures.read();
        assert_eq!((stats.cpu.usage.total, stats.cpu.usage.user, stats.cpu.usage.kernel), (30_000, 20_000, 10_000));
        assert_eq!(stats.cpu.throttling, Throttling { periods: 5, throttled_periods: 2, throttled_time: 7000 });
        assert_eq!(stats.memory.usage, Amount { limit: u64::MAX, usage: 4096, max: 0, failcnt: 3 });
        assert_eq!((stats.memory.swap.usage, stats.memory.cache, stats.memory.kernel.usage), (4106, 2048, 3));
        assert_eq!(stats.pids, Pids { current: 7, limit: 0 });
        let entry = |op: &str, value| BlkIoEntry { major: 8, minor: 0, op: op.to_owned(), value };
        assert_eq!(stats.blkio.io_service_bytes_recursive, [entry("Read", 1), entry("Write", 2)]);
        assert_eq!(stats.blkio.io_serviced_recursive, [entry("Read", 3), entry("Write", 4)]);
        assert_eq!(stats.hugetlb["2MB"], HugePages { usage: 2_097_152, max: 0, failcnt: 9 });
        assert_eq!(stats.cpuset.cpus, [0, 1, 2, 5]);
        assert!(stats.network_interfaces.iter().any(|interface| interface.name == "lo"));
        assert_eq!(figures.out_of_memory(), 2);
    }

    #[test]
    fn figures_of_v1() {
        let (_dir, figures) = figures(&[
            ("cpuacct.usage", "30\n"),
            ("cpuacct.usage_percpu", "10 20 \n"),
            ("cpuacct.usage_sys", "12\n"),
            ("cpuacct.usage_user", "18\n"),
            ("cpu.shares", "1024\n"),
            ("cpu.stat", "nr_periods 5\nnr_throttled 2\nthrottled_time 7\n"),
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.max_usage_in_bytes", "8192\n"),
            ("memory.limit_in_bytes", "65536\n"),
            ("memory.failcnt", "3\n"),
            ("memory.memsw.usage_in_bytes", "5000\n"),
            ("memory.stat", "cache 100\nrss 200\n"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            ("pids.current", "7\n"),
            ("pids.max", "64\n"),
            ("blkio.bfq.io_service_bytes_recursive", "Total 0\n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 5\n8:0 Write 6\nTotal 11\n"),
            ("hugetlb.1GB.usage_in_bytes", "0\n"),
            ("hugetlb.1GB.failcnt", "2\n"),
        ]);
        let stats = figures.read();
        assert_eq!(stats.cpu.usage, CpuUsage { total: 30, percpu: vec![10, 20], kernel: 12, user: 18 });
        assert_eq!(stats.cpu.throttling.throttled_time, 7);
        assert_eq!(stats.memory.usage, Amount { limit: 65536, usage: 4096, max: 8192, failcnt: 3 });
        assert_eq!((stats.memory.swap.usage, stats.memory.cache, stats.memory.raw["rss"]), (5000, 100, 200));
        assert_eq!(stats.pids.limit, 64);
        assert_eq!(stats.blkio.io_service_bytes_recursive.len(), 2);
        assert_eq!(stats.hugetlb["1GB"].failcnt, 2);
        assert_eq!(figures.out_of_memory(), 1);
    }
}
