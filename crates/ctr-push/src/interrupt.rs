//! SIGINT and SIGTERM: uploads that are begun are taken back before the program ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use ctr_cli::{Context as _, Failure};
use ctr_registry::Pusher;
use ctr_sys::signal;

/// How long threads that wait for a server have to notice, once everything is taken back.
const GRACE: Duration = Duration::from_secs(2);

/// Waits for a signal, beside the work.
pub(crate) struct Interrupt {
    signal: Arc<AtomicI32>,
    tidied: Receiver<()>,
}

impl Interrupt {
    /// From now on these signals cancel what `pusher` does. Call it before other threads begin.
    pub(crate) fn watch(pusher: &Arc<Pusher>) -> Result<Self, Failure> {
        let failed = || "cannot wait for signals";
        let signals = signal::take(&["INT", "TERM", "HUP"].map(|name| signal::parse(name).unwrap_or_default()));
        let signals = signals.context(failed)?;
        let (told, tidied) = mpsc::channel();
        let signal = Arc::new(AtomicI32::new(0));
        let (seen, pusher) = (Arc::clone(&signal), Arc::clone(pusher));
        let work = move || {
            let Ok(number) = signals.wait() else { return };
            seen.store(number, Ordering::SeqCst);
            pusher.repository().http().cancel();
            pusher.abandon_all();
            // Whoever waits for it ends the program in good order.
            let _ = told.send(());
            thread::sleep(GRACE);
            std::process::exit(i32::from(ctr_cli::exit::signalled(number)));
        };
        thread::Builder::new().name("signals".to_owned()).spawn(work).context(failed)?;
        Ok(Self { signal, tidied })
    }

    /// The failure that a signal caused, once everything is taken back; any other as it is.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match self.signal.load(Ordering::SeqCst) {
            0 => failure,
            number => {
                // It fails if the thread is gone, and then there is nothing to wait for.
                let _ = self.tidied.recv_timeout(Duration::from_secs(10));
                Failure::new(format!("interrupted by {}", signal::name(number)))
                    .hint("what is complete in the registry stays there: the same command goes on from it")
                    .code(ctr_cli::exit::signalled(number))
            }
        }
    }
}
