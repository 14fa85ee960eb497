//! `linux.seccomp` of a bundle, as the filter that its program runs under.
//!
//! Engines give the same few profiles to thousands of containers, with hundreds of system calls each. What one comes to is kept
//! at `ROOT/seccomp/DIGEST`: the digest is that of the profile as this program writes it and of what else decides over the filter,
//! the file has the filter and its digest. Whoever can write there can write the state of containers too.

use std::path::{Path, PathBuf};

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_sandbox::plan::{ProcessPlan, SeccompPlan};
use ctr_sandbox::seccomp::listener::Notify;
use ctr_sandbox::seccomp::{Agent, Profile, Program};
use ctr_sys::privilege::CapSet;
use ctr_sys::process;
use serde::Serialize;

use crate::config::Seccomp;
use crate::report;
use crate::state::{Known, Status};

/// What else decides over a filter: the compiler and the architecture. To be changed with the form of the file.
const MAKER: &str = concat!("ctr-oci ", env!("CARGO_PKG_VERSION"), " 1 ");
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;
/// The largest file that is read, in bytes: 4096 instructions, what stands before them, a digest.
const FILE_MAX: usize = 8 * 4097 + DIGITS;
/// Filters that are kept; with one more all are dropped. A host has a handful of profiles.
const FILES_MAX: usize = 128;

/// Gives `plan` the filter of `seccomp`. `root` is `--root`.
pub(crate) fn apply(root: &Path, seccomp: Option<&Seccomp>, plan: &mut ProcessPlan) -> Result<(), Failure> {
    let Some(seccomp) = seccomp else {
        plan.seccomp = SeccompPlan::Unconfined;
        return Ok(());
    };
    let program = program(root, seccomp)?;
    if program.notifies() && seccomp.listener_path.is_empty() {
        return Err(Failure::new("linux.seccomp.listenerPath is missing")
            .because("the profile has SCMP_ACT_NOTIFY, and no agent answers the calls")
            .hint("name the socket of an agent, or use another action"));
    }
    plan.seccomp_agent = program
        .notifies()
        .then(|| Agent { path: seccomp.listener_path.clone(), metadata: seccomp.listener_metadata.clone() });
    plan.seccomp = SeccompPlan::Profile;
    plan.filter = Some(program);
    Ok(())
}

/// The agent of the container's filter, connected to, if it has one. It is told of the process that loads the filter, in a
/// container with this status (config-linux.md, "The container process state").
pub(crate) fn agent(known: &Known, status: Status) -> Result<Option<Notify>, Failure> {
    let Some(agent) = &known.process.seccomp_agent else { return Ok(None) };
    let mut state = known.document();
    state.status = status;
    let metadata = agent.metadata.clone();
    let version = known.oci.version.clone();
    let state = serde_json::to_value(&state).map_err(|error| Failure::new(error.to_string()))?;
    let tell = move |pid: i32| {
        let document =
            ProcessState { oci_version: &version, fds: ["seccompFd"], pid, metadata: &metadata, state: &state };
        ctr_cli::to_json(&document, false).unwrap_or_default().into_bytes()
    };
    Notify::connect(Path::new(&agent.path), Box::new(tell))
        .map(Some)
        .map_err(|error| Failure::hinted(error, |error| error.hint().map(str::to_owned)))
}

/// What an agent is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a serde_json::Value,
}

fn program(root: &Path, seccomp: &Seccomp) -> Result<Program, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("linux.seccomp: {error}"));
    let text = ctr_cli::to_json(seccomp, false).map_err(|error| failed(&error))?;
    let mut named = String::with_capacity(MAKER.len() + 16 + text.len());
    named.push_str(MAKER);
    named.push_str(std::env::consts::ARCH);
    named.push_str(&text);
    let dir = root.join("seccomp");
    let path = dir.join(Digest::of(named.as_bytes()).hex());
    if let Some(program) = kept(&path) {
        return Ok(program);
    }
    let profile = Profile::parse_with_agent(text.as_bytes()).map_err(|error| failed(&error))?;
    if !profile.unknown_calls().is_empty() {
        report::debug(|| format!("seccomp: passed over, not known here: {}", profile.unknown_calls().join(" ")));
    }
    let program =
        Program::of_profile(&profile, CapSet::default(), process::kernel_version()).map_err(|e| failed(&e))?;
    if let Err(error) = keep(&dir, &path, &program) {
        report::debug(|| format!("seccomp: the filter cannot be kept in {}: {error}", dir.display()));
    }
    Ok(program)
}

/// A filter that was kept; one that is damaged is none.
fn kept(path: &Path) -> Option<Program> {
    let bytes = ctr_sys::small::read(path, FILE_MAX).ok().flatten()?;
    let (program, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGITS)?)?;
    if Digest::of(program).hex().as_bytes() != digest {
        return None;
    }
    Program::from_bytes(program)
}

/// Whole or not at all: others may be reading and writing the same.
fn keep(dir: &Path, path: &Path, program: &Program) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let files: Vec<PathBuf> =
        std::fs::read_dir(dir)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    if files.len() >= FILES_MAX {
        for file in files {
            let _ = std::fs::remove_file(file);
        }
    }
    let mut bytes = program.to_bytes();
    let digest = Digest::of(&bytes).hex();
    bytes.extend(digest.as_bytes());
    let temporary = dir.join(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    ctr_sys::small::write_new(&temporary, &bytes, 0o600)?;
    std::fs::rename(&temporary, path).inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SyscallArg, SyscallRule};

    fn root(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("ctr-oci-seccomp-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        root
    }

    fn profile(action: &str) -> Seccomp {
        let arg = SyscallArg { index: 0, value: 8, value_two: 0, op: "SCMP_CMP_EQ".into() };
        Seccomp {
            default_action: "SCMP_ACT_ERRNO".into(),
            default_errno_ret: Some(38),
            architectures: vec!["SCMP_ARCH_X86_64".into(), "SCMP_ARCH_X86".into()],
            flags: vec!["SECCOMP_FILTER_FLAG_LOG".into()],
            syscalls: vec![
                SyscallRule {
                    names: vec!["read".into(), "nosuchcall".into()],
                    action: action.into(),
                    ..SyscallRule::default()
                },
                SyscallRule {
                    names: vec!["personality".into()],
                    action: "SCMP_ACT_ALLOW".into(),
                    args: vec![arg],
                    ..SyscallRule::default()
                },
            ],
            ..Seccomp::default()
        }
    }

    #[test]
    fn a_filter_is_made_once_and_damage_is_seen() {
        let root = root("kept");
        let first = program(&root, &profile("SCMP_ACT_ALLOW")).unwrap();
        let files: Vec<_> =
            std::fs::read_dir(root.join("seccomp")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        assert_eq!(kept(file), Some(first.clone()));
        let mut bytes = std::fs::read(file).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(file, &bytes).unwrap();
        assert_eq!(kept(file), None);
        assert_eq!(program(&root, &profile("SCMP_ACT_ALLOW")).unwrap(), first);
        assert_eq!(kept(file), Some(first.clone()), "mended");
        assert_ne!(program(&root, &profile("SCMP_ACT_LOG")).unwrap(), first);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn errors_name_the_property() {
        let root = root("errors");
        let mut plan = crate::seccomp::tests::plan();
        let bad = |seccomp: &Seccomp, plan: &mut ProcessPlan| apply(&root, Some(seccomp), plan).unwrap_err().one_line();
        let message = bad(&profile("SCMP_ACT_NOPE"), &mut plan);
        assert!(message.contains("linux.seccomp: syscalls[0].action"), "{message}");
        let message = bad(&profile("SCMP_ACT_NOTIFY"), &mut plan);
        assert!(message.contains("linux.seccomp.listenerPath"), "{message}");
        let metadata = Seccomp { listener_metadata: "x".into(), ..profile("SCMP_ACT_ALLOW") };
        assert!(bad(&metadata, &mut plan).contains("listenerMetadata"));
        let agent = Seccomp { listener_path: "/run/agent".into(), ..profile("SCMP_ACT_NOTIFY") };
        apply(&root, Some(&agent), &mut plan).unwrap();
        assert!(plan.filter.as_ref().is_some_and(Program::notifies));
        assert_eq!(plan.seccomp_agent.as_ref().map(|agent| agent.path.as_str()), Some("/run/agent"));
        std::fs::remove_dir_all(root).unwrap();
    }

    fn plan() -> ProcessPlan {
        let text = r#"{"args":[],"env":[],"home_from_passwd":false,"cwd":"/","user":"","groups":[],"umask":18,
            "capabilities":[],"no_new_privileges":false,"seccomp":"default","rlimits":[]}"#;
        serde_json::from_str(text).unwrap()
    }
}
