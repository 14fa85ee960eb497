//! Discovery of appc images (appc spec, discovery.md): `<meta name="ac-discovery">` of `https://NAME?ac-discovery=1`, or of a page
//! above it, says which URLs the images of a name have. Read only; signatures are not looked for.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::RegistryError;
use crate::http::{BodyReader, Http, Request};
use crate::url::{Origin, Scheme, Url, UrlError};

/// Most bytes of a page.
pub const MAX_PAGE: u64 = 1 << 20;
/// Most pages above each other that are asked.
pub const MAX_PAGES_ABOVE: usize = 8;
/// Most meta tags of a page that are looked at.
pub const MAX_TEMPLATES: usize = 64;

/// `aci://HOST/PATH[:VERSION][,LABEL=VALUE...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AciName {
    authority: String,
    path: String,
    labels: BTreeMap<String, String>,
}

/// An appc image that is being received.
#[derive(Debug)]
pub struct Aci {
    /// Where it comes from.
    pub url: Url,
    /// Its bytes. The reader caps.
    pub body: BodyReader,
}

impl FromStr for AciName {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let bad = |source| RegistryError::Address { what: "the name of an appc image".to_owned(), source };
        let text = text.strip_prefix("aci://").ok_or_else(|| bad(UrlError::Scheme))?;
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let (authority, rest) = name.split_once('/').unwrap_or((name, ""));
        let (path, version) = rest.split_once(':').map_or((rest, None), |(path, version)| (path, Some(version)));
        // Types of the appc spec: an AC identifier, and label values that can stand in a URL.
        let good = |part: &str| {
            let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._~".contains(&byte);
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(fine)
        };
        let value = |text: &str| {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+".contains(&byte);
            !text.is_empty() && text.len() <= 128 && text.bytes().all(fine)
        };
        Origin::new(Scheme::Https, authority).map_err(bad)?;
        let mut labels = BTreeMap::new();
        if let Some(version) = version {
            labels.insert("version".to_owned(), version.to_owned());
        }
        for part in parts {
            let (label, text) = part.split_once('=').ok_or_else(|| bad(UrlError::Malformed))?;
            labels.insert(label.to_owned(), text.to_owned());
        }
        let labels_are_good = labels.iter().all(|(label, text)| good(label) && value(text));
        if !path.split('/').all(good) || !labels_are_good || text.len() > 512 {
            return Err(bad(UrlError::Malformed));
        }
        Ok(Self { authority: authority.to_owned(), path: path.to_owned(), labels })
    }
}

impl AciName {
    /// The name inside of the image: without port, version and labels.
    pub fn name(&self) -> String {
        let host = self.authority.split(':').next().unwrap_or_default();
        format!("{host}/{}", self.path)
    }

    /// As it was asked for.
    fn asked(&self) -> String {
        format!("{}/{}", self.authority, self.path)
    }

    /// The URL of a template, if every label in it is known.
    fn expand(&self, template: &str, platform: (&str, &str)) -> Option<String> {
        let mut url = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (label, after) = after.split_once('}')?;
            let given = self.labels.get(label).map(String::as_str);
            let name = self.asked();
            url.push_str(before);
            url.push_str(match label {
                "name" => &name,
                "ext" => "aci",
                "version" => given.unwrap_or("latest"),
                "os" => given.unwrap_or(platform.0),
                "arch" => given.unwrap_or(platform.1),
                _ => given?,
            });
            rest = after;
        }
        url.push_str(rest);
        Some(url)
    }
}

/// Finds the image and begins to receive it. `platform` is os and architecture for names that do not say them, in words of appc.
pub fn find(http: &Http, name: &AciName, platform: (&str, &str)) -> Result<Aci, RegistryError> {
    let origin = http.origin(&name.authority, false)?;
    let address = |source| RegistryError::Address { what: format!("the address of {}", name.asked()), source };
    let mut tried = 0;
    let mut path = name.path.as_str();
    for _ in 0..MAX_PAGES_ABOVE {
        let url = origin.url(&format!("/{path}?ac-discovery=1")).map_err(address)?;
        for template in templates(http, name, url)? {
            let Some(text) = name.expand(&template, platform) else { continue };
            let url = Url::parse(&text).map_err(address)?;
            if url.origin().scheme != Scheme::Https && *url.origin() != origin {
                return Err(RegistryError::Discovery { url, why: "it has no TLS".to_owned() });
            }
            tried += 1;
            let response = http.send(&mut Request::get(url))?;
            match response.status {
                200 => return Ok(Aci { url: response.url.clone(), body: response.into_body() }),
                400..=499 => {}
                _ => return Err(response.into_error()),
            }
        }
        match path.rsplit_once('/') {
            Some((above, _)) => path = above,
            None if path.is_empty() => break,
            None => path = "",
        }
    }
    let what = match tried {
        0 => format!("page that says where {} is (<meta name=\"ac-discovery\">)", name.asked()),
        _ => format!("image {} where its pages say it is ({tried} addresses)", name.asked()),
    };
    Err(RegistryError::NotFound { registry: origin.authority(), what, errors: Vec::new() })
}

/// The templates of a page for this name; none where there is no page.
fn templates(http: &Http, name: &AciName, url: Url) -> Result<Vec<String>, RegistryError> {
    let asked = url.origin().clone();
    let response = http.send(&mut Request::get(url).header("accept", "text/html"))?;
    let answered = response.url.origin();
    if *answered != asked && answered.scheme != Scheme::Https {
        let why = format!("it leads to {answered}, which has no TLS");
        return Err(RegistryError::Discovery { url: response.url, why });
    }
    match response.status {
        200 => {}
        400..=499 => return Ok(Vec::new()),
        _ => return Err(response.into_error()),
    }
    let page = response.bytes("a page", MAX_PAGE)?;
    let page = String::from_utf8_lossy(&page);
    let asked = name.asked();
    let fits = |content: String| {
        let (prefix, template) = content.trim().split_once(char::is_whitespace)?;
        let rest = asked.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')).then(|| template.trim().to_owned())
    };
    Ok(contents(&page).into_iter().filter_map(fits).collect())
}

/// `content` of all `<meta name="ac-discovery">` outside of comments.
fn contents(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        if found.len() >= MAX_TEMPLATES {
            break;
        }
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        let (tag, next) = tag(after);
        rest = next;
        let word = tag.split(|c: char| c.is_ascii_whitespace() || c == '/').next().unwrap_or_default();
        if word.eq_ignore_ascii_case("meta") {
            let attributes = attributes(tag.get(word.len()..).unwrap_or_default());
            let is_ours = attributes.get("name").is_some_and(|name| name == "ac-discovery");
            found.extend(attributes.get("content").filter(|_| is_ours).cloned());
        }
    }
    found
}

/// What stands up to the `>` that ends the tag, quotes respected, and what follows.
fn tag(text: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    ("", "")
}

/// `name="value"` pairs; values without quotes have no place in what we look for.
fn attributes(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, after)) = text.split_once('=') {
        let name = name.split_ascii_whitespace().next_back().unwrap_or_default().to_ascii_lowercase();
        let after = after.trim_ascii_start();
        let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            text = after;
            continue;
        };
        let Some((value, rest)) = after.get(1..).and_then(|inner| inner.split_once(quote)) else { break };
        found.entry(name).or_insert_with(|| value.to_owned());
        text = rest;
    }
    found
}

/// An architecture of Go's names in words of the appc spec.
pub fn architecture(go: &str) -> &str {
    match go {
        "arm64" => "aarch64",
        "arm" => "armv7l",
        "386" => "i386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        // spec: REG-101
        let name: AciName = "aci://example.com:8443/team/app:1.0.0,os=linux,channel=beta".parse().unwrap();
        assert_eq!(
            (name.name().as_str(), name.asked().as_str()),
            ("example.com/team/app", "example.com:8443/team/app")
        );
        let template = "https://{name}/x-{version}-{os}-{arch}-{channel}.{ext}";
        let url = "https://example.com:8443/team/app/x-1.0.0-linux-amd64-beta.aci";
        assert_eq!(name.expand(template, ("other", "amd64")).as_deref(), Some(url));
        let plain: AciName = "aci://example.com/app".parse().unwrap();
        assert_eq!(
            plain.expand("{name} {version} {os} {arch}", ("linux", "amd64")).unwrap(),
            "example.com/app latest linux amd64"
        );
        for template in ["{channel}", "{name", "{}"] {
            assert_eq!(plain.expand(template, ("linux", "amd64")), None, "{template}");
        }
        for bad in [
            "aci://",
            "aci://example.com",
            "aci://example.com/",
            "aci://example.com/../x",
            "aci://example.com/A",
            "aci://a@b/x",
            "aci://example.com/x:",
            "aci://example.com/x:a/b",
            "aci://example.com/x,os",
            "aci://example.com/x,os=a b",
            "aci://example.com/x?y",
            "aci://example.com//x",
        ] {
            assert!(bad.parse::<AciName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn meta_tags_are_found() {
        // spec: REG-101
        let page = r#"<html><!-- <meta name="ac-discovery" content="no comment"> --><HEAD>
            <meta charset=utf-8><META content='example.com https://a/{name}.{ext}' NAME = "ac-discovery" />
            <meta name="ac-discovery" content="x > y">
            <metadata name="ac-discovery" content="no"><meta name="ac-discovery-pubkeys" content="no"><meta name="ac-discovery">
            <p title="<meta name='ac-discovery' content='no'>">text</p><meta name="ac-discovery" content="cut"#;
        assert_eq!(contents(page), ["example.com https://a/{name}.{ext}", "x > y"]);
        let many = r#"<meta name="ac-discovery" content="a b">"#.repeat(MAX_TEMPLATES + 5);
        assert_eq!(contents(&many).len(), MAX_TEMPLATES);
        for odd in ["<", "<meta", "<!--", "<meta name=", "<meta name='", "<é name=\"é\">", "<meta content=é>"] {
            assert!(contents(odd).is_empty(), "{odd}");
        }
    }
}
