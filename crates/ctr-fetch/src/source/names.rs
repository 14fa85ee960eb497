//! Names that a source gives to an image.

use ctr_core::reference::Reference;
use ctr_core::spec::oci::{Descriptor, REF_NAME};

/// The full name of an image in an index entry, as containerd and BuildKit write it (and Podman and we read it).
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The name of an image that an index entry describes: the one it says, else one made of the file's.
pub(super) fn of_descriptor(descriptor: &Descriptor, stem: &str) -> Vec<Reference> {
    let annotation = |key: &str| descriptor.annotations.get(key).map(String::as_str);
    let full = annotation(CONTAINERD_NAME).and_then(full_name);
    let ref_name = annotation(REF_NAME);
    full.or_else(|| ref_name.and_then(full_name)).or_else(|| local(stem, ref_name)).into_iter().collect()
}

/// A reference that names a repository and is no bare tag.
pub(super) fn full_name(text: &str) -> Option<Reference> {
    text.contains(['/', ':']).then(|| text.parse().ok()).flatten()
}

/// `localhost/STEM:TAG`: nobody can mistake it for what a registry gave.
pub(super) fn local(stem: &str, tag: Option<&str>) -> Option<Reference> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut path = String::new();
    for c in stem.chars().map(|c| c.to_ascii_lowercase()).take(128) {
        match c {
            c if good(c) => path.push(c),
            '.' | '_' | '-' if path.ends_with(good) => path.push(c),
            _ if path.ends_with(good) => path.push('-'),
            _ => {}
        }
    }
    let path = path.trim_end_matches(['.', '_', '-']);
    let path = if path.is_empty() { "image" } else { path };
    let with = |tag: &str| format!("localhost/{path}:{tag}").parse().ok();
    tag.and_then(with).or_else(|| with("latest"))
}

/// Whether the tag that the user gave means the image of this name.
pub(super) fn matches(tag: &str, name: &str) -> bool {
    if tag == name {
        return true;
    }
    let Some(full) = full_name(name) else { return false };
    full.tag() == Some(tag) || tag.parse().is_ok_and(|wanted: Reference| wanted == full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctr_core::digest::Digest;

    fn named(pairs: &[(&str, &str)]) -> String {
        let mut descriptor = Descriptor::new("x", Digest::of(b""), 0);
        descriptor.annotations = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        of_descriptor(&descriptor, "My App").first().unwrap().to_string()
    }

    #[test]
    fn an_image_is_named_by_what_it_says_first() {
        assert_eq!(named(&[]), "localhost/my-app:latest");
        assert_eq!(named(&[(REF_NAME, "1.0")]), "localhost/my-app:1.0");
        assert_eq!(named(&[(REF_NAME, "debian:12")]), "docker.io/library/debian:12");
        assert_eq!(named(&[(REF_NAME, "1.0"), (CONTAINERD_NAME, "example.com/a:1.0")]), "example.com/a:1.0");
        assert_eq!(named(&[(REF_NAME, "not a tag!")]), "localhost/my-app:latest");
    }

    #[test]
    fn any_stem_makes_a_name() {
        for (stem, name) in [("..", "image"), ("A__b", "a_b"), ("-x-", "x"), ("é", "image"), ("a..b", "a.b")] {
            let name = format!("localhost/{name}:latest");
            assert_eq!(local(stem, None).map(|n| n.to_string()), Some(name), "{stem}");
        }
    }

    #[test]
    fn a_tag_finds_its_image() {
        for (tag, name) in
            [("1.0", "1.0"), ("12", "debian:12"), ("debian:12", "docker.io/library/debian:12"), ("a", "a")]
        {
            assert!(matches(tag, name), "{tag} {name}");
        }
        for (tag, name) in [("1", "1.0"), ("latest", "debian:12"), ("alpine:12", "debian:12")] {
            assert!(!matches(tag, name), "{tag} {name}");
        }
    }
}
