//! Contestants, and what their runs cost.

use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// What one run of a command cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Seconds by the clock.
    pub(super) wall: f64,
    /// Seconds of processor time, of the command and of the children it waited for.
    pub(super) cpu: f64,
    /// Peak resident memory in KiB, the largest of the command and the children it waited for.
    pub(super) peak_kib: f64,
}

/// One command among those compared.
pub(super) struct Contestant {
    pub(super) name: String,
    /// The command; `{}` becomes the number of the run.
    pub(super) command: Vec<String>,
    /// Runs without the cgroup v2 mount of a hybrid host in sight (crun refuses to run beside it).
    pub(super) without_unified: bool,
    pub(super) environment: Vec<(String, String)>,
    pub(super) costs: Vec<Cost>,
}

impl Contestant {
    pub(super) fn new(name: &str, command: &[&str]) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let name = name.to_owned();
        Self { name, command, without_unified: false, environment: Vec::new(), costs: Vec::new() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without_unified(mut self) -> Self {
        self.without_unified = true;
        self
    }

    /// Runs the command `runs` times, `parallel` at once. Returns each run's cost and, with `parallel` > 1, the seconds for all.
    pub(super) fn measure(&self, stopwatch: &str, runs: usize, parallel: usize) -> Result<(Vec<Cost>, Option<f64>)> {
        parse(&self.output(stopwatch, &[runs.to_string(), parallel.to_string()])?)
    }

    /// What another stopwatch prints of `runs` runs.
    pub(super) fn printed(&self, stopwatch: &str, runs: usize) -> Result<String> {
        self.output(stopwatch, &[runs.to_string()])
    }

    fn output(&self, stopwatch: &str, numbers: &[String]) -> Result<String> {
        let mut command = Command::new(if self.without_unified { "unshare" } else { stopwatch });
        if self.without_unified {
            let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
            command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", stopwatch]);
        }
        command.args(numbers).args(&self.command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        shell::output(&mut command)
    }

    pub(super) fn median(&self, of: fn(&Cost) -> f64) -> f64 {
        median(self.costs.iter().map(of).collect())
    }
}

/// Reads what the stopwatch printed.
fn parse(text: &str) -> Result<(Vec<Cost>, Option<f64>)> {
    let (mut costs, mut total) = (Vec::new(), None);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<f64>().with_context(|| format!("the stopwatch printed {line:?}"));
        match words.as_slice() {
            ["total", nanoseconds] => total = Some(number(nanoseconds)? / 1e9),
            [wall, user, system, peak] => costs.push(Cost {
                wall: number(wall)? / 1e9,
                cpu: (number(user)? + number(system)?) / 1e6,
                peak_kib: number(peak)?,
            }),
            _ => anyhow::bail!("the stopwatch printed {line:?}"),
        }
    }
    Ok((costs, total))
}

/// The middle value; NaN of nothing, which prints as a dash.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs all contestants in turns, so that a busy moment of the machine meets each alike. One that fails is dropped, with the reason.
pub(super) fn interleave(contestants: &mut Vec<Contestant>, stopwatch: &str, rounds: usize, runs: usize) {
    for round in 0..=rounds {
        contestants.retain_mut(|contestant| match contestant.measure(stopwatch, runs, 1) {
            Ok((costs, _)) => {
                // The first round warms the page cache.
                if round > 0 {
                    contestant.costs.extend(costs);
                }
                true
            }
            Err(error) => {
                eprintln!("left out: {}: {error:#}", contestant.name);
                false
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stopwatch_is_read() {
        let (costs, total) = parse("2000000 300 700 1264\n4000000 0 1000 1300\ntotal 5000000\n").unwrap();
        assert_eq!(costs.len(), 2);
        assert!((costs[0].wall - 0.002).abs() < 1e-9 && (costs[0].cpu - 0.001).abs() < 1e-9);
        assert!((total.unwrap() - 0.005).abs() < 1e-9);
        assert!(parse("nonsense\n").is_err());
        assert!(median(vec![3.0, 1.0, 2.0]) > 1.9 && median(Vec::new()).is_nan());
    }
}
