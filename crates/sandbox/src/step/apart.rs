//! A PID namespace around the process that carries a step out. The program is the first process of its own one and may do what
//! takes its death signal away again: change its ids, execute what has a set-user-ID bit (prctl(2), `PR_SET_PDEATHSIG`). The
//! process here does neither, so its death signal holds; and with it the kernel ends all that is in its namespace and within.

use std::os::fd::AsFd as _;

use ctr_sys::process::{self, Cloned, Ended, Namespaces, WaitFor};
use ctr_sys::signal;

use crate::error::SandboxError;

/// Goes on in a child that ends with this process, which ends with its own parent. Here the child's exit status is returned,
/// when it has ended; in the child nothing. The process has one thread. Signals stay blocked, but for those that cannot be:
/// they are the child's.
pub fn apart() -> Result<Option<u8>, SandboxError> {
    let failed = |call: &'static str| {
        move |errno| {
            let error = SandboxError::host("make a PID namespace for a step", call, "CLONE_NEWPID", errno);
            error.hinted("RUN needs root, or a user namespace: see /proc/sys/user/max_pid_namespaces")
        }
    };
    process::die_with_parent().map_err(failed("prctl"))?;
    signal::block_all().map_err(failed("rt_sigprocmask"))?;
    match process::clone3(Namespaces::PID, None).map_err(failed("clone3"))? {
        Cloned::Child => process::die_with_parent().map_err(failed("prctl")).map(|()| None),
        Cloned::Parent(_, pidfd) => {
            let ended = process::wait(WaitFor::PidFd(pidfd.as_fd()), true).map_err(failed("waitid"))?;
            Ok(Some(match ended {
                Some((_, Ended::Signal(signal))) => 128 + signal,
                Some((_, Ended::Code(code))) => code,
                None => 0,
            }))
        }
    }
}
