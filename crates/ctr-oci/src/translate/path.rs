//! Paths in the container, by their text alone.

use std::ffi::CString;

use super::TranslateError;

/// The same path, absolute and normal: a relative one is taken from `/`, `..` never leads above it.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// [`normal`] of a path that must be absolute.
pub(super) fn absolute(property: &str, path: &str) -> Result<String, TranslateError> {
    c_string(property, path)?;
    if path.starts_with('/') {
        return Ok(normal(path));
    }
    Err(TranslateError::invalid(property, format!("\"{}\" is not an absolute path", path.escape_debug())))
}

/// Whether `path` is `above` or lies below it; both are normal.
pub(super) fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || above == "/")
}

/// A text as the kernel takes it.
pub(super) fn c_string(property: &str, text: &str) -> Result<CString, TranslateError> {
    CString::new(text).map_err(|_| TranslateError::invalid(property, "it holds a NUL character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_container() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("a//b/", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../../etc", "/etc"),
            ("../..", "/"),
            ("", "/"),
            ("/.../x", "/.../x"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
        assert!(absolute("x", "a").is_err() && absolute("x", "").is_err() && absolute("x", "/a\0b").is_err());
        assert!(is_within("/dev/a", "/dev") && is_within("/dev", "/dev") && !is_within("/device", "/dev"));
    }
}
