//! Platforms: `os/architecture[/variant]`, as Go names them (OCI image-index.md "platform").

use std::fmt;
use std::str::FromStr;

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("platform: \"{0}\" is not OS/ARCHITECTURE[/VARIANT] (for example linux/arm64 or linux/arm/v7)")]
pub struct PlatformError(String);

/// Operating system, architecture and its variant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64` ...
    pub architecture: String,
    /// `v7` ..., or empty.
    pub variant: String,
}

impl Platform {
    /// A platform in its normal form: other names of an architecture become Go's.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let lower = architecture.to_ascii_lowercase();
        let (architecture, implied) = match lower.as_str() {
            "x86_64" | "x86-64" => ("amd64", ""),
            "i386" | "i686" | "x86" => ("386", ""),
            "aarch64" => ("arm64", ""),
            "armhf" | "armv7l" | "armv7b" => ("arm", "v7"),
            "armel" | "armv6l" => ("arm", "v6"),
            "powerpc64le" | "ppc64el" => ("ppc64le", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        let variant = if variant.is_empty() { implied.to_owned() } else { variant.to_ascii_lowercase() };
        // The first variant of these two says no more than the bare name.
        let variant = match (architecture, variant.as_str()) {
            ("arm64", "v8" | "8") | ("amd64", "v1" | "1") => String::new(),
            ("arm", "5" | "6" | "7" | "8") => format!("v{variant}"),
            _ => variant,
        };
        Self { os: os.to_ascii_lowercase(), architecture: architecture.to_owned(), variant }
    }

    /// The platform of this machine.
    pub fn host() -> Self {
        let variant = if std::env::consts::ARCH == "arm" { "v7" } else { "" };
        Self::new("linux", std::env::consts::ARCH, variant)
    }

    /// How well a machine of this platform runs an image of `image`: `None` if it cannot, else higher is better.
    ///
    /// A variant is a level: arm v7 runs v6 and v5. No variant is the least level.
    pub fn runs(&self, image: &Self) -> Option<u32> {
        if self.os != image.os || self.architecture != image.architecture {
            return None;
        }
        let (mine, theirs) = (level(&self.variant)?, level(&image.variant)?);
        (theirs <= mine).then_some(theirs + 1)
    }
}

/// `v7` is 7, nothing is 0; what is no level compares to nothing.
fn level(variant: &str) -> Option<u32> {
    match variant.strip_prefix('v') {
        None if variant.is_empty() => Some(0),
        None => None,
        Some(number) => number.parse().ok().filter(|n| *n < 1000),
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// `linux/amd64`, `linux/arm/v7`, or a bare architecture.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let plain = |part: &&str| {
            !part.is_empty()
                && part.len() <= 64
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if !parts.iter().all(plain) {
            return Err(wrong());
        }
        match parts.as_slice() {
            [architecture] if *architecture != "linux" => Ok(Self::new("linux", architecture, "")),
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_uniform() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("Linux/AMD64", "linux/amd64"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), normal, "{text}");
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
