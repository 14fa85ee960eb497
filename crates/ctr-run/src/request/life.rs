//! Name, output, end.

use std::time::Duration;

use ctr_cli::Failure;
use ctr_core::container::LogMode;
use ctr_core::{name, quantity};
use ctr_sandbox::options::LifeOptions;

use super::bad;
use crate::args::{LifeArgs, LogArg};

pub(super) fn request(args: &LifeArgs) -> Result<LifeOptions, Failure> {
    if let Some(name) = &args.name {
        name::check_container_name(name).map_err(|error| bad("--name", name, error))?;
    }
    let mut labels = std::collections::BTreeMap::new();
    for label in &args.label {
        let (key, value) = name::parse_label(label).map_err(|error| bad("--label", label, error))?;
        labels.insert(key, value);
    }
    Ok(LifeOptions {
        labels,
        name: args.name.clone(),
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
