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
        let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(wrong());
        }
        // Docker takes the container's port of HOST:PORT, and so do others.
        let range = range.rsplit(':').next().unwrap_or(range);
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: u16 = first.parse().map_err(|_| wrong())?;
        let last: u16 = last.parse().map_err(|_| wrong())?;
        if first > last {
            return Err(wrong());
        }
        ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    Ok(ports)
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
        for bad in ["", "x", "80/icmp", "9-8", "70000", "80-"] {
            assert!(go(&[bad]).is_err(), "{bad}");
        }
    }
}
