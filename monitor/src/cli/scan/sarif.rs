//! Findings as SARIF 2.1.0 (OASIS sarif-v2.1.0): one run, its rules, a result for each finding.
//!
//! Invariant: paths are relative URI references, percent-encoded (RFC 3986), below what was scanned; a layer and the name
//! in an archive are logical locations; the fingerprint is a partial fingerprint, the masked excerpt the only content.
//! Called by `report`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::FindingRow;
use super::report::{Report, VERSION};
use crate::model::{Severity, text};
use crate::scan::RuleSet;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json";

/// The whole log.
pub(super) fn log(report: &Report) -> Value {
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &report.findings {
        rules.entry(row.finding.rule.as_str()).or_default();
    }
    for (index, place) in rules.values_mut().enumerate() {
        *place = index;
    }
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|row| result(row, rules.get(row.finding.rule.as_str()).copied()))
        .collect();
    let problems = report.targets.iter().flat_map(|target| &target.problems);
    let notifications: Vec<Value> = problems
        .map(|problem| {
            let text = format!("{}: {}", problem.path, problem.kind.as_str());
            json!({"level": "warning", "message": {"text": text}})
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "layerwatch",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.keys().map(|id| rule(id, report)).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": report.complete,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "properties": {"schema_version": VERSION, "interrupted": report.interrupted},
        }],
    })
}

fn rule(id: &str, report: &Report) -> Value {
    let first = report.findings.iter().find(|row| row.finding.rule.as_str() == id);
    let title = first.map_or("", |row| row.finding.title.as_str());
    let worst = report
        .findings
        .iter()
        .filter(|row| row.finding.rule.as_str() == id);
    let worst = worst
        .map(|row| row.finding.severity)
        .max()
        .unwrap_or(Severity::Info);
    let mut rule = json!({
        "id": id,
        "shortDescription": {"text": title},
        "defaultConfiguration": {"level": level(worst)},
        "properties": {
            "category": first.map(|row| row.finding.category.as_str()),
            // What code hosts sort by: CVSS-like, 0 to 10.
            "security-severity": score(worst),
            "tags": ["security", "secret"],
        },
    });
    let known = RuleSet::builtin().ok();
    let known = known
        .as_ref()
        .zip(first)
        .and_then(|(set, row)| set.get(&row.finding.rule));
    if let (Some(known), Some(object)) = (known, rule.as_object_mut()) {
        object.insert("fullDescription".to_owned(), json!({"text": known.gain}));
        object.insert("help".to_owned(), json!({"text": known.advice}));
    }
    rule
}

fn result(row: &FindingRow, rule: Option<usize>) -> Value {
    let finding = &row.finding;
    let mut location = json!({
        "physicalLocation": {"artifactLocation": {"uri": uri(&row.path)}},
    });
    if let (Some(line), None) = (row.line, &row.member)
        && let Some(region) = location.pointer_mut("/physicalLocation")
    {
        insert(region, "region", json!({"startLine": line}));
    }
    let mut logical = Vec::new();
    if let Some(layer) = &row.layer {
        logical.push(json!({"name": layer.layer, "fullyQualifiedName": format!("{}/{}", layer.store, layer.layer), "kind": "layer"}));
    }
    if let Some(member) = &row.member {
        logical.push(json!({"name": member, "fullyQualifiedName": row.full_path(), "kind": "member"}));
    }
    if !logical.is_empty() {
        insert(&mut location, "logicalLocations", Value::Array(logical));
    }
    let place = if finding.excerpt.is_empty() {
        String::new()
    } else {
        format!(": {}", finding.excerpt)
    };
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": {"text": format!("{}{place}", finding.title)},
        "locations": [location],
        "partialFingerprints": {"layerwatchSecret/v1": finding.fingerprint},
        "properties": {
            "severity": finding.severity,
            "confidence": finding.confidence,
            "category": finding.category,
            "shadowed": row.shadowed,
            "target": row.target,
            "line": row.line,
            "images": row.images,
        },
    });
    if let Some(rule) = rule {
        insert(&mut result, "ruleIndex", json!(rule));
    }
    if row.accepted {
        let suppression = json!([{"kind": "external", "status": "accepted"}]);
        insert(&mut result, "suppressions", suppression);
    }
    result
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "none",
        Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "0.0",
        Severity::Low => "3.0",
        Severity::Medium => "5.5",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}

/// A relative reference; the path's own bytes, not their escaped form.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in text::unescape(path) {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
            uri.push('%');
            uri.extend([byte >> 4, byte & 0xf].map(digit).map(|c| c.to_ascii_uppercase()));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_relative_reference() {
        for (path, expected) in [
            ("etc/secret.key", "etc/secret.key"),
            ("a b/ü", "a%20b/%C3%BC"),
            ("bad\\xff\\n%", "bad%FF%0A%25"),
            ("x:y", "x%3Ay"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
