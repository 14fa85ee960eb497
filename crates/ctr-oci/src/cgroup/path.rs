//! `linux.cgroupsPath` (config-linux.md "Cgroups Path"), whose form the driver decides.
//!
//! | driver | form | meaning |
//! |---|---|---|
//! | cgroupfs | `/a/b` | below the root of each hierarchy |
//! | cgroupfs | `a/b` | the same for root; for a user below the group that was delegated to him |
//! | cgroupfs | none | `ctr-oci/ROOTHASH/ID`, relative |
//! | systemd | `slice:prefix:name` | scope `prefix-name.scope`, or the slice `name` if that ends in `.slice` |
//! | systemd | none | `:ctr-oci:ID` |
//!
//! runc takes a relative path to be below its own group. Ours never depends on where the runtime was called: with v2 the
//! caller's group has processes, and could hand no controller on.

use super::CgroupError;

/// The property.
const PROPERTY: &str = "linux.cgroupsPath";
/// Names of units have at most so many bytes (systemd, `UNIT_NAME_MAX`).
const UNIT_NAME_MAX: usize = 255;

/// Where a container's groups are, for the cgroupfs driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPath {
    /// Below the root of the hierarchy, without a `/` at the beginning.
    pub path: String,
    /// Below the group that belongs to the caller.
    pub relative: bool,
}

/// A unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The slice that it is in, as `a-b.slice`; `-.slice` is the root.
    pub slice: String,
    /// Its name, which ends in `.scope` or `.slice`.
    pub name: String,
}

impl GroupPath {
    /// Reads the property.
    pub fn parse(text: &str, id: &str, root_hash: &str) -> Result<Self, CgroupError> {
        if text.is_empty() {
            return Ok(Self { path: format!("ctr-oci/{root_hash}/{id}"), relative: true });
        }
        let (mut names, mut length) = (Vec::new(), 0);
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                return Err(refused(text, "it leads out by \"..\""));
            }
            if name.len() > 255 || name.bytes().any(|byte| byte < b' ') {
                return Err(refused(text, "it has a name that no control group can have"));
            }
            length += name.len() + 1;
            names.push(name);
        }
        if names.is_empty() {
            return Err(refused(text, "it is the root of the hierarchy, which is nobody's"));
        }
        if length > 3500 {
            return Err(refused("...", "it is longer than a path can be"));
        }
        Ok(Self { path: names.join("/"), relative: !text.starts_with('/') })
    }
}

impl Unit {
    /// Reads the property. `user`: it is the service manager of a user.
    pub fn parse(text: &str, id: &str, user: bool) -> Result<Self, CgroupError> {
        let mut parts = text.split(':');
        let (slice, prefix, name) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(""), None, None, None) => ("", "ctr-oci", id),
            (Some(slice), Some(prefix), Some(name), None) => (slice, prefix, name),
            _ => {
                return Err(refused(text, "with the systemd driver it has the form slice:prefix:name").hinted(
                    "the engine gives the form of the cgroupfs driver: set both to the same driver (podman --cgroup-manager, \
                     containerd SystemdCgroup, dockerd native.cgroupdriver)",
                ));
            }
        };
        let slice = match slice {
            "" if user => "user.slice",
            "" => "system.slice",
            slice => slice,
        };
        let unit = Self { slice: slice.to_owned(), name: unit_name(prefix, name) };
        expand_slice(&unit.slice).ok_or_else(|| refused(text, &format!("\"{slice}\" is no name of a slice")))?;
        let valid = |name: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
            name.len() <= UNIT_NAME_MAX && name.bytes().all(allowed) && !name.starts_with('.')
        };
        let named = !name.is_empty() && unit.name != ".slice";
        if !named || !valid(&unit.name) || (unit.is_slice() && expand_slice(&unit.name).is_none()) {
            return Err(refused(text, &format!("\"{}\" is no name of a unit", unit.name)));
        }
        Ok(unit)
    }

    /// Whether it is a slice, which has no process of its own to begin with.
    pub fn is_slice(&self) -> bool {
        has_ending(&self.name, "slice")
    }

    /// Its control group, below the root of the service manager's.
    pub fn path(&self) -> String {
        if self.is_slice() {
            return expand_slice(&self.name).unwrap_or_default();
        }
        match expand_slice(&self.slice).unwrap_or_default().as_str() {
            "" => self.name.clone(),
            slice => format!("{slice}/{}", self.name),
        }
    }
}

/// Names of units differ by case.
fn has_ending(name: &str, kind: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ending == kind)
}

fn unit_name(prefix: &str, name: &str) -> String {
    if has_ending(name, "slice") || has_ending(name, "scope") {
        name.to_owned()
    } else if prefix.is_empty() {
        format!("{name}.scope")
    } else {
        format!("{prefix}-{name}.scope")
    }
}

/// `a-b.slice` is in `a.slice`: `a.slice/a-b.slice` (systemd.slice(5)). `None`: no such name can be.
fn expand_slice(slice: &str) -> Option<String> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(String::new());
    }
    let mut path = String::new();
    let mut prefix = String::new();
    for part in name.split('-') {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_.\\@".contains(&byte);
        if part.is_empty() || !part.bytes().all(allowed) || slice.len() > UNIT_NAME_MAX || name.starts_with('.') {
            return None;
        }
        if !path.is_empty() {
            path.push('/');
            prefix.push('-');
        }
        prefix.push_str(part);
        path.push_str(&prefix);
        path.push_str(".slice");
    }
    Some(path)
}

fn refused(text: &str, why: &str) -> CgroupError {
    CgroupError::property(PROPERTY, format!("\"{}\" cannot be used: {why}", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<(String, bool), String> {
        GroupPath::parse(text, "web", "abc").map(|at| (at.path, at.relative)).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_of_the_cgroupfs_driver() {
        for (text, expected, relative) in [
            ("", "ctr-oci/abc/web", true),
            ("/docker/1234", "docker/1234", false),
            ("a/b", "a/b", true),
            ("//a/./b//", "a/b", false),
            ("/system.slice:x:y", "system.slice:x:y", false),
            ("/a..b/...", "a..b/...", false),
        ] {
            assert_eq!(path(text), Ok((expected.to_owned(), relative)), "{text}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_hierarchy() {
        let long = "x".repeat(256);
        let deep = "/y".repeat(3000);
        for text in
            ["..", "/..", "/a/../b", "a/..", "/../../etc", "/", ".", "./", "/a\nb", "/a\0b", "\u{1b}", &long, &deep]
        {
            let error = path(text).unwrap_err();
            assert!(error.starts_with("linux.cgroupsPath: "), "{error}");
            assert!(!error.contains('\n') && !error.contains('\u{1b}'), "{error}");
        }
    }

    fn unit(text: &str, user: bool) -> Result<(String, String), String> {
        Unit::parse(text, "web", user).map(|unit| (unit.name.clone(), unit.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn units_of_the_systemd_driver() {
        for (text, user, name, at) in [
            ("", false, "ctr-oci-web.scope", "system.slice/ctr-oci-web.scope"),
            ("", true, "ctr-oci-web.scope", "user.slice/ctr-oci-web.scope"),
            (":libpod:x", false, "libpod-x.scope", "system.slice/libpod-x.scope"),
            ("machine.slice:libpod:x", false, "libpod-x.scope", "machine.slice/libpod-x.scope"),
            ("a-b-c.slice:p:x", false, "p-x.scope", "a.slice/a-b.slice/a-b-c.slice/p-x.scope"),
            ("-.slice:p:x", false, "p-x.scope", "p-x.scope"),
            ("machine.slice::x", false, "x.scope", "machine.slice/x.scope"),
            ("a.slice:p:x.scope", false, "x.scope", "a.slice/x.scope"),
            ("a.slice:p:a-pod.slice", false, "a-pod.slice", "a.slice/a-pod.slice"),
            (
                "kubepods-pod1_2.slice:cri-containerd:0f",
                false,
                "cri-containerd-0f.scope",
                "kubepods.slice/kubepods-pod1_2.slice/cri-containerd-0f.scope",
            ),
        ] {
            assert_eq!(unit(text, user), Ok((name.to_owned(), at.to_owned())), "{text}");
        }
    }

    #[test]
    fn units_that_cannot_be() {
        for text in [
            "/docker/x",
            "a",
            "a:b",
            "a.slice:b:c:d",
            "a:b:c",
            "a/b.slice:p:x",
            "../x.slice:p:x",
            "a--b.slice:p:x",
            "-a.slice:p:x",
            "a-.slice:p:x",
            ".slice:p:x",
            "a.slice:p:",
            "a.slice:p:x/y",
            "a.slice:..:x/../y",
            "a.slice:p:x y",
            "a.slice:p:.slice",
            "a.slice:p:--x.slice",
            "a.slice:.:x",
        ] {
            assert!(unit(text, false).is_err(), "{text}");
        }
        assert!(unit(&format!("a.slice:p:{}", "x".repeat(250)), false).is_err());
    }
}
