//! Devices of the host that the container may use.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Devices, and rules of the device controller beyond them.
#[derive(Debug, Clone, Default)]
pub struct DeviceOptions {
    /// Devices that appear in the container's `/dev`.
    pub devices: Vec<DeviceRequest>,
    /// Device numbers that may be used wherever a node of them comes from.
    pub rules: Vec<DeviceRule>,
}

/// A device, or a directory of devices, of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Absolute path on the host; links are followed.
    pub source: PathBuf,
    /// Where in the container, if not at the same path.
    pub target: Option<String>,
    /// What may be done with it.
    pub access: DeviceAccess,
}

/// A character or a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// Character device.
    Char,
    /// Block device.
    Block,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Char => "c",
            Self::Block => "b",
        })
    }
}

impl Serialize for DeviceKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What may be done with a device: the letters `r`, `w`, `m` of the device controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAccess {
    /// Opened to read.
    pub read: bool,
    /// Opened to write.
    pub write: bool,
    /// Made (mknod(2)).
    pub mknod: bool,
}

impl DeviceAccess {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true, mknod: true };

    /// Reads `rwm` in any order; `None` if a letter is unknown, doubled, or there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut access = Self { read: false, write: false, mknod: false };
        for letter in text.bytes() {
            let slot = match letter {
                b'r' => &mut access.read,
                b'w' => &mut access.write,
                b'm' => &mut access.mknod,
                _ => return None,
            };
            if std::mem::replace(slot, true) {
                return None;
            }
        }
        (!text.is_empty()).then_some(access)
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (allowed, letter) in [(self.read, "r"), (self.write, "w"), (self.mknod, "m")] {
            if allowed {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

impl Serialize for DeviceAccess {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A rule of the device controller: devices that are allowed. Shown as cgroup v1 writes it, `c 1:3 rwm` (kernel
/// Documentation/admin-guide/cgroup-v1/devices.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// `None`: both kinds.
    pub kind: Option<DeviceKind>,
    /// `None`: every one.
    pub major: Option<u32>,
    /// `None`: every one.
    pub minor: Option<u32>,
    /// What is allowed.
    pub access: DeviceAccess,
}

impl DeviceRule {
    /// Reads `c 1:3 rwm`, with `*` for a number and `a` for both kinds.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let kind = match words.next()? {
            "a" => None,
            "c" => Some(DeviceKind::Char),
            "b" => Some(DeviceKind::Block),
            _ => return None,
        };
        let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
        let (major, minor) = words.next()?.split_once(':')?;
        let rule =
            Self { kind, major: number(major)?, minor: number(minor)?, access: DeviceAccess::parse(words.next()?)? };
        words.next().is_none().then_some(rule)
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let kind = self.kind.map_or("a".to_owned(), |kind| kind.to_string());
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

impl Serialize for DeviceRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written() {
        for rule in ["c 1:3 rwm", "b 8:* r", "a *:* rwm", "c 10:229 rw"] {
            assert_eq!(DeviceRule::parse(rule).unwrap().to_string(), rule);
        }
        for bad in ["", "c", "c 1 r", "d 1:3 r", "c 1:3", "c 1:3 x", "c 1:3 rr", "c 1:3 r w", "c -1:3 r", "c 1:3:4 r"] {
            assert_eq!(DeviceRule::parse(bad), None, "{bad}");
        }
    }
}
