//! Words for a program that could not be executed.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use ctr_sys::Errno;
use ctr_sys::files::{self, OpenAs};

use super::c_string;
use crate::error::{SandboxError, StepCause};
use crate::script::Step;

/// Why `program` could not be executed in `rootfs` by `step`, in words.
pub(crate) fn exec_failed(program: &str, rootfs: &OwnedFd, step: &Step, errno: Errno) -> SandboxError {
    if let (Step::Exec { arguments, environment, .. }, Errno::E2BIG) = (step, errno) {
        return too_large(program, arguments.strings(), environment.strings());
    }
    let shown = program.escape_debug().to_string();
    let seen = if program.contains('/') { diagnose(rootfs, program) } else { None };
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => {
            let missing =
                if program.contains('/') { "no such file in the image" } else { "not in the PATH of the container" };
            SandboxError::NotFound {
                program: shown,
                reason: seen.unwrap_or_else(|| missing.to_owned()),
                hint: Some("see what the image has: ctr-run --entrypoint '' IMAGE ls /bin".to_owned()),
            }
        }
        Errno::EACCES => SandboxError::NotInvocable {
            program: shown,
            reason: seen
                .filter(|reason| reason.contains("directory"))
                .unwrap_or_else(|| "permission denied".to_owned()),
            hint: Some("is it executable for the user that it runs as, and on a mount without noexec?".to_owned()),
        },
        Errno::ENOEXEC => SandboxError::NotInvocable {
            program: shown,
            reason: "exec format error: it is neither a program of this architecture nor a script with #!".to_owned(),
            hint: None,
        },
        errno => SandboxError::NotInvocable { program: shown, reason: StepCause { errno }.to_string(), hint: None },
    }
}

/// The two limits of execve(2), "Limits on size of arguments and environment".
fn too_large(program: &str, arguments: &[CString], environment: &[CString]) -> SandboxError {
    /// `MAX_ARG_STRLEN`, with the NUL byte at the end.
    const STRING_MAX: usize = 128 << 10;
    let size =
        |strings: &[CString]| strings.iter().map(|s| s.as_bytes_with_nul().len() + size_of::<usize>()).sum::<usize>();
    let longest = arguments.iter().chain(environment).max_by_key(|string| string.as_bytes().len());
    let long = longest.filter(|string| string.as_bytes_with_nul().len() > STRING_MAX).map(|string| {
        let bytes = string.as_bytes();
        let name = bytes.get(..bytes.iter().position(|byte| *byte == b'=').unwrap_or(0).min(64)).unwrap_or_default();
        let is_variable = environment.contains(string) && !name.is_empty();
        let name = String::from_utf8_lossy(name).escape_debug().to_string();
        let what = if is_variable { format!("the variable {name}") } else { "an argument".to_owned() };
        format!("{what} has {} bytes, the kernel takes {} in one", bytes.len(), STRING_MAX - 1)
    });
    SandboxError::NotInvocable {
        program: program.escape_debug().to_string(),
        reason: long.unwrap_or_else(|| {
            let (arguments, environment) = (size(arguments), size(environment));
            format!(
                "its arguments ({arguments} bytes) and environment ({environment} bytes) are too large: the kernel takes a quarter of the stack limit, from 128 KiB to 6 MiB"
            )
        }),
        hint: Some("pass large values in a file: --volume, or --mount".to_owned()),
    }
}

/// Why a program that the child could not execute could not be: looked at from outside, after the fact, for words only.
fn diagnose(rootfs: &OwnedFd, program: &str) -> Option<String> {
    let path = c_string(program).ok()?;
    let file = files::open_in_root(rootfs.as_fd(), &path, OpenAs::Read, 0).ok()?;
    if files::facts(file.as_fd()).ok()?.is_dir() {
        return Some("it is a directory".to_owned());
    }
    let mut head = [0u8; 256];
    let count = files::read(file.as_fd(), &mut head).ok()?;
    let head = head.get(..count)?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let interpreter = String::from_utf8_lossy(line);
        let interpreter = interpreter.split_whitespace().next().unwrap_or_default();
        return Some(format!("its interpreter {} is not in the image", interpreter.escape_debug()));
    }
    if head.starts_with(b"\x7fELF") {
        return Some(
            "it is there, but the dynamic loader that it asks for is not in the image, or is for another machine"
                .to_owned(),
        );
    }
    Some("it is neither an ELF program nor a script with #!".to_owned())
}
