//! Package URLs, as the specification of package-url writes them in canonical form.

use std::fmt::Write as _;

/// A package URL. Qualifiers are given sorted by name; those without a value are left out.
pub fn write(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    version: &str,
    qualifiers: &[(&str, Option<&str>)],
) -> String {
    let mut purl = format!("pkg:{kind}");
    // The parts of a namespace are told from each other; a / of a name is part of it.
    let namespace = namespace.into_iter().flat_map(|namespace| namespace.split('/'));
    for part in namespace.filter(|part| !part.is_empty()).chain([name]) {
        purl.push('/');
        encode(&mut purl, part);
    }
    purl.push('@');
    encode(&mut purl, version);
    let mut before = '?';
    for (key, value) in qualifiers {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            purl.push(before);
            purl.push_str(key);
            purl.push('=');
            encode(&mut purl, value);
            before = '&';
        }
    }
    purl
}

/// The name of a Python distribution in the form that names are compared in (PEP 503): lower case, and one - for runs of `-_.`.
pub(crate) fn pypi_name(name: &str) -> String {
    let mut canonical = String::new();
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if canonical.ends_with('-') => {}
            '-' | '_' | '.' => canonical.push('-'),
            letter => canonical.push(letter.to_ascii_lowercase()),
        }
    }
    canonical
}

/// Everything but letters, digits and `.-_~:` becomes `%XX`.
fn encode(purl: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            purl.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(purl, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-122
    #[test]
    fn they_are_written_as_the_specification_has_them() {
        let cases = [
            (
                write("deb", Some("debian"), "attr", "1:2.4.47-2+b1", &[("arch", Some("amd64"))]),
                "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64",
            ),
            (
                write("deb", Some("debian"), "libstdc++6", "12", &[("arch", Some("")), ("distro", Some("a b"))]),
                "pkg:deb/debian/libstdc%2B%2B6@12?distro=a%20b",
            ),
            (write("golang", Some("github.com/a//b"), "c", "v1.0.0", &[]), "pkg:golang/github.com/a/b/c@v1.0.0"),
            (write("npm", Some("@babel"), "core", "1", &[]), "pkg:npm/%40babel/core@1"),
            (write("pypi", None, "a/b@c?d#e", "é", &[]), "pkg:pypi/a%2Fb%40c%3Fd%23e@%C3%A9"),
        ];
        for (written, expected) in cases {
            assert_eq!(written, expected);
        }
        assert_eq!(pypi_name("My._Pkg-x__y"), "my-pkg-x-y");
    }
}
