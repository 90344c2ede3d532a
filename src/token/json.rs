//! Strict JSON (RFC 8259): one object, one reading.
//!
//! `serde_json::Value` keeps the last of two equal members, so a token could say two things to two
//! readers (RFC 8725, section 2.4; RFC 7519, section 4). Here a repeated member is an error at any
//! depth, and depth is capped before anything recurses on it. Integers stay exact; a number out of
//! range is an error.
//!
//! What is read points into the text where it can: most payloads are judged and dropped, and copy
//! nothing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::ids::Scalar;

/// Deepest nesting.
const MAX_DEPTH: u8 = 32;
/// An object of up to so many members is searched for a repeated one pair by pair, which most are; a
/// larger one is sorted, so that a hostile one costs no square of its size.
const FEW: usize = 16;

/// The text is not one JSON object with one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one JSON object without repeated members")]
pub(super) struct JsonError;

/// A value, as far as it can a part of the text that it was read from.
#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// An object's members in the order of the text, each name once.
#[derive(Debug, PartialEq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    /// Reads one object.
    pub(super) fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Strict { depth: MAX_DEPTH }
            .deserialize(&mut deserializer)
            .map_err(|_| JsonError)?;
        deserializer.end().map_err(|_| JsonError)?;
        match value {
            Json::Object(object) => Ok(object),
            _ => Err(JsonError),
        }
    }

    /// The member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        let mut members = self.0.iter();
        members
            .find(|member| member.0 == name)
            .map(|member| &member.1)
    }

    /// The same, with nothing of the text.
    pub(super) fn into_owned(self) -> Map<String, Value> {
        let own = |(name, value): (Cow<'_, str>, Json<'_>)| (name.into_owned(), value.into_owned());
        self.0.into_iter().map(own).collect()
    }

    fn repeats_a_name(&self) -> bool {
        let names = || self.0.iter().map(|member| &*member.0);
        if self.0.len() <= FEW {
            names()
                .enumerate()
                .any(|(at, name)| names().take(at).any(|other| other == name))
        } else {
            let mut sorted: Vec<&str> = names().collect();
            sorted.sort_unstable();
            sorted.array_windows().any(|[one, next]| one == next)
        }
    }
}

impl Json<'_> {
    /// The text, where it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same, with nothing of the text.
    fn into_owned(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Array(items) => items.into_iter().map(Self::into_owned).collect(),
            Self::Object(object) => Value::Object(object.into_owned()),
        }
    }
}

/// Numbers are equal as they were written: 5 is not 5.0.
impl PartialEq<Value> for Json<'_> {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(one), Value::Bool(other)) => one == other,
            (Self::Number(one), Value::Number(other)) => one == other,
            (Self::Text(one), Value::String(other)) => one == other,
            (Self::Array(ours), Value::Array(theirs)) => ours == theirs,
            (Self::Object(ours), Value::Object(theirs)) => {
                ours.0.len() == theirs.len()
                    && ours.0.iter().all(|(name, value)| {
                        theirs.get(&**name).is_some_and(|theirs| value == theirs)
                    })
            }
            _ => false,
        }
    }
}

impl<'a> From<&'a Json<'_>> for Scalar<'a> {
    fn from(value: &'a Json<'_>) -> Self {
        match value {
            Json::Text(text) => Self::Text(text),
            Json::Number(number) => Self::Number(number),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => Self::Other,
        }
    }
}

/// Reads one object that is to outlive its text.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError)?;
    Object::read(text).map(Object::into_owned)
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
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner()?;
        let mut object = Object(Vec::new());
        if self.depth == MAX_DEPTH {
            // Most payloads have no more members than that.
            object.0.reserve_exact(FEW);
        }
        while let Some(name) = members.next_key_seed(Name)? {
            object.0.push((name, members.next_value_seed(inner)?));
        }
        if object.repeats_a_name() {
            return Err(A::Error::custom("a repeated member"));
        }
        Ok(Json::Object(object))
    }
}

/// A member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
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

    /// The one that stands twice is found in an object of any size, wherever it stands.
    #[test]
    fn a19_repeated_members_are_refused_in_objects_of_any_size() {
        for size in [2, FEW, FEW + 1, 3 * FEW] {
            for (first, second) in [(0, size - 1), (0, 1), (size - 2, size - 1)] {
                let mut names: Vec<String> = (0..size).map(|n| format!("n{n}")).collect();
                let text = |names: &[String]| {
                    let members: Vec<_> = names.iter().map(|n| format!(r#""{n}":0"#)).collect();
                    format!("{{{}}}", members.join(","))
                };
                assert!(object(text(&names).as_bytes()).is_ok(), "{names:?}");
                names[second] = names[first].replace('n', "\\u006e");
                assert_eq!(object(text(&names).as_bytes()), Err(JsonError), "{names:?}");
            }
        }
    }

    #[test]
    fn what_was_read_equals_the_value_that_it_is_and_no_other() {
        let texts = [
            "null",
            "true",
            "false",
            "5",
            "5.0",
            "-5",
            "\"5\"",
            "\"\\u0035\"",
            "[]",
            "[5]",
            "[5,5]",
            "{}",
            r#"{"a":5}"#,
            r#"{"a":5,"b":[null]}"#,
            r#"{"b":[null],"a":5}"#,
            r#"{"b":5}"#,
        ];
        for one in texts {
            let text = format!(r#"{{"v":{one}}}"#);
            let read = Object::read(&text).unwrap();
            for other in texts {
                let other: Value = serde_json::from_str(other).unwrap();
                let value: Value = serde_json::from_str(one).unwrap();
                assert_eq!(
                    *read.get("v").unwrap() == other,
                    value == other,
                    "{one} {other}"
                );
            }
            let expected: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(Value::Object(read.into_owned()), expected);
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
