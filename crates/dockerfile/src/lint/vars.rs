//! Variables that a text uses, and names that smell of secrets.

/// Names of the variables in `text` that have no value to fall back on, in their order.
pub(super) fn used(text: &str, escape: char) -> Vec<String> {
    let mut names = Vec::new();
    let mut characters = text.chars().peekable();
    let (mut single, mut double) = (false, false);
    while let Some(c) = characters.next() {
        match c {
            c if c == escape && !single => drop(characters.next()),
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            '$' if !single => {
                let braced = characters.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(c) = characters.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                let guarded = braced && matches!(characters.peek(), Some(':' | '-' | '+' | '?'));
                if !guarded && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    names.push(name);
                }
            }
            _ => {}
        }
    }
    names
}

/// A word of the name says that its value is secret, and none that it is public.
pub(super) fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
    let name = name.to_ascii_lowercase();
    let has = |wanted: &str| name.split('_').any(|word| word == wanted);
    WORDS.into_iter().any(has) && !has("public")
}

/// Arguments that each build has.
pub(super) fn is_predefined(name: &str) -> bool {
    let platform = ["TARGET", "BUILD"].iter().any(|side| {
        name.strip_prefix(side).is_some_and(|rest| matches!(rest, "PLATFORM" | "OS" | "OSVERSION" | "ARCH" | "VARIANT"))
    });
    platform || name == "TARGETSTAGE"
}

/// Proxies may be used without being declared.
pub(super) fn is_proxy(name: &str) -> bool {
    matches!(name.to_ascii_uppercase().as_str(), "HTTP_PROXY" | "HTTPS_PROXY" | "FTP_PROXY" | "NO_PROXY" | "ALL_PROXY")
}
