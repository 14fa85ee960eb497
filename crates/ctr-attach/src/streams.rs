//! A container without a terminal: our input goes to the program's pipe, the program's output comes from its log.

use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use ctr_cli::{Context as _, Failure, exit};
use ctr_core::container::log::{LogEntry, LogFiles, Stream};
use ctr_core::container::{Container, LogMode};
use ctr_sandbox::terminal::attach::{self, Attached};
use ctr_sys::files::{self, PollEntry};
use ctr_sys::inotify::DirWatch;
use ctr_sys::{Errno, signal};

use crate::{End, sandbox_failure, signals};

/// Bytes of input that wait at most.
const INPUT_MAX: usize = 8192;

/// Relays until the container or the caller ends.
pub(crate) fn run(container: &Container, init: &OwnedFd, with_input: bool) -> Result<End, Failure> {
    let record = &container.record;
    let follows = record.log == LogMode::File;
    let input = if with_input && record.stdin && container.dir.join("attach").exists() {
        Some(attach::attach(&container.dir).map_err(sandbox_failure)?)
    } else {
        None
    };
    if !follows && input.is_none() {
        let name = record.name.as_deref().unwrap_or(&record.id);
        return Err(Failure::new(format!("{name} has nothing to attach to"))
            .because("it has no terminal, no log, and takes no input")
            .hint("start it with --tty, or with --log=file, or with --interactive --detach"));
    }
    let mut output = if follows { Some(Output::from_now(container)?) } else { None };
    let signals = signals()?;
    let mut input = input.map(Input::new);
    loop {
        let stdin = std::io::stdin();
        let mut entries = [
            PollEntry::readable(Some(signals.as_fd())),
            PollEntry::readable(Some(init.as_fd())),
            PollEntry::readable(output.as_ref().map(|output| output.watch.as_fd())),
            input.as_ref().map_or(PollEntry::readable(None), |input| input.entry(stdin.as_fd())),
        ];
        files::poll(&mut entries, None).context(|| "cannot wait for the container")?;
        let [signalled, ended, _, fed] = entries.map(|entry| entry.is_ready());
        if signalled && let Some(number) = ending_signal(signals.as_fd())? {
            return Ok(End::Caller(exit::signalled(number)));
        }
        if fed && input.as_mut().is_some_and(|input| !input.feed(stdin.as_fd())) {
            // The place is given back: the next one may go on.
            input = None;
        }
        // Init has written all of the log before it ends.
        if let Some(output) = &mut output {
            output.show()?;
        }
        if ended {
            return Ok(End::Container);
        }
    }
}

/// A signal that ends us, if one came; not those that say that something happened.
fn ending_signal(signals: BorrowedFd<'_>) -> Result<Option<i32>, Failure> {
    while let Some(number) = signal::read_signal(signals).context(|| "cannot read signals")? {
        if !signal::is_own_doing(number) && number != signal::SIGWINCH && number != signal::SIGCONT {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// What the program writes from now on.
struct Output {
    watch: DirWatch,
    log: LogFiles,
}

impl Output {
    fn from_now(container: &Container) -> Result<Self, Failure> {
        let watch = DirWatch::new(&container.dir)?;
        let mut log = LogFiles::new(&container.dir);
        log.read(&mut |_| Ok::<_, Failure>(()))?;
        Ok(Self { watch, log })
    }

    fn show(&mut self) -> Result<(), Failure> {
        self.watch.drain()?;
        let (mut out, mut err) = (ctr_cli::stdout(), std::io::stderr());
        self.log.read(&mut |entry: LogEntry<'_>| {
            let end: &[u8] = if entry.partial { b"" } else { b"\n" };
            let text = [entry.text, end].concat();
            match entry.stream {
                Stream::Stdout => out.write_all(&text)?,
                Stream::Stderr => err.write_all(&text)?,
            }
            Ok::<_, Failure>(())
        })?;
        Ok(out.flush()?)
    }
}

/// Our input on its way to the program.
struct Input {
    attached: Attached,
    waiting: Vec<u8>,
}

impl Input {
    fn new(attached: Attached) -> Self {
        Self { attached, waiting: Vec::new() }
    }

    fn entry(&self, stdin: BorrowedFd<'_>) -> PollEntry {
        if self.waiting.is_empty() {
            PollEntry::readable(Some(stdin))
        } else {
            PollEntry::of(self.attached.given.as_fd(), false, true)
        }
    }

    /// Moves what can be moved; `false` when there is no more to come, or nobody takes it.
    fn feed(&mut self, stdin: BorrowedFd<'_>) -> bool {
        if self.waiting.is_empty() {
            let mut buffer = [0; INPUT_MAX];
            match files::read(stdin, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.waiting.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(errno) => return errno == Errno::EAGAIN,
            }
        }
        match files::write(self.attached.given.as_fd(), &self.waiting) {
            Ok(count) => drop(self.waiting.drain(..count)),
            Err(Errno::EAGAIN) => {}
            // The program has closed its input.
            Err(_) => return false,
        }
        true
    }
}
