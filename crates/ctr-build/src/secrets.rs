//! A layer that has the bytes of a secret in it is no layer.

use std::io::{self, Write};

use ctr_attest::secret_scan::{Scanner, Secret};
use ctr_cli::Failure;

/// Looks through what is written for the secrets of the step.
pub(crate) struct Guard<W> {
    inner: W,
    scanner: Option<Scanner>,
}

impl<W: Write> Guard<W> {
    /// Around `inner`. Without secrets nothing is looked for.
    pub(crate) fn new(secrets: &[(String, Vec<u8>)], inner: W) -> Self {
        let secrets: Vec<Secret> =
            secrets.iter().map(|(id, bytes)| Secret { id: id.clone(), bytes: bytes.clone() }).collect();
        Self { inner, scanner: (!secrets.is_empty()).then(|| Scanner::new(&secrets)) }
    }

    /// What was found.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.scanner.as_ref().and_then(Scanner::found) {
            Some(id) => Err(Failure::new(format!("the command wrote the secret {id} into the image"))
                .because("its bytes are in what the command changed, as they are or in base64")
                .hint("use the secret without keeping it; a --mount=type=tmpfs or type=cache is not in the image")),
            None => Ok(()),
        }
    }
}

impl<W: Write> Write for Guard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        if let Some(scanner) = &mut self.scanner {
            scanner.feed(bytes.get(..count).unwrap_or_default());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
