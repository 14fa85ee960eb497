//! What the control groups of a container say, in the words of either version (Linux, Documentation/admin-guide/cgroup-v2.rst and
//! cgroup-v1/). A file that is not there, or vanishes while the container ends, is a value that is not known.

use std::fs;
use std::path::{Path, PathBuf};

/// Groups below groups that are followed.
const DEPTH_MAX: usize = 32;
/// What v1 says where there is no limit: all of 63 bits in whole pages, which differ in size.
const V1_UNLIMITED: u64 = 1 << 62;

/// The control groups of one container.
#[derive(Debug)]
pub(crate) struct Groups {
    dirs: Vec<PathBuf>,
}

impl Groups {
    /// As recorded at the start.
    pub(crate) fn new(recorded: &[String]) -> Self {
        Self { dirs: recorded.iter().map(PathBuf::from).collect() }
    }

    /// The first of these files that one of the groups has.
    fn text(&self, files: &[&str]) -> Option<String> {
        let mut paths = files.iter().flat_map(|file| self.dirs.iter().map(move |dir| dir.join(file)));
        paths.find_map(|path| fs::read_to_string(path).ok())
    }

    fn number(&self, files: &[&str]) -> Option<u64> {
        self.text(files)?.trim().parse().ok()
    }

    /// A limit in bytes or processes; `None` where there is none.
    fn limit(&self, files: &[&str]) -> Option<u64> {
        self.number(files).filter(|limit| *limit < V1_UNLIMITED)
    }

    /// A line `KEY NUMBER` of a file.
    fn field(&self, file: &str, key: &str) -> Option<u64> {
        // More than one hierarchy may have a file of that name.
        let mut texts = self.dirs.iter().filter_map(|dir| fs::read_to_string(dir.join(file)).ok());
        texts.find_map(|text| field(&text, key))
    }

    /// Microseconds of CPU time.
    pub(crate) fn cpu_time(&self) -> Option<u64> {
        self.field("cpu.stat", "usage_usec").or_else(|| Some(self.number(&["cpuacct.usage"])? / 1000))
    }

    /// Thousandths of one CPU that may be used.
    pub(crate) fn cpu_limit(&self) -> Option<u64> {
        let (quota, period) = match self.text(&["cpu.max"]) {
            Some(text) => {
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse::<u64>().ok()?, period.parse().ok()?)
            }
            None => (self.number(&["cpu.cfs_quota_us"])?, self.number(&["cpu.cfs_period_us"])?),
        };
        quota.saturating_mul(1000).checked_div(period)
    }

    /// `cpu.weight`, or `cpu.shares`.
    pub(crate) fn cpu_weight(&self) -> Option<u64> {
        self.number(&["cpu.weight", "cpu.shares"])
    }

    /// CPUs that may be used, as `0-3`.
    pub(crate) fn cpuset(&self) -> Option<String> {
        let list = self.text(&["cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"])?;
        Some(list.trim().to_owned()).filter(|list| !list.is_empty())
    }

    /// Bytes of memory in use: without the part of the page cache that nobody touched lately, as docker and podman count.
    pub(crate) fn memory_used(&self) -> Option<u64> {
        let all = self.number(&["memory.current", "memory.usage_in_bytes"])?;
        let idle =
            self.field("memory.stat", "total_inactive_file").or_else(|| self.field("memory.stat", "inactive_file"));
        Some(all.saturating_sub(idle.unwrap_or(0)))
    }

    /// The most that was in use at one time.
    pub(crate) fn memory_peak(&self) -> Option<u64> {
        self.number(&["memory.peak", "memory.max_usage_in_bytes"])
    }

    /// Bytes of memory that may be used.
    pub(crate) fn memory_limit(&self) -> Option<u64> {
        self.limit(&["memory.max", "memory.limit_in_bytes"])
    }

    /// Bytes of swap that may be used (v2 counts swap alone, v1 both together).
    pub(crate) fn swap_limit(&self) -> Option<u64> {
        match self.limit(&["memory.swap.max"]) {
            Some(swap) => Some(swap),
            None => self.limit(&["memory.memsw.limit_in_bytes"])?.checked_sub(self.memory_limit()?),
        }
    }

    /// Processes and threads.
    pub(crate) fn pids(&self) -> Option<u64> {
        self.number(&["pids.current"]).or_else(|| {
            let dir = self.dirs.iter().find(|dir| dir.is_dir())?;
            let list = if dir.join("tasks").exists() { "tasks" } else { "cgroup.threads" };
            Some(members(dir, list, 0).len() as u64)
        })
    }

    /// Processes and threads that there may be.
    pub(crate) fn pids_limit(&self) -> Option<u64> {
        self.limit(&["pids.max"])
    }

    /// Bytes read from and written to block devices.
    pub(crate) fn io(&self) -> Option<(u64, u64)> {
        if let Some(text) = self.text(&["io.stat"]) {
            return Some((sum_of(&text, "rbytes="), sum_of(&text, "wbytes=")));
        }
        let text = self.text(&["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"])?;
        Some((sum_of_operation(&text, "Read"), sum_of_operation(&text, "Write")))
    }

    /// All processes of the container.
    pub(crate) fn processes(&self) -> Vec<i32> {
        self.dirs.iter().find(|dir| dir.is_dir()).map(|dir| members(dir, "cgroup.procs", 0)).unwrap_or_default()
    }
}

/// The numbers in a list of a group and those below it.
fn members(dir: &Path, list: &str, depth: usize) -> Vec<i32> {
    let text = fs::read_to_string(dir.join(list)).unwrap_or_default();
    let mut all: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if depth < DEPTH_MAX {
        let below = fs::read_dir(dir).into_iter().flatten().flatten();
        for dir in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            all.extend(members(&dir.path(), list, depth + 1));
        }
    }
    all
}

fn field(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

/// `8:0 rbytes=1 wbytes=2 ...`, a line for each device.
fn sum_of(text: &str, key: &str) -> u64 {
    let numbers = text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
    numbers.fold(0, u64::saturating_add)
}

/// `8:0 Read 1`, lines for each device.
fn sum_of_operation(text: &str, operation: &str) -> u64 {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        (words.next()? == operation).then(|| words.next()?.parse::<u64>().ok()).flatten()
    };
    text.lines().filter_map(line).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(files: &[(&str, &str)]) -> (tempfile::TempDir, Groups) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let groups = Groups::new(&["/no/such/group".to_owned(), dir.path().display().to_string()]);
        (dir, groups)
    }

    #[test]
    fn version_two() {
        let (_dir, groups) = groups(&[
            ("cpu.stat", "usage_usec 1234567\nuser_usec 1\n"),
            ("cpu.max", "50000 100000\n"),
            ("memory.current", "1000\n"),
            ("memory.stat", "anon 5\ninactive_file 300\n"),
            ("memory.max", "max\n"),
            ("memory.swap.max", "77\n"),
            ("pids.current", "3\n"),
            ("pids.max", "2048\n"),
            ("io.stat", "8:0 rbytes=10 wbytes=2 rios=1\n8:16 rbytes=5 wbytes=0\n"),
        ]);
        assert_eq!((groups.cpu_time(), groups.cpu_limit()), (Some(1_234_567), Some(500)));
        assert_eq!((groups.memory_used(), groups.memory_limit(), groups.swap_limit()), (Some(700), None, Some(77)));
        assert_eq!((groups.pids(), groups.pids_limit(), groups.io()), (Some(3), Some(2048), Some((15, 2))));
    }

    #[test]
    fn version_one() {
        let (_dir, groups) = groups(&[
            ("cpu.stat", "nr_periods 0\n"),
            ("cpuacct.usage", "5000000\n"),
            ("cpu.cfs_quota_us", "-1\n"),
            ("cpu.cfs_period_us", "100000\n"),
            ("memory.usage_in_bytes", "1000\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
            ("memory.limit_in_bytes", "4096\n"),
            ("memory.memsw.limit_in_bytes", "8192\n"),
            ("tasks", "1\n2\n"),
            ("blkio.throttle.io_service_bytes", "8:0 Read 10\n8:0 Write 2\n8:16 Read 5\nTotal 17\n"),
        ]);
        assert_eq!((groups.cpu_time(), groups.cpu_limit()), (Some(5000), None));
        assert_eq!(
            (groups.memory_used(), groups.memory_limit(), groups.swap_limit()),
            (Some(700), Some(4096), Some(4096))
        );
        assert_eq!((groups.pids(), groups.pids_limit(), groups.io()), (Some(2), None, Some((15, 2))));
    }

    #[test]
    fn nothing_is_known_without_groups() {
        let groups = Groups::new(&[]);
        assert_eq!((groups.cpu_time(), groups.cpu_limit(), groups.memory_used()), (None, None, None));
        assert_eq!((groups.pids(), groups.io(), groups.processes()), (None, None, Vec::new()));
        let (_dir, broken) =
            self::groups(&[("cpu.max", "rubbish"), ("memory.current", ""), ("io.stat", "x"), ("cpu.stat", "\n")]);
        assert_eq!(
            (broken.cpu_time(), broken.cpu_limit(), broken.memory_used(), broken.io()),
            (None, None, None, Some((0, 0)))
        );
    }
}
