//! Loading a filter whose listener belongs to an agent outside (`SCMP_ACT_NOTIFY`).
//!
//! ```text
//!  the program's process                                  its maker: create's start, or exec
//!  ---------------------                                  ----------------------------------
//!  opens a gate, knows the number of the next descriptor
//!  tells both numbers  ------------------------------->   takes the gate (pidfd_getfd)
//!  loads the filter: the listener has that number  - - -> takes the listener when it is there, sends it to the agent
//!  looks at the gate, without any call                    opens the gate
//!  executes the program, which closes both  <----------
//! ```
//! A call of this process after the load may wait for the agent, or be refused: so there is none but the exec.

use std::os::fd::BorrowedFd;

use ctr_sys::seccomp::{self, Gate};
use ctr_sys::{Errno, RawResult, files};

use crate::seccomp::Program;

/// First byte of a report that is no failure: a listener is about to be there.
pub(crate) const LISTENER: u8 = 18;

pub(super) fn load(program: &Program, report: BorrowedFd<'_>) -> RawResult<()> {
    if !program.notifies() {
        return seccomp::load_seccomp(&program.code, program.flags).map(drop);
    }
    let gate = Gate::new()?;
    let listener = seccomp::next_descriptor(report)?;
    let [low, high] = u16::try_from(gate.number()).map_err(|_| Errno::EMFILE)?.to_ne_bytes();
    let [a, b, c, d] = listener.to_ne_bytes();
    files::write_all(report, &[LISTENER, 0, low, high, a, b, c, d])?;
    seccomp::load_seccomp(&program.code, program.flags)?;
    if gate.wait() { Ok(()) } else { Err(Errno::ETIMEDOUT) }
}
