//! The default profile: what a program may ask of the kernel (spec/07-executor.md "System calls").
//!
//! The field's default list (the one that Docker and Podman ship): calls that ordinary programs need are allowed, some only with the
//! capability that they would need anyway. A call that is known and not allowed gives EPERM; one that is not known gives
//! ENOSYS, so that a C library that tries a newer call falls back to an older one. Programs of the 32-bit sister architecture
//! run under the same rules.

use ctr_sys::privilege::CapSet;
use ctr_sys::syscalls::{self, Arch, Call};

use super::filter::{Action, ArchRules, Compare, Condition, Filter, Rule};

/// Always allowed.
const ALLOWED: &str = "\
    accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime \
    clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 \
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit \
    exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown \
    fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate \
    futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd \
    getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid \
    getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday \
    getuid getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy \
    io_getevents io_pgetevents io_setup io_submit ioprio_get ioprio_set kill landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listmount listxattr \
    listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create \
    memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr \
    mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock \
    munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal \
    pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease \
    process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat \
    readv recvfrom recvmmsg recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 \
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
    rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr \
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto \
    set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority \
    setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr setxattrat shmat shmctl shmdt \
    shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statmount statx symlink symlinkat \
    sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime \
    timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat \
    uretprobe utime utimensat utimes vfork vmsplice wait4 waitid write writev";

/// Always allowed: forms of the same that only 32-bit architectures have.
const ALLOWED_32: &str = "\
    arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush chown32 clock_adjtime64 clock_getres_time64 \
    clock_gettime64 clock_nanosleep_time64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64 fstatfs64 ftruncate64 \
    futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32 io_pgetevents_time64 ipc \
    lchown32 _llseek lstat64 mmap2 mq_timedreceive_time64 mq_timedsend_time64 _newselect ppoll_time64 \
    pselect6_time64 recv recvmmsg_time64 rt_sigtimedwait_time64 sched_rr_get_interval_time64 semtimedop_time64 send \
    sendfile64 set_tls setfsgid32 setfsuid32 setgid32 setgroups32 setregid32 setresgid32 setresuid32 setreuid32 \
    setuid32 sigprocmask sigreturn stat64 statfs64 timer_gettime64 timer_settime64 \
    timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit utimensat_time64 waitpid";

/// Allowed with a capability, by its number.
const WITH_CAPABILITY: &[(u8, &str)] = &[
    (2, "open_by_handle_at"),                       // CAP_DAC_READ_SEARCH
    (16, "delete_module init_module finit_module"), // CAP_SYS_MODULE
    (17, "iopl ioperm"),                            // CAP_SYS_RAWIO
    (18, "chroot"),                                 // CAP_SYS_CHROOT
    (19, "pidfd_getfd kcmp process_madvise"),       // CAP_SYS_PTRACE
    (20, "acct"),                                   // CAP_SYS_PACCT
    (
        SYS_ADMIN,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
         lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd \
         setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (22, "reboot"),                                                    // CAP_SYS_BOOT
    (23, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"), // CAP_SYS_NICE
    (25, "settimeofday stime clock_settime clock_settime64"),          // CAP_SYS_TIME
    (26, "vhangup"),                                                   // CAP_SYS_TTY_CONFIG
    (34, "syslog"),                                                    // CAP_SYSLOG
    (38, "perf_event_open"),                                           // CAP_PERFMON
    (39, "bpf"),                                                       // CAP_BPF
];

/// Known and never allowed; with the calls of [`WITH_CAPABILITY`] these give EPERM.
const DENIED: &str = "\
    _sysctl add_key afs_syscall bdflush create_module epoll_ctl_old epoll_wait_old get_kernel_syms getpmsg idle \
    io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load keyctl migrate_pages move_pages \
    nfsservctl pivot_root putpmsg query_module request_key security swapoff swapon sysfs tuxcall uselib userfaultfd \
    ustat vserver";

/// `CAP_SYS_ADMIN`, with which namespaces can be made.
const SYS_ADMIN: u8 = 21;
/// Every `CLONE_NEW*` flag that clone(2) takes.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// Address families that no program needs and whose code has been a way into kernels: DECnet, Econet, ATM, IrDA, WAN router,
/// IUCV, CAIF, `AF_ALG`; and `AF_VSOCK`, sockets to the hypervisor, which no network namespace holds.
const REFUSED_FAMILIES: [u64; 9] = [12, 19, 20, 23, 25, 34, 37, 38, 40];
/// Linux, Linux with the old memory layout, their 32-bit forms, and the question which is in force (personality(2)).
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// socket(2) as socketcall(2) has it (linux/net.h, `SYS_SOCKET`).
const SOCKETCALL_SOCKET: u64 = 1;
/// `TIOCSTI` and `TIOCLINUX` (ioctl_tty(2), ioctl_console(2)): they put into the input of a terminal what nobody has typed, for
/// whoever reads it next; a caller's own terminal may be among the program's streams.
const TYPED_FOR_OTHERS: [u64; 2] = [0x5412, 0x541c];
/// The kernel reads these arguments as 32-bit numbers: what stands in the upper half of the register changes nothing.
const INT: u64 = 0xffff_ffff;

/// The filter for a program with these capabilities in its bounding set.
pub(crate) fn filter(native: Arch, capabilities: CapSet) -> Filter {
    let answers = answers(capabilities);
    let arches = [Arch::X86_64, Arch::X86, Arch::Aarch64, Arch::Arm];
    let mut arches: Vec<_> = arches.into_iter().filter(|arch| arch.runs_on(native)).collect();
    arches.sort_by_key(|arch| *arch != native);
    let arches = arches.into_iter().map(|arch| arch_rules(arch, &answers, capabilities)).collect();
    Filter { arches, foreign: Action::ENOSYS }
}

/// The answers that do not look at arguments: each name is looked up once for all architectures. Of several for one call the
/// first counts.
fn answers(capabilities: CapSet) -> Vec<(Call, Action)> {
    let mut answers = Vec::with_capacity(500);
    let mut add = |names: &str, action: Action| {
        answers.extend(names.split_ascii_whitespace().filter_map(syscalls::call).map(|call| (call, action)));
    };
    let (with, without): (Vec<_>, Vec<_>) = WITH_CAPABILITY.iter().partition(|(bit, _)| capabilities.has(*bit));
    for (_, names) in with {
        add(names, Action::ALLOW);
    }
    add(ALLOWED, Action::ALLOW);
    add(ALLOWED_32, Action::ALLOW);
    if !capabilities.has(SYS_ADMIN) {
        // Its flags lie in memory, where a filter cannot look; without it the C library uses clone.
        add("clone3", Action::ENOSYS);
    }
    for (_, names) in without {
        // What clone may do is decided by its argument.
        for name in names.split_ascii_whitespace().filter(|name| *name != "clone") {
            add(name, Action::EPERM);
        }
    }
    add(DENIED, Action::EPERM);
    answers
}

fn arch_rules(arch: Arch, answers: &[(Call, Action)], capabilities: CapSet) -> ArchRules {
    let mut rules = Vec::with_capacity(answers.len() + 32);
    let here = answers.iter().filter_map(|(call, action)| Some((call.on(arch)?, *action)));
    rules.extend(here.map(|(number, action)| Rule { number, conditions: Vec::new(), action }));
    rules.extend(by_arguments(arch, capabilities));
    ArchRules { arch, rules, otherwise: Action::ENOSYS, newer: Action::ENOSYS, highest: None }
}

/// Rules that look at an argument.
fn by_arguments(arch: Arch, capabilities: CapSet) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut add_at = |argument: u8, name: &str, mask: u64, value: u64, action: Action| {
        let condition = Condition { argument, compare: Compare::MaskedEqual(mask), value };
        rules.extend(arch.number(name).map(|number| Rule { number, conditions: vec![condition], action }));
    };
    for request in TYPED_FOR_OTHERS {
        add_at(1, "ioctl", INT, request, Action::EPERM);
    }
    add_at(1, "ioctl", 0, 0, Action::ALLOW);
    let mut add = |name: &str, mask: u64, value: u64, action: Action| add_at(0, name, mask, value, action);
    for family in REFUSED_FAMILIES {
        add("socket", INT, family, Action::EPERM);
    }
    // The families from 0 to 63: more than there are.
    add("socket", INT & !63, 0, Action::ALLOW);
    add("socket", 0, 0, Action::EPERM);
    // What family is asked for cannot be seen here. C libraries have had the call of its own since 2016.
    add("socketcall", INT, SOCKETCALL_SOCKET, Action::EPERM);
    add("socketcall", 0, 0, Action::ALLOW);
    for personality in PERSONALITIES {
        add("personality", INT, personality, Action::ALLOW);
    }
    add("personality", 0, 0, Action::EPERM);
    if !capabilities.has(SYS_ADMIN) {
        add("clone", NEW_NAMESPACES, 0, Action::ALLOW);
        add("clone", 0, 0, Action::EPERM);
    }
    rules
}

/// Every name of a list above, so that a test can tell misspelled ones.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let with = WITH_CAPABILITY.iter().map(|(_, names)| *names);
    [ALLOWED, ALLOWED_32, DENIED].into_iter().chain(with).flat_map(str::split_ascii_whitespace)
}
