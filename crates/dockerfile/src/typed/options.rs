//! Options of an instruction.

use std::time::Duration;

use crate::ast::{Flag, Node};
use crate::error::{Error, ErrorKind};
use crate::instruction::HealthTimes;
use crate::span::Span;

/// The options of a node, all of them known.
pub(super) struct Options<'a>(&'a [Flag]);

/// A value that an option does not take.
pub(super) fn value(option: &str, value: &str, takes: &str, span: Span) -> Error {
    let kind = ErrorKind::Value { option: option.to_owned(), value: value.to_owned(), takes: takes.to_owned() };
    Error::new(kind, span)
}

impl<'a> Options<'a> {
    pub(super) fn of(node: &'a Node, known: &'static [&'static str]) -> Result<Self, Error> {
        for flag in node.flags() {
            if !known.contains(&flag.name.as_str()) {
                let kind = ErrorKind::Option { option: flag.name.clone(), known };
                return Err(Error::new(kind, flag.span));
            }
        }
        Ok(Self(node.flags()))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|flag| flag.name == name)
    }

    /// The values of an option that may stand several times.
    pub(super) fn all(&self, name: &str) -> Result<Vec<(&'a str, Span)>, Error> {
        let of_name = self.0.iter().filter(|flag| flag.name == name);
        let value = |flag: &'a Flag| {
            let missing = || Error::new(ErrorKind::NoValue(flag.name.clone()), flag.span);
            flag.value.as_deref().map(|value| (value, flag.span)).ok_or_else(missing)
        };
        of_name.map(value).collect()
    }

    /// The value of an option that stands once.
    pub(super) fn value(&self, name: &str) -> Result<Option<(&'a str, Span)>, Error> {
        let values = self.all(name)?;
        match values[..] {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            [_, (_, second), ..] => Err(Error::new(ErrorKind::OptionTwice(name.to_owned()), second)),
        }
    }

    /// `--name`, `--name=true` or `--name=false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        let mut found = self.0.iter().filter(|flag| flag.name == name);
        let Some(flag) = found.next() else { return Ok(false) };
        if let Some(second) = found.next() {
            return Err(Error::new(ErrorKind::OptionTwice(name.to_owned()), second.span));
        }
        match flag.value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(value(&format!("--{name}"), other, "true or false", flag.span)),
        }
    }

    pub(super) fn health_times(&self) -> Result<HealthTimes, Error> {
        let time = |name: &str| {
            let Some((text, span)) = self.value(name)? else { return Ok(None) };
            let wrong = || value(&format!("--{name}"), text, "a duration of at least 1ms, as 30s or 1m30s", span);
            let time = duration(text).ok_or_else(wrong)?;
            if !time.is_zero() && time < Duration::from_millis(1) {
                return Err(wrong());
            }
            Ok(Some(time))
        };
        let retries = match self.value("retries")? {
            None => None,
            Some((text, span)) => {
                let wrong = || value("--retries", text, "a number", span);
                // Without a value it is the engine's own number, as 0 is.
                let number = if text.is_empty() { Some(0) } else { text.parse().ok() };
                Some(number.filter(|number| i32::try_from(*number).is_ok()).ok_or_else(wrong)?)
            }
        };
        Ok(HealthTimes {
            interval: time("interval")?,
            timeout: time("timeout")?,
            start_period: time("start-period")?,
            start_interval: time("start-interval")?,
            retries,
        })
    }
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `300ms`, `0`.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text.strip_prefix('+').unwrap_or(text), 0f64);
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, behind) = rest.split_at_checked(number)?;
        let unit = behind.len() - behind.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.').len();
        let (unit, behind) = behind.split_at_checked(unit)?;
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    // Images keep nanoseconds in 63 bits.
    let most = Duration::from_nanos(i64::MAX.unsigned_abs());
    if text.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= most) }
}
