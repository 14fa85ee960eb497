//! One line of comma-separated values, as the reference reads those of `--mount` (Go's `encoding/csv`, RFC 4180).

/// The fields of a line. A field that begins with a quote goes on to the next single one, `""` in it is a quote.
pub(super) fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut rest = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    if rest.is_empty() {
        return Err("is empty");
    }
    let mut fields = Vec::new();
    loop {
        let behind = match rest.strip_prefix('"') {
            None => {
                let (field, behind) = rest.split_once(',').map_or((rest, None), |(field, rest)| (field, Some(rest)));
                if field.contains('"') {
                    return Err("has a quote within a field that does not begin with one");
                }
                fields.push(field.to_owned());
                behind
            }
            Some(quoted) => {
                let (field, behind) = quoted_field(quoted)?;
                fields.push(field);
                behind
            }
        };
        match behind {
            Some(behind) => rest = behind,
            None => return Ok(fields),
        }
    }
}

/// A field behind its quote, and what is behind the comma after it.
fn quoted_field(mut rest: &str) -> Result<(String, Option<&str>), &'static str> {
    let mut field = String::new();
    loop {
        let (text, behind) = rest.split_once('"').ok_or("has a quote that is not closed")?;
        field.push_str(text);
        if behind.is_empty() {
            return Ok((field, None));
        }
        if let Some(behind) = behind.strip_prefix(',') {
            return Ok((field, Some(behind)));
        }
        rest = behind.strip_prefix('"').ok_or("has something between the end of a quote and the next comma")?;
        field.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    // spec: BUILD-136
    #[test]
    fn quotes_are_those_of_csv() {
        for (line, expected) in [
            ("a,b", &["a", "b"] as &[&str]),
            ("a,", &["a", ""]),
            (",a", &["", "a"]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"a\"\"b\"", &["a\"b"]),
            ("\"\"\"\",c", &["\"", "c"]),
            ("\"\"", &[""]),
            ("\"a\",", &["a", ""]),
            (" \u{e4},\t", &[" \u{e4}", "\t"]),
            ("a\r\n", &["a"]),
        ] {
            assert_eq!(fields(line).unwrap(), expected, "{line:?}");
        }
        for (line, part) in [
            ("", "empty"),
            ("\n", "empty"),
            ("a\"b", "within a field"),
            ("a\"b\"", "within a field"),
            ("\"a", "not closed"),
            ("\"a\"b", "between"),
            ("\"a\" ,b", "between"),
            ("\"a\"\"", "not closed"),
        ] {
            assert!(fields(line).unwrap_err().contains(part), "{line:?}");
        }
    }
}
