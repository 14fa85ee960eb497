//! A program's own executable where nobody can write it (memfd_create(2), "File sealing"; open_tree(2)).
//!
//! PID 1 of a container is an image of `ctr-run`, and what `ctr-exec` executes is one of `ctr-exec` until the exec. A program of
//! the container that gets hold of `/proc/PID/exe` of such a process, or is executed as `/proc/self/exe`, could keep the file
//! and write to it later (CVE-2019-5736). Where its ids would let it, the binary first executes itself again from a place that
//! cannot be written: a detached mount of the one file, read-only, which belongs to no mount namespace once it is executed and
//! so can never be made writable again; or a sealed copy in memory, where the caller may not mount.

use std::ffi::{CString, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::mount::{self, MountAttr};
use crate::process::{self, CStringArray};
use crate::raw::{RawResult, call};
use crate::{Errno, Result, SysError, files};

/// The name that a copy in memory has in `/proc/self/exe`.
const NAME: &str = "ctr-sealed";
/// This program's file, as a magic link.
const OWN: &str = "/proc/self/exe";
/// Where a program that runs from such a place was executed from first.
const PATH_VARIABLE: &str = "CTR_EXECUTABLE";

/// Whether this process runs from a file that nobody can write: a sealed copy, or any on a read-only mount.
pub fn is_sealed() -> bool {
    std::fs::read_link(OWN).is_ok_and(|exe| exe.as_os_str().as_bytes().starts_with(b"/memfd:ctr-sealed"))
        || files::is_on_read_only_mount(c"/proc/self/exe")
}

/// Whether processes that have the uids for which `has` is true could write this program's file.
pub fn is_exposed_to(has: impl Fn(u32) -> bool) -> bool {
    let safe = std::fs::metadata(OWN).is_ok_and(|facts| !has(facts.uid()) && facts.mode() & 0o022 == 0);
    !safe && !is_sealed()
}

/// The path that this program was executed from first.
pub fn own_path() -> std::io::Result<PathBuf> {
    match std::env::var_os(PATH_VARIABLE).filter(|_| is_sealed()) {
        Some(path) => Ok(path.into()),
        None => std::fs::read_link(OWN),
    }
}

/// Executes this program again, with the same arguments and environment and `more` variables, from where nobody can write
/// it. Returns only an error.
pub fn execute_again(more: &[(&str, OsString)]) -> Result<std::convert::Infallible> {
    let own = own_path().map_err(|error| SysError::from_io("readlink", OWN, &error))?;
    let more: Vec<(&str, OsString)> = more.iter().cloned().chain([(PATH_VARIABLE, own.into_os_string())]).collect();
    let strings = |words: Vec<Vec<u8>>| words.into_iter().filter_map(|word| CString::new(word).ok()).collect();
    let arguments = CStringArray::new(strings(std::env::args_os().map(|word| word.as_bytes().to_vec()).collect()));
    let variable = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    let kept = std::env::vars_os().filter(|(name, _)| !more.iter().any(|(other, _)| name == other));
    let more = more.iter().map(|(name, value)| ((*name).into(), value.clone()));
    let environment = CStringArray::new(strings(kept.chain(more).map(variable).collect()));
    if let Ok(file) = read_only_clone() {
        // The kernel may refuse what it has just made: on to the copy.
        let _ = process::exec_file(file.as_fd(), &arguments, &environment);
    }
    let copy = sealed_copy()?;
    let fail = |errno| SysError::new("execveat", NAME, errno);
    Err(fail(process::exec_file(copy.as_fd(), &arguments, &environment)))
}

/// A detached, read-only mount of our own file alone. Needs `CAP_SYS_ADMIN` over the mount namespace, and Linux 5.12.
fn read_only_clone() -> RawResult<OwnedFd> {
    let own = files::open_path(c"/proc/self/exe")?;
    let clone = mount::open_tree_clone(own.as_fd(), c"", false)?;
    mount::mount_setattr(clone.as_fd(), false, MountAttr::RDONLY, MountAttr::NONE, None)?;
    Ok(clone)
}

fn sealed_copy() -> Result<OwnedFd> {
    let fail = |call, errno| SysError::new(call, NAME, errno);
    let name = CString::new(NAME).map_err(|_| fail("memfd_create", Errno::EINVAL))?;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let fd = call!(libc::SYS_memfd_create, name.as_ptr(), flags).map_err(|errno| fail("memfd_create", errno))?;
    // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
    let mut copy = unsafe { std::fs::File::from_raw_fd(fd as i32) };
    let io = |call: &'static str| move |error: std::io::Error| SysError::from_io(call, NAME, &error);
    let mut program = Vec::new();
    std::fs::File::open(OWN).and_then(|mut own| own.read_to_end(&mut program)).map_err(io("read"))?;
    copy.write_all(&program).map_err(io("write"))?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    call!(libc::SYS_fcntl, copy.as_raw_fd(), libc::F_ADD_SEALS, seals).map_err(|errno| fail("fcntl", errno))?;
    Ok(copy.into())
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
