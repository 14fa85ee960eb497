//! What a program has drawn at the lower end of its terminal goes away when a signal ends or stops it.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use crate::raw::call;

/// Those that end a program at a terminal, and the one that stops it.
const SIGNALS: [libc::c_int; 5] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP];

/// Usual colours; everything from the begin of the cursor's line to the end of the screen is erased (ECMA-48: SGR, ED).
const ERASE: &[u8] = b"\x1b[0m\r\x1b[J";

/// Whether something is drawn below the cursor. A process has one terminal.
static DRAWN: AtomicBool = AtomicBool::new(false);

/// As long as it lives, a signal erases on standard error what is drawn below the cursor, and then does what it does by
/// default. Signals that are ignored or caught already stay so.
#[derive(Debug)]
pub struct EraseOnSignal {
    /// Those that have the handler.
    taken: Vec<libc::c_int>,
}

impl EraseOnSignal {
    /// Sets the handler. There is one at a time: the next one begins with nothing drawn.
    pub fn new() -> Self {
        DRAWN.store(false, Ordering::SeqCst);
        let taken = SIGNALS.into_iter().filter(|signal| is_default(*signal) && set(*signal, Some(erase)));
        Self { taken: taken.collect() }
    }

    /// Says whether from now on something is drawn below the cursor: `true` before it is, `false` after it was erased.
    pub fn set_drawn(&self, drawn: bool) {
        DRAWN.store(drawn, Ordering::SeqCst);
    }

    /// Whether something is drawn: what was said, unless a signal came since.
    pub fn is_drawn(&self) -> bool {
        DRAWN.load(Ordering::SeqCst)
    }

    /// Nothing is drawn any more: signals do what they do by default.
    pub fn release(&mut self) {
        self.set_drawn(false);
        for signal in std::mem::take(&mut self.taken) {
            set(signal, None);
        }
    }
}

impl Default for EraseOnSignal {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for EraseOnSignal {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            self.release();
        }
    }
}

/// The handler. Only what signal-safety(7) allows: no allocation, no lock, and `errno` is as it was.
extern "C" fn erase(signal: libc::c_int) {
    let errno = Errno::last_raw();
    if DRAWN.swap(false, Ordering::SeqCst) {
        let _ = call!(libc::SYS_write, libc::STDERR_FILENO, ERASE.as_ptr(), ERASE.len());
    }
    set(signal, None);
    // SAFETY: raise(3) takes a number; with SA_NODEFER the signal is not blocked here, so it is delivered within the call.
    unsafe { libc::raise(signal) };
    // Only who was stopped and goes on comes here.
    set(signal, Some(erase));
    Errno::set_raw(errno);
}

fn is_default(signal: libc::c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the pointer is valid for a sigaction, and nothing is changed.
    let read = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
    // SAFETY: it was zeroed, and sigaction(2) filled it if it succeeded; it is plain integers.
    read == 0 && unsafe { now.assume_init() }.sa_sigaction == libc::SIG_DFL
}

/// Sets a handler, or the default; whether it could.
fn set(signal: libc::c_int, handler: Option<extern "C" fn(libc::c_int)>) -> bool {
    // SAFETY: all zeroes is a valid sigaction: default, no flags, nothing blocked.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    if let Some(handler) = handler {
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_NODEFER;
    }
    // SAFETY: both pointers are valid or null, and the handler does only what a handler may.
    unsafe { libc::sigaction(signal, ptr::from_ref(&action), ptr::null_mut()) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_come_and_go() {
        // One that the test harness leaves alone.
        assert!(is_default(libc::SIGTSTP));
        let erase = EraseOnSignal::new();
        assert!(!is_default(libc::SIGTSTP) && !erase.is_drawn());
        erase.set_drawn(true);
        assert!(erase.is_drawn());
        drop(erase);
        assert!(is_default(libc::SIGTSTP));
    }
}
