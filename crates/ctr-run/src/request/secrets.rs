//! `--secret NAME[,source=FILE|env=VAR][,target=PATH][,uid=N][,gid=N][,mode=M][,type=file|env]`.
//!
//! The content is read here, once, and handed on in memory: no record, no plan and no command line of ours ever has it.

use std::path::{Path, PathBuf};

use ctr_cli::Failure;
use ctr_sandbox::options::{SecretBytes, SecretPlace, SecretRequest};

use super::bad;
use super::mount_options::{octal_mode, unknown};

/// The largest secret, in bytes (spec/limits.md).
const SECRET_MAX: usize = 512_000;
/// Where secrets are unless asked otherwise.
const DIRECTORY: &str = "/run/secrets";
/// Mode of a secret unless asked otherwise: its owner's to read.
const MODE: u32 = 0o400;
const KEYS: [&str; 9] = ["source", "src", "env", "type", "target", "dst", "uid", "gid", "mode"];

pub(super) fn request(texts: &[String]) -> Result<Vec<SecretRequest>, Failure> {
    let mut secrets: Vec<SecretRequest> = Vec::new();
    for text in texts {
        let wanted = parse(text).map_err(|why| bad("--secret", text, why))?;
        let secret = wanted.read().map_err(|why| bad("--secret", text, why))?;
        if secrets.iter().any(|other| other.name == secret.name && other.place.is_file() == secret.place.is_file()) {
            return Err(bad("--secret", text, format!("there is another secret {}", secret.name)));
        }
        secrets.push(secret);
    }
    Ok(secrets)
}

/// A secret that was not read yet.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    from: From,
    place: SecretPlace,
}

#[derive(Debug, PartialEq, Eq)]
enum From {
    File(PathBuf),
    Variable(String),
    /// `$CREDENTIALS_DIRECTORY/NAME` (systemd.exec(5), "Credentials").
    Credential,
}

fn parse(text: &str) -> Result<Wanted, String> {
    let mut fields = text.split(',');
    let name = fields.next().unwrap_or_default();
    ctr_core::name::check_secret_name(name).map_err(|error| error.to_string())?;
    let (mut from, mut target, mut as_variable) = (None, None, false);
    let (mut uid, mut gid, mut mode) = (None, None, None);
    for field in fields {
        let Some((key, value)) = field.split_once('=') else { return Err(unknown(field, &KEYS)) };
        let id = || value.parse::<u32>().ok().filter(|id| *id != u32::MAX).ok_or(format!("\"{value}\" is not an id"));
        let twice = match key {
            "source" | "src" => from.replace(From::File(PathBuf::from(value))).is_some(),
            "env" => from.replace(From::Variable(value.to_owned())).is_some(),
            "target" | "dst" => target.replace(value).is_some(),
            "uid" => uid.replace(id()?).is_some(),
            "gid" => gid.replace(id()?).is_some(),
            "mode" => mode.replace(octal_mode(value)?).is_some(),
            "type" => {
                as_variable = match value {
                    "file" | "mount" => false,
                    "env" => true,
                    other => return Err(format!("the type \"{other}\" is neither file nor env")),
                };
                false
            }
            key => return Err(unknown(key, &KEYS)),
        };
        if twice {
            return Err(format!("{key} comes a second time; source and env are the same thing"));
        }
    }
    let place = if as_variable {
        if uid.is_some() || gid.is_some() || mode.is_some() {
            return Err("a variable has no owner and no mode".to_owned());
        }
        SecretPlace::Env { variable: target.unwrap_or(name).to_owned() }
    } else {
        let target = target.unwrap_or(name);
        let target = if target.starts_with('/') { target.to_owned() } else { format!("{DIRECTORY}/{target}") };
        SecretPlace::File { target, uid: uid.unwrap_or(0), gid: gid.unwrap_or(0), mode: mode.unwrap_or(MODE) }
    };
    Ok(Wanted { name: name.to_owned(), from: from.unwrap_or(From::Credential), place })
}

impl Wanted {
    fn read(self) -> Result<SecretRequest, String> {
        use std::os::unix::ffi::OsStringExt as _;
        let content = match &self.from {
            From::File(path) => read_file(path)?,
            From::Variable(name) => {
                let value = std::env::var_os(name).ok_or_else(|| format!("the variable {name} is not set"))?;
                value.into_vec()
            }
            From::Credential => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or("it needs source=FILE or env=VARIABLE (only a systemd unit with credentials has others)")?;
                read_file(&Path::new(&directory).join(&self.name))?
            }
        };
        if content.len() > SECRET_MAX {
            return Err(format!("it has more than {SECRET_MAX} bytes"));
        }
        if matches!(self.place, SecretPlace::Env { .. })
            && (content.contains(&0) || std::str::from_utf8(&content).is_err())
        {
            return Err("it is no text: a variable can only hold text".to_owned());
        }
        Ok(SecretRequest { name: self.name, content: SecretBytes(content), place: self.place })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    match ctr_sys::small::read(path, SECRET_MAX) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(format!("{shown} has more than {SECRET_MAX} bytes")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read() {
        let file = |text: &str| match parse(text).unwrap().place {
            SecretPlace::File { target, uid, gid, mode } => (target, uid, gid, mode),
            SecretPlace::Env { .. } => panic!("a file"),
        };
        assert_eq!(file("key,source=/x"), ("/run/secrets/key".to_owned(), 0, 0, 0o400));
        assert_eq!(file("key,src=/x,target=a,uid=5,gid=6,mode=440"), ("/run/secrets/a".to_owned(), 5, 6, 0o440));
        assert_eq!(file("key,env=X,dst=/etc/key").0, "/etc/key");
        assert_eq!(parse("key").unwrap().from, From::Credential);
        let variable = SecretPlace::Env { variable: "KEY".to_owned() };
        assert_eq!(parse("key,env=X,type=env,target=KEY").unwrap().place, variable);
        for bad in
            ["", "a/b", ".x", "k,source", "k,src=/a,env=B", "k,mode=9", "k,uid=x", "k,type=env,uid=1", "k,sorce=/x"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
