//! `user[:group]` against the image's own `passwd` and `group` (passwd(5), group(5)). Pure: the bytes are given, foreign
//! and bounded; a line that cannot be read is passed over, as the C library does.

/// The largest `passwd` or `group` that is read, in bytes (spec/limits.md).
pub const ACCOUNT_FILE_MAX: usize = 4 * 1024 * 1024;

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Those of them that were asked for by name or number; the others are memberships that the image lists.
    #[serde(skip)]
    pub asked: Vec<u32>,
    /// Home directory, `/` if the user has no entry.
    pub home: String,
}

/// Why a user could not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such user in the image.
    #[error("the image's /etc/passwd has no user \"{0}\"")]
    NoUser(String),
    /// No such group in the image.
    #[error("the image's /etc/group has no group \"{0}\"")]
    NoGroup(String),
    /// A number that is no id.
    #[error("\"{0}\" is not a user or group id (0 to 4294967294)")]
    BadId(String),
}

/// Resolves `spec` (empty: `0`) and `more` groups. Names come from the files; a number needs no entry.
pub fn resolve(spec: &str, more: &[String], passwd: &[u8], group: &[u8]) -> Result<Identity, UserError> {
    let (user, given_group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user)?;
    let entry = lines(passwd).find(|line| match number {
        Some(uid) => field_id(line, 2) == Some(uid),
        None => line.first() == Some(&user.as_bytes()),
    });
    let uid = match (number, &entry) {
        (Some(uid), _) => uid,
        (None, Some(entry)) => field_id(entry, 2).ok_or_else(|| UserError::NoUser(user.to_owned()))?,
        (None, None) => return Err(UserError::NoUser(user.to_owned())),
    };
    let gid = match given_group {
        Some(name) => group_id(name, group)?,
        None => entry.as_ref().and_then(|entry| field_id(entry, 3)).unwrap_or(0),
    };
    // With a group that was asked for, the user's other memberships do not count, as with docker run --user u:g.
    let mut groups = match (&entry, given_group) {
        (Some(entry), None) => memberships(entry.first().copied().unwrap_or_default(), group),
        _ => Vec::new(),
    };
    let asked = more.iter().map(|name| group_id(name, group)).collect::<Result<Vec<_>, _>>()?;
    groups.extend(&asked);
    groups.sort_unstable();
    groups.dedup();
    let home = entry.as_ref().and_then(|entry| entry.get(5)).and_then(|home| std::str::from_utf8(home).ok());
    let home = home.filter(|home| home.starts_with('/')).unwrap_or(if uid == 0 { "/root" } else { "/" }).to_owned();
    Ok(Identity { uid, gid, groups, asked, home })
}

/// Whether resolving needs the files at all: a home directory always does.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // The highest number means "no id" to the kernel (chown(2)).
    match text.parse::<u32>() {
        Ok(id) if id != u32::MAX => Ok(Some(id)),
        _ => Err(UserError::BadId(text.to_owned())),
    }
}

fn group_id(name: &str, group: &[u8]) -> Result<u32, UserError> {
    if let Some(gid) = number(name)? {
        return Ok(gid);
    }
    lines(group)
        .find(|line| line.first() == Some(&name.as_bytes()))
        .and_then(|line| field_id(&line, 2))
        .ok_or_else(|| UserError::NoGroup(name.to_owned()))
}

fn memberships(user: &[u8], group: &[u8]) -> Vec<u32> {
    let is_member = |line: &Vec<&[u8]>| {
        line.get(3).is_some_and(|members| members.split(|byte| *byte == b',').any(|member| member == user))
    };
    lines(group).filter(is_member).filter_map(|line| field_id(&line, 2)).collect()
}

fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(|line| line.split(|byte| *byte == b':').collect())
}

fn field_id(fields: &[&[u8]], index: usize) -> Option<u32> {
    let id = std::str::from_utf8(fields.get(index)?).ok()?.parse().ok()?;
    (id != u32::MAX).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\n# c\nbad\nweb:x:33:34:w:/srv/web:/bin/sh\nnohome:x:5:6\n\xff:x:9:9::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nweb:x:34:\nlog:x:40:web,other\nx\ndup:x:40:web\nbig:x:4294967295:web\n";

    fn ids(spec: &str, more: &[&str]) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        let more: Vec<String> = more.iter().map(|name| (*name).to_owned()).collect();
        resolve(spec, &more, PASSWD, GROUP).map(|found| (found.uid, found.gid, found.groups, found.home))
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let home = |text: &str| text.to_owned();
        assert_eq!(ids("", &[]), Ok((0, 0, vec![], home("/root"))));
        assert_eq!(ids("web", &[]), Ok((33, 34, vec![40], home("/srv/web"))));
        assert_eq!(ids("33", &["log", "7"]), Ok((33, 34, vec![7, 40], home("/srv/web"))));
        assert_eq!(ids("web:root", &[]), Ok((33, 0, vec![], home("/srv/web"))));
        assert_eq!(ids("1234:99", &[]), Ok((1234, 99, vec![], home("/"))));
        assert_eq!(ids("1234", &[]), Ok((1234, 0, vec![], home("/"))));
        assert_eq!(ids("nohome", &[]), Ok((5, 6, vec![], home("/"))));
    }

    #[test]
    fn unknown_names_and_bad_numbers_are_errors() {
        assert_eq!(ids("nobody", &[]), Err(UserError::NoUser("nobody".into())));
        assert_eq!(ids("web:nogroup", &[]), Err(UserError::NoGroup("nogroup".into())));
        assert_eq!(ids("4294967295", &[]), Err(UserError::BadId("4294967295".into())));
        assert_eq!(ids("0:99999999999", &[]), Err(UserError::BadId("99999999999".into())));
        assert_eq!(ids("0", &["big"]), Err(UserError::NoGroup("big".into())));
    }
}
