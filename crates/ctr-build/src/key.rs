//! Content keys: what a step's result depends on, and nothing else. No path of the machine, no time, no owner of a checkout.

use ctr_core::digest::{Digest, Hasher};

/// Changes when the same inputs would give other bytes.
pub(crate) const LAYER_FORMAT: u32 = 1;

/// Collects the inputs of a step. Each has a name and a length, so that no two lists of inputs hash alike.
pub(crate) struct KeyHasher(Hasher);

impl KeyHasher {
    /// For a step of this kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut hasher = Self(Hasher::new());
        hasher.add("format", LAYER_FORMAT.to_le_bytes()).add("kind", kind);
        hasher
    }

    /// One input.
    pub(crate) fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        self.0.update(&(name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }

    /// An input that is another digest.
    pub(crate) fn digest(&mut self, name: &str, digest: &Digest) -> &mut Self {
        self.add(name, digest.to_string())
    }

    /// A list.
    pub(crate) fn list<S: AsRef<[u8]>>(&mut self, name: &str, values: impl IntoIterator<Item = S>) -> &mut Self {
        let mut count = 0u64;
        for value in values {
            self.add(name, value);
            count += 1;
        }
        self.add(name, count.to_le_bytes())
    }

    /// The key.
    pub(crate) fn finish(self) -> Digest {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_inputs_are_alike() {
        let key = |build: &dyn Fn(&mut KeyHasher)| {
            let mut hasher = KeyHasher::new("test");
            build(&mut hasher);
            hasher.finish()
        };
        let keys = [
            key(&|h| {
                h.add("a", "bc");
            }),
            key(&|h| {
                h.add("ab", "c");
            }),
            key(&|h| {
                h.add("a", "b").add("c", "");
            }),
            key(&|h| {
                h.list("a", ["b", "c"]);
            }),
            key(&|h| {
                h.list("a", ["bc"]);
            }),
            key(&|h| {
                h.list("a", ["b"]).list("a", ["c"]);
            }),
            key(&|_| ()),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(at + 1).all(|other| other != one), "{at}");
        }
    }
}
