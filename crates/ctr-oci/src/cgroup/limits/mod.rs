//! From `linux.resources` (config-linux.md "Control groups") to what is written to which file: pure.
//!
//! Each controller is where the kernel has bound it: in v1 the files and numbers are those of the property, in v2 they are
//! converted. A limit that the host cannot hold is an error, "unlimited" for a file that is not there is none. As runc and
//! crun have it, 0 is what an absent number is, but for those that mean something by it.

mod cpu;
mod io;
mod memory;
mod rest;
#[cfg(test)]
mod tests;

use super::CgroupError;
use super::facts::Hierarchies;
use crate::config::Resources;

/// What is written to one file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its name.
    pub file: String,
    /// What.
    pub value: String,
    /// File and value where the kernel has no file of that name: a disk scheduler may have the weight to itself.
    pub other: Option<(String, String)>,
    /// The property that asks for it.
    pub property: String,
    /// It says no more than what holds without the file.
    pub optional: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
impl Write {
    fn new(property: &str, file: impl Into<String>, value: impl ToString) -> Self {
        Self {
            file: file.into(),
            value: value.to_string(),
            other: None,
            property: format!("linux.resources.{property}"),
            optional: false,
        }
    }

    fn optional_if(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    fn or(mut self, file: impl Into<String>, value: impl ToString) -> Self {
        self.other = Some((file.into(), value.to_string()));
        self
    }
}

/// A write and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// A controller of v1, or `None` for the group of v2.
    pub v1: Option<&'static str>,
    /// It.
    pub write: Write,
}

/// What a group that is there already has: an update may speak of half of what is one file in v2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// `memory.max`, bytes.
    pub memory_limit: Option<i64>,
    /// The first word of `cpu.max`.
    pub cpu_quota: Option<String>,
    /// The second, microseconds.
    pub cpu_period: Option<u64>,
}

type Writes = Result<Vec<Write>, CgroupError>;

/// All writes for `resources`, in their order. Devices are [`super::devices`]'.
pub fn writes(resources: &Resources, known: &Known, host: &Hierarchies) -> Result<Vec<Placed>, CgroupError> {
    let mut places = Places { host, placed: Vec::new() };
    if let Some(cpu) = &resources.cpu {
        places.put("cpuset", "cpuset", &|| Ok(cpu::set(cpu)), &|| Ok(cpu::set(cpu)))?;
        places.put("cpu", "cpu", &|| cpu::v1(cpu), &|| cpu::v2(cpu, known))?;
    }
    if let Some(memory) = &resources.memory {
        places.put("memory", "memory", &|| memory::v1(memory), &|| memory::v2(memory, known))?;
    }
    if let Some(pids) = &resources.pids {
        places.put("pids", "pids", &|| Ok(rest::pids(pids)), &|| Ok(rest::pids(pids)))?;
    }
    if let Some(block) = &resources.block_io {
        places.put("blkio", "io", &|| io::v1(block), &|| io::v2(block))?;
    }
    let pages = &resources.hugepage_limits;
    places.put("hugetlb", "hugetlb", &|| rest::hugepages(pages, true), &|| rest::hugepages(pages, false))?;
    let rdma = &resources.rdma;
    places.put("rdma", "rdma", &|| rest::rdma(rdma), &|| rest::rdma(rdma))?;
    if let Some(network) = &resources.network {
        places.put("net_cls", "", &|| Ok(rest::class(network)), &|| rest::no_class(network))?;
        places.put("net_prio", "", &|| rest::priorities(network), &|| rest::no_priorities(network))?;
    }
    let unified = rest::unified(&resources.unified, host)?;
    places.placed.extend(unified.into_iter().map(|write| Placed { v1: None, write }));
    Ok(places.placed)
}

struct Places<'a> {
    host: &'a Hierarchies,
    placed: Vec<Placed>,
}

impl Places<'_> {
    /// Puts the writes of one controller to where this host has it. An empty `v2_name`: v2 has none, and `v2` says so.
    fn put(
        &mut self,
        v1_name: &'static str,
        v2_name: &str,
        v1: &dyn Fn() -> Writes,
        v2: &dyn Fn() -> Writes,
    ) -> Result<(), CgroupError> {
        if self.host.v1_of(v1_name).is_some() {
            self.placed.extend(v1()?.into_iter().map(|write| Placed { v1: Some(v1_name), write }));
            return Ok(());
        }
        let pure = self.host.unified.as_ref().is_some_and(|unified| unified.pure);
        if self.host.unified_has(v2_name) || (pure && v2_name.is_empty()) {
            self.placed.extend(v2()?.into_iter().map(|write| Placed { v1: None, write }));
            return Ok(());
        }
        // Whatever v2 cannot express is told first.
        let wanted = if pure { v2()? } else { v1()? };
        match wanted.into_iter().find(|write| !write.optional) {
            None => Ok(()),
            Some(write) => Err(self.no_controller(&write.property, if pure { v2_name } else { v1_name })),
        }
    }

    fn no_controller(&self, property: &str, controller: &str) -> CgroupError {
        let error = CgroupError::property(
            property,
            format!("there is no control group controller \"{controller}\" that could hold it here"),
        );
        match &self.host.unified {
            Some(unified) if !unified.base.is_empty() => error.hinted(format!(
                "a user gets it by delegation: Delegate={controller} in user@.service, or systemd-run --user --scope -p Delegate=yes"
            )),
            _ => error.hinted(
                "see whether the kernel has it (cgroup_disable= on its command line?) and which hierarchy it is bound to (/proc/cgroups)",
            ),
        }
    }
}

/// A property that v2 does not have.
fn only_v1(property: &str, what: &str) -> CgroupError {
    CgroupError::property(format!("linux.resources.{property}"), format!("{what} exists with cgroup v1 alone"))
}

fn invalid(property: &str, what: impl Into<String>) -> CgroupError {
    CgroupError::property(format!("linux.resources.{property}"), what)
}

/// A number of which 0 is none.
fn given<T: Default + PartialEq + Copy>(number: Option<T>) -> Option<T> {
    number.filter(|number| *number != T::default())
}
