//! Keys that are part of the language but whose feature is not built yet.
//!
//! Each is refused with "not supported in this version" rather than as unknown, and never accepted
//! without effect; the form in which it changes nothing is accepted. Building the feature means
//! adding the key to its struct and deleting its line here.

use serde_json::{Value, json};

/// The schema's mark on such a key.
pub(in crate::config) const MARK: &str = "x-not-supported";
/// The schema's mark on such words and kinds.
pub(in crate::config) const WORDS_MARK: &str = "x-not-supported-words";

/// A key of the definition (`File` is the root), and the values in which it changes nothing.
const KEYS: &[(&str, &str, &[Nothing])] = &[
    ("File", "decisions", &[Nothing::Null]),
    ("ListenerTls", "client_ca", &[Nothing::Null]),
    ("Upstream", "health_check", &[Nothing::Null]),
    ("UpstreamTls", "client_certificate", &[Nothing::Null]),
    ("Limits", "rate", &[Nothing::Null]),
    ("RouteLimits", "rate", &[Nothing::Null]),
    ("Telemetry", "otlp", &[Nothing::Null]),
];

/// Words and kinds of the definition.
const WORDS: &[(&str, &str)] = &[("Balance", "least_requests")];

#[derive(Clone, Copy)]
enum Nothing {
    Null,
}

/// Marks these keys in the schema.
pub(super) fn mark(schema: &mut Value) {
    for (definition, key, accepted) in KEYS {
        let accepted: Vec<Value> = accepted
            .iter()
            .map(|nothing| match nothing {
                Nothing::Null => Value::Null,
            })
            .collect();
        let mut property = json!({ "description": "Not supported in this version.", MARK: true });
        if let Some(members) = property.as_object_mut() {
            if accepted.is_empty() {
                members.insert("not".to_owned(), json!({}));
            } else {
                members.insert("enum".to_owned(), Value::Array(accepted));
            }
        }
        let pointer = pointer(definition);
        if let Some(Value::Object(properties)) =
            schema.pointer_mut(&format!("{pointer}/properties"))
        {
            properties.insert((*key).to_owned(), property);
        } else if let Some(Value::Object(members)) = schema.pointer_mut(&pointer) {
            members.insert("properties".to_owned(), json!({ *key: property }));
        }
    }
    for (definition, word) in WORDS {
        if let Some(Value::Object(members)) = schema.pointer_mut(&pointer(definition)) {
            members.insert(WORDS_MARK.to_owned(), json!([word]));
        }
    }
}

fn pointer(definition: &str) -> String {
    match definition {
        "File" => String::new(),
        name => format!("/$defs/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_definition() {
        let schema = super::super::schema();
        for (definition, key, _) in KEYS {
            let at = format!("{}/properties/{key}/{MARK}", pointer(definition));
            assert!(schema.pointer(&at).is_some(), "{definition}.{key}");
        }
        for (definition, word) in WORDS {
            let at = format!("{}/{WORDS_MARK}", pointer(definition));
            assert!(schema.pointer(&at).is_some(), "{definition} {word}");
        }
    }
}
