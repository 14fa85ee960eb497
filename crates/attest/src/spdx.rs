//! Bills of materials as SPDX 2.3 in JSON.
#![allow(clippy::struct_field_names, reason = "members are named as the format names them")]

use serde::Serialize;

use crate::inventory::{AttestError, Inventory, Package, Subject};
use crate::moment::{TOOL, TOOL_VERSION, rfc3339, short_name, uuid};

/// What in-toto statements call a document of this format.
pub const PREDICATE_TYPE: &str = "https://spdx.dev/Document";

const UNKNOWN: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "SPDXID")]
    id: &'static str,
    spdx_version: &'static str,
    data_license: &'static str,
    name: String,
    document_namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    creation_info: Creation,
    packages: Vec<Entry>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct Creation {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_comments: Option<String>,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Reference>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: &'static str,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The document, the same bytes for the same input.
pub fn document(inventory: &Inventory, subject: &Subject) -> Result<Vec<u8>, AttestError> {
    let image = Entry {
        id: IMAGE.to_owned(),
        name: subject.name.clone(),
        version_info: format!("sha256:{}", subject.digest.hex()),
        primary_package_purpose: Some("CONTAINER"),
        ..Entry::unknown()
    };
    let entries: Vec<Entry> = inventory.packages.iter().map(entry).collect();
    let describes = Relationship::new(DOCUMENT, "DESCRIBES", IMAGE.to_owned());
    let contains = entries.iter().map(|entry| Relationship::new(IMAGE, "CONTAINS", entry.id.clone()));
    let document = Document {
        id: DOCUMENT,
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        name: subject.name.clone(),
        document_namespace: uuid("spdx", &subject.digest),
        comment: inventory.notes.join("\n"),
        creation_info: Creation {
            created: rfc3339(subject.epoch),
            creators: vec![format!("Tool: {TOOL}-{TOOL_VERSION}")],
        },
        relationships: std::iter::once(describes).chain(contains).collect(),
        packages: std::iter::once(image).chain(entries).collect(),
    };
    Ok(serde_json::to_vec(&document)?)
}

impl Entry {
    fn unknown() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            version_info: String::new(),
            download_location: UNKNOWN,
            files_analyzed: false,
            license_concluded: UNKNOWN,
            license_declared: UNKNOWN,
            license_comments: None,
            copyright_text: UNKNOWN,
            source_info: None,
            primary_package_purpose: None,
            external_refs: Vec::new(),
        }
    }
}

fn entry(package: &Package) -> Entry {
    Entry {
        id: format!("SPDXRef-Package-{}", short_name(&[package.purl.as_bytes(), package.found_in.as_bytes()])),
        name: package.name.clone(),
        version_info: package.version.clone(),
        // What a package calls its licence need not be an expression of SPDX, and one that is none makes a document invalid.
        license_comments: package.licence.as_ref().map(|licence| format!("The package says: {licence}")),
        source_info: Some(format!("found in {}", package.found_in)),
        external_refs: vec![Reference {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: package.purl.clone(),
        }],
        ..Entry::unknown()
    }
}

impl Relationship {
    fn new(from: &'static str, what: &'static str, to: String) -> Self {
        Self { spdx_element_id: from, relationship_type: what, related_spdx_element: to }
    }
}
