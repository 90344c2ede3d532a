//! What the tests of this room share: sessions that a real Django wrote.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::telemetry::Redacted;

/// `tests/fixtures/django/vectors.json`, made by `make_vectors.py` beside it.
pub(super) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/fixtures/django/vectors.json")).unwrap()
}

/// A secret of the vectors: `secret` or `old_secret`.
pub(super) fn secret(name: &str) -> Redacted {
    Redacted::new(vectors()[name].as_str().unwrap().to_owned())
}

/// A pickle of the vectors, as bytes.
pub(super) fn pickled(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}
