//! Which entry of an image index is for a platform.

use super::SpecError;
use super::oci::Descriptor;
pub use crate::platform::Platform;

impl Platform {
    /// Index of the descriptor to take from an image index, for a machine of this platform.
    ///
    /// Descriptors that name no platform count only when no other fits and there is a single one of them.
    pub fn choose(&self, descriptors: &[Descriptor]) -> Result<usize, SpecError> {
        let mut best: Option<(u32, usize)> = None;
        for (index, descriptor) in descriptors.iter().enumerate() {
            let Some(score) = descriptor.platform.as_ref().and_then(|p| self.runs(p)) else { continue };
            // The first of equals wins: the order of an index is its author's preference (image-index.md).
            if best.is_none_or(|(top, _)| score > top) {
                best = Some((score, index));
            }
        }
        if let Some((_, index)) = best {
            return Ok(index);
        }
        let mut unnamed = descriptors.iter().enumerate().filter(|(_, d)| d.platform.is_none() && d.is_image());
        match (unnamed.next(), unnamed.next()) {
            (Some((index, _)), None) => Ok(index),
            _ => Err(SpecError::NoPlatform { wanted: self.to_string(), available: available(descriptors) }),
        }
    }
}

fn available(descriptors: &[Descriptor]) -> String {
    let mut names: Vec<String> = descriptors
        .iter()
        .filter_map(|d| d.platform.as_ref())
        .filter(|p| p.os != "unknown")
        .map(ToString::to_string)
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() { "none that names a platform".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::spec::oci::MediaType;

    fn descriptor(platform: Option<&str>) -> Descriptor {
        let platform = platform.map(|p| p.parse().unwrap());
        Descriptor { platform, ..Descriptor::new(MediaType::MANIFEST, Digest::of(b"x"), 1) }
    }

    #[test]
    fn the_best_fitting_manifest_is_chosen() {
        for (wanted, offered, expected) in [
            ("linux/amd64", vec![Some("linux/arm64"), Some("linux/amd64")], Some(1)),
            ("linux/arm/v7", vec![Some("linux/arm/v5"), Some("linux/arm/v7"), Some("linux/arm/v8")], Some(1)),
            ("linux/arm/v6", vec![Some("linux/arm/v7"), Some("linux/arm/v5")], Some(1)),
            ("linux/amd64", vec![Some("linux/amd64/v3"), Some("linux/amd64")], Some(1)),
            ("linux/amd64", vec![Some("linux/amd64/v3")], None),
            ("linux/amd64", vec![Some("linux/amd64"), Some("linux/amd64")], Some(0)),
            ("linux/amd64", vec![None], Some(0)),
            ("linux/amd64", vec![None, None], None),
            ("linux/amd64", vec![Some("windows/amd64"), Some("unknown/unknown")], None),
        ] {
            let offered: Vec<Descriptor> = offered.into_iter().map(descriptor).collect();
            let wanted: Platform = wanted.parse().unwrap();
            assert_eq!(wanted.choose(&offered).ok(), expected, "{wanted} of {offered:?}");
        }
    }
}
