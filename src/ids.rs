//! Ids: who and what a request is about, each parsed once at the edge.
//!
//! A tenant, user or account id is 1-255 bytes of UTF-8 with no control character and no space at
//! either end, compared byte by byte. An integer is its decimal string, so the claim `5` and the
//! claim `"5"` are one user, and `"05"`, `" 5"` and `5.0` are not. Ids never coerce, never fold and
//! never implement `Deref`, so a user id cannot be handed to a function that wants a tenant.

use std::fmt;

use serde_json::{Number, Value};
use smol_str::{SmolStr, format_smolstr};

/// Longest id in bytes.
pub const MAX_ID_BYTES: usize = 255;

/// Why a value is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The value is the empty string.
    #[error("an id cannot be empty")]
    Empty,
    /// The value has more than [`MAX_ID_BYTES`] bytes.
    #[error("an id has at most 255 bytes")]
    TooLong,
    /// The value holds a control character.
    #[error("an id cannot hold a control character")]
    Control,
    /// The value begins or ends with white space.
    #[error("an id cannot begin or end with a space")]
    Padded,
    /// The value is neither a string nor an integer.
    #[error("an id is a string or an integer")]
    NotAnId,
}

/// What of a JSON value could be an id, however it was read.
#[derive(Debug, Clone, Copy)]
pub enum Scalar<'a> {
    /// A string.
    Text(&'a str),
    /// A number.
    Number(&'a Number),
    /// Neither.
    Other,
}

impl<'a> From<&'a Value> for Scalar<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Number(number) => Self::Number(number),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Self::Other,
        }
    }
}

fn checked(text: &str) -> Result<SmolStr, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control);
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err(IdError::Padded);
    }
    Ok(SmolStr::new(text))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SmolStr);

        impl $name {
            /// Parses an id, as text.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                checked(text).map(Self)
            }

            /// Parses an id from a JSON value: a string as it is, an integer as its decimal string.
            pub fn from_json<'a>(value: impl Into<Scalar<'a>>) -> Result<Self, IdError> {
                match value.into() {
                    Scalar::Text(text) => Self::parse(text),
                    Scalar::Number(number) if number.is_i64() || number.is_u64() => {
                        Ok(Self(format_smolstr!("{number}")))
                    }
                    Scalar::Number(_) | Scalar::Other => Err(IdError::NotAnId),
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

id! {
    /// The unit of isolation that a request belongs to.
    TenantId
}
id! {
    /// A user within a tenant; also the subject that a look-up is asked for.
    UserId
}
id! {
    /// What a user belongs to: an organisation, a workspace, a customer.
    AccountId
}

impl TenantId {
    /// Parses a tenant that stands in a host name: one lower-case DNS label (RFC 1035, section
    /// 2.3.1, with digits first allowed as in RFC 1123).
    #[must_use]
    pub fn from_dns_label(label: &str) -> Option<Self> {
        let bytes = label.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        (bytes.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner))
            .then(|| Self(SmolStr::new(label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integer_and_string_are_one_user() {
        assert_eq!(
            UserId::from_json(&json!(5)).unwrap(),
            UserId::from_json(&json!("5")).unwrap()
        );
        assert_ne!(UserId::parse("05").unwrap(), UserId::parse("5").unwrap());
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for value in [
            json!(5.0),
            json!(null),
            json!(true),
            json!([1]),
            json!({}),
            json!(""),
        ] {
            assert!(UserId::from_json(&value).is_err(), "{value}");
        }
        for text in [" 5", "5 ", "a\u{0}", "a\nb", "\u{a0}x", &"x".repeat(256)] {
            assert!(UserId::parse(text).is_err(), "{text:?}");
        }
        assert!(UserId::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn a_tenant_from_a_host_is_one_lower_case_label() {
        assert!(TenantId::from_dns_label("acme-1").is_some());
        for label in ["", "Acme", "-a", "a-", "a.b", "a_b", "é", &"a".repeat(64)] {
            assert!(TenantId::from_dns_label(label).is_none(), "{label:?}");
        }
    }
}
