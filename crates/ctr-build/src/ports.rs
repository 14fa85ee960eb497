//! EXPOSE: `PORT[-PORT][/PROTOCOL]`.

use ctr_cli::Failure;

/// The ports of all words as a config names them: `80/tcp`.
pub(crate) fn expand(words: &[String]) -> Result<Vec<String>, Failure> {
    let mut ports = Vec::new();
    for word in words {
        let wrong = || {
            Failure::new(format!("{word} is no port"))
                .hint("it is PORT, PORT-PORT or PORT/PROTOCOL, with tcp, udp or sctp")
        };
        let (spec, protocol) = word.split_once('/').unwrap_or((word, ""));
        let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_ascii_lowercase() };
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(wrong());
        }
        // Docker takes the container's port of [ADDRESS:][HOST:]PORT, and so do others; what is before it has to be right, too.
        let mut parts = spec.rsplitn(3, ':');
        let (first, last) = parts.next().and_then(range).ok_or_else(wrong)?;
        if let Some(host) = parts.next().filter(|host| !host.is_empty()) {
            let (from, to) = range(host).ok_or_else(wrong)?;
            if last > first && to - from != last - first {
                return Err(wrong());
            }
        }
        if let Some(address) = parts.next().filter(|address| !address.is_empty()) {
            let inner = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
            inner.unwrap_or(address).parse::<std::net::IpAddr>().map_err(|_| wrong())?;
        }
        ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    Ok(ports)
}

/// `PORT` or `PORT-PORT`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-88
    #[test]
    fn ports_are_read() {
        let go = |words: &[&str]| expand(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            go(&["80", "53/UDP", "7000-7002/tcp"]).unwrap(),
            ["80/tcp", "53/udp", "7000/tcp", "7001/tcp", "7002/tcp"]
        );
        assert_eq!(
            go(&["80/", "1:81", "1-2:82", "127.0.0.1::83", "[::1]:9:84/UDP", "::1:9:85", "86-86"]).unwrap(),
            ["80/tcp", "81/tcp", "82/tcp", "83/tcp", "84/udp", "85/tcp", "86/tcp"]
        );
        for bad in
            ["", "x", "80/icmp", "9-8", "70000", "80-", "/tcp", "x:80", "a:1:80", "1-2:80-83", "80:", "-1", "1-2-3"]
        {
            assert!(go(&[bad]).is_err(), "{bad}");
        }
    }
}
