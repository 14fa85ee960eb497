//! A seccomp profile from a file: read, checked, and resolved for a machine and a set of capabilities.

use ctr_sys::privilege::{self, CapSet};
use ctr_sys::syscalls::{self, Arch, Call};
use ctr_sys::{Errno, seccomp};

use super::document::{Argument, Document, Entry, Texts, When};
use super::filter::{Action, Compare, Condition};

/// The largest profile that is read, in bytes (spec/limits.md).
pub const PROFILE_MAX: usize = 1 << 20;

/// The largest errno of a filter (the kernel's `MAX_ERRNO`).
const ERRNO_MAX: u64 = 4095;

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It is not a seccomp profile in JSON.
    #[error("it is no seccomp profile: {0}")]
    Json(String),
    /// A value that cannot be.
    #[error("{place}: {what}")]
    Value {
        /// Where: `syscalls[3].args[0].op`.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The kernel takes no filter of this length.
    #[error("it comes to {0} instructions, and the kernel takes 4096")]
    TooLong(usize),
}

/// A profile that was read and checked (runtime-spec, config-linux.md "Seccomp"; Docker's and Podman's form of it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub(super) default: Action,
    /// `architectures`, beside the native one.
    pub(super) arches: Vec<Arch>,
    /// `archMap`: what is added on a kernel of the first.
    pub(super) arch_map: Vec<(Arch, Vec<Arch>)>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(super) flags: u32,
    pub(super) entries: Vec<ProfileEntry>,
    /// Names of calls that no table of ours has.
    pub(super) unknown: Vec<String>,
    /// Where the descriptor of `SCMP_ACT_NOTIFY` goes.
    agent: Option<Agent>,
}

/// Who answers the calls that a profile passes on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Agent {
    /// `listenerPath`: its socket.
    pub path: String,
    /// `listenerMetadata`: what it is told besides.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
}

/// Some calls with one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProfileEntry {
    pub(super) calls: Vec<Call>,
    /// Any of these lists of conditions, all of which must hold; none: always.
    pub(super) conditions: Vec<Vec<Condition>>,
    pub(super) action: Action,
    pub(super) includes: Conditional,
    pub(super) excludes: Conditional,
}

/// When an entry counts, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conditional {
    pub(super) caps: CapSet,
    /// Names as Go has them: `amd64`.
    pub(super) arches: Vec<String>,
    /// Major, minor.
    pub(super) min_kernel: Option<(u32, u32)>,
}

fn wrong(place: &str, what: impl Into<String>) -> ProfileError {
    ProfileError::Value { place: place.to_owned(), what: what.into() }
}

impl Profile {
    /// Reads a profile that passes no calls on. Foreign bytes: whatever they are, the answer is a profile or an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProfileError> {
        let profile = Self::parse_with_agent(bytes)?;
        if profile.agent.is_some() {
            return Err(wrong("listenerPath", NO_NOTIFY));
        }
        if profile.default == Action::NOTIFY {
            return Err(wrong("defaultAction", NO_NOTIFY));
        }
        if let Some(index) = profile.entries.iter().position(|entry| entry.action == Action::NOTIFY) {
            return Err(wrong(&format!("syscalls[{index}].action"), NO_NOTIFY));
        }
        if profile.flags & seccomp::SECCOMP_WAIT_KILLABLE_RECV != 0 {
            return Err(wrong("flags", NO_NOTIFY));
        }
        Ok(profile)
    }

    /// Reads a profile that may pass calls on.
    pub fn parse_with_agent(bytes: &[u8]) -> Result<Self, ProfileError> {
        if bytes.len() > PROFILE_MAX {
            return Err(ProfileError::Json(format!(
                "it has {} bytes, more than the {PROFILE_MAX} that are read",
                bytes.len()
            )));
        }
        let document: Document<'_> =
            serde_json::from_slice(bytes).map_err(|error| ProfileError::Json(error.to_string()))?;
        let default = action(
            "defaultAction",
            &document.default_action,
            document.default_errno_ret,
            document.default_errno.as_deref(),
        )?;
        let path = document.listener_path.as_deref().unwrap_or_default();
        let metadata = document.listener_metadata.as_deref().unwrap_or_default();
        if path.is_empty() && !metadata.is_empty() {
            return Err(wrong("listenerMetadata", "it is for the agent at listenerPath, which is not given"));
        }
        let agent = (!path.is_empty()).then(|| Agent { path: path.to_owned(), metadata: metadata.to_owned() });
        let mut profile = Self {
            default,
            arches: arches("architectures", document.architectures.as_ref())?,
            arch_map: Vec::new(),
            flags: flags(document.flags.as_ref())?,
            entries: Vec::new(),
            unknown: Vec::new(),
            agent,
        };
        for (index, map) in document.arch_map.iter().flatten().enumerate() {
            let place = format!("archMap[{index}]");
            if !profile.arches.is_empty() {
                return Err(wrong(&place, "a profile has either architectures or archMap"));
            }
            if let Some(native) = arch(&place, &map.architecture)? {
                profile.arch_map.push((native, arches(&place, map.sub_architectures.as_ref())?));
            }
        }
        for (index, entry) in document.syscalls.iter().flatten().enumerate() {
            let entry = profile.entry(&format!("syscalls[{index}]"), entry)?;
            profile.entries.push(entry);
        }
        profile.unknown.sort_unstable();
        profile.unknown.dedup();
        Ok(profile)
    }

    /// Names of system calls that the profile has and we do not know, sorted: they are passed over.
    pub fn unknown_calls(&self) -> &[String] {
        &self.unknown
    }

    /// Who answers the calls that are passed on.
    pub fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    /// Whether it passes calls on.
    pub fn notifies(&self) -> bool {
        self.default == Action::NOTIFY || self.entries.iter().any(|entry| entry.action == Action::NOTIFY)
    }

    fn entry(&mut self, place: &str, entry: &Entry<'_>) -> Result<ProfileEntry, ProfileError> {
        let names = entry.names.iter().flatten().map(|name| &name.0).chain(&entry.name);
        if entry.name.is_some() && entry.names.as_ref().is_some_and(|names| !names.is_empty()) {
            return Err(wrong(place, "an entry has either name or names"));
        }
        let (mut calls, mut any) = (Vec::new(), false);
        for name in names {
            any = true;
            match syscalls::call(name) {
                _ if name.is_empty() => return Err(wrong(place, "the name of a system call is empty")),
                Some(call) => calls.push(call),
                None => self.unknown.push(name.escape_debug().to_string()),
            }
        }
        if !any {
            return Err(wrong(place, "an entry names at least one system call"));
        }
        Ok(ProfileEntry {
            calls,
            conditions: conditions(place, entry.args.as_deref().unwrap_or_default())?,
            action: action(&format!("{place}.action"), &entry.action, entry.errno_ret, entry.errno.as_deref())?,
            includes: conditional(&format!("{place}.includes"), entry.includes.as_ref())?,
            excludes: conditional(&format!("{place}.excludes"), entry.excludes.as_ref())?,
        })
    }
}

/// All conditions of an entry must hold, unless two are about one argument: then any of them (runc and crun both do so, for
/// profiles of old).
fn conditions(place: &str, arguments: &[Argument<'_>]) -> Result<Vec<Vec<Condition>>, ProfileError> {
    let mut all = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.iter().enumerate() {
        all.push(condition(&format!("{place}.args[{index}]"), argument)?);
    }
    let twice = |one: &Condition| all.iter().filter(|other| other.argument == one.argument).count() > 1;
    Ok(match all.len() {
        0 => Vec::new(),
        _ if all.iter().any(twice) => all.into_iter().map(|condition| vec![condition]).collect(),
        _ => vec![all],
    })
}

fn condition(place: &str, argument: &Argument<'_>) -> Result<Condition, ProfileError> {
    let index = u8::try_from(argument.index).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| wrong(place, "a system call has the arguments 0 to 5"))?;
    let (compare, value) = match &*argument.op {
        "SCMP_CMP_NE" => (Compare::NotEqual, argument.value),
        "SCMP_CMP_LT" => (Compare::Less, argument.value),
        "SCMP_CMP_LE" => (Compare::LessOrEqual, argument.value),
        "SCMP_CMP_EQ" => (Compare::Equal, argument.value),
        "SCMP_CMP_GE" => (Compare::GreaterOrEqual, argument.value),
        "SCMP_CMP_GT" => (Compare::Greater, argument.value),
        // value is the mask, valueTwo what is left under it.
        "SCMP_CMP_MASKED_EQ" => {
            let mask = argument.value;
            (Compare::MaskedEqual(mask), argument.value_two.unwrap_or_default() & mask)
        }
        other => return Err(wrong(place, format!("\"{}\" is no operator (SCMP_CMP_EQ ...)", other.escape_debug()))),
    };
    Ok(Condition { argument: index, compare, value })
}

/// Why what needs an agent is refused.
const NO_NOTIFY: &str = "SCMP_ACT_NOTIFY and its listener are not supported: ctr passes no calls to an agent";

fn action(place: &str, name: &str, number: Option<u64>, symbol: Option<&str>) -> Result<Action, ProfileError> {
    let plain = match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => Action::KILL_PROCESS,
        "SCMP_ACT_TRAP" => Action::TRAP,
        "SCMP_ACT_ALLOW" => Action::ALLOW,
        "SCMP_ACT_LOG" => Action::LOG,
        "SCMP_ACT_ERRNO" => return Ok(Action::errno(errno(place, number, symbol)?)),
        "SCMP_ACT_TRACE" => return Ok(Action::trace(errno(place, number, symbol)?)),
        "SCMP_ACT_NOTIFY" => Action::NOTIFY,
        other => return Err(wrong(place, format!("\"{}\" is no action (SCMP_ACT_ALLOW ...)", other.escape_debug()))),
    };
    if number.is_some() || symbol.is_some_and(|symbol| !symbol.is_empty()) {
        return Err(wrong(place, format!("{name} takes no errno")));
    }
    Ok(plain)
}

/// By number or by name, `EPERM` if by neither.
fn errno(place: &str, number: Option<u64>, symbol: Option<&str>) -> Result<u16, ProfileError> {
    if let Some(symbol) = symbol.filter(|symbol| !symbol.is_empty()) {
        let named = (1..=133).map(Errno::from_raw).find(|errno| format!("{errno:?}") == symbol);
        let named = named.and_then(|errno| u16::try_from(errno as i32).ok());
        return named.ok_or_else(|| wrong(place, format!("\"{}\" is no errno", symbol.escape_debug())));
    }
    let number = number.unwrap_or(1);
    let good = u16::try_from(number).ok().filter(|_| number <= ERRNO_MAX);
    good.ok_or_else(|| wrong(place, format!("{number} is no errno (0 to {ERRNO_MAX})")))
}

fn flags(names: Option<&Vec<super::document::Item<'_>>>) -> Result<u32, ProfileError> {
    let mut flags = 0;
    for name in names.into_iter().flatten() {
        flags |= match &*name.0 {
            "SECCOMP_FILTER_FLAG_TSYNC" => seccomp::SECCOMP_TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => seccomp::SECCOMP_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => seccomp::SECCOMP_SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => seccomp::SECCOMP_WAIT_KILLABLE_RECV,
            other => return Err(wrong("flags", format!("\"{}\" is no flag of a filter", other.escape_debug()))),
        };
    }
    Ok(flags)
}

fn arches(place: &str, names: Option<&Vec<super::document::Item<'_>>>) -> Result<Vec<Arch>, ProfileError> {
    let mut arches = Vec::new();
    for name in names.into_iter().flatten() {
        arches.extend(arch(place, &name.0)?);
    }
    Ok(arches)
}

/// Architectures of libseccomp that ctr does not run on, and whose programs no kernel of ours runs.
const ELSEWHERE: [&str; 19] = [
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
    "SHEB",
    "NATIVE",
];

/// `None` for one that adds nothing here.
fn arch(place: &str, name: &str) -> Result<Option<Arch>, ProfileError> {
    match name.strip_prefix("SCMP_ARCH_") {
        Some("X86_64") => Ok(Some(Arch::X86_64)),
        Some("X86") => Ok(Some(Arch::X86)),
        Some("X32") => Ok(Some(Arch::X32)),
        Some("AARCH64") => Ok(Some(Arch::Aarch64)),
        Some("ARM") => Ok(Some(Arch::Arm)),
        Some(other) if ELSEWHERE.contains(&other) => Ok(None),
        _ => Err(wrong(place, format!("\"{}\" is no architecture (SCMP_ARCH_X86_64 ...)", name.escape_debug()))),
    }
}

fn conditional(place: &str, when: Option<&When<'_>>) -> Result<Conditional, ProfileError> {
    let Some(when) = when else { return Ok(Conditional::default()) };
    let texts = |texts: &Texts<'_>| -> Vec<String> { texts.iter().flatten().map(|text| text.0.to_string()).collect() };
    let mut caps = CapSet::default();
    for name in texts(&when.caps) {
        let number = privilege::capability(&name);
        caps.0 |= 1 << number.ok_or_else(|| wrong(place, format!("\"{}\" is no capability", name.escape_debug())))?;
    }
    let min_kernel =
        match when.min_kernel.as_deref() {
            None | Some("") => None,
            Some(text) => Some(kernel_version(text).ok_or_else(|| {
                wrong(place, format!("\"{}\" is no version of the kernel (4.8)", text.escape_debug()))
            })?),
        };
    Ok(Conditional { caps, arches: texts(&when.arches), min_kernel })
}

/// `4.8`; what follows the second number is passed over.
fn kernel_version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
