//! Runs a command again and again, spoiling another of its disk-changing calls each time.

use crate::trace::{Errno, Event, Fault, Outcome, Traced};

/// How many points of a run are tried unless `CTR_CRASH_POINTS` says otherwise (a number, or `all`).
const POINTS: usize = 40;

/// Which of `total` calls to spoil: all, or an even sample that has the first and the last.
pub fn points(total: usize) -> Vec<usize> {
    let wanted = match std::env::var("CTR_CRASH_POINTS").as_deref() {
        Ok("all") => total,
        Ok(number) => number.parse().expect("CTR_CRASH_POINTS is a number or all"),
        Err(_) => POINTS,
    };
    if wanted >= total || wanted < 2 {
        return (1..=total).collect();
    }
    (0..wanted).map(|n| 1 + n * (total - 1) / (wanted - 1)).collect()
}

/// One spoiled run, for messages.
pub fn describe(fault: Fault, outcome: &Outcome) -> String {
    let last: Vec<String> = outcome.events.iter().rev().take(4).map(Event::to_string).collect();
    format!(
        "{fault:?} -> {}\nlast: {}\nstdout: {}\nstderr: {}",
        outcome.code,
        last.join("\n      "),
        outcome.stdout,
        outcome.stderr
    )
}

/// The kinds of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The whole tree is killed.
    KillTree,
    /// The process that makes the call is killed.
    KillCaller,
    /// `EIO` at one call.
    Eio,
    /// `ENOSPC` from one call on.
    DiskFull,
}

impl Kind {
    /// Whether the fault can strike this call.
    fn spoils(self, event: &Event) -> bool {
        self != Self::DiskFull || event.change.takes_space()
    }

    /// The fault at call `n`.
    pub fn at(self, n: usize) -> Fault {
        match self {
            Self::KillTree => Fault::KillTree(n),
            Self::KillCaller => Fault::KillCaller(n),
            Self::Eio => Fault::Fail(n, Errno::EIO),
            Self::DiskFull => Fault::DiskFull(n),
        }
    }
}

/// Spoils `make`'s command at every point and gives each outcome to `check`, with what `make` made for it.
///
/// The number of calls comes from a clean run, which `check` also gets. A run that did not reach its fault is no test of
/// anything; too many of them fail.
pub fn at_every_point<T>(kind: Kind, mut make: impl FnMut() -> (T, Traced), mut check: impl FnMut(T, Fault, Outcome)) {
    let (subject, traced) = make();
    let clean = traced.run();
    assert_eq!(clean.code, 0, "the clean run fails: {}", describe(Fault::None, &clean));
    let spoilable: Vec<usize> =
        clean.events.iter().filter(|event| kind.spoils(event)).map(|event| event.number).collect();
    let total = spoilable.len();
    assert!(total > 0, "the clean run changes nothing");
    check(subject, Fault::None, clean);
    let points: Vec<usize> = points(total).into_iter().map(|n| spoilable[n - 1]).collect();
    let mut missed = 0;
    for n in &points {
        let (subject, traced) = make();
        let fault = kind.at(*n);
        let outcome = traced.with(fault).run();
        missed += usize::from(!outcome.hit);
        check(subject, fault, outcome);
    }
    // Threads and times make runs differ by a few calls.
    assert!(missed * 10 <= points.len(), "{missed} of {} runs ended before their fault", points.len());
    println!("{kind:?}: {} of {total} points", points.len());
}
