//! Texts that people type: references, digests, names, sizes.

use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::{name, quantity};

use crate::Target;

/// References, and the other small grammars of a command line.
pub(crate) const REFERENCE: Target = Target {
    name: "reference",
    run,
    vectors: &["references.json", "digests.json", "names.json", "quantities.json"],
    data: None,
    seeds: &[
        b"debian",
        b"docker.io/library/library/x",
        b"docker.io/library/localhost/x:1",
        b"docker.io/library/a.b/c",
        b"localhost:5000/a/b:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        // The text form is unique, and both forms name the same image.
        let normal = reference.to_string();
        for form in [&normal, &reference.familiar()] {
            let again: Reference = form.parse().expect("a printed reference");
            assert_eq!(again.to_string(), normal, "{text:?} printed as {form:?}");
        }
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>().expect("a printed digest"), digest, "{text:?}");
    }
    if let Ok(size) = quantity::parse_size(text) {
        drop(quantity::format_size(size));
    }
    if let Ok(duration) = quantity::parse_duration(text) {
        drop(quantity::format_duration(duration));
    }
    drop(quantity::parse_cpus(text));
    drop(name::parse_label(text));
    if name::check_container_name(text).is_ok() {
        // A container name becomes the name of a file.
        assert!(!text.is_empty() && !text.contains(['/', '\0']) && text != "." && text != "..", "{text:?}");
    }
}
