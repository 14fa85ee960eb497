//! `RUN --mount=type=...,key=value,...`.

use super::options::value;
use crate::error::{Error, ErrorKind};
use crate::expand::Expander;
use crate::instruction::{Mount, Sharing};
use crate::span::Span;

/// The keys of one mount.
#[derive(Default)]
struct Keys {
    kind: Option<String>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    id: Option<String>,
    env: Option<String>,
    sharing: Option<Sharing>,
    size: Option<u64>,
    required: Option<bool>,
    read_only: Option<bool>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// Reads the value of a `--mount`.
pub(super) fn read(text: &str, span: Span, expander: Expander<'_>) -> Result<Mount, Error> {
    let mut keys = Keys::default();
    for (key, given) in fields(text, span)? {
        let given = given.map(|text| expander.word(&text)).transpose();
        let given = given.map_err(|error| Error::new(ErrorKind::Expand(error), span))?;
        keys.set(&key, given, span)?;
    }
    keys.mount(span)
}

/// Whether it is a mount, whatever its variables are.
pub(super) fn form(text: &str, span: Span) -> Result<(), Error> {
    fields(text, span).map(drop)
}

/// What `from=` names.
pub(super) fn from(text: &str) -> Option<String> {
    let fields = fields(text, Span::default()).ok()?;
    fields.into_iter().rev().find_map(|(key, value)| value.filter(|_| key == "from"))
}

type Field = (String, Option<String>);

/// Keys in lower case, and values as they are written.
fn fields(text: &str, span: Span) -> Result<Vec<Field>, Error> {
    let fields = super::csv::fields(text).map_err(|why| Error::new(ErrorKind::MountQuote(why), span))?;
    let field = |field: String| {
        let (key, given) = match field.split_once('=') {
            Some((key, given)) => (key.to_ascii_lowercase(), Some(given.to_owned())),
            None => (field.to_ascii_lowercase(), None),
        };
        // A stage has to be known before there are values.
        match given.as_deref().filter(|_| key == "from") {
            Some(name) if name.find('$').is_some_and(|at| at + 1 != name.len()) => {
                Err(wrong("from", name, "a name without variables (a stage's name can stand for one)", span))
            }
            _ => Ok((key, given)),
        }
    };
    fields.into_iter().map(field).collect()
}

fn wrong(key: &str, given: &str, takes: &str, span: Span) -> Error {
    value(&format!("{key} of --mount"), given, takes, span)
}

impl Keys {
    fn set(&mut self, key: &str, given: Option<String>, span: Span) -> Result<(), Error> {
        let flag = |given: Option<&str>| match given {
            None | Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some(other) => Err(wrong(key, other, "true or false", span)),
        };
        match key {
            "required" => self.required = Some(flag(given.as_deref())?),
            "ro" | "readonly" => self.read_only = Some(flag(given.as_deref())?),
            "rw" | "readwrite" => self.read_only = Some(!flag(given.as_deref())?),
            _ => {
                let Some(given) = given else {
                    return Err(Error::new(ErrorKind::NoValue(format!("{key} of --mount")), span));
                };
                self.set_value(key, given, span)?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, given: String, span: Span) -> Result<(), Error> {
        let number =
            |radix: u32, takes: &str| u32::from_str_radix(&given, radix).map_err(|_| wrong(key, &given, takes, span));
        match key {
            "type" => self.kind = Some(given.to_ascii_lowercase()),
            "from" => self.from = Some(given),
            "source" | "src" => self.source = Some(given),
            "target" | "dst" | "destination" => self.target = Some(given),
            "id" => self.id = Some(given),
            "env" => self.env = Some(given),
            "mode" => self.mode = Some(number(8, "an octal number")?),
            "uid" => self.uid = Some(number(10, "a number")?),
            "gid" => self.gid = Some(number(10, "a number")?),
            "size" => self.size = Some(size(&given).ok_or_else(|| wrong(key, &given, "a size, as 64m", span))?),
            "sharing" => {
                self.sharing = Some(match given.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(wrong(key, &given, "shared, private or locked", span)),
                });
            }
            _ => return Err(Error::new(ErrorKind::MountKey(key.to_owned()), span)),
        }
        Ok(())
    }

    /// A key that mounts of another type have.
    fn foreign_key(&self, kind: &str) -> Option<&'static str> {
        let is = |kinds: &[&str]| kinds.contains(&kind);
        let secret = is(&["secret"]);
        [
            (self.required.is_some() && !is(&["secret", "ssh"]), "required"),
            (self.size.is_some() && !is(&["tmpfs"]), "size"),
            (self.sharing.is_some() && !is(&["cache"]), "sharing"),
            (self.mode.is_some() && is(&["bind", "tmpfs"]), "mode"),
            (self.uid.is_some() && is(&["bind", "tmpfs"]), "uid"),
            (self.gid.is_some() && is(&["bind", "tmpfs"]), "gid"),
            (self.from.is_some() && secret, "from"),
            (self.source.is_some() && secret && self.id.is_some(), "source beside id"),
        ]
        .into_iter()
        .find_map(|(foreign, key)| foreign.then_some(key))
    }

    fn mount(self, span: Span) -> Result<Mount, Error> {
        let kind = self.kind.clone().unwrap_or_else(|| "bind".to_owned());
        if let Some(key) = self.foreign_key(&kind) {
            return Err(Error::new(ErrorKind::MountKeyOfOther { key, kind }, span));
        }
        // Without one it is the working directory.
        let target = || self.target.clone().unwrap_or_default();
        let source = || self.source.clone().unwrap_or_else(|| "/".to_owned());
        match kind.as_str() {
            "bind" => Ok(Mount::Bind {
                target: target(),
                source: source(),
                writable: self.read_only == Some(false),
                from: self.from,
            }),
            "cache" => {
                let target = target();
                Ok(Mount::Cache {
                    id: self.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| clean(&target)),
                    target,
                    read_only: self.read_only == Some(true),
                    sharing: self.sharing.unwrap_or_default(),
                    source: source(),
                    from: self.from,
                    mode: self.mode.unwrap_or(0o755),
                    uid: self.uid.unwrap_or(0),
                    gid: self.gid.unwrap_or(0),
                })
            }
            "tmpfs" => Ok(Mount::Tmpfs { target: target(), size: self.size }),
            "secret" => {
                let last = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
                let id = self.id.or(self.source).or_else(|| self.target.as_ref().map(last)).filter(|id| !id.is_empty());
                let id = id.ok_or_else(|| Error::new(ErrorKind::NoId, span))?;
                let target = match (self.target, &self.env) {
                    (Some(target), _) => Some(target),
                    (None, Some(_)) => None,
                    (None, None) => Some(format!("/run/secrets/{}", last(&id))),
                };
                Ok(Mount::Secret {
                    id,
                    target,
                    env: self.env,
                    required: self.required == Some(true),
                    mode: self.mode.unwrap_or(0o400),
                    uid: self.uid.unwrap_or(0),
                    gid: self.gid.unwrap_or(0),
                })
            }
            "ssh" => Ok(Mount::Ssh {
                id: self.id.unwrap_or_else(|| "default".to_owned()),
                target: self.target,
                required: self.required == Some(true),
                mode: self.mode.unwrap_or(0o600),
                uid: self.uid.unwrap_or(0),
                gid: self.gid.unwrap_or(0),
            }),
            other => Err(wrong("type", other, "bind, cache, tmpfs, secret or ssh", span)),
        }
    }
}

/// A path without `.`, `..` and `/` that say nothing, as a cache is known by it.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|part| *part != "..") => drop(parts.pop()),
            ".." if path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    let path = format!("{root}{}", parts.join("/"));
    if path.is_empty() { ".".to_owned() } else { path }
}

/// Bytes, with `k`, `m`, `g` or `t` of 1024, and `b` behind it or not.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (number, factor) = match text.chars().last()? {
        'k' => (text.get(..text.len() - 1)?, 1 << 10),
        'm' => (text.get(..text.len() - 1)?, 1 << 20),
        'g' => (text.get(..text.len() - 1)?, 1 << 30),
        't' => (text.get(..text.len() - 1)?, 1u64 << 40),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
