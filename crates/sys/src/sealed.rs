//! A program's own executable as a sealed copy in memory (memfd_create(2), "File sealing").
//!
//! PID 1 of a container is an image of `ctr-run`. A program that may trace it could open `/proc/1/exe`, keep the file, and
//! write to it later (CVE-2019-5736). What it opens then is a copy that nobody can write.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;

use crate::process::{self, CStringArray};
use crate::raw::call;
use crate::{Errno, Result, SysError};

/// The name that the copy has in `/proc/self/exe`.
const NAME: &str = "ctr-sealed";

/// Whether this process already runs from a sealed copy.
pub fn is_sealed() -> bool {
    std::fs::read_link("/proc/self/exe").is_ok_and(|exe| exe.as_os_str().as_bytes().starts_with(b"/memfd:ctr-sealed"))
}

/// Executes this program again, with the same arguments and environment and `more` variables, from a sealed copy. Returns
/// only an error.
pub fn execute_again(more: &[(&str, std::ffi::OsString)]) -> Result<std::convert::Infallible> {
    let fail = |call, errno| SysError::new(call, NAME, errno);
    let name = CString::new(NAME).map_err(|_| fail("memfd_create", Errno::EINVAL))?;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let fd = call!(libc::SYS_memfd_create, name.as_ptr(), flags).map_err(|errno| fail("memfd_create", errno))?;
    // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
    let mut copy = unsafe { std::fs::File::from_raw_fd(fd as i32) };
    let io = |call: &'static str| move |error: std::io::Error| SysError::from_io(call, NAME, &error);
    let mut program = Vec::new();
    std::fs::File::open("/proc/self/exe").and_then(|mut own| own.read_to_end(&mut program)).map_err(io("read"))?;
    copy.write_all(&program).map_err(io("write"))?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    call!(libc::SYS_fcntl, copy.as_raw_fd(), libc::F_ADD_SEALS, seals).map_err(|errno| fail("fcntl", errno))?;
    let strings = |words: Vec<Vec<u8>>| words.into_iter().filter_map(|word| CString::new(word).ok()).collect();
    let arguments = CStringArray::new(strings(std::env::args_os().map(|word| word.as_bytes().to_vec()).collect()));
    let variable =
        |(name, value): (std::ffi::OsString, std::ffi::OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    let kept = std::env::vars_os().filter(|(name, _)| !more.iter().any(|(other, _)| name == other));
    let more = more.iter().map(|(name, value)| ((*name).into(), value.clone()));
    let environment = CStringArray::new(strings(kept.chain(more).map(variable).collect()));
    let path =
        CString::new(format!("/proc/self/fd/{}", copy.as_raw_fd())).map_err(|_| fail("execve", Errno::EINVAL))?;
    Err(fail("execve", process::exec(&path, &arguments, &environment)))
}

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
    static program_invocation_name: *mut libc::c_char;
}

/// Most bytes that arguments and environment take together (execve(2): a quarter of the stack limit, 6 MiB at most).
const STRINGS_MAX: usize = 6 << 20;

/// Wipes the arguments and the environment that this process was started with, and names it `ctr-init`.
///
/// `/proc/PID/cmdline` is open to everybody and `/proc/PID/environ` to those who may trace: a container shall read in neither
/// with which options and secrets it was started. Only for a process that never again asks for arguments or variables; it
/// allocates nothing.
pub fn wipe_start_strings() {
    const TITLE: &[u8] = b"ctr-init";
    // SAFETY: the kernel lays argument strings and then environment strings out in one writable block on the stack, each
    // ended by a NUL; the first argument and the variables point into it. The process has one thread. What lies outside
    // of the block, because somebody has replaced a pointer, is left alone.
    unsafe {
        let (first, mut variable) = (program_invocation_name, environ);
        if first.is_null() || variable.is_null() {
            return;
        }
        let start = first as usize;
        let mut end = start + libc::strlen(first);
        while !(*variable).is_null() {
            let at = *variable as usize;
            if at > start && at - start < STRINGS_MAX {
                end = end.max(at + libc::strlen(*variable));
            }
            variable = variable.add(1);
        }
        first.cast::<u8>().write_bytes(0, end - start);
        if end - start > TITLE.len() {
            first.cast::<u8>().copy_from_nonoverlapping(TITLE.as_ptr(), TITLE.len());
        }
    }
}
