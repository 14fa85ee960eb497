//! Device programs of cgroup v2: loading and attaching (bpf(2)).

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::Errno;
use crate::raw::{RawResult, call, owned, retry};

/// One instruction of an extended BPF program (linux/bpf.h, `struct bpf_insn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high ones.
    pub registers: u8,
    /// Jump distance or memory offset.
    pub offset: i16,
    /// Constant.
    pub constant: i32,
}

/// `BPF_PROG_TYPE_CGROUP_DEVICE`.
const TYPE_CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`.
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Programs of groups above stay in force, as with systemd's own.
const ALLOW_MULTI: u32 = 2;
const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;
/// Programs of one group that a query tells at most (Linux, `BPF_CGROUP_MAX_PROGS`).
const PROGRAMS_MAX: usize = 64;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The beginning of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Has the kernel check and translate a device program.
///
/// Before Linux 5.11 programs counted against `RLIMIT_MEMLOCK`, whose 64 KiB other programs may have used up. Where the kernel
/// refuses, the limit is raised for the time of the call: above the hard one with `CAP_SYS_RESOURCE`, to it without.
pub fn load_device_program(program: &[Instruction]) -> RawResult<OwnedFd> {
    let loaded = load(program);
    if loaded.as_ref().err() != Some(&Errno::EPERM) {
        return loaded;
    }
    let before = locked_memory(None)?;
    let [soft, hard] = before;
    if locked_memory(Some([u64::MAX; 2])).is_err() && (soft >= hard || locked_memory(Some([hard; 2])).is_err()) {
        return loaded;
    }
    let loaded = load(program);
    // Lowering needs no privilege.
    locked_memory(Some(before))?;
    loaded
}

/// Sets `RLIMIT_MEMLOCK` of this process where a soft and a hard limit are given; returns those from before.
fn locked_memory(new: Option<[u64; 2]>) -> RawResult<[u64; 2]> {
    let mut old = [0u64; 2];
    let new = new.as_ref().map_or(std::ptr::null(), |new| new.as_ptr());
    call!(libc::SYS_prlimit64, 0, libc::RLIMIT_MEMLOCK, new, old.as_mut_ptr())?;
    Ok(old)
}

fn load(program: &[Instruction]) -> RawResult<OwnedFd> {
    let license = c"Apache-2.0";
    let attributes = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // EAGAIN: the verifier was interrupted by a signal.
    for _ in 0..5 {
        match retry(|| call!(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<Load>())) {
            Err(Errno::EAGAIN) => {}
            result => return result.map(owned),
        }
    }
    Err(Errno::EAGAIN)
}

/// Attaches a device program to a v2 group, beside those of the groups above it. It stays as long as the group.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> RawResult<()> {
    let attributes = Attach {
        target: group.as_raw_fd().unsigned_abs(),
        program: program.as_raw_fd().unsigned_abs(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    call!(libc::SYS_bpf, PROG_ATTACH, &raw const attributes, size_of::<Attach>()).map(drop)
}

/// `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// Detaches a device program from a v2 group.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> RawResult<()> {
    let attributes = Attach {
        target: group.as_raw_fd().unsigned_abs(),
        program: program.as_raw_fd().unsigned_abs(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
    };
    call!(libc::SYS_bpf, PROG_DETACH, &raw const attributes, size_of::<Attach>()).map(drop)
}

/// The device programs that are attached to a v2 group itself.
pub fn device_programs(group: BorrowedFd<'_>) -> RawResult<Vec<OwnedFd>> {
    let mut ids = [0u32; PROGRAMS_MAX];
    let mut query = Query {
        target: group.as_raw_fd().unsigned_abs(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: PROGRAMS_MAX as u32,
        padding: 0,
    };
    call!(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<Query>())?;
    let open = |id: &u32| {
        // Program id, unused, flags.
        let attributes = [*id, 0, 0];
        call!(libc::SYS_bpf, PROG_GET_FD_BY_ID, &raw const attributes, size_of::<[u32; 3]>()).map(owned)
    };
    ids.iter().take(query.count as usize).map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_a_program_and_refuses_nonsense() {
        // r0 = 0; exit
        let program = [
            Instruction { code: 0xb7, ..Instruction::default() },
            Instruction { code: 0x95, ..Instruction::default() },
        ];
        match load_device_program(&program) {
            Ok(_) | Err(Errno::EPERM) => {}
            Err(errno) => panic!("{errno}"),
        }
        assert!(load_device_program(&program[..1]).is_err(), "it does not end");
        assert!(load_device_program(&[]).is_err());
    }
}
