//! A user and a password: from the options, from standard input, from the terminal.

use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::fd::AsFd as _;

use ctr_cli::{Context as _, Failure};
use ctr_registry::auth::Secret;
use ctr_sys::tty::RawMode;

/// Most bytes of a user name or a password (spec/limits.md).
pub(crate) const PASSWORD_MAX: usize = 64 << 10;

/// User and password for `registry`.
pub(crate) fn credential(
    username: Option<&str>,
    password_stdin: bool,
    registry: &str,
) -> Result<(String, Secret), Failure> {
    if !password_stdin && !io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to ask for the password")
            .hint("give --username and --password-stdin, and the password on standard input"));
    }
    let user = match username {
        Some(user) => user.to_owned(),
        None => line(&format!("User name for {registry}: "), true)?.expose().to_owned(),
    };
    check_user(&user)?;
    let password = if password_stdin { from_stdin()? } else { line("Password: ", false)? };
    if password.is_empty() {
        return Err(Failure::new("the password is empty"));
    }
    Ok((user, password))
}

fn check_user(user: &str) -> Result<(), Failure> {
    // RFC 7617: the first colon ends the user.
    if user.is_empty() || user.len() > PASSWORD_MAX || user.contains(|c: char| c == ':' || c.is_control()) {
        return Err(Failure::new("a user name is not empty and has neither colons nor control characters"));
    }
    Ok(())
}

/// All of standard input, without the line end that `echo` puts there.
fn from_stdin() -> Result<Secret, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(PASSWORD_MAX as u64 + 1).read_to_end(&mut bytes);
    read.context(|| "cannot read the password from standard input")?;
    password_of(bytes)
}

fn password_of(bytes: Vec<u8>) -> Result<Secret, Failure> {
    if bytes.len() > PASSWORD_MAX {
        return Err(Failure::new(format!("the password has more than {PASSWORD_MAX} bytes")));
    }
    let text = Secret::new(String::from_utf8(bytes).map_err(|_| Failure::new("the password is not UTF-8"))?);
    let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

/// Asks the terminal for a line. The terminal passes every key on: whatever ends this program, nothing of a password was shown.
fn line(prompt: &str, echo: bool) -> Result<Secret, Failure> {
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    let ask = || "cannot ask the terminal";
    let raw = RawMode::enter(stdin.as_fd()).map_err(io::Error::from).context(ask)?;
    // Shown when what is typed is no longer echoed, so that a program that waits for it can type.
    stderr.write_all(prompt.as_bytes()).context(ask)?;
    let mut typed = Vec::new();
    let result = loop {
        let mut key = [0];
        if stdin.lock().read(&mut key).context(ask)? == 0 {
            break None;
        }
        match key {
            [b'\r' | b'\n'] => break Some(()),
            // Ctrl-C, Ctrl-D, Ctrl-\.
            [3 | 4 | 28] => break None,
            // Backspace, Ctrl-H; Ctrl-U, Ctrl-W.
            [8 | 127] => erase(&mut typed, echo),
            [21 | 23] => {
                while !typed.is_empty() {
                    erase(&mut typed, echo);
                }
            }
            [byte] if byte >= 32 && typed.len() < PASSWORD_MAX => {
                typed.push(byte);
                if echo {
                    stderr.write_all(&[byte]).context(ask)?;
                }
            }
            _ => {}
        }
    };
    drop(raw);
    stderr.write_all(b"\n").context(ask)?;
    match result {
        Some(()) => password_of(typed),
        None => Err(Failure::new("given up").code(130)),
    }
}

/// Takes the last character away.
fn erase(typed: &mut Vec<u8>, echo: bool) {
    // A character of UTF-8 begins with a byte that does not continue one.
    while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
    if echo {
        let _ = io::stderr().write_all(b"\x08 \x08");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_a_password() {
        for (given, password) in [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), (" x ", " x "), ("", "")]
        {
            assert_eq!(password_of(given.into()).unwrap().expose(), password, "{given:?}");
        }
        assert!(password_of(vec![b'x'; PASSWORD_MAX + 1]).is_err() && password_of(vec![0xff]).is_err());
    }

    #[test]
    fn names_that_basic_cannot_carry_are_refused() {
        assert!(check_user("me@example.com").is_ok());
        for bad in ["", "a:b", "a\n"] {
            assert!(check_user(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn whole_characters_are_erased() {
        let mut typed = "aé".as_bytes().to_vec();
        erase(&mut typed, false);
        assert_eq!(typed, b"a");
    }
}
