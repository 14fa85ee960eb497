//! `--chmod` of COPY and ADD: octal, or symbolic as chmod(1) has it.

/// A change of permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModeChange {
    /// These bits.
    Octal(u32),
    /// One clause after the other.
    Symbolic(Vec<Clause>),
}

/// `WHO OPERATOR PERMISSIONS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Bits of those who are meant: 0700, 0070, 0007.
    who: u32,
    operator: Operator,
    permissions: Vec<Permission>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    /// `r`, `w`, `x` for everybody.
    Bits(u32),
    /// `X`: `x` where it is a directory or somebody may execute it.
    ExecuteIfAny,
    /// `s`
    SetId,
    /// `t`
    Sticky,
    /// `u`, `g`, `o`: what these have, as bits of others.
    Of(u32),
}

/// It is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no mode: give octal digits up to 7777, or clauses like u=rwX,go-w")]
pub struct BadMode(String);

impl ModeChange {
    /// Reads a mode.
    pub fn parse(text: &str) -> Result<Self, BadMode> {
        let bad = || BadMode(text.to_owned());
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let octal = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return octal.map(Self::Octal).ok_or_else(bad);
        }
        let clauses: Option<Vec<Vec<Clause>>> = text.split(',').map(clauses).collect();
        clauses.map(|clauses| Self::Symbolic(clauses.concat())).ok_or_else(bad)
    }

    /// The bits of a file that had `mode`.
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, directory)),
        }
    }
}

fn clauses(text: &str) -> Option<Vec<Clause>> {
    let end = text.find(|c| !matches!(c, 'u' | 'g' | 'o' | 'a'))?;
    let who = text.get(..end)?.chars().fold(0, |who, c| who | class(c));
    // No file is made here, so that no umask has a say.
    let who = if who == 0 { 0o777 } else { who };
    let mut rest = text.get(end..)?.chars().peekable();
    let mut clauses = Vec::new();
    while let Some(operator) = rest.next() {
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        let mut permissions = Vec::new();
        while let Some(c) = rest.next_if(|c| !matches!(c, '+' | '-' | '=')) {
            permissions.push(match c {
                'r' => Permission::Bits(0o444),
                'w' => Permission::Bits(0o222),
                'x' => Permission::Bits(0o111),
                'X' => Permission::ExecuteIfAny,
                's' => Permission::SetId,
                't' => Permission::Sticky,
                'u' | 'g' | 'o' => Permission::Of(class(c)),
                _ => return None,
            });
        }
        clauses.push(Clause { who, operator, permissions });
    }
    Some(clauses).filter(|clauses| !clauses.is_empty())
}

fn class(c: char) -> u32 {
    match c {
        'u' => 0o700,
        'g' => 0o070,
        'o' => 0o007,
        _ => 0o777,
    }
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let mut bits = 0;
        for permission in &self.permissions {
            bits |= match *permission {
                Permission::Bits(bits) => bits & self.who,
                Permission::ExecuteIfAny if directory || mode & 0o111 != 0 => 0o111 & self.who,
                Permission::ExecuteIfAny => 0,
                Permission::SetId => {
                    (if self.who & 0o700 != 0 { 0o4000 } else { 0 }) | (if self.who & 0o070 != 0 { 0o2000 } else { 0 })
                }
                Permission::Sticky => 0o1000,
                Permission::Of(class) => {
                    let one = (mode & class) >> (class.trailing_zeros());
                    (one | one << 3 | one << 6) & self.who
                }
            };
        }
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => {
                let special = (if self.who & 0o700 != 0 { 0o4000 } else { 0 })
                    | (if self.who & 0o070 != 0 { 0o2000 } else { 0 })
                    | (if self.who == 0o777 { 0o1000 } else { 0 });
                // A directory keeps set-id bits that nobody named, as chmod(1) has it.
                let kept = if directory { 0o1000 & special } else { special };
                (mode & !(self.who | kept)) | bits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-46
    #[test]
    fn modes_are_chmods() {
        for (text, before, directory, after) in [
            ("0711", 0o644, false, 0o711),
            ("4755", 0o644, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a-w,u+w", 0o666, false, 0o644),
            ("go=", 0o755, false, 0o700),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("o=g-w", 0o660, false, 0o664),
            ("ug+s", 0o755, false, 0o6755),
            ("+t", 0o755, true, 0o1755),
            ("u=rw", 0o4755, false, 0o655),
        ] {
            let mode = ModeChange::parse(text).unwrap().apply(before, directory);
            assert_eq!(format!("{mode:o}"), format!("{after:o}"), "{text} {before:o}");
        }
        for bad in ["", "8", "77777", "u", "x", "u+q", "u+x,", "0x1", "rwx", "-"] {
            assert!(ModeChange::parse(bad).is_err() || bad == "-", "{bad}");
        }
    }
}
