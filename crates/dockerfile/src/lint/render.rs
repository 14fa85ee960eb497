//! Findings as a text, as JSON and as SARIF 2.1.0.

use serde_json::{Value, json};

use super::{Finding, Rule};
use crate::span::Lines;

/// For people: each finding with its line. `name` is the Dockerfile's, `text` its content.
pub fn render_text(findings: &[Finding], name: &str, text: &str) -> String {
    let lines = Lines::of(text);
    let shown = findings.iter().map(|finding| {
        let at = lines.position(finding.span.start);
        let line = lines.line(at.line);
        let (rule, url, detail) = (finding.rule.name(), finding.rule.url(), &finding.detail);
        format!("WARNING: {rule} - {url}\n{detail}\n{name}:{}\n{} | {line}\n\n", at.line, at.line)
    });
    shown.collect()
}

/// For programs: `{"warnings": [...]}`; lines and columns from 1, columns count characters.
pub fn to_json(findings: &[Finding], name: &str, text: &str) -> Value {
    let lines = Lines::of(text);
    let warnings = findings.iter().map(|finding| {
        let (start, end) = (lines.position(finding.span.start), lines.position(finding.span.end));
        json!({
            "ruleName": finding.rule.name(),
            "description": finding.description,
            "url": finding.rule.url(),
            "detail": finding.detail,
            "file": name,
            "start": start,
            "end": end,
        })
    });
    json!({ "warnings": warnings.collect::<Vec<_>>() })
}

/// For code scanning: one run of SARIF 2.1.0, with all rules.
pub fn to_sarif(findings: &[Finding], name: &str, text: &str) -> Value {
    let rules = Rule::ALL.iter().map(|rule| {
        let text = json!({ "text": rule.description() });
        json!({ "id": rule.name(), "shortDescription": text, "helpUri": rule.url() })
    });
    let lines = Lines::of(text);
    let results = findings.iter().map(|finding| {
        let (start, end) = (lines.position(finding.span.start), lines.position(finding.span.end));
        json!({
            "ruleId": finding.rule.name(),
            "ruleIndex": Rule::ALL.iter().position(|rule| *rule == finding.rule),
            "level": "warning",
            "message": { "text": finding.detail },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": name },
                "region": {
                    "startLine": start.line, "startColumn": start.column,
                    "endLine": end.line, "endColumn": end.column,
                },
            } }],
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "ctr-build", "rules": rules.collect::<Vec<_>>() } },
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}
