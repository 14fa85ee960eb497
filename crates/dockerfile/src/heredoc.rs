//! The words that open heredocs: `<<NAME`, `<<-NAME`, `3<<NAME`, with the name quoted or not.

use crate::lex::is_blank;

/// What a heredoc's word says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The line that ends it.
    pub name: String,
    /// The descriptor before `<<`.
    pub descriptor: Option<u32>,
    /// `<<-`: leading tabs are taken away.
    pub chomp: bool,
    /// The name was quoted: no variables in the body.
    pub quoted: bool,
}

/// The heredocs that a line opens: lines of ADD, COPY and RUN, and of ONBUILD with one of these.
pub(crate) fn opened(line: &str, escape: char) -> Vec<Opened> {
    let mut words = line.split(is_blank).filter(|word| !word.is_empty());
    let mut keyword = words.next().unwrap_or_default();
    if keyword.eq_ignore_ascii_case("ONBUILD") {
        keyword = words.next().unwrap_or_default();
    }
    if !["ADD", "COPY", "RUN"].iter().any(|known| keyword.eq_ignore_ascii_case(known)) {
        return Vec::new();
    }
    shell_words(line, escape).iter().filter_map(|word| word_opens(word, escape)).collect()
}

/// Whether a word opens a heredoc.
pub(crate) fn is_opening(word: &str, escape: char) -> bool {
    word_opens(word, escape).is_some()
}

/// Words as a shell divides them: blanks in quotes and behind an escape character belong to the word. Quotes stay.
fn shell_words(line: &str, escape: char) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match quote {
            None if is_blank(c) => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(characters.next());
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// `^(\d*)<<(-?)([^<]*)$`
fn word_opens(word: &str, escape: char) -> Option<Opened> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (descriptor, rest) = word.split_at_checked(digits)?;
    let rest = rest.strip_prefix("<<")?;
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    if rest.contains('<') {
        return None;
    }
    let (name, quoted) = unquoted(rest, escape);
    let descriptor = if descriptor.is_empty() { None } else { Some(descriptor.parse().ok()?) };
    (!name.is_empty()).then_some(Opened { name, descriptor, chomp, quoted })
}

/// Without quotes and escape characters, and whether there were quotes.
fn unquoted(word: &str, escape: char) -> (String, bool) {
    let mut name = String::new();
    let (mut quote, mut quoted) = (None, false);
    let mut characters = word.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, '\'' | '"') => (quote, quoted) = (Some(c), true),
            (Some(open), c) if c == open => quote = None,
            (open, c) if c == escape && open != Some('\'') => name.extend(characters.next()),
            (_, c) => name.push(c),
        }
    }
    (name, quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_open_heredocs() {
        // spec: BUILD-3
        let shown = |line: &str| {
            let show = |o: Opened| {
                let fd = o.descriptor.map_or(String::new(), |n| n.to_string());
                format!("{fd}{}{}{}", o.name, if o.chomp { "-" } else { "" }, if o.quoted { "'" } else { "" })
            };
            opened(line, '\\').into_iter().map(show).collect::<Vec<_>>().join(" ")
        };
        for (line, expected) in [
            ("RUN <<EOF", "EOF"),
            ("run 3<<EOF <<-X", "3EOF X-"),
            ("COPY <<'a b' <<\"c\" /x", "a b' c'"),
            ("ONBUILD ADD <<E /x", "E"),
            ("ONBUILD CMD <<E", ""),
            ("CMD <<E", ""),
            ("RUN echo \"<<E\"", ""),
            ("RUN echo a<<E", ""),
            ("RUN cat <<<E", ""),
            ("RUN cat <<", ""),
            ("RUN cat <<E<", ""),
            ("RUN cat << E", ""),
            ("RUN echo $((1<<2))", ""),
            ("RUN <<\\E", "E"),
            ("RUN 99999999999<<E", ""),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }
}
