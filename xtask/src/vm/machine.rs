//! Booting the machine, and reading what its checks found.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::vm::image::Image;

/// A machine that does not finish in this time is ended.
const DEADLINE: Duration = Duration::from_mins(15);

/// Memory in MiB, processors. The kernel's clock needs the hints: `tsc=reliable` runs ten times too fast under emulation.
const HARDWARE: &[&str] = &["-M", "q35", "-cpu", "max", "-smp", "2", "-m", "1024"];
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 root=/dev/vda rw mitigations=off tsc=unstable clocksource=hpet \
     systemd.default_timeout_start_sec=600 systemd.default_device_timeout_sec=600 systemd.show_status=0";

/// A machine to be booted, with a directory of its own for what belongs to this run.
pub(crate) struct Machine<'a> {
    image: &'a Image,
    directory: PathBuf,
}

/// One check.
pub(crate) struct Check {
    name: String,
    passed: bool,
    seconds: String,
    explanation: Vec<String>,
}

/// What a boot found.
#[derive(Default)]
pub(crate) struct Results {
    facts: Vec<String>,
    pub(crate) checks: Vec<Check>,
    ended: bool,
    /// Lines since the last result.
    pending: Vec<String>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(image: &'a Image) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("ctr-vm-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("create {}", directory.display()))?;
        Ok(Self { image, directory })
    }

    /// Makes the second disk from what `fill` puts into a directory.
    pub(crate) fn payload(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let payload = self.directory.join("payload");
        fs::create_dir(&payload)?;
        fill(&payload)?;
        let used = shell::output(Command::new("du").arg("-sm").arg(&payload))?;
        let used: u64 = used.split_whitespace().next().unwrap_or("0").parse().context("output of du")?;
        let mut make = Command::new("/sbin/mke2fs");
        make.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"]).arg(&payload).arg(self.disk());
        shell::output(make.arg(format!("{}M", used * 5 / 4 + 8))).map(drop)
    }

    fn disk(&self) -> PathBuf {
        self.directory.join("payload.ext4")
    }

    /// Boots, prints each result as it comes, and returns when the machine is off.
    pub(crate) fn boot(&self, console: bool) -> Result<Results> {
        let log = self.directory.join("console");
        let mut child = self.qemu(&log).spawn().context("run qemu-system-x86_64")?;
        let results = read(&mut child);
        child.kill().ok();
        child.wait().ok();
        let results = results?;
        if console || !results.ended {
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let first = if console { 0 } else { lines.len().saturating_sub(60) };
            eprintln!("console:\n{}", lines.get(first..).unwrap_or_default().join("\n"));
        }
        Ok(results)
    }

    fn qemu(&self, log: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.arg(DEADLINE.as_secs().to_string()).arg("qemu-system-x86_64");
        command.args(["-accel", "tcg,thread=multi"]).args(HARDWARE);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(self.image.kernel()).arg("-initrd").arg(self.image.initrd());
        command.arg("-append").arg(KERNEL_LINE);
        command.arg("-serial").arg(format!("file:{}", log.display())).args(["-serial", "stdio"]);
        // Writes to the root disk are gone when the machine is: each run begins with the same one.
        for (id, disk, mode) in [("root", self.image.disk(), "snapshot=on"), ("payload", self.disk(), "readonly=on")] {
            command.arg("-drive").arg(format!("if=none,id={id},file={},format=raw,{mode}", disk.display()));
            command.arg("-device").arg(format!("virtio-blk-pci,drive={id}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// Reads what the checks print until they say that they are done, or the machine is off.
fn read(child: &mut Child) -> Result<Results> {
    let output = child.stdout.take().context("qemu's output")?;
    let mut results = Results::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read what the machine prints")?;
        let line = String::from_utf8_lossy(&line);
        results.take(line.trim_end_matches('\r'));
        if results.ended {
            break;
        }
    }
    Ok(results)
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

impl Results {
    /// Takes one line of the machine's (see tests/vm/guest.sh).
    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        match words.next() {
            Some("@fact") => {
                println!("{}", line.trim_start_matches("@fact "));
                self.facts.push(line.to_owned());
            }
            Some(verdict @ ("@pass" | "@fail")) => {
                let mut word = || words.next().unwrap_or("?").to_owned();
                let (name, seconds) = (word(), word());
                println!("{} {name} ({seconds} s)", verdict.trim_start_matches('@'));
                let explanation = std::mem::take(&mut self.pending);
                self.checks.push(Check { name, passed: verdict == "@pass", seconds, explanation });
            }
            Some("@end") => self.ended = true,
            _ => self.pending.push(line.to_owned()),
        }
    }

    /// One line for each check, and below it why it failed.
    pub(crate) fn table(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let line = |check: &Check| {
            let verdict = if check.passed { "pass" } else { "FAIL" };
            let why = check.explanation.iter().filter(|_| !check.passed).map(|line| format!("      {line}\n"));
            format!("{:<width$}  {verdict}  {:>3} s\n{}", check.name, check.seconds, why.collect::<String>())
        };
        self.checks.iter().map(line).collect()
    }

    /// An error unless all checks ran and passed.
    pub(crate) fn verdict(&self) -> Result<()> {
        let failed: Vec<&str> = self.checks.iter().filter(|check| !check.passed).map(|check| &*check.name).collect();
        if !failed.is_empty() {
            bail!("{} of {} checks failed: {}", failed.len(), self.checks.len(), failed.join(", "));
        }
        if !self.ended || self.checks.is_empty() {
            bail!("the machine did not come to its end; it printed: {}", self.pending.join("\n"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(lines: &[&str]) -> Results {
        let mut results = Results::default();
        for line in lines {
            results.take(line);
        }
        results
    }

    #[test]
    fn a_check_that_failed_or_a_machine_that_ended_early_is_an_error() {
        assert!(results(&["@fact kernel", "@pass a 1", "@end"]).verdict().is_ok());
        assert!(results(&["@pass a 1"]).verdict().is_err());
        assert!(results(&["@end"]).verdict().is_err());
        let failed = results(&["expected 1, found 2", "@fail b 3", "@pass c 1", "@end"]);
        assert!(failed.verdict().unwrap_err().to_string().contains("1 of 2 checks failed: b"));
        assert!(failed.table().contains("FAIL    3 s\n      expected 1, found 2\n"));
    }
}
