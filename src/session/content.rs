//! Content: what is asked of a session, and nothing else of it.
//!
//! The user whom it names, the hash that ties it to that user's password, its CSRF secret. A session
//! without a user is an anonymous one; a session with a user whom nothing ties to it is an error.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::SessionError;
use super::pickle;
use crate::ids::UserId;
use crate::telemetry::{Redacted, UnixTime};

/// Bytes of a session's hash.
pub(super) const HASH: usize = 32;

const USER: &str = "_auth_user_id";
const BACKEND: &str = "_auth_user_backend";
const TIE: &str = "_auth_user_hash";
const CSRF: &str = "_csrftoken";

/// Whether a store could have a session of this key; others are nobody's, and are not asked for.
/// Django makes 32 of `a-z0-9` and finds 8 to 40.
#[must_use]
pub fn key_is_possible(key: &str) -> bool {
    (8..=40).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What an authentic session says. Whether it still counts, the live password says
/// ([`Reader::confirms`](super::Reader::confirms)).
#[derive(Debug)]
pub struct Session {
    user: Option<Tied>,
    csrf: Option<Redacted>,
    saved_at: Option<UnixTime>,
}

/// The user of a session, and what ties the two.
#[derive(Debug)]
struct Tied {
    user: UserId,
    hash: [u8; HASH],
}

impl Session {
    /// The user whom it names; `None` when it is nobody's.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref().map(|tied| &tied.user)
    }

    /// The secret of its CSRF tokens, where the app keeps it in the session.
    #[must_use]
    pub const fn csrf_secret(&self) -> Option<&Redacted> {
        self.csrf.as_ref()
    }

    /// When it was last saved, where its form says so. It may have begun long before.
    #[must_use]
    pub const fn saved_at(&self) -> Option<UnixTime> {
        self.saved_at
    }

    pub(super) fn hash(&self) -> Option<&[u8; HASH]> {
        self.user.as_ref().map(|tied| &tied.hash)
    }

    /// Reads what the JSON serializer wrote.
    pub(super) fn json(data: &[u8], saved_at: Option<UnixTime>) -> Result<Self, SessionError> {
        const NO_OBJECT: SessionError = SessionError::Unreadable("it is no JSON object");
        // serde would take a list for the members in their order.
        if data.trim_ascii_start().first() != Some(&b'{') {
            return Err(NO_OBJECT);
        }
        let members: Members = serde_json::from_slice(data).map_err(|_| NO_OBJECT)?;
        members.session(saved_at)
    }

    /// Reads what the pickle serializer wrote.
    pub(super) fn pickle(data: &[u8]) -> Result<Self, SessionError> {
        let mut found = pickle::members(data, &[USER, BACKEND, TIE, CSRF])?;
        let mut take = |map_key: &str| Map::remove(&mut found, map_key);
        let members = Members {
            user: take(USER),
            backend: take(BACKEND),
            tie: take(TIE),
            csrf: take(CSRF),
        };
        members.session(None)
    }
}

/// The members that are asked for; the others are only passed over.
#[derive(Deserialize)]
struct Members {
    #[serde(rename = "_auth_user_id", default)]
    user: Option<Value>,
    #[serde(rename = "_auth_user_backend", default)]
    backend: Option<Value>,
    #[serde(rename = "_auth_user_hash", default)]
    tie: Option<Value>,
    #[serde(rename = "_csrftoken", default)]
    csrf: Option<Value>,
}

impl Members {
    fn session(self, saved_at: Option<UnixTime>) -> Result<Session, SessionError> {
        let user = match self.user {
            None => None,
            Some(id) => Some(Tied {
                user: UserId::from_json(&id)
                    .map_err(|_| SessionError::Unreadable("its user is no id"))?,
                hash: tie(self.backend.as_ref(), self.tie.as_ref())?,
            }),
        };
        let csrf = match self.csrf {
            Some(Value::String(secret)) => Some(Redacted::new(secret)),
            _ => None,
        };
        Ok(Session {
            user,
            csrf,
            saved_at,
        })
    }
}

/// The hash, where both it and a backend are there.
fn tie(backend: Option<&Value>, hash: Option<&Value>) -> Result<[u8; HASH], SessionError> {
    let text = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or(SessionError::Untied)
    };
    text(backend)?;
    unhex(&text(hash)?).ok_or(SessionError::Hash)
}

/// Lower-case hexadecimal, as `hexdigest` writes it.
fn unhex(text: &str) -> Option<[u8; HASH]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * HASH {
        return None;
    }
    let mut bytes = [0; HASH];
    for (place, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let [high, low] = pair else { return None };
        *place = digit(*high)? * 16 + digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_possible_keys_are_asked_for() {
        for good in [
            "a1b2c3d4",
            "vt0w5cbmqmzcnzxkskh5kb1hqofyq2bo",
            &"x".repeat(40),
        ] {
            assert!(key_is_possible(good), "{good}");
        }
        for bad in [
            "",
            "short77",
            &"x".repeat(41),
            "abcdefg\0",
            "abcd efgh",
            "abcdefgé",
            "abc:defgh",
        ] {
            assert!(!key_is_possible(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_session_without_a_user_is_anonymous_and_an_untied_one_an_error() {
        let read = |text: &str| Session::json(text.as_bytes(), None);
        assert!(read("{}").unwrap().user().is_none());
        assert!(read(r#"{"cart": [1]}"#).unwrap().user().is_none());
        let hash = "0".repeat(64);
        let whole = format!(
            r#"{{"_auth_user_id": "5", "_auth_user_backend": "b", "_auth_user_hash": "{hash}"}}"#
        );
        assert_eq!(read(&whole).unwrap().user().unwrap().as_str(), "5");
        for (bad, error) in [
            (whole.replace("_auth_user_hash", "x"), SessionError::Untied),
            (
                whole.replace("_auth_user_backend", "x"),
                SessionError::Untied,
            ),
            (whole.replace(r#""b""#, r#""""#), SessionError::Untied),
            (whole.replace(r#""b""#, "null"), SessionError::Untied),
            (whole.replace("00\"", "0\""), SessionError::Hash),
            (whole.replace("00\"", "0G\""), SessionError::Hash),
            (whole.replace("00\"", "0A\""), SessionError::Hash),
            (
                whole.replace(r#""5""#, "[5]"),
                SessionError::Unreadable("its user is no id"),
            ),
            (
                whole.replace(r#""5""#, r#""""#),
                SessionError::Unreadable("its user is no id"),
            ),
            (
                whole.replace(r#""5""#, "5.0"),
                SessionError::Unreadable("its user is no id"),
            ),
            (
                "[]".into(),
                SessionError::Unreadable("it is no JSON object"),
            ),
            (
                format!("{whole} x"),
                SessionError::Unreadable("it is no JSON object"),
            ),
        ] {
            assert_eq!(read(&bad).err(), Some(error), "{bad}");
        }
    }

    #[test]
    fn a_user_of_null_is_not_somebody() {
        // Python would call this key present, and `to_python(None)` nobody's id.
        let session = Session::json(br#"{"_auth_user_id": null}"#, None);
        assert!(session.unwrap().user().is_none());
    }
}
