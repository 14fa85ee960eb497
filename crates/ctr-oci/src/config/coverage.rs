//! No property of runtime-spec is forgotten: by the types, and by the list of what each of them comes to (docs/oci-config.md).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Config;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = workspace().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A configuration that has every property, none of them with the value of one that is absent.
fn everything() -> Value {
    serde_json::from_str(&read("tests/data/every-property.json")).unwrap()
}

/// The paths of all values, `[]` for elements of a list.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            fields.iter().for_each(|(name, value)| leaves(value, &below(name), found));
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, &format!("{path}[]"), found)),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_types_have_every_property_of_the_specification() {
    let document = everything();
    let config: Config = serde_json::from_value(document.clone()).unwrap();
    // A property that the types lack would be passed over, and missing in what they write.
    assert_eq!(serde_json::to_value(&config).unwrap(), document);
}

#[test]
fn the_document_has_every_property_of_the_types() {
    let config: Config = serde_json::from_value(everything()).unwrap();
    let shown = format!("{config:?}");
    for absent in ["None", "[]", "{}", "\"\"", "false", ": 0,", ": 0 "] {
        assert!(!shown.contains(absent), "{absent} in {shown}");
    }
}

#[test]
fn each_property_is_in_the_list_with_what_does_it_and_what_tests_it() {
    let page = read("docs/oci-config.md");
    let mut expected = BTreeSet::new();
    leaves(&everything(), "", &mut expected);
    let mut listed = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let &[property, done_by, tests] = &cells[..] else { panic!("{row}") };
        assert!(listed.insert(property.trim_matches('`').to_owned()), "twice: {row}");
        let done_by = done_by.trim_matches('`');
        assert!(workspace().join("crates").join(done_by).exists(), "no {done_by}: {row}");
        assert!(!tests.is_empty(), "{row}");
        for test in tests.split(", ") {
            let (file, name) = test.trim_matches('`').rsplit_once("::").unwrap_or_else(|| panic!("{row}"));
            let text = if file.contains('/') {
                read(&format!("crates/{file}.rs"))
            } else {
                read(&format!("tests/tests/{file}.rs"))
            };
            assert!(text.contains(&format!("fn {name}()")), "no test {test}: {row}");
        }
    }
    assert_eq!(listed, expected);
}
