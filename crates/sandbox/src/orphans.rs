//! The end of what a program leaves behind. Like all code after clone it allocates nothing.

use std::os::fd::BorrowedFd;

use ctr_sys::process::{self, WaitFor};
use ctr_sys::{files, signal};

/// Rounds of listing and killing: a program that forks faster than it is killed is left to its control group.
const ROUNDS: usize = 1000;

/// Ends every other process of the container. In a PID namespace of its own that is everybody. In that of others it is init's
/// children, which as a subreaper it has for every orphan of its descendants: killed and reaped until none is left.
pub(crate) fn kill_rest(children: Option<BorrowedFd<'_>>) {
    let Some(children) = children else {
        let _ = process::kill(-1, signal::SIGKILL);
        return;
    };
    for _ in 0..ROUNDS {
        let mut list = [0; 4096];
        let Ok(count) = files::read_at_start(children, &mut list) else { return };
        let list = list.get(..count).unwrap_or_default();
        // The last number may be cut off: it comes again in the next round.
        let whole =
            list.iter().rposition(|byte| *byte == b' ').map_or(&[][..], |end| list.get(..end).unwrap_or_default());
        if whole.is_empty() {
            return;
        }
        for number in whole.split(|byte| *byte == b' ') {
            let pid = number.iter().try_fold(0i32, |pid, digit| {
                pid.checked_mul(10)?.checked_add(i32::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?))
            });
            if let Some(pid) = pid.filter(|pid| *pid > 1) {
                let _ = process::kill(pid, signal::SIGKILL);
                let _ = process::wait(WaitFor::Pid(pid), true);
            }
        }
    }
}
