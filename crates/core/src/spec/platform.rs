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
        let image = |d: &Descriptor| d.platform.is_none() && d.is_image() && !is_attestation(d);
        let mut unnamed = descriptors.iter().enumerate().filter(|(_, d)| image(d));
        match (unnamed.next(), unnamed.next()) {
            (Some((index, _)), None) => Ok(index),
            _ => Err(SpecError::NoPlatform { wanted: self.to_string(), available: available(descriptors) }),
        }
    }
}

/// BuildKit's attestations stand beside the images that they are about, as manifests of the platform `unknown/unknown`.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.get("vnd.docker.reference.type").is_some_and(|kind| kind == "attestation-manifest")
}

/// Most platforms that an error lists.
const SHOWN: usize = 20;
/// Most characters of each: they come from outside.
const SHOWN_CHARACTERS: usize = 40;

fn available(descriptors: &[Descriptor]) -> String {
    let mut names: Vec<String> = descriptors
        .iter()
        .filter_map(|d| d.platform.as_ref())
        .filter(|p| p.os != "unknown")
        .map(|p| p.to_string().chars().take(SHOWN_CHARACTERS).collect())
        .collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    match (names.is_empty(), more) {
        (true, _) => "none that names a platform".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
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
    fn errors_do_not_list_without_end() {
        let long = Platform::new("linux", &"a".repeat(1000), "");
        let many = (0..100).map(|n| Platform::new("plan9", &format!("a{n:02}"), "")).chain([long]);
        let offered: Vec<Descriptor> = many.map(|p| Descriptor { platform: Some(p), ..descriptor(None) }).collect();
        let error = "linux/amd64".parse::<Platform>().unwrap().choose(&offered).unwrap_err().to_string();
        assert!(error.ends_with("plan9/a18 and 81 more)") && error.len() < 500, "{error}");
    }

    #[test]
    fn the_best_fitting_manifest_is_chosen() {
        for (wanted, offered, expected) in [
            ("linux/amd64", vec![Some("linux/arm64"), Some("linux/amd64")], Some(1)),
            ("linux/arm/v7", vec![Some("linux/arm/v5"), Some("linux/arm/v7"), Some("linux/arm/v8")], Some(1)),
            ("linux/arm/v6", vec![Some("linux/arm/v7"), Some("linux/arm/v5")], Some(1)),
            // A newer machine takes the best of the older ones that there is.
            ("linux/arm/v8", vec![Some("linux/arm/v5"), Some("linux/arm/v6"), Some("linux/arm/v7")], Some(2)),
            ("linux/arm/v8", vec![Some("linux/arm"), Some("linux/arm/v6")], Some(1)),
            ("linux/arm/v8", vec![Some("linux/arm")], Some(0)),
            ("linux/arm/v7", vec![Some("linux/arm/v8")], None),
            ("linux/arm", vec![Some("linux/arm/v5")], None),
            ("linux/arm64", vec![Some("linux/arm/v7"), Some("linux/arm64/v8")], Some(1)),
            ("linux/arm64/v9", vec![Some("linux/arm64/v8")], Some(0)),
            ("linux/arm64", vec![Some("linux/arm64/v9")], None),
            ("linux/arm64", vec![Some("linux/arm/v8")], None),
            ("linux/amd64/v3", vec![Some("linux/amd64"), Some("linux/amd64/v2"), Some("linux/amd64/v4")], Some(1)),
            ("linux/x86_64", vec![Some("linux/386"), Some("linux/x86-64")], Some(1)),
            ("linux/s390x", vec![Some("linux/amd64"), Some("linux/s390x")], Some(1)),
            ("linux/amd64", vec![Some("linux/amd64/strange"), Some("linux/amd64/v1")], Some(1)),
            // Attestations stand between the images.
            ("linux/amd64", vec![Some("unknown/unknown"), Some("linux/amd64"), Some("unknown/unknown")], Some(1)),
            ("linux/amd64", vec![Some("unknown/unknown"), None], Some(1)),
            ("linux/amd64", vec![], None),
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

    #[test]
    fn what_is_no_image_is_not_taken_for_one() {
        let wanted: Platform = "linux/amd64".parse().unwrap();
        let mut attestation = descriptor(None);
        attestation.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
        let layer = Descriptor { media_type: MediaType::LAYER.into(), ..descriptor(None) };
        assert_eq!(wanted.choose(&[attestation.clone(), descriptor(None), layer.clone()]).ok(), Some(1));
        assert!(wanted.choose(&[attestation, layer]).is_err());
    }

    #[test]
    fn a_platform_that_is_not_there_is_told_with_those_that_are() {
        let wanted: Platform = "linux/amd64".parse().unwrap();
        let told = |offered: &[Descriptor]| wanted.choose(offered).unwrap_err().to_string();
        let some = ["linux/s390x", "linux/arm/v7", "unknown/unknown", "linux/arm/v7", "windows/amd64"];
        let text = told(&some.map(|platform| descriptor(Some(platform))));
        assert!(text.contains("linux/amd64") && text.contains("linux/arm/v7, linux/s390x, windows/amd64"), "{text}");
        assert!(!text.contains("unknown"), "{text}");
        let many: Vec<Descriptor> = (0..100_000).map(|n| descriptor(Some(&format!("linux/cpu{n:06}")))).collect();
        let text = told(&many);
        assert!(text.contains("linux/cpu000019 and 99980 more") && text.len() < 1000, "{text}");
        assert!(told(&[]).contains("none"), "{}", told(&[]));
    }
}
