//! registries.conf, and names under it.

use std::path::Path;

use ctr_core::reference::Reference;
use ctr_registry::config::{Candidate, Registries};

use crate::Target;

/// A name on the first line, a registries.conf below it. Servers are listed with the registry itself last, and none is given
/// another digest than the one that was asked for; a short name becomes full ones.
pub(crate) const REGISTRIES_CONF: Target = Target {
    name: "registries_conf",
    run,
    vectors: &[],
    data: None,
    seeds: &[
        b"example.com/foo/image:latest\nunqualified-search-registries = ['example.com']\n[[registry]]\nprefix = 'example.com/foo'\ninsecure = false\nblocked = false\nlocation = 'internal.example/bar'\n[[registry.mirror]]\nlocation = 'mirror.example/foo'\npull-from-mirror = 'digest-only'\n[[registry.mirror]]\nlocation = 'localhost:1'\ninsecure = true\npull-from-mirror = 'tag-only'\n",
        b"a.b.example/x:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n[[registry]]\nprefix = '*.example'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = '[::1]:5000/y'\n",
        b"app\nshort-name-mode = 'disabled'\nunqualified-search-registries = ['docker.io', 'localhost:5000/x']\ncredential-helpers = ['a']\n[aliases]\n'app' = 'example.com/app'\n'gone' = ''\n",
        b"x\n[registries.search]\nregistries = ['a.b']\n",
    ],
};

fn run(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (name, config) = (&bytes[..line], bytes.get(line + 1..).unwrap_or_default());
    let Ok(config) = Registries::parse(Path::new("registries.conf"), config) else { return };
    let Ok(name) = std::str::from_utf8(name) else { return };
    if let Ok(resolved) = config.resolve_short(name) {
        assert!(!resolved.references.is_empty(), "{name:?} became nothing");
        let digest = name.parse::<Reference>().expect("a name that was resolved").digest().copied();
        for reference in &resolved.references {
            assert_eq!(reference.digest(), digest.as_ref(), "{name:?} became {}", reference.full());
            candidates(&config, reference);
        }
    }
}

fn candidates(config: &Registries, reference: &Reference) {
    let Ok(found) = config.candidates(reference) else { return };
    let (last, mirrors) = found.split_last().expect("the registry itself");
    assert!(!last.is_mirror() && last.tags() && mirrors.iter().all(Candidate::is_mirror));
    for candidate in &found {
        assert_eq!(
            candidate.digest(),
            reference.digest(),
            "{} is asked for as {}",
            reference.full(),
            candidate.reference().full()
        );
        assert!(candidate.tags() || candidate.tag().is_none());
    }
}
