//! `--env` and `--env-file`, as every binary has them that starts a program.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// The largest `--env-file`, in bytes (spec/limits.md).
const ENV_FILE_MAX: u64 = 1 << 20;

/// `NAME=value` of files, then of `variables`; a name without a value has the caller's, or is left out if the caller has none;
/// `PREFIX*` stands for all of the caller's that begin so.
pub fn environment(files: &[PathBuf], variables: &[String]) -> Result<Vec<String>, Failure> {
    let mut env = Vec::new();
    for file in files {
        read_file(file, &mut env)?;
    }
    for variable in variables {
        add(variable, &mut env).map_err(|why| Failure::usage(format!("--env {variable}")).because(why))?;
    }
    Ok(env)
}

fn add(variable: &str, env: &mut Vec<String>) -> Result<(), &'static str> {
    let name = variable.split_once('=').map_or(variable, |(name, _)| name);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("a variable is NAME=VALUE or NAME, without blanks in the name");
    }
    if variable.contains('=') {
        env.push(variable.to_owned());
        return Ok(());
    }
    if let Some(prefix) = name.strip_suffix('*') {
        return add_all(prefix, env);
    }
    match std::env::var_os(name).map(OsString::into_string) {
        Some(Ok(value)) => env.push(format!("{name}={value}")),
        Some(Err(_)) => return Err("the caller's value is not UTF-8"),
        None => {}
    }
    Ok(())
}

/// The caller's variables whose names begin with `prefix`, by name.
fn add_all(prefix: &str, env: &mut Vec<String>) -> Result<(), &'static str> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with(prefix) {
            let value = value.into_string().map_err(|_| "the value of one of the caller's is not UTF-8")?;
            found.push(format!("{name}={value}"));
        }
    }
    found.sort();
    env.append(&mut found);
    Ok(())
}

fn read_file(path: &Path, env: &mut Vec<String>) -> Result<(), Failure> {
    let cannot = |why: String| Failure::usage(format!("--env-file {}", path.display())).because(why);
    let size = fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > ENV_FILE_MAX {
        return Err(cannot(format!("it has {size} bytes, more than the {ENV_FILE_MAX} that are read")));
    }
    let text = fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        add(line, env).map_err(|why| cannot(format!("line {}: {why}", number + 1)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_first_and_bad_names_are_errors() {
        let path = std::env::temp_dir().join(format!("ctr-cli-env-{}", std::process::id()));
        fs::write(&path, "# comment\n\nA=1\n  B=two words\nCTR_CLI_NO_SUCH_VARIABLE\n").unwrap();
        let env = environment(std::slice::from_ref(&path), &["A=2".into(), "C=".into()]).unwrap();
        assert_eq!(env, ["A=1", "B=two words", "A=2", "C="]);
        fs::write(&path, "A=1\n=x\n").unwrap();
        let failure = environment(std::slice::from_ref(&path), &[]).unwrap_err();
        assert!(failure.causes().iter().any(|cause| cause.starts_with("line 2")), "{failure:?}");
        assert!(environment(&[], &["a b=c".into()]).is_err());
        fs::remove_file(path).unwrap();
    }
}
