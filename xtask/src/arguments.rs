//! The options of a task: taken one by one, and what is left over is an error.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

pub(crate) struct Arguments {
    words: Vec<String>,
}

impl Arguments {
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self { words }
    }

    /// Takes a switch such as `--bless`.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// Takes `NAME VALUE` or `NAME=VALUE`; the last one given counts.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let mut found = None;
        while let Some(at) = self.words.iter().position(|word| is_option(word, name)) {
            let word = self.words.remove(at);
            let text = match word.split_once('=') {
                Some((_, value)) => value.to_owned(),
                None if at < self.words.len() => self.words.remove(at),
                None => bail!("{name} needs a value"),
            };
            found = Some(text.parse().with_context(|| format!("{name} {text}"))?);
        }
        Ok(found)
    }

    /// What is left, to be handed on.
    pub(crate) fn rest(self) -> Vec<String> {
        self.words
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<()> {
        match self.words.first() {
            Some(word) => bail!("unknown option {word:?}"),
            None => Ok(()),
        }
    }
}

fn is_option(word: &str, name: &str) -> bool {
    word == name || word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Arguments {
        Arguments::new(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_are_taken_and_the_rest_is_an_error() {
        let mut arguments = words("--seconds 5 --bless --seconds=7 left");
        assert!(arguments.flag("--bless"));
        assert!(!arguments.flag("--bless"));
        assert_eq!(arguments.value::<u64>("--seconds").unwrap(), Some(7));
        assert_eq!(arguments.value::<u64>("--seconds").unwrap(), None);
        assert!(arguments.finish().unwrap_err().to_string().contains("left"));
    }

    #[test]
    fn a_value_that_is_missing_or_wrong_is_an_error() {
        assert!(words("--seconds").value::<u64>("--seconds").is_err());
        assert!(words("--seconds soon").value::<u64>("--seconds").is_err());
        assert_eq!(words("--secondsx 5").value::<u64>("--seconds").unwrap(), None);
    }
}
