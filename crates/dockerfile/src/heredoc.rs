//! The words that open heredocs: `<<NAME`, `<<-NAME`, `3<<NAME`, with the name quoted or not.

use crate::ast::{Head, Keyword};
use crate::typed::forms;

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

/// What takes the meaning of the next character here, whatever the Dockerfile's directive says: the reference reads these words
/// as a shell does.
const ESCAPE: char = '\\';

/// The heredocs that a line opens: lines of ADD, COPY and RUN, and of ONBUILD with one of these, unless they are JSON lists.
pub(crate) fn opened(line: &str, escape: char) -> Vec<Opened> {
    // Most lines have none.
    if !line.contains("<<") {
        return Vec::new();
    }
    let mut line = line;
    let mut head = Head::read(line, escape);
    if head.keyword == Some(Keyword::Onbuild) {
        line = line.get(head.rest..).unwrap_or_default();
        head = Head::read(line, escape);
    }
    let arguments = line.get(head.rest..).unwrap_or_default();
    if !matches!(head.keyword, Some(Keyword::Add | Keyword::Copy | Keyword::Run))
        || forms::is_list(arguments.trim_end())
    {
        return Vec::new();
    }
    shell_words(arguments).iter().filter_map(|word| word_opens(word)).collect()
}

/// Whether a word opens a heredoc.
pub(crate) fn is_opening(word: &str) -> bool {
    word_opens(word).is_some()
}

/// Words as a shell divides them: blanks in quotes, behind an escape character and behind `<<` belong to the word. Quotes stay;
/// where one is not closed there are no words.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match quote {
            None if c.is_whitespace() => {
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
        if c == ESCAPE && quote != Some('\'') {
            word.extend(characters.next());
        } else if quote.is_none() && c == '<' && characters.next_if_eq(&'<').is_some() {
            word.push('<');
            while let Some(blank) = characters.next_if(|c| matches!(c, ' ' | '\t' | '\r')) {
                word.push(blank);
            }
        }
    }
    if quote.is_some() {
        return Vec::new();
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// `^(\d*)<<(-?)\s*([^<]*)$`
fn word_opens(word: &str) -> Option<Opened> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (descriptor, rest) = word.split_at_checked(digits)?;
    let rest = rest.strip_prefix("<<")?;
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start();
    // One word it has to be: `shell_words` gives more than that only where blanks stand behind it.
    if rest.contains('<') || shell_words(rest).len() != 1 {
        return None;
    }
    let (name, quoted) = unquoted(rest);
    let descriptor = if descriptor.is_empty() { None } else { Some(descriptor.parse().ok()?) };
    (!name.is_empty()).then_some(Opened { name, descriptor, chomp, quoted })
}

/// Without quotes and escape characters, and whether there were quotes.
fn unquoted(word: &str) -> (String, bool) {
    let mut name = String::new();
    let (mut quote, mut quoted) = (None, false);
    let mut characters = word.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, '\'' | '"') => (quote, quoted) = (Some(c), true),
            (Some(open), c) if c == open => quote = None,
            (None, ESCAPE) => name.extend(characters.next()),
            (Some('"'), ESCAPE) => match characters.next() {
                Some(next @ ('"' | '$' | ESCAPE)) => name.push(next),
                next => name.extend([Some(ESCAPE), next].into_iter().flatten()),
            },
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
            ("RUN cat <<  E", "E"),
            ("RUN << -E", "-E"),
            ("RUN <<- E", ""),
            ("RUN <<$E", "$E"),
            ("RUN <<'e'o\\'f", "eo'f'"),
            ("RUN <<E it's", ""),
            ("RUN <<'E", ""),
            ("RUN [\"a\", \" <<E \"]", ""),
            ("RUN [\"a\", <<E ]", "E"),
            ("RUN --mount=type=tmpfs,target='/a b' <<E", "E"),
            ("ONBUILD ONBUILD RUN <<E", ""),
            ("ONBUILD RUN --network=none [\"<<E\"]", ""),
            ("RUN echo $((1<<2))", ""),
            ("RUN <<\\E", "E"),
            ("RUN 99999999999<<E", ""),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }
}
