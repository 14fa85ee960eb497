//! Text that is never shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A password, a token, or a header that holds one. `Debug` shows nothing of it and there is no `Display`; the memory is
/// overwritten when it goes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends or writes it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Without a look at them the compiler may leave the zeros out.
        std::hint::black_box(&bytes);
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Takes what was sent out of what came back: a server may repeat it in its error message. `authorization` is the header
/// that it got.
pub(crate) fn scrub(text: &str, authorization: &Secret) -> String {
    let Some((scheme, sent)) = authorization.expose().split_once(' ') else { return text.to_owned() };
    let mut needles = vec![Secret::new(sent)];
    if scheme == "Basic"
        && let Some(plain) = STANDARD.decode(sent).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    {
        let plain = Secret::new(plain);
        needles.extend(plain.expose().split_once(':').map(|(_, password)| Secret::new(password)));
    }
    // So short a password would make every text unreadable, and is no secret.
    let needles = needles.iter().filter(|needle| needle.expose().len() >= 4);
    needles.fold(text.to_owned(), |text, needle| text.replace(needle.expose(), "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_is_taken_out() {
        // spec: REG-30
        let header = Secret::new("Basic bWU6aHVudGVyMg==");
        assert_eq!(scrub("me with hunter2 (bWU6aHVudGVyMg==) denied", &header), "me with *** (***) denied");
        assert_eq!(scrub("token abcdef", &Secret::new("Bearer abcdef")), "token ***");
        assert_eq!(scrub("no", &Secret::new("Bearer no")), "no");
        assert_eq!(scrub("x", &Secret::default()), "x");
    }

    #[test]
    fn it_is_never_shown() {
        // spec: REG-30
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "*** Some(\n    ***,\n)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
