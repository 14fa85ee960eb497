//! The numbers of spec/limits.md are those of the code.
#![allow(clippy::unwrap_used, clippy::panic)]

use ctr_layer::limits::{LINKS_FOLLOWED, Limits, NAME_BYTES, STEPS_WALKED};

/// The third cell of the row that names `constant`.
fn promised(text: &str, constant: &str) -> String {
    let row = text.lines().find(|line| line.contains(&format!("`layer::limits::{constant}`")));
    let row = row.unwrap_or_else(|| panic!("spec/limits.md has no row for {constant}"));
    row.split('|').nth(3).unwrap().trim().to_owned()
}

#[test]
fn promised_limits_are_those_of_the_code() {
    // spec: LIM-1 to LIM-12, LIM-16, LIM-17
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/limits.md");
    let text = std::fs::read_to_string(path).unwrap();
    let limits = Limits::default();
    for (constant, value, shown) in [
        ("Limits::entries", limits.entries, "2,000,000"),
        ("Limits::layer_bytes", limits.layer_bytes >> 30, "256 GiB"),
        ("Limits::file_bytes", limits.file_bytes >> 30, "128 GiB"),
        ("Limits::path_bytes", limits.path_bytes as u64, "4,095 bytes"),
        ("NAME_BYTES", NAME_BYTES as u64, "255 bytes"),
        ("Limits::path_depth", limits.path_depth as u64, "256"),
        ("Limits::header_bytes", limits.header_bytes >> 20, "1 MiB"),
        ("Limits::xattrs", limits.xattrs as u64, "128"),
        ("Limits::xattr_bytes", limits.xattr_bytes as u64 >> 10, "64 KiB"),
        ("Limits::sparse_segments", limits.sparse_segments as u64, "262,144"),
        ("Limits::directory_bytes", limits.directory_bytes as u64 >> 20, "256 MiB"),
        ("STEPS_WALKED", u64::from(STEPS_WALKED), "2,048"),
        ("LINKS_FOLLOWED", u64::from(LINKS_FOLLOWED), "40"),
    ] {
        assert_eq!(promised(&text, constant), shown, "{constant}");
        let number: String = shown.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(number.parse(), Ok(value), "{constant}");
    }
    let ratio = text.lines().find(|line| line.contains("`layer::limits::Limits::ratio`")).unwrap();
    assert!(ratio.contains("300 : 1") && ratio.contains("first 1 GiB"), "{ratio}");
    assert_eq!((limits.ratio, limits.ratio_floor), (300, 1 << 30));
}
