//! Bills of materials as CycloneDX 1.6 in JSON.
#![allow(clippy::struct_field_names, reason = "members are named as the format names them")]

use serde::Serialize;

use crate::inventory::{AttestError, Inventory, Package, Subject};
use crate::moment::{TOOL, TOOL_VERSION, rfc3339, short_name, uuid};

/// What in-toto statements call a document of this format.
pub const PREDICATE_TYPE: &str = "https://cyclonedx.org/bom";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize, Default)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "String::is_empty")]
    reference: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Choice {
    license: Licence,
}

#[derive(Serialize)]
struct Licence {
    name: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

/// The document, the same bytes for the same input.
pub fn document(inventory: &Inventory, subject: &Subject) -> Result<Vec<u8>, AttestError> {
    let tool = Component {
        kind: "application",
        name: TOOL.to_owned(),
        version: TOOL_VERSION.to_owned(),
        ..Component::default()
    };
    let image = Component {
        kind: "container",
        reference: "image".to_owned(),
        name: subject.name.clone(),
        version: format!("sha256:{}", subject.digest.hex()),
        ..Component::default()
    };
    let notes = inventory.notes.iter().map(|note| Property { name: "ctr:note", value: note.clone() });
    let bom = Bom {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: uuid("cyclonedx", &subject.digest),
        version: 1,
        metadata: Metadata {
            timestamp: rfc3339(subject.epoch),
            tools: Tools { components: vec![tool] },
            component: image,
            properties: notes.collect(),
        },
        components: inventory.packages.iter().map(component).collect(),
    };
    Ok(serde_json::to_vec(&bom)?)
}

fn component(package: &Package) -> Component {
    let licence = package.licence.iter().map(|name| Choice { license: Licence { name: name.clone() } });
    Component {
        kind: "library",
        reference: short_name(&[package.purl.as_bytes(), package.found_in.as_bytes()]),
        name: package.name.clone(),
        version: package.version.clone(),
        licenses: licence.collect(),
        purl: Some(package.purl.clone()),
        properties: vec![Property { name: "ctr:found-in", value: package.found_in.to_string() }],
    }
}
