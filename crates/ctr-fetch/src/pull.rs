//! `--pull`: when a registry is asked for a name that the store may have.

use clap::ValueEnum;
use ctr_core::digest::Digest;

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Pull {
    /// Every time what the name means; only what is new is downloaded
    #[default]
    Always,
    /// If the store has no image of that name
    Missing,
    /// As always, but an image of the store will do when the registry does not answer
    Newer,
    /// Not at all: the image must be in the store
    Never,
}

/// What the store has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The image.
    pub(crate) image: Digest,
    /// What the registry said that the name means, if that was an index.
    pub(crate) index: Option<Digest>,
}

/// What to do first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// Take the image of the store.
    Use,
    /// Ask the registry with a HEAD what the name means now; go on with [`Pull::after`].
    Ask,
    /// Get the image from the registry.
    Get,
    /// There is nothing that may be done.
    Refuse,
}

/// What to do when the registry has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Take the image of the store: it is the same.
    Unchanged,
    /// Get the image from the registry.
    Get,
    /// Take the image of the store, and tell that the registry did not answer.
    UseWithWarning,
    /// Fail with what the registry said.
    Fail,
}

impl Pull {
    /// Before anything is asked. `digest`: the one in the name, if it has one; what it names never changes.
    pub(crate) fn first(self, stored: Option<&Stored>, digest: Option<&Digest>) -> First {
        let same = |stored: &Stored| {
            digest.is_some_and(|digest| stored.image == *digest || stored.index.as_ref() == Some(digest))
        };
        match (self, stored) {
            (Self::Never | Self::Missing, Some(_)) => First::Use,
            (Self::Never, None) => First::Refuse,
            (_, None) => First::Get,
            (_, Some(stored)) if same(stored) => First::Use,
            (_, Some(_)) => First::Ask,
        }
    }

    /// After a HEAD: `answer` is the digest that the name has now, nothing where the server tells none, or a failure.
    pub(crate) fn after<E>(self, stored: &Stored, answer: &Result<Option<Digest>, E>) -> Then {
        match answer {
            // A name that led to an index, and means its image alone now, has changed.
            Ok(Some(now)) if *now == stored.index.unwrap_or(stored.image) => Then::Unchanged,
            Ok(_) => Then::Get,
            Err(_) if self == Self::Newer => Then::UseWithWarning,
            Err(_) => Then::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_first() {
        // spec: REG-55
        let stored = Stored { image: Digest::of(b"image"), index: Some(Digest::of(b"index")) };
        let digests = [Digest::of(b"image"), Digest::of(b"index"), Digest::of(b"other")];
        for (pull, with, without) in [
            (Pull::Always, First::Ask, First::Get),
            (Pull::Missing, First::Use, First::Get),
            (Pull::Newer, First::Ask, First::Get),
            (Pull::Never, First::Use, First::Refuse),
        ] {
            assert_eq!(pull.first(Some(&stored), None), with, "{pull:?}");
            assert_eq!(pull.first(None, None), without, "{pull:?}");
            assert_eq!(pull.first(Some(&stored), Some(&digests[0])), First::Use, "{pull:?}");
            assert_eq!(pull.first(Some(&stored), Some(&digests[1])), First::Use, "{pull:?}");
            assert_eq!(pull.first(Some(&stored), Some(&digests[2])), with, "{pull:?}");
        }
    }

    #[test]
    fn what_is_done_then() {
        // spec: REG-55, REG-56
        let stored = Stored { image: Digest::of(b"image"), index: Some(Digest::of(b"index")) };
        for pull in [Pull::Always, Pull::Newer] {
            for (answer, then) in [
                // It was an index and is the image alone now: the index goes.
                (Ok(Some(Digest::of(b"image"))), Then::Get),
                (Ok(Some(Digest::of(b"index"))), Then::Unchanged),
                (Ok(Some(Digest::of(b"other"))), Then::Get),
                (Ok(None), Then::Get),
                (Err(()), if pull == Pull::Newer { Then::UseWithWarning } else { Then::Fail }),
            ] {
                assert_eq!(pull.after(&stored, &answer), then, "{pull:?} {answer:?}");
            }
            let single = Stored { index: None, ..stored };
            assert_eq!(pull.after::<()>(&single, &Ok(Some(single.image))), Then::Unchanged, "{pull:?}");
        }
    }
}
