//! Seccomp filters: loading them, and passing the listener of one on to another process. What the child calls allocates nothing.
//!
//! From the moment that a filter is in force every call of its process may be refused, or wait for an agent that is not there
//! yet. So the process that has loaded one with a listener makes no call at all until its maker has taken the descriptor: it
//! looks at a page that it shares with its maker ([`Gate`]).

use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::raw::{RawResult, call, owned};

/// One instruction of a classic BPF program, laid out as `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct BpfInstruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if true.
    pub jt: u8,
    /// Instructions to skip if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// All threads of the process get the filter (`SECCOMP_FILTER_FLAG_TSYNC`).
pub const SECCOMP_TSYNC: u32 = 1;
/// What the filter does not allow is logged (`SECCOMP_FILTER_FLAG_LOG`).
pub const SECCOMP_LOG: u32 = 2;
/// No mitigation of speculative store bypass for the filter's sake (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`).
pub const SECCOMP_SPEC_ALLOW: u32 = 4;

/// What the filter passes on is answered through a descriptor (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
pub const SECCOMP_NEW_LISTENER: u32 = 8;
/// Who waits for such an answer can be killed, and is disturbed by nothing else (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`).
pub const SECCOMP_WAIT_KILLABLE_RECV: u32 = 32;

/// Puts a seccomp filter in force for this thread (seccomp(2)). Needs no_new_privs or `CAP_SYS_ADMIN`. Returns the number of the
/// listener's descriptor, the lowest that was free, which closes on exec; 0 without [`SECCOMP_NEW_LISTENER`].
pub fn load_seccomp(program: &[BpfInstruction], flags: u32) -> RawResult<i32> {
    /// `struct sock_fprog`.
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const BpfInstruction,
    }
    let len = u16::try_from(program.len()).map_err(|_| crate::Errno::E2BIG)?;
    let filter = Program { len, filter: program.as_ptr() };
    call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, ptr::from_ref(&filter))
        .map(|listener| listener as i32)
}

/// The number that the next descriptor of this process gets.
pub fn next_descriptor(any: BorrowedFd<'_>) -> RawResult<i32> {
    let copy = call!(libc::SYS_fcntl, any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0).map(owned)?;
    Ok(copy.as_raw_fd())
}

/// A page that one process looks at until another has written to it.
#[derive(Debug)]
pub struct Gate {
    number: i32,
    page: *const AtomicU32,
}

/// Looks at the page at most, a minute or two: who should open the gate has died.
const LOOKS_MAX: u64 = 1 << 32;

impl Gate {
    /// A closed one. Its descriptor closes on exec.
    pub fn new() -> RawResult<Self> {
        let file = call!(libc::SYS_memfd_create, c"gate".as_ptr(), libc::MFD_CLOEXEC).map(owned)?;
        call!(libc::SYS_ftruncate, file.as_raw_fd(), size_of::<AtomicU32>())?;
        let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: a new mapping at a place of the kernel's choice.
        let page = unsafe { libc::mmap(ptr::null_mut(), size_of::<AtomicU32>(), read, shared, file.as_raw_fd(), 0) };
        if page == libc::MAP_FAILED {
            return Err(crate::Errno::last());
        }
        Ok(Self { number: file.into_raw_fd(), page: page.cast() })
    }

    /// The number of its descriptor, for [`open_gate`].
    pub fn number(&self) -> i32 {
        self.number
    }

    /// Waits without any system call. `false` if nobody came.
    pub fn wait(&self) -> bool {
        // SAFETY: the mapping is never undone, is aligned to a page, and its file, which only grows, has these four bytes.
        let word = unsafe { &*self.page };
        (0..LOOKS_MAX).any(|_| {
            std::hint::spin_loop();
            word.load(Ordering::Acquire) != 0
        })
    }
}

/// Lets the process go on that waits at the gate with this descriptor.
pub fn open_gate(gate: BorrowedFd<'_>) -> RawResult<()> {
    let open = 1u32.to_ne_bytes();
    call!(libc::SYS_pwrite64, gate.as_raw_fd(), open.as_ptr(), open.len(), 0).map(drop)
}

/// A copy of descriptor `number` of another process (pidfd_getfd(2), Linux 5.6). Needs the right to trace it.
pub fn descriptor_of(pidfd: BorrowedFd<'_>, number: i32) -> RawResult<OwnedFd> {
    call!(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0).map(owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_gate_is_opened_by_its_descriptor() {
        let gate = Gate::new().unwrap();
        let myself = crate::process::pidfd_open(crate::process::own_pid()).unwrap();
        let same = descriptor_of(myself.as_fd(), gate.number()).unwrap();
        let opener = std::thread::spawn(move || open_gate(same.as_fd()));
        assert!(gate.wait());
        opener.join().unwrap().unwrap();
        let next = next_descriptor(myself.as_fd()).unwrap();
        assert!(descriptor_of(myself.as_fd(), next + 100_000).is_err());
    }
}
