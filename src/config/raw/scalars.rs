//! Scalars: durations, sizes, secrets and ids as they are written in the file.
//!
//! Each knows its JSON Schema; its `format` is also the name under which the walk over the
//! document checks it, so that a bad one is reported beside every other mistake.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::telemetry::Redacted;

/// A text that must read as the named format; the remedy if it does not.
pub(in crate::config) fn check_format(format: &str, text: &str) -> Result<(), &'static str> {
    let good = match format {
        Duration::FORMAT => Duration::parse(text).is_some(),
        Size::FORMAT => Size::parse(text).is_some(),
        _ => true,
    };
    match format {
        _ if good => Ok(()),
        Duration::FORMAT => Err("write a whole number and a unit: 250ms, 30s, 5m, 24h or 1d"),
        _ => Err("write bytes, or a whole number and a unit: 64KiB, 100MiB or 1GiB"),
    }
}

/// A length of time: `250ms`, `30s`, `5m`, `24h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl Duration {
    /// The schema's format.
    pub const FORMAT: &'static str = "countersign-duration";
    /// Ten years: beyond it a duration is a mistake, and clocks could overflow.
    const MAX_MILLIS: u64 = 3650 * 86_400_000;

    /// Whole seconds.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// Reads a duration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let factor = factor(&DURATION_UNITS, unit)?;
        let millis = number.checked_mul(factor)?;
        (millis <= Self::MAX_MILLIS).then(|| Self(std::time::Duration::from_millis(millis)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        // `24h` reads better than `1d`, and `60s` better than `1m`: lifetimes are told so.
        let unit = DURATION_UNITS.iter().rev().find(|(_, factor)| {
            millis % factor == 0 && millis >= 2 * factor || millis == *factor && *factor < 60_000
        });
        let (name, factor) = unit.unwrap_or(&("ms", 1));
        write!(f, "{}{name}", millis / factor)
    }
}

/// A number of bytes: a whole number, or `64KiB`, `100MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl Size {
    /// The schema's format.
    pub const FORMAT: &'static str = "countersign-size";

    /// Reads a size.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let factor = if unit.is_empty() {
            1
        } else {
            factor(&SIZE_UNITS, unit)?
        };
        number.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS
            .iter()
            .skip(1)
            .rev()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
}

/// A secret: its text (`${NAME}` reads the environment), or `{ file: PATH }`.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The secret itself.
    Text(Redacted),
    /// A file that holds it.
    File(String),
}

/// An id: text, or a whole number that is read as its digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub String);

/// Text, a number, or true or false.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Scalar(pub Value);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a duration"))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time: 250ms, 30s, 5m, 24h, 1d.",
            "format": Self::FORMAT,
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "examples": ["30s"],
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(&text),
            other => other.as_u64().map(Self),
        }
        .ok_or_else(|| D::Error::custom("not a size"))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A number of bytes: 65536, 64KiB, 100MiB, 1GiB.",
            "format": Self::FORMAT,
            "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)?$",
            "minimum": 0,
            "examples": ["64KiB"],
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Text(Redacted::new(text))),
            Value::Object(map) => match map.get("file") {
                Some(Value::String(path)) => Ok(Self::File(path.clone())),
                _ => Err(D::Error::custom("a secret's file is missing")),
            },
            _ => Err(D::Error::custom("not a secret")),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(_) => serializer.serialize_str("[redacted]"),
            Self::File(path) => serializer.collect_map([("file", path)]),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret: ${NAME} from the environment, or { file: PATH }.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                {
                    "type": "object",
                    "properties": { "file": { "type": "string", "description": "The file that holds it." } },
                    "required": ["file"],
                    "additionalProperties": false,
                },
            ],
            "examples": ["${NAME}"],
            "writeOnly": true,
        })
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) if !number.is_f64() => Ok(Self(number.to_string())),
            _ => Err(D::Error::custom("not an id")),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "An id: 1-255 bytes, no control character, no space at either end.",
            "examples": ["acme"],
        })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "boolean"],
            "description": "Text, a number, or true or false.",
            "examples": ["access"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_alike() {
        for text in ["250ms", "30s", "60s", "5m", "10m", "24h", "2d", "0s", "1s"] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Duration::parse("1d").unwrap().to_string(), "24h");
        for text in [
            "",
            "30",
            "s",
            "30 s",
            "-1s",
            "1.5s",
            "1h30m",
            "30S",
            "99999999999999999999s",
            "3651d",
        ] {
            assert!(Duration::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn sizes_read_and_print_alike() {
        for (text, bytes) in [
            ("64KiB", 65536),
            ("100MiB", 104_857_600),
            ("5", 5),
            ("0", 0),
        ] {
            assert_eq!(Size::parse(text).unwrap().0, bytes);
            assert_eq!(Size(bytes).to_string(), text);
        }
        for text in ["", "64KB", "64k", "1.5MiB", "-1", "99999999TiB"] {
            assert!(Size::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn f6_a_secret_is_never_written() {
        let secret: Secret = serde_json::from_str("\"canary\"").unwrap();
        assert!(!format!("{secret:?}").contains("canary"));
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[redacted]\"");
    }
}
