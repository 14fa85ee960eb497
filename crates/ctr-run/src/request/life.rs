//! Name, output, end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ctr_cli::Failure;
use ctr_core::container::LogMode;
use ctr_core::platform::Platform;
use ctr_core::{name, quantity};
use ctr_sandbox::options::LifeOptions;

use super::bad;
use crate::args::{LifeArgs, LogArg};

/// The largest `--label-file`, in bytes (spec/limits.md).
const LABEL_FILE_MAX: usize = 1 << 20;

pub(super) fn request(args: &LifeArgs) -> Result<LifeOptions, Failure> {
    if let Some(name) = &args.name {
        name::check_container_name(name).map_err(|error| bad("--name", name, error))?;
    }
    let mut labels = BTreeMap::new();
    for path in &args.label_file {
        read_labels(path, &mut labels)?;
    }
    for label in &args.label {
        let (key, value) = name::parse_label(label).map_err(|error| bad("--label", label, error))?;
        labels.insert(key, value);
    }
    Ok(LifeOptions {
        labels,
        name: args.name.clone(),
        platform: args.platform.as_deref().map(platform).transpose()?,
        stop_signal: args.stop_signal.as_deref().map(stop_signal).transpose()?,
        stop_timeout: args.stop_timeout.as_deref().map(stop_timeout).transpose()?,
        timeout: args.timeout.as_deref().map(timeout).transpose()?,
        log: args.log.map(|log| match log {
            LogArg::File => LogMode::File,
            LogArg::Inherit => LogMode::Inherit,
            LogArg::None => LogMode::None,
        }),
        no_init: args.no_init,
        rm: args.rm,
        wait: args.wait,
    })
}

fn platform(text: &str) -> Result<Platform, Failure> {
    text.parse().map_err(|_| bad("--platform", text, "it is OS/ARCHITECTURE[/VARIANT], as linux/arm64 or linux/arm/v7"))
}

/// Lines of `KEY=VALUE`; empty ones and comments are passed over.
fn read_labels(path: &Path, labels: &mut BTreeMap<String, String>) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let cannot = |why: String| bad("--label-file", &shown, why);
    let bytes = ctr_sys::small::read(path, LABEL_FILE_MAX).map_err(|error| cannot(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| cannot(format!("it has more than the {LABEL_FILE_MAX} bytes that are read")))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("it is not UTF-8".to_owned()))?;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = name::parse_label(line).map_err(|error| cannot(format!("line {number}: {error}")))?;
        labels.insert(key, value);
    }
    Ok(())
}

fn stop_signal(text: &str) -> Result<i32, Failure> {
    ctr_sys::signal::parse(text)
        .ok_or_else(|| bad("--stop-signal", text, "it is a name or number of signal(7), as TERM, SIGINT, RTMIN+3, 15"))
}

fn timeout(text: &str) -> Result<Duration, Failure> {
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => quantity::parse_duration(text).map_err(|error| bad("--timeout", text, error))?,
    };
    if time.is_zero() {
        return Err(bad("--timeout", text, "the program would not run at all"));
    }
    Ok(time)
}

fn stop_timeout(text: &str) -> Result<u64, Failure> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    quantity::parse_duration(text).map(|time| time.as_secs()).map_err(|error| bad("--stop-timeout", text, error))
}
