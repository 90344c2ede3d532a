//! Placeholder: a value of the right shape, made from the schema, and how values read in YAML.
//!
//! It stands in for what is wrong in a document, so that the rest can still be checked. No
//! configuration is ever made from it.

use serde_json::{Map, Value, json};

use super::schema_view::View;

/// Something of the right shape, where the document has something wrong.
pub(super) fn placeholder(view: View<'_>) -> Value {
    if let Some(default) = view.default() {
        return default.clone();
    }
    if let Some(example) = view.target().first_example() {
        return example.clone();
    }
    let Some(shape) = view.shapes().first().copied() else {
        return Value::Null;
    };
    if let Some(word) = shape.words().and_then(|words| words.first().copied()) {
        return Value::from(word);
    }
    match shape.types().first().copied() {
        Some("string") => Value::from(""),
        Some("integer" | "number") => json!(shape.number("minimum").map_or(1, whole)),
        Some("boolean") => Value::Bool(false),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => {
            let mut entries = Map::new();
            for name in shape.required() {
                if let Some(inner) = shape.property(name) {
                    entries.insert(name.to_owned(), placeholder(inner));
                }
            }
            Value::Object(entries)
        }
        _ => Value::Null,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "invariant: minima in our own schema are small whole numbers"
)]
fn whole(number: f64) -> i64 {
    number as i64
}

/// A value in YAML's flow form.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if text.starts_with(['{', '[', '*', '&', '$']) || text.is_empty() => {
            format!("\"{text}\"")
        }
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let inner: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", inner.join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let inner: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}: {}", flow(value)))
                .collect();
            format!("{{ {} }}", inner.join(", "))
        }
        other => other.to_string(),
    }
}
