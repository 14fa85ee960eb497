//! Names of images and platforms, as far as rules look at them.

/// Whether the text can be a reference of an image, `NAME[:TAG][@DIGEST]`.
pub(super) fn is_image(text: &str) -> bool {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    // A colon behind the last slash begins a tag, one before it a port.
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let colon = rest.get(last..).and_then(|name| name.find(':')).map(|colon| last + colon);
    let (name, tag) =
        colon.map_or((rest, None), |colon| (rest.get(..colon).unwrap_or_default(), rest.get(colon + 1..)));
    let id = name.len() == 64 && name.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    !id && is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

fn is_name(name: &str) -> bool {
    if name.len() > 255 {
        return false;
    }
    let Some((first, path)) = name.split_once('/') else { return is_component(name) };
    let is_host = first.contains(['.', ':']) || first == "localhost" || first != first.to_lowercase();
    if is_host { is_domain(first) && path.split('/').all(is_component) } else { name.split('/').all(is_component) }
}

/// Letters and digits, with single `.`, one or two `_` or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = |gap: &str| matches!(gap, "" | "." | "_" | "__") || gap.chars().all(|c| c == '-');
    text.starts_with(edge) && text.ends_with(edge) && text.split(edge).all(fits)
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        let edge = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-')
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = match address {
        Some(address) => !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || c == ':'),
        None => host.split('.').all(label),
    };
    named && port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()))
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word) && text.len() <= 128 && text.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let lengths = match algorithm {
        "sha256" => hex.len() == 64,
        "sha384" => hex.len() == 96,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32,
    };
    algorithm.split(['-', '_', '+', '.']).all(part) && lengths && hex.chars().all(|c| c.is_ascii_hexdigit())
}

/// Operating system and processor of `OS[/ARCH[/VARIANT]]`, or of one of both alone, by their usual names; what is not told is
/// not there.
pub(super) fn platform(text: &str) -> Option<(Option<String>, Option<String>)> {
    let parts: Vec<&str> = text.split('/').collect();
    let fits = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if parts.len() > 3 || !parts.iter().all(fits) {
        return None;
    }
    match parts[..] {
        [one] => {
            let (os, arch) = (os(one), arch(one));
            if is_os(&os) {
                Some((Some(os), None))
            } else if is_arch(&arch) {
                Some((None, Some(arch)))
            } else {
                None
            }
        }
        [first, second, ..] => Some((Some(os(first)), Some(arch(second)))),
        [] => None,
    }
}

fn os(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

fn arch(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "i386" => "386",
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "armhf" | "armel" => "arm",
        other => other,
    }
    .to_owned()
}

fn is_os(name: &str) -> bool {
    [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "hurd",
        "illumos",
        "ios",
        "js",
        "linux",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "wasip1",
        "windows",
    ]
    .contains(&name)
}

fn is_arch(name: &str) -> bool {
    [
        "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
        "riscv64", "s390x", "wasm",
    ]
    .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        let (id, sum) = ("0".repeat(64), "a".repeat(64));
        for good in [
            "a",
            "scratch",
            "a/b",
            "a.b/c",
            "a:1",
            "h:5000/a:1",
            "localhost/a",
            "Host/a",
            "a__b",
            "a--b.c",
            "a:A_b.c-d",
            "[::1]:5000/x",
            &format!("a@sha256:{sum}"),
            &format!("a:1@sha256:{sum}"),
        ] {
            assert!(is_image(good), "{good}");
        }
        for bad in [
            "",
            "a:",
            "A",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "a___b",
            "a..b",
            "-a",
            "a:1:2",
            "a@",
            "a@sha256:1",
            "a b",
            "a:-1",
            "h:x/a",
            ":1",
            &id,
        ] {
            assert!(!is_image(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_platforms() {
        let shown =
            |text| platform(text).map(|(os, arch)| format!("{} {}", os.unwrap_or_default(), arch.unwrap_or_default()));
        for (text, expected) in [
            ("linux/amd64", Some("linux amd64")),
            ("Linux/x86_64", Some("linux amd64")),
            ("linux/arm/v7", Some("linux arm")),
            ("linux", Some("linux ")),
            ("aarch64", Some(" arm64")),
            ("macos/arm64", Some("darwin arm64")),
            ("what", None),
            ("", None),
            ("linux/", None),
            ("a/b/c/d", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
    }
}
