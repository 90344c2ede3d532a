//! Strict JSON (RFC 8259): one object, one reading.
//!
//! `serde_json::Value` keeps the last of two equal members, so a token could say two things to two
//! readers (RFC 8725, section 2.4; RFC 7519, section 4). Here a repeated member is an error at any
//! depth, and depth is capped before anything recurses on it. Integers stay exact; a number out of
//! range is an error.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting.
const MAX_DEPTH: u8 = 32;

/// The text is not one JSON object with one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one JSON object without repeated members")]
pub(super) struct JsonError;

/// Reads one object.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    // Once for all of it, instead of for every text in it.
    let text = std::str::from_utf8(text).map_err(|_| JsonError)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: MAX_DEPTH }
        .deserialize(&mut deserializer)
        .map_err(|_| JsonError)?;
    deserializer.end().map_err(|_| JsonError)?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError),
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        // Most payloads have no more members than that.
        let mut object = if self.depth == MAX_DEPTH {
            Map::with_capacity(16)
        } else {
            Map::new()
        };
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_arrive_as_they_are() {
        let text = br#"{"a":[1,-2,2.5,true,null,"\u00e9"],"b":{"c":18446744073709551615}}"#;
        assert_eq!(
            Value::Object(object(text).unwrap()),
            json!({"a": [1, -2, 2.5, true, null, "é"], "b": {"c": u64::MAX}})
        );
    }

    #[test]
    fn a19_repeated_members_are_refused_at_any_depth() {
        for text in [
            r#"{"exp":1,"exp":2}"#,
            r#"{"sub":"a","\u0073ub":"b"}"#,
            r#"{"a":{"b":[{"tenant":"a","tenant":"b"}]}}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(JsonError), "{text}");
        }
    }

    #[test]
    fn a20_depth_is_capped_without_recursing() {
        let nested = |depth: usize| {
            format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)).into_bytes()
        };
        assert!(object(&nested(31)).is_ok());
        for depth in [32, 200, 1_000_000] {
            assert_eq!(object(&nested(depth)), Err(JsonError), "{depth}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "\"a\"",
            "{} {}",
            "{}x",
            "{\"a\":1e400}",
            "{\"a\":NaN}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":01}",
            "\u{feff}{}",
        ] {
            assert_eq!(object(text.as_bytes()), Err(JsonError), "{text:?}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(JsonError));
    }
}
