//! Seccomp profiles of the caller's.

use ctr_sandbox::seccomp::{PROFILE_MAX, Profile, Program};
use ctr_sys::privilege::CapSet;

use crate::Target;

/// A profile, or an error; what compiles is a program that the kernel's checks take: every jump lands within it.
pub(crate) const SECCOMP_PROFILE: Target = Target {
    name: "seccomp_profile",
    run,
    vectors: &[],
    data: None,
    seeds: &[
        br#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]},{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],"syscalls":[{"names":["read","socketcall"],"action":"SCMP_ACT_ALLOW","args":null,"comment":"","includes":{},"excludes":{}},{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"op":"SCMP_CMP_MASKED_EQ"}],"excludes":{"caps":["CAP_SYS_ADMIN"],"arches":["s390"]}},{"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}}]}"#,
        br#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","SCMP_ARCH_ARM"],"flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"name":"lseek","action":"SCMP_ACT_TRACE","errnoRet":7,"args":[{"index":1,"value":4294967301,"valueTwo":0,"op":"SCMP_CMP_GT"},{"index":5,"value":18446744073709551615,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]},{"names":["semop","getpid"],"action":"SCMP_ACT_ERRNO","errno":"EPERM","args":[{"index":0,"value":1,"op":"SCMP_CMP_LT"},{"index":0,"value":9,"op":"SCMP_CMP_GE"}]},{"names":["kill"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    ],
};

fn run(bytes: &[u8]) {
    let Ok(profile) = Profile::parse(bytes) else { return };
    assert!(bytes.len() <= PROFILE_MAX);
    for capabilities in [CapSet::default(), CapSet::ALL] {
        let Ok(program) = Program::of_profile(&profile, capabilities, (6, 1)) else { continue };
        check(&program);
        assert_eq!(Program::from_bytes(&program.to_bytes()).as_ref(), Some(&program));
    }
}

/// bpf_check_classic and seccomp_check_filter of the kernel, as far as they matter here.
fn check(program: &Program) {
    let length = program.code.len();
    assert!((1..=4096).contains(&length));
    for (at, instruction) in program.code.iter().enumerate() {
        let left = length - at - 1;
        match instruction.code {
            0x06 => {}
            0x20 => assert!(instruction.k % 4 == 0 && instruction.k < 64 && left > 0),
            0x54 => assert!(left > 0),
            0x05 => assert!((instruction.k as usize) < left),
            0x15 | 0x25 | 0x35 | 0x45 => {
                assert!(usize::from(instruction.jt) < left && usize::from(instruction.jf) < left);
            }
            other => panic!("code {other:#x}"),
        }
    }
    assert_eq!(program.code.last().map(|last| last.code), Some(0x06));
}
