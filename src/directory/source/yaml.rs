//! YAML to JSON, for the file directory: one function, so that the crate behind it can be swapped.

use serde_json::Value;

/// Reads one YAML document. A repeated key, a tag or a key that is no text is an error.
pub(super) fn yaml_to_json(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: serde_yaml::Value = serde_yaml::from_slice(bytes).map_err(|e| e.to_string())?;
    serde_json::to_value(value).map_err(|e| e.to_string())
}
