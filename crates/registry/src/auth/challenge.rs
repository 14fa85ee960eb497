//! `WWW-Authenticate`: how a registry says who may come in (RFC 9110 section 11.6.1, RFC 6750 section 3).
//!
//! ```text
//! Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:app:pull,push", Basic realm="x"
//! ```
//! The grammar is a list of lists with the same separator; what a server writes against it is understood where it has one
//! meaning (values without quotes, blanks in place of commas), and left out where it has none.

/// Most challenges of an answer that are looked at.
pub const MAX_CHALLENGES: usize = 16;
/// Most parameters of a challenge.
pub const MAX_PARAMETERS: usize = 16;

/// One way in that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Challenge {
    /// `bearer`, `basic`...: in lower case.
    pub scheme: String,
    /// Names in lower case, with their values.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges of all headers `WWW-Authenticate` of an answer, in order. A header is read up to what cannot be
/// understood; a challenge that says one thing twice, or has too many parameters, is left out.
pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for header in headers.into_iter().take(MAX_CHALLENGES) {
        let Ok(text) = std::str::from_utf8(header) else { continue };
        Reader { rest: text }.challenges(&mut found);
    }
    found.truncate(MAX_CHALLENGES);
    found
}

/// What of a header is still to be read.
struct Reader<'a> {
    rest: &'a str,
}

/// A challenge while it is read.
struct Open {
    challenge: Challenge,
    is_bad: bool,
}

impl<'a> Reader<'a> {
    fn challenges(&mut self, found: &mut Vec<Challenge>) {
        let mut open: Option<Open> = None;
        while found.len() < MAX_CHALLENGES {
            self.skip(|c| c == ',' || is_blank(c));
            let word = self.take(is_token);
            if word.is_empty() {
                break;
            }
            let spaces = self.take(is_blank).len();
            // "name = value" belongs to the challenge before; "name==" is a token68, which only follows a scheme.
            if let Some(current) = open.as_mut()
                && self.rest.starts_with('=')
            {
                self.skip_one();
                let Some(value) = self.value() else { break };
                current.add(word.to_ascii_lowercase(), value);
                continue;
            }
            close(open.take(), found);
            open = Some(Open {
                challenge: Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() },
                is_bad: false,
            });
            if spaces > 0 {
                self.token68();
            } else if !self.rest.is_empty() && !self.rest.starts_with(',') {
                // `Bearer"x"`: no scheme.
                open = None;
                break;
            }
        }
        close(open, found);
    }

    /// What stands behind `=`; nothing if it cannot be read.
    fn value(&mut self) -> Option<String> {
        self.skip(is_blank);
        if self.rest.starts_with('"') {
            self.skip_one();
            return self.quoted();
        }
        // Without quotes a URL is no token, but servers write it.
        let value = self.take(|c| c.is_ascii_graphic() && c != ',' && c != '"');
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The rest of a quoted string, its escapes resolved; nothing if it does not end.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                c => value.push(c),
            }
        }
        None
    }

    /// Skips a token68 (`Negotiate oYG2...==`), which has no meaning for us. What looks like one but is followed by a value
    /// or by something else than a comma is the first parameter.
    fn token68(&mut self) {
        let before = self.rest;
        self.skip(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        self.skip(|c| c == '=');
        self.skip(is_blank);
        if !self.rest.is_empty() && !self.rest.starts_with(',') {
            self.rest = before;
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Skips a character of one byte.
    fn skip_one(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        self.take(wanted);
    }
}

impl Open {
    fn add(&mut self, name: String, value: String) {
        if self.challenge.parameters.len() >= MAX_PARAMETERS || self.challenge.get(&name).is_some() {
            self.is_bad = true;
        } else {
            self.challenge.parameters.push((name, value));
        }
    }
}

fn close(open: Option<Open>, found: &mut Vec<Challenge>) {
    if let Some(open) = open.filter(|open| !open.is_bad) {
        found.push(open.challenge);
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// RFC 9110 section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scheme name=value name=value | scheme ...`
    fn read(headers: &[&str]) -> String {
        let challenges = parse(headers.iter().map(|header| header.as_bytes()));
        let shown = challenges.iter().map(|challenge| {
            let parameters = challenge.parameters.iter().map(|(name, value)| format!(" {name}={value}"));
            format!("{}{}", challenge.scheme, parameters.collect::<String>())
        });
        shown.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn challenges_are_told_apart() {
        // spec: REG-31
        for (header, expected) in [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull,push""#,
                "bearer realm=https://a/t service=s scope=repository:x:pull,push",
            ),
            (r#"BASIC Realm="a, b", BEARER REALM="c""#, "basic realm=a, b | bearer realm=c"),
            (r#"Basic realm="say \"hi\\\"", Bearer realm=x"#, r#"basic realm=say "hi\" | bearer realm=x"#),
            ("Negotiate, Basic realm=x", "negotiate | basic realm=x"),
            ("Negotiate oYG2==, Basic realm=x", "negotiate | basic realm=x"),
            ("Negotiate a+/b~, NTLM", "negotiate | ntlm"),
            ("Bearer realm=https://a/t?x=y,service=s", "bearer realm=https://a/t?x=y service=s"),
            (r#"Bearer realm = "a" , service = "b""#, "bearer realm=a service=b"),
            (r#"Bearer realm="a" service="b""#, "bearer realm=a service=b"),
            (r#", ,Bearer ,realm="a",,"#, "bearer realm=a"),
            (r#"Bearer realm="",service="s""#, "bearer realm= service=s"),
            ("Basic", "basic"),
            ("", ""),
            // Against the rules: what has no one meaning is left out.
            (r#"Bearer realm="a",realm="b", Basic realm="c""#, "basic realm=c"),
            (r#"Basic realm="c", Bearer realm="never ends"#, "basic realm=c | bearer"),
            (r#"Bearer"x""#, ""),
            ("=x", ""),
            ("Basic realm=", "basic"),
            ("\u{e4}", ""),
        ] {
            assert_eq!(read(&[header]), expected, "{header}");
        }
        assert_eq!(read(&["Basic realm=a", r#"Bearer realm="b""#]), "basic realm=a | bearer realm=b");
        assert!(parse([&b"Basic realm=\xff"[..]]).is_empty());
    }

    #[test]
    fn floods_end() {
        assert_eq!(parse([("a,".repeat(10_000)).as_bytes()]).len(), MAX_CHALLENGES);
        let header = (0..1000).map(|n| format!("p{n}=v")).collect::<Vec<_>>().join(",");
        assert!(parse([format!("Bearer {header}").as_bytes()]).is_empty());
    }

    #[test]
    fn any_text_is_read_without_a_panic() {
        // Every short string over the characters that mean something.
        let alphabet = ['a', '"', '\\', ',', '=', ' ', 'é'];
        let mut texts = vec![String::new()];
        for _ in 0..6 {
            texts = texts.iter().flat_map(|text| alphabet.iter().map(move |c| format!("{text}{c}"))).collect();
            for text in &texts {
                for challenge in parse([text.as_bytes()]) {
                    assert!(!challenge.scheme.is_empty() && challenge.scheme.chars().all(is_token), "{text}");
                }
            }
        }
    }
}
